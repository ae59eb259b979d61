"""Averages over time that stop at cuts and gaps.

A stretch ends at a cut, and where the face is missing for longer than `longest_gap`. Averages are taken within a
stretch alone. A frame without a face keeps no answer: gaps are not filled.
"""

from __future__ import annotations

import numpy as np


def stretches(times: np.ndarray, known: np.ndarray, shots: np.ndarray, longest_gap: float) -> np.ndarray:
    """(T,) the stretch of each frame, -1 where `known` (T,) is False; a new one begins in a new shot, or when the face
    was last seen more than `longest_gap` seconds ago."""
    stretch, rows = np.full(len(times), -1), np.flatnonzero(known)
    if len(rows):
        breaks = (np.diff(shots[rows]) != 0) | (np.diff(times[rows]) > longest_gap)
        stretch[rows] = np.concatenate([[0], np.cumsum(breaks)])
    return stretch


def smooth(values: np.ndarray, times: np.ndarray, stretch: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian averages over time of rows (T, C) within each stretch; rows of stretch -1 come out nan.

    out_t = sum_s w(t - s) v_s / sum_s w(t - s) over the rows s of t's stretch, w(d) = exp(-d^2 / (2 sigma^2)), sigma in
    seconds; at the ends of a stretch the average is over what there is. sigma 0 leaves the values as they are.
    """
    smoothed = np.full(values.shape, np.nan)
    for number in np.unique(stretch[stretch >= 0]):
        rows = np.flatnonzero(stretch == number)
        if sigma == 0:
            smoothed[rows] = values[rows]
            continue
        weights = np.exp(-0.5 * ((times[rows, None] - times[None, rows]) / sigma) ** 2)
        smoothed[rows] = weights @ values[rows] / weights.sum(axis=1, keepdims=True)
    return smoothed
