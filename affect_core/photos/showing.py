"""Figures of readings: a photo with its faces, the card of a face, the timeline of a video."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.special import softmax

from affect_core.errors import AffectError
from affect_core.figures.cards import prediction_card
from affect_core.figures.photos import photo_with_faces
from affect_core.figures.style import subtitle_of
from affect_core.figures.timeline import intensity_timeline
from affect_core.labels import EXPRESSIONS, AffectPrediction
from affect_core.metrics import probabilities
from affect_core.photos.reading import PhotoReading
from affect_core.photos.timeline import VideoReading


def photo_overview(reading: PhotoReading, photo: int = 0, *, chosen: int | None = None, source: str = "") -> Figure:
    """A photo, a numbered box around each of its faces with the expression named, and the five points.

    photo   its place in the reading, from 0
    chosen  the face, from 0 within the photo, whose box is drawn bold, or None

    >>> photo_overview(read_photos("holidays/"), 0, chosen=1, source="my camera")
    <Figure size ...>
    """
    shown = reading.photos[photo]
    names = [named_expression(reading.prediction, row) for row in reading.rows(photo)]
    points = np.array([face.points for face in shown.faces]).reshape(-1, 5, 2)
    return photo_with_faces(
        shown.preview, [face.box for face in shown.faces], points, names, chosen=chosen, title=shown.name, width=10.0,
        source=subtitle_of("{} x {} pixels".format(*shown.size), source),
    )  # fmt: skip


def face_card(reading: PhotoReading, row: int, *, source: str = "") -> Figure:
    """The card of one row of the reading: aligned face, expressions, action units with thresholds, circumplex.

    row  from 0, see `PhotoReading.rows`. Raises AffectError if there is no such row.

    >>> face_card(read_photos("group.jpg"), 1, source="my camera")
    <Figure size ...>
    """
    if reading.prediction is None or not 0 <= row < len(reading.crops):
        raise AffectError(f"There are {len(reading.crops)} faces, counted from 0; there is no face {row}.")
    photo = next(k for k in range(len(reading.photos)) if row in reading.rows(k))
    answer, number = reading.prediction, row - reading.rows(photo)[0] + 1
    doubt = f"wrong with probability {answer.uncertainty[row]:.0%}, by its own account (calibrated on rendered faces)"
    return prediction_card(
        reading.crops[row], softmax(answer.expression_logits[row].astype(float)),
        probabilities(answer.action_unit_logits[row]), answer.valence_arousal[row], thresholds=reading.thresholds,
        title=f"{reading.photos[photo].name}, face {number}: {named_expression(answer, row)}",
        source=subtitle_of(doubt, source),
    )  # fmt: skip


def video_timeline(
    video: VideoReading, *, sigma: float = 0.3, longest_gap: float = 0.5, source: str = "", title: str = ""
) -> Figure:
    """The followed face of a video: thumbnails, expression, action units, valence and arousal, cuts dashed, gaps grey.

    sigma, longest_gap   seconds, see `VideoReading.timeline`

    >>> video_timeline(read_video("clip.mp4"), sigma=0.0, source="not smoothed")
    <Figure size ...>
    """
    timeline = video.timeline(sigma, longest_gap)
    found = int((video.followed >= 0).sum())
    smoothing = f"Gaussian of {sigma:g} s" if sigma else "not smoothed"
    return intensity_timeline(
        timeline.times, timeline.action_units, timeline.valence_arousal, expression=timeline.named(),
        images=video.thumbnails, image_times=video.times, cuts=video.cuts, title=title or video.name,
        missing_name="no face found",
        source=subtitle_of(f"a face in {found}", smoothing, source),
    )  # fmt: skip


def named_expression(prediction: AffectPrediction, row: int) -> str:
    """The most probable expression of a row, in words with its probability: "happiness 81%"."""
    logits = prediction.expression_logits[row]
    return f"{EXPRESSIONS[int(logits.argmax())]} {np.exp(logits.max() - np.logaddexp.reduce(logits)):.0%}"
