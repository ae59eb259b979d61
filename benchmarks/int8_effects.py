"""What 8-bit weights change: score, size and time of EMMA and CoTEX as ONNX, float32 beside int8.

    python -m benchmarks.int8_effects --weights shipped --out results/int8.csv

Both files of a model answer for the same validation faces, in the same batches (an int8 graph scales its activations by
the batch, see `export.onnx_int8`). Times are of this machine's CPU and of no other.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

from affect_core.augment import prepare
from affect_core.batches import predict_corpus
from affect_core.bootstrap import paired_differences, resampled_scores
from affect_core.corpora import Corpus
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.export import export_onnx, onnx_predictor, write_int8_onnx
from affect_core.record import hardware
from affect_core.workbook import Workbook
from benchmarks.option_effects import SCORES, write_effects

BATCH = 64
"""Faces of a forward pass."""
REPEATS = 30
"""Batches by which a graph is timed, the two in turn."""


def int8_effects(
    emma: EMMA, cotex: CoTEX, book: Workbook, *, resamples: int = 2000, repeats: int = REPEATS
) -> pd.DataFrame:
    """One row for each model and score, on the validation sets of abaw4 (EMMA) and lsd (CoTEX).

    float32, int8           the score on all images
    difference, low, high   int8 minus float32, and its 95 % interval: both resampled alike, over videos or images
    float32_mb, int8_mb     size of the ONNX file, MB (1e6 bytes)
    float32_ms, int8_ms     processor time for a face, ms, all threads together, in batches of BATCH
    images, groups          what the scores are of
    """
    pairs = ((emma, "abaw4"), (cotex, "lsd"))
    return pd.concat(
        [_rows(model, book.corpus(name).split("validation"), book.source(name), resamples, repeats)
         for model, name in pairs], ignore_index=True,
    )  # fmt: skip


def _rows(model: EMMA | CoTEX, validation: Corpus, source: str, resamples: int, repeats: int) -> pd.DataFrame:
    size, labels, groups = model.config.vit.image_size, validation.labels, validation.table["group"]
    some = prepare(torch.from_numpy(validation.images[np.arange(min(BATCH, len(validation)))]), size)
    with TemporaryDirectory() as folder:
        paths = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        export_onnx(model, paths[0], images=some)
        sizes = write_int8_onnx(*paths)
        graphs = [onnx_predictor(path) for path in paths]
        answers = [predict_corpus(graph, validation, size, batch_size=BATCH) for graph in graphs]
        milliseconds = _milliseconds(graphs, some, repeats)
    before, _ = resampled_scores(answers[0], labels, groups, resamples=1)
    effects = paired_differences(*answers, labels, groups, resamples=resamples)
    return pd.DataFrame([
        {"model": type(model).__name__, "score": score, "float32": before[score],
         "int8": before[score] + effects[score].estimate, "difference": effects[score].estimate,
         "low": effects[score].low, "high": effects[score].high,
         "float32_mb": sizes[0] / 1e6, "int8_mb": sizes[1] / 1e6,
         "float32_ms": milliseconds[0], "int8_ms": milliseconds[1],
         "images": len(validation), "groups": groups.nunique(), "corpus": f"{validation.name} ({source})"}
        for score in SCORES if score in effects
    ])  # fmt: skip


def _milliseconds(graphs: list, images: torch.Tensor, repeats: int) -> list[float]:
    """Shortest processor time of each graph for a face, ms: who else is at work changes it little."""
    seconds = [[] for _ in graphs]
    for _ in range(repeats):
        for graph, times in zip(graphs, seconds, strict=True):
            started = time.process_time()
            graph(images)
            times.append(time.process_time() - started)
    return [1000 * min(times) / len(images) for times in seconds]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 1 after an error, said in a sentence."""
    return write_effects("benchmarks.int8_effects", __doc__, int8_effects, arguments, machine=hardware())


if __name__ == "__main__":
    sys.exit(main())
