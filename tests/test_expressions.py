"""What a display of an expression is made of, and how it is coded."""

import numpy as np
import pytest

from affect_core.labels import ACTION_UNITS
from affect_core.synthetic.expressions import (
    DISPLAYS,
    FAINTEST,
    PROTOTYPES,
    RENDERED_ACTION_UNITS,
    draw_display,
    draw_intensity,
)  # fmt: skip
from affect_core.synthetic.facs import RECIPES
from affect_core.synthetic.facs_coding import (
    ACTIVE_FROM,
    CO_ACTIVATION,
    LIPS_PART_MM,
    code_action_units,
    intensity_grade,
    with_co_activation,
)  # fmt: skip


@pytest.mark.parametrize("expression", PROTOTYPES)
def test_every_prototype_shows_its_core_action_units(expression):
    rng = np.random.default_rng(0)
    for _ in range(100):
        display = draw_display(rng, expression, intensity=1.0)
        assert all(display.action_units[unit] >= ACTIVE_FROM for unit in PROTOTYPES[expression].core)


@pytest.mark.parametrize("expression", DISPLAYS)
def test_intensities_stay_between_0_and_1_and_every_unit_can_be_rendered(expression):
    rng = np.random.default_rng(1)
    for _ in range(200):
        units = draw_display(rng, expression).action_units
        assert all(0 < value <= 1 for value in units.values())
        assert set(units) <= set(RENDERED_ACTION_UNITS) <= set(RECIPES)


def test_intensity_follows_the_beta_distribution_above_its_floor():
    rng = np.random.default_rng(2)
    drawn = np.array([draw_intensity(rng) for _ in range(4000)])
    assert drawn.min() == FAINTEST and drawn.max() <= 1
    assert drawn.mean() == pytest.approx(3 / 4.6, abs=0.02)


def test_a_stronger_display_moves_its_core_units_further():
    weak = [draw_display(np.random.default_rng(s), "happiness", 0.4).action_units[12] for s in range(50)]
    strong = [draw_display(np.random.default_rng(s), "happiness", 0.9).action_units[12] for s in range(50)]
    assert all(low < high for low, high in zip(weak, strong, strict=True))


def test_contempt_is_one_sided_and_the_others_are_not():
    rng = np.random.default_rng(3)
    contempt = [draw_display(rng, "contempt").asymmetry for _ in range(100)]
    assert min(map(abs, contempt)) >= 0.6
    assert min(contempt) < 0 < max(contempt)
    assert max(abs(draw_display(rng, "happiness").asymmetry) for _ in range(100)) < 0.4


def test_some_neutral_faces_talk_and_none_shows_a_prototype():
    rng = np.random.default_rng(4)
    neutral = [draw_display(rng, "neutral") for _ in range(500)]
    talking = [display for display in neutral if display.action_units.get(25, 0) >= ACTIVE_FROM]
    assert 0.2 < len(talking) / len(neutral) < 0.4
    for display in neutral:
        assert display.intensity == 0
        assert all(value < ACTIVE_FROM for unit, value in display.action_units.items() if unit not in (25, 26))


def test_other_has_one_to_three_strong_units():
    rng = np.random.default_rng(5)
    counts = [sum(value >= 0.5 for value in draw_display(rng, "other", 1.0).action_units.values()) for _ in range(200)]
    assert set(counts) == {1, 2, 3}


def test_the_same_generator_state_gives_the_same_display():
    assert draw_display(np.random.default_rng(6), "fear") == draw_display(np.random.default_rng(6), "fear")


def test_grades_rise_from_trace_to_maximum_and_b_counts_as_active():
    assert [intensity_grade(value) for value in (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)] == ["", "A", "B", "C", "D", "E"]
    assert intensity_grade(ACTIVE_FROM) == "B"
    just_active = code_action_units({4: ACTIVE_FROM, 15: ACTIVE_FROM - 0.01}, 0.0)
    assert just_active.tolist() == [int(unit == 4) for unit in ACTION_UNITS]


def test_lips_part_is_read_off_the_mesh_not_off_the_command():
    column = ACTION_UNITS.index(25)
    assert code_action_units({25: 1.0}, LIPS_PART_MM - 0.1)[column] == 0
    assert code_action_units({26: 1.0}, LIPS_PART_MM)[column] == 1


def test_a_contained_movement_is_coded_too_and_the_input_is_untouched():
    commanded = {9: 1.0, 6: 1.0}
    seen = with_co_activation(commanded)
    assert seen[4] == pytest.approx(CO_ACTIVATION[9, 4]) and seen[7] == pytest.approx(CO_ACTIVATION[6, 7])
    assert commanded == {9: 1.0, 6: 1.0}
    active = dict(zip(ACTION_UNITS, code_action_units(commanded, 0.0), strict=True))
    assert active[4] == active[6] == active[7] == 1
