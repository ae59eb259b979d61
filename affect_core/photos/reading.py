"""Photographs to faces to answers: detect, align, predict, and keep account of every file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from affect_core.errors import AffectError
from affect_core.export.tables import prediction_table, write_table
from affect_core.labels import AffectPrediction
from affect_core.photos.alignment import align
from affect_core.photos.detection import Face, find_faces
from affect_core.photos.opening import Opened, list_sources
from affect_core.prediction import STORED_SIZE, as_pictures, load_predictor, predict
from affect_core.progress import Progress, no_progress

Predict = Callable[[np.ndarray], AffectPrediction]

PREVIEW_SIDE = 960
"""Pixels of the longer side of the copies that are kept for figures; the photos themselves are not kept."""
SMALL_FACE = 40
"""Pixels of height of a face's box below which a remark says that it is small: the models look at 64 px."""
NO_FACE = "no face found (upright? turned to the camera? not tiny? For faces already cropped say cropped=True)"


@dataclass(frozen=True)
class Photo:
    """One file: its name, size (width, height) in pixels, `preview` (h, w, 3), `faces` in pixels of the preview, and a
    remark, empty if all is well. A file that could not be used has no preview; size is then (0, 0)."""

    name: str
    size: tuple[int, int] = (0, 0)
    preview: np.ndarray | None = None
    faces: tuple[Face, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class PhotoReading:
    """Every photo, and for all N faces, photo by photo and from left to right:

    crops       (N, S, S, 3) uint8, aligned; S is 96 unless another size was asked for
    prediction  N rows, see `prediction.predict`; None if there is no face at all
    thresholds  (12,) probabilities above which an action unit counts as active
    """

    photos: list[Photo]
    crops: np.ndarray
    prediction: AffectPrediction | None
    thresholds: np.ndarray

    def rows(self, photo: int) -> range:
        """Rows of the prediction that belong to a photo, counted from 0."""
        first = sum(len(earlier.faces) for earlier in self.photos[:photo])
        return range(first, first + len(self.photos[photo].faces))

    def files(self) -> pd.DataFrame:
        """One row a file, also for those without a face: size in pixels, number of faces, remark."""
        rows = [(photo.name, "{} x {}".format(*photo.size) if photo.preview is not None else "", len(photo.faces),
                 photo.remark) for photo in self.photos]  # fmt: skip
        return pd.DataFrame(rows, columns=["photo", "pixels", "faces", "remark"]).set_index("photo")

    def table(self) -> pd.DataFrame:
        """One row a face: photo, face (from 1), its box in pixels of the photo, the detector's score, `uncertainty`,
        and the columns of `export.tables.prediction_table`. No rows if there is no face."""
        rows = []
        for photo in self.photos:
            scale = photo.size[0] / photo.preview.shape[1] if photo.preview is not None else 1.0
            rows += [(photo.name, number, *np.round(face.box * scale).astype(int), round(face.score, 4))
                     for number, face in enumerate(photo.faces, start=1)]  # fmt: skip
        where = pd.DataFrame(rows, columns=["photo", "face", "left", "top", "width", "height", "score"])
        return where if self.prediction is None else answers(where, self.prediction, self.thresholds)

    def to_csv(self, path: str | Path) -> Path:
        """Write `table()`, whole or not at all. Raises AffectError unless the name ends in .csv."""
        return write_csv(path, self.table())


def read_photos(
    photos: Any, *, cropped: bool = False, predict: Predict = predict, thresholds: Sequence[float] | None = None,
    size: int = STORED_SIZE, progress: Progress = no_progress,
) -> PhotoReading:
    """What the shipped models say about every face of some photos. Works offline; the photos leave nothing behind.

    photos      see `opening.list_sources`: path, folder, upload, array, or a sequence of these
    cropped     True: each photo is one face, already cropped from forehead to chin; nothing is detected
    predict     (N, size, size, 3) uint8 -> AffectPrediction of N rows; by default `affect_core.predict`
    thresholds  (12,) for the action units; by default those fitted with the shipped models
    size        pixels of a face's crop, see `folder_prediction.stored_size`

    A file that cannot be used, and a photo without a face, stay in `photos` with a remark.
    """
    sources = list_sources(photos)
    read, crops = [], []
    with progress(len(sources), "photos") as bar:
        for source in sources:
            photo, cut = _read(source.open(), cropped, size)
            read.append(photo)
            crops.extend(cut)
            bar.update()
    crops = np.stack(crops) if crops else np.empty((0, size, size, 3), np.uint8)
    if thresholds is None:
        thresholds = load_predictor().thresholds
    return PhotoReading(read, crops, predict(crops) if len(crops) else None, np.asarray(thresholds, float))


def _read(opened: Opened, cropped: bool, size: int) -> tuple[Photo, list[np.ndarray]]:
    """The photo, and an aligned crop of each of its faces."""
    if opened.pixels is None:
        return Photo(opened.name, remark=opened.remark), []
    height, width = opened.pixels.shape[:2]
    photo = Photo(opened.name, (width, height), reduced(opened.pixels, PREVIEW_SIDE))
    try:
        faces = [_whole(opened.pixels)] if cropped else find_faces(opened.pixels)
    except AffectError as error:
        return replace(photo, remark=str(error)), []
    scale = photo.preview.shape[1] / width
    photo = replace(photo, faces=tuple(face.moved(scale) for face in faces), remark="" if faces else NO_FACE)
    small = sum(face.box[3] < SMALL_FACE for face in faces)
    if small:
        photo = replace(photo, remark=f"{small} of the faces less than {SMALL_FACE} px high: trust them less")
    if cropped:
        return photo, list(as_pictures(opened.pixels, size))
    return photo, [align(opened.pixels, face.points, size) for face in faces]


def _whole(pixels: np.ndarray) -> Face:
    height, width = pixels.shape[:2]
    return Face(np.array([0, 0, width, height], float), np.full((5, 2), np.nan), 1.0)


def reduced(pixels: np.ndarray, side: int) -> np.ndarray:
    """The picture with its longer side at most `side` pixels; a copy in any case."""
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels.copy()
    size = tuple(max(1, round(length * scale)) for length in pixels.shape[1::-1])
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def answers(where: pd.DataFrame, prediction: AffectPrediction, thresholds: np.ndarray) -> pd.DataFrame:
    """The columns `where` (one row a face), then uncertainty and the columns of `prediction_table`."""
    said = prediction_table(prediction, [""] * len(where), thresholds=thresholds)
    said = said.drop(columns=["image", "uncertainty"], errors="ignore")
    uncertainty = pd.Series(prediction.uncertainty, name="uncertainty", dtype=np.float32)
    return pd.concat([where.reset_index(drop=True), uncertainty, said], axis=1)


def write_csv(path: str | Path, table: pd.DataFrame) -> Path:
    """Write a table as CSV, whole or not at all. Raises AffectError unless the name ends in .csv."""
    if Path(path).suffix != ".csv":
        raise AffectError(f"{path}: the table is written as CSV; choose a name that ends in .csv.")
    write_table(path, table)
    return Path(path)
