"""Temporal smoothing: faces move slowly, predictions of single frames jump.

A prediction becomes the average over the frames around it, of one video and without a cut between, weighted by a
Gaussian of the distance in frames. Not in the paper; it looks at later frames, so it is for recordings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from scipy.ndimage import gaussian_filter1d

from affect_core.bootstrap import group_numbers
from affect_core.errors import AffectError
from affect_core.labels import AffectPrediction
from affect_core.metrics import as_array

LARGEST_GAP = 30
"""Frames from one frame to the next of a video beyond which it counts as a cut: one second at 30 frames a second."""


def smooth_prediction(
    prediction: AffectPrediction,
    videos: Sequence[str],
    frames: Sequence[int],
    *,
    width: float,
    largest_gap: int = LARGEST_GAP,
) -> AffectPrediction:
    """Every task of the prediction, logits and numbers alike, smoothed within the parts of each video; numpy float32.

    videos       (N,) names; rows need not be in order. Pictures of no video ("") stay as they are
    frames       (N,) numbers of the frames, see `frame_numbers`; what is missing between two of them has no weight
    width        standard deviation of the Gaussian, frames; 0 changes nothing
    largest_gap  frames; where two neighbours lie further apart, nothing is carried across
    Raises AffectError if the numbers of rows differ, or for a width below 0 or without end.
    """
    prediction = prediction.numpy()
    videos, frames = np.asarray(videos), np.asarray(frames)
    tasks = (prediction.expression_logits, prediction.action_unit_logits, prediction.valence_arousal)
    lengths = {len(videos), len(frames), *(len(task) for task in tasks if task is not None)}
    if len(lengths) > 1:
        raise AffectError(f"smoothing needs a video and a frame number for each row, not {sorted(lengths)} of them")
    require_width(width)
    if width == 0:
        return prediction
    parts = _parts(videos, frames, largest_gap)

    def smooth(task: np.ndarray) -> np.ndarray:
        smoothed = np.empty(task.shape, np.float32)
        for rows in parts:
            smoothed[rows] = _smooth_part(task[rows], frames[rows] - frames[rows].min(), width)
        return smoothed

    return prediction.map(smooth)


def require_width(width: float) -> None:
    """Raise AffectError unless something can be smoothed with this width."""
    if not 0 <= width < math.inf:
        raise AffectError(f"the width of smoothing is a number of frames, 0 or more, not {width}")


def reach(width: float) -> int:
    """The longest step in frames from one picture of a video to the next over which anything is carried: 4 widths, and
    never more than LARGEST_GAP. Between frames that lie closer together, answers count over 4 widths."""
    return min(int(4 * width + 0.5), LARGEST_GAP)


def frame_numbers(images: Sequence[str]) -> np.ndarray:
    """The last number in the name of each image, (N,) int64: 17 of "video3/00017.jpg". Raises AffectError without."""
    found = [re.search(r"(\d+)\D*$", PurePosixPath(image).stem) for image in images]
    if None in found:
        raise AffectError(f"the name {images[found.index(None)]} holds no frame number")
    return np.array([int(match[1]) for match in found], np.int64)


def _parts(videos: np.ndarray, frames: np.ndarray, largest_gap: int) -> list[np.ndarray]:
    """Rows of each uncut part, in the order of their frames."""
    video = group_numbers(videos)
    order = np.lexsort((frames, video))
    cut = (np.diff(video[order]) != 0) | (np.diff(frames[order]) > largest_gap)
    return np.split(order, np.flatnonzero(cut) + 1)


def _smooth_part(values: np.ndarray, places: np.ndarray, width: float) -> np.ndarray:
    """values (n, ...) at places (n,) on a time line -> their weighted means there, float64."""
    line = np.zeros((places.max() + 1, *values.shape[1:]))
    count = np.zeros(len(line))
    np.add.at(line, places, as_array(values).astype(np.float64))
    np.add.at(count, places, 1.0)
    sums, weights = (gaussian_filter1d(array, width, axis=0, mode="constant") for array in (line, count))
    return sums[places] / weights[places].reshape(-1, *[1] * (values.ndim - 1))
