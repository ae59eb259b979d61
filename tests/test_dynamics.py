"""How a face moves over the frames of a video."""

import numpy as np
import pytest

from affect_core.synthetic.circumplex import valence_arousal
from affect_core.synthetic.dynamics import (
    BLINK,
    BLINK_SECONDS,
    NEUTRAL_BELOW,
    PERFORMED_ACTION_UNITS,
    envelope,
    perform,
)  # fmt: skip

SMILES = {"happiness": 1.0}
MIXED = {"neutral": 0.4, "happiness": 0.2, "sadness": 0.2, "surprise": 0.2}


def column(performance, unit):
    return performance.action_units[:, PERFORMED_ACTION_UNITS.index(unit)]


def test_envelope_rises_stays_and_falls():
    seconds = np.linspace(0, 5, 501)
    curve = envelope(seconds, start=1.0, onset=0.5, apex=1.0, offset=1.0)
    assert curve[seconds < 1].max() == 0 and curve[seconds > 3.5].max() == 0
    assert np.allclose(curve[(seconds >= 1.5) & (seconds <= 2.5)], 1)
    assert envelope(np.array([1.25]), 1.0, 0.5, 1.0, 1.0)[0] == pytest.approx(0.5)
    assert np.abs(np.diff(curve)).max() < 0.04


def test_everything_has_one_entry_a_frame_and_stays_in_range():
    performance = perform(np.random.default_rng(0), 90, 30.0, MIXED)
    assert len(performance) == 90 == len(performance.expression)
    assert performance.action_units.shape == (90, len(PERFORMED_ACTION_UNITS))
    assert performance.head.shape == (90, 3) and performance.gaze.shape == (90, 2)
    assert performance.action_units.min() >= 0 and performance.action_units.max() <= 1
    assert np.abs(performance.valence_arousal).max() < 1 and np.abs(performance.asymmetry).max() <= 1
    assert all(0 < value <= 1 for value in performance.frame(30).values())


def test_the_same_seed_moves_the_same_way():
    one, two = (perform(np.random.default_rng(1), 60, 10.0, MIXED) for _ in range(2))
    assert np.array_equal(one.action_units, two.action_units) and one.expression == two.expression


def test_a_frame_is_neutral_exactly_where_its_display_is_weak():
    for seed in range(10):
        performance = perform(np.random.default_rng(seed), 200, 10.0, SMILES)
        for expression, intensity in zip(performance.expression, performance.intensity, strict=True):
            assert (expression == "neutral") == (intensity < NEUTRAL_BELOW)


def test_movement_is_smooth_at_video_rate():
    for seed in range(5):
        performance = perform(np.random.default_rng(seed), 300, 30.0, SMILES)
        assert np.abs(np.diff(column(performance, 12))).max() < 0.3
        assert np.abs(np.diff(performance.valence_arousal, axis=0)).max() < 0.35


def test_action_units_of_one_display_do_not_move_in_step():
    arrivals = []
    for seed in range(30):
        performance = perform(np.random.default_rng(seed), 400, 30.0, {"surprise": 1.0})
        moves = [column(performance, unit) > 0.1 for unit in (1, 2)]
        rises = [np.flatnonzero(moving[1:] & ~moving[:-1]) for moving in moves]
        if len(rises[0]) and len(rises[0]) == len(rises[1]):
            arrivals.extend((rises[0] - rises[1]).tolist())
    assert len(set(arrivals)) > 3 and np.abs(np.median(arrivals)) <= 3


def test_blinks_are_short_come_now_and_then_and_mean_nothing():
    performance = perform(np.random.default_rng(3), 30 * 120, 30.0, {"neutral": 1.0})
    closed = column(performance, BLINK) > 0
    starts = np.flatnonzero(closed[1:] & ~closed[:-1])
    assert 15 <= len(starts) <= 50
    assert closed.sum() / len(starts) <= BLINK_SECONDS * 30 + 2
    frame = int(np.argmax(column(performance, BLINK)))
    units = performance.frame(frame)
    assert np.allclose(
        valence_arousal({**units, BLINK: 0.0}, performance.asymmetry[frame]),
        valence_arousal(units, performance.asymmetry[frame]),
    )


def test_speech_opens_mouths_without_changing_valence_or_arousal():
    talking = 0
    for seed in range(20):
        performance = perform(np.random.default_rng(seed), 200, 30.0, {"sadness": 1.0})
        talking += column(performance, 26).max() > 0.25
        assert performance.valence_arousal[:, 0].max() < 0.2
    assert 2 <= talking <= 18


def test_long_videos_show_the_expressions_in_the_proportions_asked_for():
    performance = perform(np.random.default_rng(4), 6000, 3.0, MIXED)
    shown = {name: performance.expression.count(name) for name in MIXED}
    assert shown["neutral"] > max(shown["happiness"], shown["sadness"], shown["surprise"])
    assert min(shown.values()) > 600
