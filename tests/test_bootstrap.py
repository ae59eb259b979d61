"""Intervals over videos: the fast sums equal the slow resampling, and videos are what is resampled."""

import time

import numpy as np
import pytest
from test_metrics import random_labels, random_prediction

from affect_core import bootstrap
from affect_core.bootstrap import (
    action_unit_bootstrap,
    bootstrap_interval,
    expression_bootstrap,
    group_numbers,
    mtl_bootstrap,
    paired_differences,
    resampled_scores,
)
from affect_core.errors import AffectError
from affect_core.metrics import ccc, lsd_score, mtl_score


def take(prediction, rows):
    return type(prediction)(
        prediction.expression_logits[rows], prediction.action_unit_logits[rows], prediction.valence_arousal[rows]
    )


def test_sums_give_the_same_interval_as_scoring_every_resample():
    labels, prediction = random_labels(300), random_prediction(300)
    groups = np.random.default_rng(2).integers(0, 12, 300)
    thresholds = np.linspace(0.3, 0.7, 12)
    fast = mtl_bootstrap(prediction, labels, groups, thresholds, resamples=6, seed=4)
    for name in fast:
        slow = bootstrap_interval(
            lambda rows, name=name: mtl_score(take(prediction, rows), labels[rows], thresholds)[name],
            groups, resamples=6, seed=4,
        )  # fmt: skip
        assert fast[name] == pytest.approx(slow), name


def test_expressions_alone_have_the_same_interval_as_scoring_every_resample():
    labels, prediction = random_labels(300), random_prediction(300)
    groups = np.random.default_rng(2).integers(0, 40, 300)
    fast = expression_bootstrap(prediction, labels, groups, resamples=6, seed=4)
    slow = bootstrap_interval(
        lambda rows: lsd_score(take(prediction, rows), labels[rows])["expression_f1"], groups, resamples=6, seed=4
    )
    assert fast == pytest.approx(slow)


def test_one_group_has_no_interval():
    labels, prediction = random_labels(30), random_prediction(30)
    whole = mtl_score(prediction, labels)["p_mtl"]
    alone = mtl_bootstrap(prediction, labels, ["a"] * 30, resamples=9)["p_mtl"]
    assert alone.estimate == pytest.approx(whole) and np.isnan(alone[1:]).all()
    assert np.isnan(bootstrap_interval(lambda rows: 1.0, ["a"] * 30, resamples=9)[1:]).all()
    same = paired_differences(prediction, prediction, labels, ["a"] * 30, resamples=9)
    assert same["p_mtl"].estimate == 0 and np.isnan(same["p_mtl"][1:]).all()


def test_an_interval_is_corrected_for_the_bias_of_its_resamples():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 20000)
    centred, biased = (bootstrap._interval(estimate, values, 0.95) for estimate in (0.0, 0.5))
    np.testing.assert_allclose(centred[1:], [-1.96, 1.96], atol=0.06)
    np.testing.assert_allclose(biased[1:], [-0.96, 2.96], atol=0.2)  # resamples lie 0.5 too low: ends move by 2 x 0.5
    plain = bootstrap._interval(0.5, values, 0.95, bias=0.0)
    np.testing.assert_array_equal(plain[1:], np.quantile(values, [0.025, 0.975]))
    assert bootstrap._interval(9.0, values, 0.95).high == values.max()
    assert bootstrap._interval(0.3, np.full(50, 0.3), 0.95) == (0.3, 0.3, 0.3)


def test_differences_of_two_answers_are_plain_percentiles():
    labels, one, other = random_labels(300), random_prediction(300), random_prediction(300, seed=9)
    groups = np.arange(300) // 10
    scored = [resampled_scores(answer, labels, groups, resamples=80) for answer in (one, other)]
    whole, draws = zip(*scored, strict=True)
    found = paired_differences(one, other, labels, groups, resamples=80)
    for name in whole[0]:
        low, high = np.quantile(draws[1][name] - draws[0][name], [0.025, 0.975])
        assert found[name] == pytest.approx((whole[1][name] - whole[0][name], low, high))


def test_rows_of_nobody_known_are_groups_of_their_own():
    labels, prediction = random_labels(200), random_prediction(200)
    known = np.array([f"v{row // 20}" if row < 100 else "" for row in range(200)])
    own = np.array([name or f"z{row:03d}" for row, name in enumerate(known)])
    one, other = (mtl_bootstrap(prediction, labels, groups, resamples=50) for groups in (known, own))
    assert one == other
    assert group_numbers(["", "b", "a", "", "b"]).tolist() == [2, 1, 0, 3, 1]
    alone = expression_bootstrap(prediction, labels, [""] * 200, resamples=50)
    assert alone.low < alone.estimate < alone.high


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_answers_that_are_no_numbers_have_no_interval(bad):
    labels, prediction = random_labels(60), random_prediction(60)
    prediction.expression_logits[7, 2] = bad
    for work in (mtl_bootstrap, expression_bootstrap, action_unit_bootstrap, resampled_scores):
        with pytest.raises(AffectError, match=r"1 of 60 predictions \(expression_logits\) are not finite"):
            work(prediction, labels, np.arange(60), resamples=5)


def test_the_estimate_is_the_score_of_all_frames():
    labels, prediction = random_labels(300), random_prediction(300)
    intervals = mtl_bootstrap(prediction, labels, np.arange(300) // 30, resamples=50)
    score = mtl_score(prediction, labels)
    for name, interval in intervals.items():
        assert interval.estimate == pytest.approx(score[name])
        assert interval.low < interval.high


def test_one_task_has_the_interval_it_has_among_all():
    labels, prediction = random_labels(300), random_prediction(300)
    groups, thresholds = np.arange(300) // 25, np.linspace(0.3, 0.7, 12)
    together = mtl_bootstrap(prediction, labels, groups, thresholds, resamples=40)
    assert expression_bootstrap(prediction, labels, groups, resamples=40) == together["expression_f1"]
    units = action_unit_bootstrap(prediction, labels, groups, thresholds, resamples=40)
    score = mtl_score(prediction, labels, thresholds)
    np.testing.assert_allclose([unit.estimate for unit in units], score["action_unit_f1_per_unit"])
    assert all(unit.low <= unit.estimate <= unit.high for unit in units)


def test_intervals_repeat_with_their_seed():
    labels, prediction = random_labels(100), random_prediction(100)
    first, again, other = (
        mtl_bootstrap(prediction, labels, np.arange(100) // 10, resamples=20, seed=s) for s in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_frames_of_one_video_are_not_independent_evidence():
    draw = np.random.default_rng(0)
    video = draw.normal(size=(10, 2))
    x, y = np.repeat(video, 50, axis=0).T  # fifty copies of each frame
    by_video = bootstrap_interval(lambda rows: ccc(x[rows], y[rows]), np.arange(500) // 50, resamples=200)
    by_frame = bootstrap_interval(lambda rows: ccc(x[rows], y[rows]), np.arange(500), resamples=200)
    assert by_video.high - by_video.low > 3 * (by_frame.high - by_frame.low)


def test_a_validation_set_of_the_real_size_takes_seconds():
    labels, prediction = random_labels(27_000), random_prediction(27_000)
    started = time.perf_counter()
    mtl_bootstrap(prediction, labels, np.arange(27_000) // 200, resamples=2000)
    assert time.perf_counter() - started < 10
