"""Action units as action weights."""

import numpy as np
import pytest

from affect_core.labels import ACTION_UNITS
from affect_core.synthetic.face_model import load_face_model
from affect_core.synthetic.facs import RECIPES, STRONGEST, action_weights, creases


def test_every_labelled_action_unit_has_a_recipe_of_known_actions():
    assert set(ACTION_UNITS) <= set(RECIPES)
    assert {name for recipe in RECIPES.values() for name in recipe} <= set(load_face_model().action_index)


def test_no_action_units_means_no_weights_and_unknown_ones_are_refused():
    assert not action_weights({}).any()
    with pytest.raises(KeyError):
        action_weights({99: 1.0})


def test_weights_grow_with_intensity_and_stay_below_the_ceiling():
    half, full = action_weights({12: 0.5}), action_weights({12: 1.0})
    assert (full >= half).all() and full.sum() > half.sum()
    assert action_weights({unit: 1.0 for unit in RECIPES}).max() <= STRONGEST


def test_asymmetry_of_one_leaves_the_right_side_at_rest():
    model = load_face_model()
    weights = action_weights({12: 1.0}, asymmetry=1.0)
    assert weights[model.action_index["mouthSmileLeft"]] > 0
    assert weights[model.action_index["mouthSmileRight"]] == 0
    folds = creases({12: 1.0, 14: 1.0}, asymmetry=1.0)
    assert folds.nasolabial_left > 0 == folds.nasolabial_right == folds.dimple_right


def test_symmetric_action_units_move_both_halves_alike():
    model = load_face_model()
    left, right = model.landmarks[1], model.landmarks[2]
    moved = model.displacement(action_weights({12: 1.0}))
    np.testing.assert_allclose(moved[left] * [-1, 1, 1], moved[right], atol=5e-4)
    assert moved[left, 2] > 0.003  # lip corners rise by millimetres


def test_each_of_the_twelve_action_units_moves_the_face_visibly():
    model = load_face_model()
    for unit in ACTION_UNITS:
        assert np.linalg.norm(model.displacement(action_weights({unit: 1.0})), axis=1).max() > 0.002, unit
