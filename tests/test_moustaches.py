"""Moustaches: on grown men alone, in no label, over the upper lip, and none in corpora that did not ask for them."""

from dataclasses import replace

import numpy as np
import pytest

from affect_core.errors import AffectError
from affect_core.synthetic.appearance import MOUTH_HALF_WIDTH, MOUTH_LINE, UPPER_LIP_EDGE, moustache_cover
from affect_core.synthetic.corpus_config import EmbeddedCorpusConfig
from affect_core.synthetic.hairstyles import NO_MOUSTACHE, Moustache
from affect_core.synthetic.moustaches import GROWN, sample_moustache, with_moustache
from affect_core.synthetic.noise import noise_tile
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.writers.portraits import draw_still, person_hash

PEOPLE = [sample_person(np.random.default_rng(seed), "abaw") for seed in range(200)]


def still(seed, moustaches):
    return draw_still(np.random.SeedSequence(seed), image="a.jpg", split="training", expression="neutral",
                      population="affectnet", style="clean", size=32, annotator_noise=0.0,
                      moustaches=moustaches)  # fmt: skip


def test_grown_men_alone_wear_them_in_the_stated_share_half_without_a_beard():
    worn = [with_moustache(person, np.random.default_rng(number), 0.4) for number, person in enumerate(PEOPLE)]
    men = [old.gender >= 0.5 and old.age >= GROWN for old in PEOPLE]
    assert 50 < sum(men) < 150 and min(person.age for person in PEOPLE) < GROWN
    for old, new, man in zip(PEOPLE, worn, men, strict=True):
        assert man or new == old
        assert replace(new, moustache=NO_MOUSTACHE, hair=new.hair._replace(beard=old.hair.beard)) == old
        assert new.hair.beard == old.hair.beard or (new.hair.beard == 0 and new.moustache != NO_MOUSTACHE)
    wearers = [new for new in worn if new.moustache != NO_MOUSTACHE]
    assert len(wearers) / sum(men) == pytest.approx(0.4, abs=0.12)
    bearded = [old.hair.beard > 0 for old, new in zip(PEOPLE, worn, strict=True) if new.moustache != NO_MOUSTACHE]
    kept = [new.hair.beard > 0 for new in wearers]
    assert 0 < sum(kept) < sum(bearded)


def test_nobody_wears_one_at_share_0_and_every_grown_man_at_1():
    for number, person in enumerate(PEOPLE):
        assert with_moustache(person, np.random.default_rng(number), 0.0) == person
        wearer = with_moustache(person, np.random.default_rng(number), 1.0)
        assert (wearer.moustache != NO_MOUSTACHE) == (person.gender >= 0.5 and person.age >= GROWN)


def test_drawn_moustaches_stay_within_their_ranges():
    drawn = np.array([sample_moustache(np.random.default_rng(seed)) for seed in range(300)])
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    assert (low >= (0.5, 22, -4, 0)).all() and (high <= (1.0, 42, 9, 14)).all()
    assert (high - low > (0.4, 18, 12, 12)).all()


def test_cover_lies_between_nose_and_mouth_and_leaves_the_lower_lip_bare():
    tile, thick = noise_tile(), Moustache(density=1.0, half_width=34.0, overhang=9.0, droop=12.0)

    def cover(x, z, moustache=thick):
        """Mean over two millimetres around (x, z), for bristles are uneven."""
        around = [(x + dx, z + dz) for dx in (-1, 0, 1) for dz in (-1, 0, 1)]
        return np.mean([moustache_cover(tile, moustache, a, -40.0, b) for a, b in around])

    assert cover(8.0, -58.0) > 0.5 and cover(-8.0, -58.0) > 0.5
    assert cover(8.0, UPPER_LIP_EDGE - 4) > 0.5, "it hangs over the upper lip"
    assert cover(8.0, UPPER_LIP_EDGE - 4, thick._replace(overhang=-4.0)) == 0
    assert all(cover(x, MOUTH_LINE - 3) == 0 for x in np.linspace(-MOUTH_HALF_WIDTH + 2, MOUTH_HALF_WIDTH - 2, 9))
    assert cover(28.0, -73.0) > 0.3 and cover(28.0, -73.0, thick._replace(droop=0.0, overhang=0.0)) == 0
    assert cover(36.0, -60.0) == 0 and cover(8.0, -40.0) == 0
    assert cover(8.0, -58.0, NO_MOUSTACHE) == 0


def test_labels_say_nothing_of_it_and_the_picture_does():
    pairs = [(still(seed, 0.0), still(seed, 1.0)) for seed in range(12)]
    changed = [(before[0] != after[0]).any() for before, after in pairs]
    assert any(changed) and not all(changed)
    for ((_, row), (_, other)), differs in zip(pairs, changed, strict=True):
        assert (row.pop("person") != other.pop("person")) == differs
        assert row == other


def test_people_of_before_keep_their_hash_and_corpora_their_record():
    assert person_hash(PEOPLE[0]) == "2fdf16f3a0da800e"
    assert "moustaches" not in EmbeddedCorpusConfig().record()
    assert EmbeddedCorpusConfig(moustaches=0.3).record()["moustaches"] == 0.3
    with pytest.raises(AffectError, match="moustaches must lie between 0 and 1"):
        EmbeddedCorpusConfig(moustaches=-0.1)
