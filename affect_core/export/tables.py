"""Predictions as a table, and the table as CSV (nothing needed) or Parquet (needs pyarrow)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS, VALENCE_RANGE, AffectPrediction
from affect_core.metrics import probabilities
from affect_core.storage import atomic_path


def prediction_table(
    prediction: AffectPrediction, images: Sequence[str], *, thresholds: Sequence[float] | None = None
) -> pd.DataFrame:
    """One row an image, in the order given, with the columns of the tasks that the prediction has:

    image                       its name
    valence, arousal            float32, clipped to [-1, 1]: what the scales mean, which the model's head does not know
    expression                  name of the most probable one
    probability_<expression>    float32 in [0, 1], softmax of the logits
    probability_AU<unit>        float32 in [0, 1], sigmoid of the logit
    active_AU<unit>             bool: probability above the unit's threshold, 0.5 by default
    uncertainty                 float32 in [0, 1]: how likely the expression is to be wrong; only `predict` knows it

    thresholds (12,) are probabilities. Raises AffectError if names and rows differ in number.
    """
    prediction = rows_of_images(prediction, images)
    columns: dict[str, object] = {"image": list(images)}
    if prediction.valence_arousal is not None:
        within = prediction.valence_arousal.clip(*VALENCE_RANGE)
        columns |= dict(zip(("valence", "arousal"), within.T, strict=True))
    if prediction.expression_logits is not None:
        shares = softmax(prediction.expression_logits.astype(np.float64), axis=1).astype(np.float32)
        best = prediction.expression_logits.argmax(axis=1)
        columns["expression"] = [prediction.vocabulary[index] for index in best]
        columns |= {f"probability_{name}": shares[:, index] for index, name in enumerate(prediction.vocabulary)}
    if prediction.action_unit_logits is not None:
        shares, active = probabilities(prediction.action_unit_logits), active_units(prediction, thresholds)
        columns |= {f"probability_AU{unit}": shares[:, k].astype(np.float32) for k, unit in enumerate(ACTION_UNITS)}
        columns |= {f"active_AU{unit}": active[:, k] for k, unit in enumerate(ACTION_UNITS)}
    if prediction.uncertainty is not None:
        columns["uncertainty"] = prediction.uncertainty
    return pd.DataFrame(columns)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write the table to `path`, as its suffix says: .csv or .parquet; whole or not at all.

    Raises AffectError for another suffix, or for Parquet without pyarrow.
    """
    with open_table(path) as write:
        write(table)


@contextmanager
def open_table(path: str | Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that appends rows (tables of the same columns) to the table at `path`, which appears when all are in.

    What is written is on disk, not in memory; after an error `path` is as it was. Raises as `write_table`.
    """
    path = Path(path)
    writers = {".csv": _csv_writer, ".parquet": _parquet_writer}
    if path.suffix not in writers:
        raise AffectError(f"{path}: a table is written as {' or '.join(writers)}, not as {path.suffix or 'no suffix'}")
    with atomic_path(path) as temporary, writers[path.suffix](temporary, path) as write:
        yield write


def active_units(prediction: AffectPrediction, thresholds: Sequence[float] | None) -> np.ndarray:
    """(N, 12) bool: which action units count as active at the thresholds (12,) on probabilities; None means 0.5.

    Raises AffectError for thresholds of another number or outside [0, 1].
    """
    cut = np.full(len(ACTION_UNITS), 0.5) if thresholds is None else np.asarray(thresholds, np.float64)
    if cut.shape != (len(ACTION_UNITS),) or not ((cut >= 0) & (cut <= 1)).all():
        raise AffectError(f"thresholds are {len(ACTION_UNITS)} probabilities, one an action unit, not {cut.tolist()}")
    return probabilities(prediction.action_unit_logits) > cut


def rows_of_images(prediction: AffectPrediction, images: Sequence[str]) -> AffectPrediction:
    """The prediction as numpy arrays. Raises AffectError unless every task has one row for each image."""
    prediction = prediction.numpy()
    for task in ("expression_logits", "action_unit_logits", "valence_arousal"):
        values = getattr(prediction, task)
        if values is not None and len(values) != len(images):
            raise AffectError(f"the prediction has {len(values)} rows of {task}, but {len(images)} images are named")
    return prediction


@contextmanager
def _csv_writer(temporary: Path, path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        yield lambda table: table.to_csv(file, index=False, lineterminator="\n", header=file.tell() == 0)


@contextmanager
def _parquet_writer(temporary: Path, path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise AffectError(
            f"{path}: Parquet is written with pyarrow, which is not installed: "
            "pip install 'affect-core[parquet]', or write .csv"
        ) from error
    files = []

    def write(table: pd.DataFrame) -> None:
        rows = pyarrow.Table.from_pandas(table, preserve_index=False)
        if not files:
            files.append(parquet.ParquetWriter(temporary, rows.schema))
        files[0].write_table(rows)

    try:
        yield write
    finally:
        for file in files:
            file.close()
