"""Valence and arousal follow the action units."""

import numpy as np
import pytest

from affect_core.synthetic.circumplex import (
    ANCHORS,
    PREDICTORS,
    annotate,
    circumplex_weights,
    predictors,
    valence_arousal,
)  # fmt: skip
from affect_core.synthetic.expressions import DISPLAYS, draw_display


def mean_valence_arousal(expression, intensity=None, n=100):
    rng = np.random.default_rng(7)
    displays = [draw_display(rng, expression, intensity) for _ in range(n)]
    return np.mean([valence_arousal(display.action_units, display.asymmetry) for display in displays], axis=0)


@pytest.mark.parametrize("expression", [name for name in ANCHORS if name != "neutral"])
def test_expressions_lie_in_the_quadrant_of_their_anchor(expression):
    measured = mean_valence_arousal(expression)
    assert np.array_equal(np.sign(measured), np.sign(ANCHORS[expression]))


def test_full_intensity_lies_near_the_anchor_and_less_intensity_nearer_to_the_origin():
    for expression, anchor in ANCHORS.items():
        if expression != "neutral":
            full, half = mean_valence_arousal(expression, 1.0), mean_valence_arousal(expression, 0.5)
            assert np.linalg.norm(full - anchor) < 0.15
            assert np.linalg.norm(half) < np.linalg.norm(full)


@pytest.mark.parametrize("expression", DISPLAYS)
def test_values_stay_inside_the_square(expression):
    rng = np.random.default_rng(8)
    for _ in range(200):
        display = draw_display(rng, expression)
        assert np.abs(valence_arousal(display.action_units, display.asymmetry)).max() < 1


def test_a_face_at_rest_and_a_blink_are_at_the_origin():
    assert valence_arousal({}).tolist() == [0, 0]
    assert valence_arousal({45: 1.0}).tolist() == [0, 0]


def test_a_smile_is_pleasant_and_a_smirk_less_so():
    smile, smirk = valence_arousal({12: 0.8}), valence_arousal({12: 0.8}, asymmetry=0.9)
    assert smile[0] > 0.4 and smirk[0] < smile[0]


def test_weights_are_a_ridge_solution_that_refitting_reproduces():
    weights = circumplex_weights()
    assert weights.shape == (len(PREDICTORS), 2)
    assert np.array_equal(weights, circumplex_weights.__wrapped__())
    with pytest.raises(ValueError):
        weights[0, 0] = 1.0


def test_the_fit_explains_most_of_the_variance_of_fresh_displays():
    rng = np.random.default_rng(9)
    targets, fitted = [], []
    for expression, anchor in ANCHORS.items():
        for _ in range(100):
            display = draw_display(rng, expression)
            targets.append(display.intensity * np.array(anchor))
            fitted.append(np.tanh(predictors(display.action_units, display.asymmetry) @ circumplex_weights()))
    targets, fitted = np.array(targets), np.array(fitted)
    explained = 1 - ((targets - fitted) ** 2).sum(0) / ((targets - targets.mean(0)) ** 2).sum(0)
    assert explained.min() > 0.8


def test_annotator_noise_has_its_size_its_smoothness_and_its_bounds():
    rng = np.random.default_rng(10)
    jitter = annotate(np.zeros((5000, 2)), rng, noise=0.05)
    drift = annotate(np.zeros((5000, 2)), rng, noise=0.05, smoothing=0.9)
    assert jitter.std() == pytest.approx(0.05, rel=0.05) and drift.std() == pytest.approx(0.05, rel=0.15)
    assert abs(np.corrcoef(jitter[1:, 0], jitter[:-1, 0])[0, 1]) < 0.05
    assert np.corrcoef(drift[1:, 0], drift[:-1, 0])[0, 1] == pytest.approx(0.9, abs=0.03)
    assert annotate(np.array([0.99, -0.99]), rng, noise=0.5).shape == (2,)
    assert np.abs(annotate(np.full((500, 2), 0.99), rng, noise=0.5)).max() <= 1
    assert np.array_equal(annotate(np.full(2, 0.3), rng, noise=0.0), np.full(2, 0.3))
