"""Predictions for a folder of faces, as a table that is written while it grows: memory does not depend on how many.

    report = predict_folder([Path("faces")], Path("predictions.csv"), load_predictor())
    report.written, report.unreadable, report.notes

For whole photographs see `photograph_prediction`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from affect_core.corpora.image_decoding import UnusableImageError, read_image
from affect_core.errors import AffectError
from affect_core.export.tables import open_table, prediction_table
from affect_core.labels import AffectPrediction
from affect_core.picture_files import find_pictures
from affect_core.prediction import STORED_SIZE, Predictor
from affect_core.progress import Progress, no_progress
from affect_core.streams import in_streams, streams_for


@dataclass(frozen=True)
class FolderReport:
    """What became of the files.

    written     rows of the table
    unreadable  (path, reason) of each picture that is not in it; the two make a sentence
    notes       sentences about what is no fault, such as files that are no pictures
    """

    written: int
    unreadable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


def predict_folder(
    sources: Sequence[str | Path],
    out: str | Path,
    predictor: Predictor | Callable[[np.ndarray], AffectPrediction],
    *,
    batch_size: int = 32,
    workers: int = 2,
    progress: Progress = no_progress,
) -> FolderReport:
    """Write one row for each readable image among `sources` (see `find_pictures`) to `out`, .csv or .parquet.

    predictor   from uint8 (N, S, S, 3) to a prediction; `prediction.load_predictor()` is the shipped one. S is 96, or
                what the larger models of a run look at
    batch_size  images that are looked at at once; on a CPU they are divided among its cores (see `streams`). Those and
                a few batches decoded ahead are in memory, however many images there are
    workers     threads that decode the next batches while the model looks at these

    Columns as in `export.prediction_table`, action units cut at the predictor's thresholds. The table appears at `out`
    when it is complete. Files that cannot be read are left out of it and reported. Raises AffectError if none can.
    """
    found = find_pictures(sources)
    images, unreadable = found.images, list(found.left_out)
    thresholds = getattr(predictor, "thresholds", None)
    answer = partial(_answer, getattr(predictor, "predict_batch", predictor))
    streams = streams_for(predictor, batch_size)
    decoded = decoded_batches(images, stored_size(predictor), batch_size // streams, workers)
    written = 0
    with (
        open_table(out) as write,
        progress(len(images), "predicting") as bar,
        closing(in_streams(answer, decoded, streams)) as batches,
    ):
        for batch in batches:
            unreadable += batch.unreadable
            if batch.prediction is not None:
                write(prediction_table(batch.prediction, batch.names, thresholds=thresholds))
                written += len(batch.names)
            bar.update(len(batch.names) + len(batch.unreadable))
        if not written:
            name, reason = unreadable[len(found.left_out)]
            raise AffectError(f"none of {len(images):,} images can be read; {name} {reason}")
    return FolderReport(written, tuple(unreadable), found.notes())


@dataclass(frozen=True)
class _Batch:
    """Names of the pictures that were read and what is said about them, if any; (name, reason) of the others."""

    names: list[str]
    prediction: AffectPrediction | None
    unreadable: list[tuple[str, str]]


def _answer(
    predict: Callable[[np.ndarray], AffectPrediction],
    batch: tuple[list[str], list[np.ndarray | UnusableImageError]],
) -> _Batch:
    read = {name: picture for name, picture in zip(*batch, strict=True) if isinstance(picture, np.ndarray)}
    unreadable = [(name, str(error)) for name, error in zip(*batch, strict=True) if name not in read]
    return _Batch(list(read), predict(np.stack(list(read.values()))) if read else None, unreadable)


def stored_size(predictor: object) -> int:
    """Pixels S to which pictures are reduced for a predictor: 96, or more if its EMMA looks at more than that."""
    if not isinstance(predictor, Predictor):
        return STORED_SIZE
    return max(STORED_SIZE, round(max(predictor.zooms) * predictor.emma.config.vit.image_size))


def decoded_batches(
    images: Sequence[str], size: int, batch_size: int, workers: int = 2
) -> Iterator[tuple[list[str], list[np.ndarray | UnusableImageError]]]:
    """Batches of paths and pictures (size, size, 3) uint8, or why there is none; two batches are in memory at most.

    The next batch is decoded, in threads, while one is out.
    """
    with ThreadPoolExecutor(workers) as pool:
        started: list[tuple[list[str], list[Future]]] = []
        for first in range(0, len(images), batch_size):
            names = images[first : first + batch_size]
            started.append((names, [pool.submit(_read, name, size) for name in names]))
            if len(started) == 2:
                names, futures = started.pop(0)
                yield names, [future.result() for future in futures]
        for names, futures in started:
            yield names, [future.result() for future in futures]


def _read(name: str, size: int) -> np.ndarray | UnusableImageError:
    try:
        return read_image(Path(name), size)
    except UnusableImageError as error:
        return error
