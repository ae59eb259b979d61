"""People and scenes are sampled, named and reproducible."""

import numpy as np
import pytest

from affect_core.synthetic.people import POPULATIONS, sample_person
from affect_core.synthetic.scene import paint_background, sample_scene


def people(population, count=150, seed=0):
    rng = np.random.default_rng(seed)
    return [sample_person(rng, population) for _ in range(count)]


@pytest.mark.parametrize("population", POPULATIONS)
def test_same_seed_same_person_and_no_identity_twice(population):
    assert sample_person(np.random.default_rng(3), population) == sample_person(np.random.default_rng(3), population)
    assert len({person.scores for person in people(population, 30)}) == 30


def test_unknown_population_and_style_are_refused():
    with pytest.raises(KeyError):
        sample_person(np.random.default_rng(0), "martians")
    with pytest.raises(KeyError):
        sample_scene(np.random.default_rng(0), "martian")


def test_people_vary_in_age_gender_and_tone_within_their_ranges():
    crowd = people("affectnet")
    ages, tones = np.array([p.age for p in crowd]), np.array([p.skin_tone for p in crowd])
    assert ages.min() >= 5 and ages.max() <= 90 and ages.std() > 10
    assert tones.min() >= 0 and tones.max() <= 1 and tones.std() > 0.15
    assert 0.3 < np.mean([p.gender for p in crowd]) < 0.7
    assert all(sum(p.ancestry) == pytest.approx(1) for p in crowd)


def test_appearance_is_floats_only_so_that_kernels_compile_once():
    for person in people("lsd_real", 40):
        for part in (person.skin, person.brows, person.eyes, person.lips, person.hair, person.outfit):
            for value in part:
                assert all(type(v) is float for v in (value if isinstance(value, tuple) else (value,))), part


def test_studio_people_wear_no_hats_or_glasses_and_wild_ones_do():
    assert not any(p.outfit.hat or p.glasses.rim for p in people("lsd_synthetic"))
    assert any(p.outfit.hat for p in people("lsd_real")) and any(p.glasses.rim for p in people("lsd_real"))


@pytest.mark.parametrize("style", ["clean", "video", "wild"])
def test_scene_is_reproducible_and_its_lamp_direction_has_unit_length(style):
    scene = sample_scene(np.random.default_rng(5), style)
    assert scene == sample_scene(np.random.default_rng(5), style)
    assert np.linalg.norm(scene.light.direction) == pytest.approx(1)
    background = paint_background(scene.background, 32)
    assert background.shape == (32, 32, 3) and 0 <= background.min() and background.max() <= 1


def test_wild_heads_turn_further_than_clean_ones():
    def yaws(style):
        return np.array([sample_scene(np.random.default_rng(seed), style).yaw for seed in range(100)])

    assert yaws("clean").std() < yaws("wild").std()


def test_plain_hair_leaves_out_what_only_the_wild_has():
    rng = np.random.default_rng(0)
    models = [sample_person(rng, "lsd_synthetic").hair for _ in range(150)]
    wild = [sample_person(rng, "lsd_real").hair for _ in range(150)]
    assert max(hair.curl for hair in models) <= 0.2 < max(hair.curl for hair in wild)
    assert not any(hair.fringe for hair in models) and any(hair.fringe for hair in wild)
