"""The baked face: linear, small, plausible."""

import numpy as np
import pytest

from affect_core.synthetic.face_model import ASSET, PARTS, load_face_model, trait_features


@pytest.fixture(scope="module")
def model():
    return load_face_model()


def test_asset_is_at_most_three_megabytes():
    assert ASSET.stat().st_size <= 3e6


def test_zero_scores_and_zero_weights_give_the_mean_face(model):
    np.testing.assert_array_equal(model.neutral(np.zeros(len(model.basis))), model.mean)
    assert not model.displacement(np.zeros(len(model.actions))).any()


def test_fast_sum_equals_slow_loop(model):
    scores = np.random.default_rng(0).standard_normal(len(model.basis))
    slow = model.mean.astype(float)
    for score, component in zip(scores, model.basis, strict=True):
        slow = slow + score * component
    np.testing.assert_allclose(model.neutral(scores), slow, atol=1e-6)


def test_eyes_lie_about_63_mm_apart_and_the_origin_between_them(model):
    left, right = (model.mean[model.vertices_of(part)].mean(0) for part in ("left_eye", "right_eye"))
    assert np.linalg.norm(left - right) == pytest.approx(0.063, abs=0.002)
    assert left[0] > 0 > right[0]  # x to the subject's left
    np.testing.assert_allclose((left + right) / 2, 0, atol=1e-3)


def test_every_triangle_has_a_part_and_valid_corners(model):
    assert model.triangles.shape == (len(model.parts), 3)
    assert model.triangles.min() >= 0 and model.triangles.max() < len(model.mean)
    assert set(model.parts) == set(range(len(PARTS)))


def test_an_open_jaw_parts_the_lips(model):
    weights = np.zeros(len(model.actions))
    assert model.lip_gap(model.mean) < 1
    weights[model.action_index["jawOpen"]] = 1
    assert 20 < model.lip_gap(model.mean + model.displacement(weights)) < 60  # mm


def test_trait_features_sum_to_one():
    features = trait_features(np.array([0.4, 0.7, 1.0]), np.array([0, 0.5, 1]), *np.full((3, 3), 1 / 3))
    np.testing.assert_allclose(features.sum(1), 1)


def test_men_have_larger_faces_than_women_on_average(model):
    def jaw_width(gender):
        faces = [
            model.neutral(model.sample_scores((0.7, gender, 0, 0, 1), np.random.default_rng(seed)))
            for seed in range(40)
        ]
        low = (model.canonical[:, 2] < -80) & (model.canonical[:, 2] > -110)
        return np.mean([np.ptp(face[low, 0]) for face in faces])

    assert jaw_width(1.0) > jaw_width(0.0)
