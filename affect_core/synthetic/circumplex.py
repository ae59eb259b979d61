"""Valence and arousal of a face, from its action units.

    (valence, arousal) = tanh(W x),   x = intensities of `PREDICTORS`

W is a ridge regression fitted once to displays drawn from the prototypes of `expressions.py`: a display of expression e
at intensity I should lie at I times the anchor of e on the circumplex. So valence and arousal are continuous, vary
within an expression as its action units vary, move with every frame of a video, and are functions of what can be seen.

Sources: the circumplex is Russell 1980 (A circumplex model of affect), the anchors are in the spirit of the norms in
Russell & Mehrabian 1977 (Evidence for a three-factor theory of emotions). Anchors as given to this project, from memory
and unverified; surprise's valence and contempt are our adjustment. "Other" has no anchor: W alone places it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from affect_core.synthetic.expressions import RENDERED_ACTION_UNITS, draw_display

ANCHORS = {
    "neutral": (0.0, 0.0),
    "anger": (-0.51, 0.59),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
    "happiness": (0.81, 0.51),
    "sadness": (-0.63, -0.27),
    "surprise": (0.20, 0.67),
    "contempt": (-0.35, 0.10),
}
"""(valence, arousal) of each expression at full intensity, both in [-1, 1]."""

PREDICTORS = (*RENDERED_ACTION_UNITS, "one-sided 12")
"""What W multiplies: the action units, and |asymmetry| x AU12, which tells a smirk from a smile."""

ANNOTATOR_NOISE = 0.03
"""Standard deviation of the noise that `annotate` adds by default. Ours, and far below the disagreement of real
annotators, so that the labels stay learnable from a small corpus."""


def predictors(action_units: Mapping[int, float], asymmetry: float) -> np.ndarray:
    """Row x of the model, float64 (len(PREDICTORS),). Units not in `RENDERED_ACTION_UNITS` (blinks, 45) are ignored."""
    intensities = [action_units.get(unit, 0.0) for unit in RENDERED_ACTION_UNITS]
    return np.array([*intensities, abs(asymmetry) * action_units.get(12, 0.0)])


@cache
def circumplex_weights(displays_per_expression: int = 400, ridge: float = 3.0) -> np.ndarray:
    """W transposed, (len(PREDICTORS), 2), read-only; columns valence, arousal. Fitted once a process (milliseconds).

    Ridge regression of artanh(I x anchor) on the predictors: (X'X + ridge 1)^-1 X'Y, with `displays_per_expression`
    displays of every anchored expression at I ~ U(0.2, 1), drawn with a fixed seed that no corpus uses.
    """
    rng = np.random.default_rng(1980)
    rows, targets = [], []
    for expression, anchor in ANCHORS.items():
        for _ in range(displays_per_expression):
            display = draw_display(rng, expression, intensity=rng.uniform(0.2, 1.0))
            rows.append(predictors(display.action_units, display.asymmetry))
            targets.append(np.arctanh(display.intensity * np.array(anchor)))
    x, y = np.array(rows), np.array(targets)  # (n, len(PREDICTORS)), (n, 2)
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    weights.setflags(write=False)
    return weights


def valence_arousal(action_units: Mapping[int, float], asymmetry: float = 0.0) -> np.ndarray:
    """(valence, arousal) of a face, float64 (2,), each in (-1, 1); a face at rest is exactly (0, 0)."""
    return np.tanh(predictors(action_units, asymmetry) @ circumplex_weights())


def annotate(
    true_values: np.ndarray, rng: np.random.Generator, noise: float = ANNOTATOR_NOISE, smoothing: float = 0.0
) -> np.ndarray:
    """Values as an annotator would note them: plus Gaussian noise, clipped to [-1, 1].

    true_values: (T, 2), the frames of one video in order, or (2,). noise: its standard deviation.
    smoothing: in [0, 1), correlation of the noise from one frame to the next, because an annotator drifts rather than
    jitters; 0 for stills.
    """
    shocks = rng.normal(0.0, 1.0, np.shape(true_values)) * noise
    drift = np.atleast_2d(shocks).copy()  # (T, 2)
    for frame in range(1, len(drift)):
        drift[frame] = smoothing * drift[frame - 1] + np.sqrt(1.0 - smoothing**2) * drift[frame]
    return np.clip(true_values + drift.reshape(np.shape(true_values)), -1.0, 1.0)
