"""Predictions for whole photographs: every face is found, aligned and asked about, one photograph at a time.

    report = predict_photographs([Path("holidays")], Path("faces.csv"), load_predictor())

The faces of one photograph are in memory, then they are rows of the table. For figures see `photos` and notebook 08.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from affect_core.errors import AffectError
from affect_core.export.tables import open_table, prediction_table
from affect_core.folder_prediction import FolderReport, stored_size
from affect_core.labels import ACTION_UNITS, AffectPrediction
from affect_core.photos.opening import Source
from affect_core.photos.reading import NO_FACE, SMALL_FACE, read_photos
from affect_core.picture_files import find_pictures
from affect_core.prediction import Predictor
from affect_core.progress import Progress, no_progress

WHERE = ["face", "left", "top", "width", "height", "score"]
FACELESS = "shows no face that is found (upright? turned to the camera? not tiny?)"


def predict_photographs(
    sources: Sequence[str | Path],
    out: str | Path,
    predictor: Predictor | Callable[[np.ndarray], AffectPrediction],
    *,
    progress: Progress = no_progress,
) -> FolderReport:
    """Write one row for each face in the photographs among `sources` (see `find_pictures`) to `out`, .csv or .parquet.

    predictor   from uint8 (N, S, S, 3) to a prediction; `prediction.load_predictor()` is the shipped one. S is 96, or
                what the larger models of a run look at

    Columns: image; face, from 1, from left to right; left, top, width, height, its box in pixels of the upright
    photograph, which may reach beyond it; score of the detector in [0, 1]; then those of `export.prediction_table`. A
    photograph without a face is reported like one that cannot be read. Raises AffectError if there is no face at all.
    """
    found = find_pictures(sources)
    left_out = list(found.left_out)
    thresholds = getattr(predictor, "thresholds", (0.5,) * len(ACTION_UNITS))
    predict = getattr(predictor, "predict_batch", predictor)
    written = small = 0
    with open_table(out) as write, progress(len(found.images), "photographs") as bar:
        for name in found.images:
            opened = Source(name, Path(name)).open()
            remark, faces = opened.remark, ()
            if opened.pixels is not None:
                reading = read_photos(opened.pixels, predict=predict, thresholds=thresholds,
                                      size=stored_size(predictor))  # fmt: skip
                remark, faces = reading.photos[0].remark, reading.crops
            if len(faces):
                said = prediction_table(reading.prediction, [name] * len(faces), thresholds=thresholds)
                write(pd.concat([said[["image"]], reading.table()[WHERE], said.drop(columns="image")], axis=1))
                written += len(faces)
                small += bool(remark)
            else:
                left_out.append((name, FACELESS if remark == NO_FACE else remark))
            bar.update()
        if not written:
            name, reason = left_out[len(found.left_out)]
            raise AffectError(f"there is no face in {len(found.images):,} photographs; {name} {reason}")
    notes = [f"{small:,} photographs show faces less than {SMALL_FACE} px high (column height): trust them less"]
    return FolderReport(written, tuple(left_out), (*found.notes(), *(notes if small else ())))
