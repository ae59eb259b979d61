"""From a video to a timeline: one face followed through each shot (`following`), its answers smoothed (`smoothing`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from affect_core.labels import VALENCE_RANGE, AffectPrediction
from affect_core.metrics import probabilities
from affect_core.photos.alignment import align
from affect_core.photos.detection import find_faces
from affect_core.photos.following import follow
from affect_core.photos.reading import Predict, answers, reduced, write_csv
from affect_core.photos.smoothing import smooth, stretches
from affect_core.photos.video import VideoFrames
from affect_core.prediction import STORED_SIZE, load_predictor, predict
from affect_core.progress import Progress, no_progress

THUMBNAIL_SIDE = 120


@dataclass(frozen=True)
class VideoReading:
    """T sampled frames of a video, N faces in all.

    times, shots  (T,) seconds; index of the shot.   cuts, duration: seconds.   thumbnails (T, h, w, 3) uint8
    frame_of      (N,) frame of each face.   boxes (N, 4) left, top, width, height in pixels of the video
    crops         (N, 96, 96, 3) uint8.   prediction: N rows, or None without any face.   thresholds (12,)
    followed      (T,) row of the face that the timeline follows, -1 where there is none
    remarks       sentences about what was not read
    """

    name: str
    times: np.ndarray
    shots: np.ndarray
    cuts: list[float]
    duration: float
    thumbnails: np.ndarray
    frame_of: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    crops: np.ndarray
    prediction: AffectPrediction | None
    followed: np.ndarray
    thresholds: np.ndarray
    remarks: list[str] = field(default_factory=list)

    def timeline(self, sigma: float = 0.3, longest_gap: float = 0.5) -> Timeline:
        """The followed face over time, smoothed over `sigma` seconds (0: not at all), see `smoothing`; all nan if the
        video shows no face."""
        known = self.followed >= 0
        values = np.full((len(self.times), 8 + 12 + 2), np.nan)
        if self.prediction is not None:
            rows = self.followed[known]
            values[known] = np.column_stack([
                softmax(self.prediction.expression_logits[rows].astype(float), axis=1),
                probabilities(self.prediction.action_unit_logits[rows]),
                self.prediction.valence_arousal[rows].clip(*VALENCE_RANGE),
            ])  # fmt: skip
        stretch = stretches(self.times, known, self.shots, longest_gap)
        values = smooth(values, self.times, stretch, sigma)
        return Timeline(self.times, values[:, :8], values[:, 8:20], values[:, 20:], stretch)

    def table(self) -> pd.DataFrame:
        """One row a face and frame, not smoothed: time, shot, face (from the left, from 1), followed, box, score,
        `uncertainty`, and the columns of `prediction_table`. Frames without a face have one row with face 0."""
        rows = []
        for index, (time, shot) in enumerate(zip(self.times, self.shots, strict=True)):
            faces = np.flatnonzero(self.frame_of == index)
            for number, row in enumerate(faces, start=1):
                box = np.round(self.boxes[row]).astype(int)
                rows.append((round(float(time), 3), int(shot), number, bool(row == self.followed[index]), *box,
                             round(float(self.scores[row]), 4)))  # fmt: skip
            if not len(faces):
                rows.append((round(float(time), 3), int(shot), 0, False, None, None, None, None, None))
        names = ["time", "shot", "face", "followed", "left", "top", "width", "height", "score"]
        where = pd.DataFrame(rows, columns=names)
        if self.prediction is None:
            return where
        said = answers(where[where["face"] > 0], self.prediction, self.thresholds)
        missing = where[where["face"] == 0].reindex(columns=said.columns).astype(object)
        return pd.concat([said.astype(object), missing]).sort_values(["time", "face"], ignore_index=True)

    def to_csv(self, path: str | Path) -> Path:
        """Write `table()`, whole or not at all. Raises AffectError unless the name ends in .csv."""
        return write_csv(path, self.table())


@dataclass(frozen=True)
class Timeline:
    """T frames; nan where no face was found. expression (T, 8) and action_units (T, 12) are probabilities,
    valence_arousal (T, 2) within [-1, 1]; stretch (T,) numbers the stretches within which was smoothed, -1 where there
    is no face."""

    times: np.ndarray
    expression: np.ndarray
    action_units: np.ndarray
    valence_arousal: np.ndarray
    stretch: np.ndarray

    def named(self) -> np.ndarray:
        """(T,) index of the most probable expression, -1 where no face was found."""
        known = self.stretch >= 0
        return np.where(known, np.argmax(np.where(known[:, None], self.expression, 0), axis=1), -1)


def read_video(
    path: str | Path, *, frames_per_second: float = 5.0, longest: float = 120.0, predict: Predict = predict,
    thresholds: Sequence[float] | None = None, progress: Progress = no_progress,
) -> VideoReading:
    """What the shipped models say about the faces of a video file, `frames_per_second` times a second.

    longest     seconds that are read at most; a remark says if there was more
    predict, thresholds   as in `reading.read_photos`

    Raises AffectError if the file is not there or cannot be read as a video.
    """
    frames = VideoFrames(path, frames_per_second, longest)
    times, shots, thumbnails, faces, crops = [], [], [], [], []
    with progress(frames.expected(), f"frames of {frames.path.name}") as bar:
        for frame in frames:
            found = find_faces(frame.pixels)
            times.append(frame.time)
            shots.append(frame.shot)
            thumbnails.append(reduced(frame.pixels, THUMBNAIL_SIDE))
            faces.append(found)
            crops.extend(align(frame.pixels, face.points) for face in found)
            bar.update(int(bar.done < bar.total))  # a file may hold more frames than it says
    flat = [face for found in faces for face in found]
    boxes = np.array([face.box for face in flat]).reshape(-1, 4)
    frame_of = np.repeat(np.arange(len(faces)), [len(found) for found in faces])
    pixels = np.stack(crops) if crops else np.empty((0, STORED_SIZE, STORED_SIZE, 3), np.uint8)
    return VideoReading(
        frames.path.name, np.array(times), np.array(shots), frames.cuts, frames.duration, np.stack(thumbnails),
        frame_of, boxes, np.array([face.score for face in flat]), pixels, predict(pixels) if len(pixels) else None,
        follow(faces, np.array(shots)),
        np.asarray(load_predictor().thresholds if thresholds is None else thresholds, float), frames.remarks,
    )  # fmt: skip
