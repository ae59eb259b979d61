"""Smooth repeatable noise on skin, hair and eyes: a tile of random numbers read with bilinear interpolation."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numba
import numpy as np

TILE = 256


@lru_cache(maxsize=1)
def noise_tile() -> np.ndarray:
    """(256, 256) float32, zero mean and unit deviation, smooth over about 2 cells, repeating at the border."""
    white = np.random.default_rng(7).standard_normal((TILE, TILE)).astype(np.float32)
    padded = np.pad(white, 8, mode="wrap")
    tile = cv2.GaussianBlur(padded, (0, 0), 1.0)[8:-8, 8:-8]
    return np.ascontiguousarray(tile / tile.std())


@numba.njit(cache=True, fastmath=True)
def noise(tile, x, y, octaves):
    """Noise at one point; each of `octaves` halves the amplitude and doubles the frequency."""
    total, amplitude = 0.0, 1.0
    for octave in range(octaves):
        u, v = x + 37.0 * octave, y + 71.0 * octave
        column, row = math.floor(u), math.floor(v)
        a, b = u - column, v - row
        i, j = int(column) & 255, int(row) & 255
        i1, j1 = (i + 1) & 255, (j + 1) & 255
        upper = tile[j, i] * (1 - a) + tile[j, i1] * a
        lower = tile[j1, i] * (1 - a) + tile[j1, i1] * a
        total += amplitude * (upper * (1 - b) + lower * b)
        amplitude *= 0.5
        x *= 2.0
        y *= 2.0
    return total
