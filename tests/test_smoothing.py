"""Smoothing in time: within a video, not across cuts, by distance in frames."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affect_core.errors import AffectError
from affect_core.labels import AffectPrediction
from affect_core.metrics import ccc
from affect_core.smoothing import frame_numbers, reach, smooth_prediction


def of(values) -> AffectPrediction:
    return AffectPrediction(valence_arousal=np.asarray(values, np.float32))


def smoothed(values, videos, frames, **options) -> np.ndarray:
    return smooth_prediction(of(values), videos, frames, **options).valence_arousal


def slow(values, videos, frames, width, largest_gap):
    """Literally: every frame of the same uncut part, weighted by the Gaussian of its distance, up to 4 widths."""
    part, result = {}, np.zeros_like(values, dtype=np.float64)
    for video in set(videos):
        rows = sorted((i for i in range(len(values)) if videos[i] == video), key=lambda i: frames[i])
        for before, row in zip([None, *rows], rows, strict=False):
            cut = before is None or frames[row] - frames[before] > largest_gap
            part[row] = (video, row) if cut else part[before]
    for i in range(len(values)):
        weights = np.array([np.exp(-0.5 * ((frames[i] - frames[j]) / width) ** 2)
                            * (part[i] == part[j]) * (abs(frames[i] - frames[j]) <= int(4 * width + 0.5))
                            for j in range(len(values))])  # fmt: skip
        result[i] = weights @ values / weights.sum()
    return result


@pytest.mark.parametrize("width", [0.1, 0.3, 1, 2, 2.4, 7, 7.4, 8, 100])
def test_nothing_is_carried_further_than_the_reach(width):
    for distance in (reach(width), reach(width) + 1):
        ends = smoothed([[1.0, 0], [0, 0]], ["a", "a"], [5, 5 + distance], width=width)[:, 0]
        assert (ends.tolist() == [1, 0]) == (distance > reach(width))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 80)), min_size=1, max_size=25),
       st.floats(0.5, 15), st.integers(1, 40), st.integers(0, 2**16))  # fmt: skip
def test_it_equals_the_literal_loop(rows, width, largest_gap, seed):
    videos, frames = [video for video, _ in rows], [frame for _, frame in rows]
    values = np.random.default_rng(seed).normal(size=(len(rows), 2))
    fast = smoothed(values, videos, frames, width=width, largest_gap=largest_gap)
    np.testing.assert_allclose(fast, slow(values, videos, frames, width, largest_gap), rtol=1e-4, atol=1e-4)


def test_pictures_of_no_video_stay_as_they_are():
    values = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    kept = smoothed(values, ["", "", "", "a", "a", "a", "", "", ""], [1, 2, 3] * 3, width=2)
    np.testing.assert_allclose(np.delete(kept, [3, 4, 5], axis=0), np.delete(values, [3, 4, 5], axis=0), atol=1e-6)
    assert np.abs(kept[3:6] - values[3:6]).max() > 0.01


def test_a_video_does_not_leak_into_another():
    values = np.zeros((20, 2))
    values[10:] = 1
    videos = ["one"] * 10 + ["two"] * 10
    np.testing.assert_array_equal(smoothed(values, videos, [*range(10), *range(10)], width=5), values)


def test_nothing_is_carried_across_a_cut_and_gaps_within_count_as_distance():
    values = np.array([[0.0, 0], [1, 0]])
    apart = smoothed(values, ["v", "v"], [1, 40], width=20, largest_gap=30)
    np.testing.assert_array_equal(apart, values)
    near, far = (smoothed(values, ["v", "v"], [1, 1 + gap], width=10)[0, 0] for gap in (2, 20))
    assert 0 < far < near < 0.5


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    values, frames = rng.normal(size=(12, 2)), rng.permutation(100)[:12]
    videos = np.array(["a", "b"])[rng.integers(0, 2, 12)]
    shuffle = rng.permutation(12)
    whole = smoothed(values, videos, frames, width=8)
    np.testing.assert_allclose(smoothed(values[shuffle], videos[shuffle], frames[shuffle], width=8), whole[shuffle])


def test_width_zero_a_constant_and_a_single_frame_stay():
    values = np.full((5, 2), 0.25)
    np.testing.assert_allclose(smoothed(values, ["v"] * 5, range(5), width=3), values, atol=1e-6)
    rough = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_array_equal(smoothed(rough, ["v"] * 5, range(5), width=0), rough)
    np.testing.assert_allclose(smoothed(rough[:1], ["v"], [7], width=3), rough[:1])


def test_it_recovers_a_slow_movement_under_noise():
    rng = np.random.default_rng(0)
    truth = np.sin(np.arange(400) / 40)
    noisy = truth + rng.normal(0, 1, 400)
    better = smoothed(np.stack([noisy, noisy], axis=1), ["v"] * 400, range(400), width=10)[:, 0]
    assert ccc(noisy, truth) < 0.75 < 0.9 < ccc(better, truth)


def test_every_task_that_the_model_has_is_smoothed_and_no_other():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 8)).astype(np.float32)
    out = smooth_prediction(AffectPrediction(expression_logits=logits), ["v"] * 6, range(6), width=2)
    assert out.valence_arousal is None and out.expression_logits.std() < logits.std()


def test_frame_numbers_are_read_from_names():
    assert list(frame_numbers(["video3/00017.jpg", "a/b2/frame_0010_left.png", "12.jpg"])) == [17, 10, 12]
    with pytest.raises(AffectError, match="the name a/face.jpg holds no frame number"):
        frame_numbers(["a/1.jpg", "a/face.jpg"])


def test_what_does_not_fit_is_refused():
    with pytest.raises(AffectError, match="a video and a frame number for each row"):
        smoothed(np.zeros((3, 2)), ["v"] * 3, [1, 2], width=1)
    with pytest.raises(AffectError, match="a number of frames, 0 or more, not -1"):
        smoothed(np.zeros((1, 2)), ["v"], [1], width=-1)
