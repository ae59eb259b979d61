"""What is said to happen in a rendered clip is what was rendered."""

import numpy as np

from affect_core.labels import ACTION_UNITS, EXPRESSIONS
from affect_core.synthetic import group_photo
from affect_core.synthetic.clip_truth import ClipTruth, clip_truth

SHOTS = [["neutral", "happiness"], ["surprise", "anger"]]


def test_the_action_units_are_those_that_were_rendered(tmp_path, monkeypatch):
    drawn = []

    def render(person, units, scene, *, size, **options):
        drawn.append(dict(units))
        return np.zeros((size, size, 3), np.uint8)

    monkeypatch.setattr(group_photo, "render", render)
    group_photo.write_clip(tmp_path / "clip.mp4", np.random.default_rng(2), SHOTS, seconds=3.0, size=64)
    truth = clip_truth(np.random.default_rng(2), SHOTS, seconds=3.0)
    assert len(drawn) == len(truth.times) == 60
    rendered = np.array([[units.get(unit, 0.0) for unit in ACTION_UNITS] for units in drawn])
    there = truth.expression >= 0
    np.testing.assert_allclose(truth.action_units[there], rendered[there])
    assert np.isnan(truth.action_units[~there]).all() and np.isnan(truth.valence_arousal[~there]).all()


def test_a_shot_shows_its_own_expressions_and_nobody_while_the_person_is_away():
    truth = clip_truth(np.random.default_rng(2), SHOTS, seconds=4.0)
    first, second = (set(truth.expression[part]) for part in (slice(0, 40), slice(40, 80)))
    names = [{EXPRESSIONS[value] for value in part if value >= 0} for part in (first, second)]
    assert names[0] <= {"neutral", "happiness"} and names[1] <= {"neutral", "surprise", "anger"}
    assert (truth.expression[(truth.times > 1.25) & (truth.times < 1.95)] == -1).all() and -1 not in second


def test_moments_and_stretches():
    nothing = np.zeros((5, 12)), np.zeros((5, 2))
    truth = ClipTruth(np.arange(5) / 10, np.array([0, 0, -1, 4, 4]), *nothing)
    assert [(name, list(rows)) for name, rows in truth.stretches()] == [("neutral", [0, 1]), ("happiness", [3, 4])]
    assert list(truth.at([0.0, 0.21, 0.44]).expression) == [0, -1, 4]
