"""Palettes, as linear RGB reflectances in [0, 1]; chosen by eye against photographs."""

from __future__ import annotations

import numpy as np

Colour = tuple[float, float, float]

SKIN_COLOURS = (np.array([[238, 205, 190], [226, 187, 166], [206, 163, 138], [172, 127, 101], [128, 90, 70],
                          [92, 64, 49], [69, 48, 38]]) / 255) ** 2.2 * (1.03, 0.96, 0.90)  # fmt: skip
"""From lightest to darkest: `Person.skin_tone` runs from 0 to 1 along these rows."""

HAIR_COLOURS = np.array([[0.018, 0.015, 0.013], [0.045, 0.028, 0.018], [0.11, 0.062, 0.036], [0.22, 0.13, 0.07],
                         [0.42, 0.29, 0.15], [0.26, 0.085, 0.035], [0.26, 0.25, 0.24], [0.50, 0.48, 0.46]])  # fmt: skip
"""Black, dark brown, brown, light brown, blond, red, grey, white."""

HAIR_DYES = np.array([[0.35, 0.04, 0.10], [0.06, 0.10, 0.30], [0.20, 0.06, 0.25]])

IRIS_COLOURS = np.array([[0.08, 0.04, 0.02], [0.17, 0.09, 0.04], [0.22, 0.19, 0.08], [0.17, 0.24, 0.15],
                         [0.18, 0.28, 0.40], [0.30, 0.34, 0.36]])  # fmt: skip
"""Dark brown, brown, hazel, green, blue, grey."""

LIP_TINT = np.array([0.88, 0.58, 0.58])
"""Natural lips are redder skin, whatever the skin's tone: they reflect this share of it."""

LIPSTICK = np.array([0.50, 0.06, 0.08])
TEETH = np.array([0.86, 0.82, 0.72])


def as_colour(values) -> Colour:
    """Three floats clipped to [0.004, 0.95], as kernels want them."""
    return tuple(float(value) for value in np.clip(values, 0.004, 0.95))


def skin_colour(tone: float) -> np.ndarray:
    """(3,) colour for a tone from 0 (lightest) to 1 (darkest), linear between the rows of SKIN_COLOURS."""
    position = np.clip(tone, 0, 1) * (len(SKIN_COLOURS) - 1)
    return np.array([np.interp(position, range(len(SKIN_COLOURS)), column) for column in SKIN_COLOURS.T])


def pick(rng: np.random.Generator, palette: np.ndarray, weights) -> np.ndarray:
    """A row of `palette`, drawn in proportion to `weights`."""
    weights = np.asarray(weights, float)
    return palette[rng.choice(len(palette), p=weights / weights.sum())]
