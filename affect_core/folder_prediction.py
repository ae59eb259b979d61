"""Predictions for a folder of pictures, as a table that is written while it grows: memory does not depend on how many.

    report = predict_folder([Path("photographs")], Path("predictions.csv"), load_predictor())
    report.written, report.unreadable
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affect_core.corpora.image_decoding import UnusableImageError, read_image
from affect_core.corpora.image_files import find_images
from affect_core.errors import AffectError
from affect_core.export.tables import open_table, prediction_table
from affect_core.labels import AffectPrediction
from affect_core.prediction import STORED_SIZE, Predictor
from affect_core.progress import Progress, no_progress


@dataclass(frozen=True)
class FolderReport:
    """What became of the pictures: rows written, and (path, reason) of each that could not be read."""

    written: int
    unreadable: tuple[tuple[str, str], ...]


def list_images(sources: Sequence[str | Path]) -> list[str]:
    """Image files among `sources`, each a file or a folder that is searched at any depth; each once, in order.

    Raises AffectError for a source that is not there, or if there is no image at all.
    """
    found: list[str] = []
    for source in map(Path, sources):
        if source.is_dir():
            found += find_images(Path(), str(source)).paths
        elif source.is_file():
            found.append(str(source))
        else:
            raise AffectError(f"{source} not found")
    if not found:
        raise AffectError(f"there is no image under {', '.join(map(str, sources))}")
    return list(dict.fromkeys(found))


def predict_folder(
    sources: Sequence[str | Path],
    out: str | Path,
    predictor: Predictor | Callable[[np.ndarray], AffectPrediction],
    *,
    batch_size: int = 32,
    workers: int = 2,
    progress: Progress = no_progress,
) -> FolderReport:
    """Write one row for each readable image among `sources` (see `list_images`) to `out`, .csv or .parquet.

    predictor   from uint8 (N, 96, 96, 3) to a prediction; `prediction.load_predictor()` is the shipped one
    batch_size  images of a forward pass; two batches are in memory, however many images there are
    workers     threads that decode the next batch while the model looks at this one

    Columns as in `export.prediction_table`, action units cut at the predictor's thresholds. The table appears at `out`
    when it is complete. Files that cannot be read are left out of it and reported. Raises AffectError if none can.
    """
    images = list_images(sources)
    thresholds = getattr(predictor, "thresholds", None)
    predict = getattr(predictor, "predict_batch", predictor)
    unreadable: list[tuple[str, str]] = []
    written = 0
    with open_table(out) as write, progress(len(images), "predicting") as bar:
        for names, decoded in _decoded(images, batch_size, workers):
            good = [index for index, picture in enumerate(decoded) if isinstance(picture, np.ndarray)]
            unreadable += [(name, str(picture)) for name, picture in zip(names, decoded, strict=True)
                           if not isinstance(picture, np.ndarray)]  # fmt: skip
            if good:
                prediction = predict(np.stack([decoded[index] for index in good]))
                write(prediction_table(prediction, [names[index] for index in good], thresholds=thresholds))
                written += len(good)
            bar.update(len(names))
        if not written:
            name, reason = unreadable[0]
            raise AffectError(f"none of {len(images):,} images can be read; {name} {reason}")
    return FolderReport(written, tuple(unreadable))


def _decoded(
    images: list[str], batch_size: int, workers: int
) -> Iterator[tuple[list[str], list[np.ndarray | UnusableImageError]]]:
    """Batches of names and pictures (or why there is none); the next batch is decoded while one is out."""
    with ThreadPoolExecutor(workers) as pool:
        started: list[tuple[list[str], list[Future]]] = []
        for first in range(0, len(images), batch_size):
            names = images[first : first + batch_size]
            started.append((names, [pool.submit(_read, name) for name in names]))
            if len(started) == 2:
                names, futures = started.pop(0)
                yield names, [future.result() for future in futures]
        for names, futures in started:
            yield names, [future.result() for future in futures]


def _read(name: str) -> np.ndarray | UnusableImageError:
    try:
        return read_image(Path(name), STORED_SIZE)
    except UnusableImageError as error:
        return error
