"""Uncertainty: disagreement is 0 for twins and log V at most; a number that knows the errors finds them."""

import numpy as np
import pytest

from affect_core import uncertainty
from affect_core.prediction import load_predictor
from affect_core.uncertainty import compare_uncertainties, disagreement, uncertainties


def test_disagreement_by_hand():
    sure = np.eye(2)[:, None]  # two models, one face, each certain of another class
    np.testing.assert_allclose(disagreement(sure), np.log(2))
    np.testing.assert_allclose(disagreement(np.full((3, 4, 5), 0.2)), np.zeros(4), atol=1e-12)
    half = np.array([[[1.0, 0.0]], [[0.5, 0.5]]])  # entropy of (3/4, 1/4) minus log(2) / 2
    np.testing.assert_allclose(disagreement(half), -0.75 * np.log(0.75) - 0.25 * np.log(0.25) - np.log(2) / 2)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (6, 96, 96, 3), dtype=np.uint8)


def test_every_uncertainty_is_a_number_for_each_face_whatever_the_batch(pictures):
    found = uncertainties(load_predictor(), pictures)
    again = uncertainties(load_predictor(), pictures, batch_size=4)
    for name, values in found.items():
        assert values.shape == (6,) and (values >= 0).all() and values.std() > 0
        np.testing.assert_allclose(values, again[name], atol=1e-4)
    np.testing.assert_allclose(found["confidence"], load_predictor()(pictures).uncertainty, atol=1e-5)


def test_an_uncertainty_that_knows_the_errors_scores_1(pictures, monkeypatch):
    predictor = load_predictor()
    answer = predictor(pictures).expression_logits.argmax(axis=1)
    target = np.where(np.arange(6) < 3, answer, (answer + 1) % 8)  # the last three are answered wrongly
    scores = {"oracle": np.where(answer == target, 0.1, 0.9), "liar": np.where(answer == target, 0.9, 0.1)}
    monkeypatch.setattr(uncertainty, "uncertainties", lambda predictor, pictures: scores)
    rows = compare_uncertainties(predictor, (pictures, target), (pictures, target))
    assert [row["AUC"] for row in rows] == [1.0, 0.0]
    assert all(row["n"] == 6 for row in rows)
