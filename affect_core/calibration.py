"""From action-unit scores to decisions: the probability above which each unit counts as active.

Thresholds are fitted on training data and stored with the model; the published code compares fixed constants with
logits instead, which stay available by name. An action unit is active where its probability is above the threshold.
"""

from __future__ import annotations

import numpy as np

from affect_core.labels import ACTION_UNITS
from affect_core.metrics import action_unit_f1, as_array, probabilities

PUBLISHED_LOGIT_THRESHOLDS = (0.8, 0.8, 0.7, 0.5, 0.5, 0.5, 0.6, 0.8, 0.8, 0.8, 0.3, 0.7)
"""The published code's constants, columns ACTION_UNITS. They are compared with logits, although they look like
probabilities: 0.8 on a logit is a probability of 0.69."""


def published_thresholds() -> np.ndarray:
    """PUBLISHED_LOGIT_THRESHOLDS as the probabilities (12,) that give the same decisions."""
    return probabilities(np.array(PUBLISHED_LOGIT_THRESHOLDS))


def fit_thresholds(logits, target, valid) -> np.ndarray:
    """Thresholds (12,) on probabilities that maximise each action unit's F1 on the given (training) data.

    logits, target, valid (N, 12). Every cut between two neighbouring probabilities is tried; of equally good ones the
    lowest share of active frames wins. 0.5 for a unit without active or without inactive labelled frames.
    """
    scores, active, valid = probabilities(logits), as_array(target) > 0, as_array(valid).astype(bool)
    return np.array([_best_threshold(scores[valid[:, k], k], active[valid[:, k], k]) for k in range(len(ACTION_UNITS))])


def f1_curves(logits, target, valid, thresholds) -> np.ndarray:
    """F1 of each action unit at each of the thresholds (T,) on probabilities: (12, T); nan for one without a label."""
    scores = probabilities(logits)
    return np.stack([action_unit_f1(scores > threshold, target, valid) for threshold in thresholds], axis=1)


def _best_threshold(scores: np.ndarray, active: np.ndarray) -> float:
    if not active.any() or active.all():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    scores, active = scores[order], active[order]
    hits = np.cumsum(active)  # hits among the k + 1 highest scores
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + active.sum())
    below = np.append(scores[1:], 0.0)
    f1[scores == below] = -1  # equal scores cannot be parted
    best = int(f1.argmax())
    return float((scores[best] + below[best]) / 2)


def expected_calibration_error(confidence, correct, *, bins: int = 15) -> float:
    """Mean gap between confidence and share of correct answers over equal-width bins, weighted by their size; [0, 1].

    confidence (N,) in [0, 1], correct (N,) bool. Raises ValueError if there is nothing to measure.
    Source: Guo et al. 2017.
    """
    confidence, correct = as_array(confidence).astype(np.float64), as_array(correct).astype(np.float64)
    if len(confidence) == 0:
        raise ValueError("the calibration error of no predictions is not defined")
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(index, confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))
