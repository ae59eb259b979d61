"""Resting faces: none at strength 0, in no label, and seen in the picture."""

import numpy as np
import pytest

from affect_core.errors import AffectError
from affect_core.synthetic.corpus_config import EmbeddedCorpusConfig
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.resting import BROW_LIMITS, RESTING, sample_resting_face
from affect_core.synthetic.writers.portraits import draw_still


def still(resting):
    return draw_still(np.random.SeedSequence(5), image="a.jpg", split="training", expression="neutral",
                      population="affectnet", style="clean", size=32, annotator_noise=0.0, resting=resting)  # fmt: skip


def test_without_strength_the_person_is_as_drawn():
    rest = sample_resting_face(np.random.default_rng(0), 0.0)
    person = sample_person(np.random.default_rng(1), "abaw")
    assert rest.of(person) == person
    assert rest.under({12: 0.4}) == {12: 0.4}


def test_movement_lies_on_top_of_the_resting_face_and_stays_within_1():
    faces = (sample_resting_face(np.random.default_rng(seed), 1.0) for seed in range(50))
    rest = next(face for face in faces if 4 in face.action_units)
    assert rest.under({4: 0.3})[4] == pytest.approx(0.3 + rest.action_units[4])
    assert rest.under({4: 1.0})[4] == 1.0


def test_features_stay_within_what_is_stated():
    faces = [sample_resting_face(np.random.default_rng(seed), 1.0) for seed in range(300)]
    assert all(0 < value <= RESTING[unit][1] for face in faces for unit, value in face.action_units.items())
    drops = [face.brow_drop for face in faces]
    assert BROW_LIMITS[0] <= min(drops) < 0 < max(drops) <= BROW_LIMITS[1]
    share = np.mean([4 in face.action_units for face in faces])
    assert share == pytest.approx(RESTING[4][0], abs=0.1)


def test_labels_say_nothing_of_it_and_the_picture_does():
    (plain, row), (rested, other) = still(0.0), still(1.0)
    assert (plain != rested).any()
    assert row.pop("person") != other.pop("person")
    assert row == other


def test_corpora_of_before_are_the_same_and_a_strength_is_noted():
    assert "resting" not in EmbeddedCorpusConfig().record()
    assert EmbeddedCorpusConfig(resting=0.5).record()["resting"] == 0.5
    with pytest.raises(AffectError, match="resting must lie between 0 and 1"):
        EmbeddedCorpusConfig(resting=2.0)
