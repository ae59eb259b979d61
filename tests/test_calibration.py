"""Thresholds: the best there are on the data they were fitted to."""

import numpy as np
import pytest
from test_metrics import random_labels

from affect_core.calibration import (
    PUBLISHED_LOGIT_THRESHOLDS,
    expected_calibration_error,
    f1_curves,
    fit_thresholds,
    published_thresholds,
)
from affect_core.metrics import action_unit_f1, probabilities


def scored_labels(n: int):
    labels = random_labels(n)
    logits = np.random.default_rng(5).normal(size=(n, 12)) + 1.5 * labels.action_units - 1
    return logits, labels.action_units, labels.action_units_valid


def test_published_thresholds_decide_as_the_logits_do():
    logits = np.random.default_rng(0).normal(size=(99, 12))
    on_logits = logits > np.array(PUBLISHED_LOGIT_THRESHOLDS)
    assert (on_logits == (probabilities(logits) > published_thresholds())).all()


def test_no_other_threshold_is_better():
    logits, target, valid = scored_labels(300)
    best = action_unit_f1(probabilities(logits) > fit_thresholds(logits, target, valid), target, valid)
    for threshold in np.linspace(0, 1, 21):
        assert (action_unit_f1(probabilities(logits) > threshold, target, valid) <= best + 1e-12).all()


def test_curves_hold_the_f1_of_every_threshold():
    logits, target, valid = scored_labels(60)
    curves = f1_curves(logits, target, valid, [0.2, 0.9])
    assert curves.shape == (12, 2)
    np.testing.assert_array_equal(curves[:, 1], action_unit_f1(probabilities(logits) > 0.9, target, valid))


def test_separable_scores_are_cut_between_the_two_kinds():
    logits = np.tile([[-2.0], [-1.0], [1.0], [2.0]], (1, 12))
    thresholds = fit_thresholds(logits, logits > 0, np.ones((4, 12)))
    np.testing.assert_allclose(thresholds, (probabilities(-1.0) + probabilities(1.0)) / 2)


def test_frames_without_labels_do_not_move_thresholds():
    logits, target, valid = scored_labels(300)
    painted_logits, painted_target = np.where(valid, logits, 50.0), np.where(valid, target, 1)
    np.testing.assert_array_equal(
        fit_thresholds(logits, target, valid), fit_thresholds(painted_logits, painted_target, valid)
    )


def test_equal_scores_stay_on_one_side():
    logits = np.zeros((4, 12))
    thresholds = fit_thresholds(logits, np.tile([[1], [0], [0], [0]], (1, 12)), np.ones((4, 12)))
    assert (probabilities(0.0) > thresholds).all(), "all active is the best that can be done"


def test_nothing_to_fit_is_one_half():
    logits, target, valid = scored_labels(20)
    assert (fit_thresholds(logits, target, np.zeros_like(valid)) == 0.5).all()
    assert (fit_thresholds(logits, np.zeros_like(target), valid) == 0.5).all()


def test_calibration_error_by_hand():
    assert expected_calibration_error([0.9] * 10, [True] * 9 + [False]) == pytest.approx(0)
    assert expected_calibration_error([0.9] * 10, [True] * 5 + [False] * 5) == pytest.approx(0.4)
    assert expected_calibration_error([1.0, 0.2], [True, False]) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="no predictions"):
        expected_calibration_error([], [])
