"""The competition's scores on cases that can be checked by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from affect_core.errors import AffectError
from affect_core.labels import AFFECTNET_EXPRESSIONS, LSD_EXPRESSIONS, AffectLabels, AffectPrediction
from affect_core.metrics import (
    action_unit_f1,
    as_array,
    best_constant_prediction,
    ccc,
    error_of_each_face,
    expression_confusion,
    expression_f1,
    lsd_score,
    mtl_score,
    probabilities,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def random_labels(n: int, seed: int = 0) -> AffectLabels:
    draw = rng(seed)
    return AffectLabels(
        valence_arousal=draw.uniform(-1, 1, (n, 2)).astype(np.float32),
        valence_arousal_valid=np.repeat(draw.random((n, 1)) < 0.8, 2, axis=1),
        expression=draw.choice(8, n, p=[0.3, 0.05, 0.05, 0.05, 0.2, 0.1, 0.05, 0.2]),
        expression_valid=draw.random(n) < 0.7,
        action_units=(draw.random((n, 12)) < 0.3).astype(np.float32),
        action_units_valid=draw.random((n, 12)) < 0.9,
    )


def random_prediction(n: int, seed: int = 1) -> AffectPrediction:
    draw = rng(seed)
    return AffectPrediction(*(draw.normal(size=(n, width)).astype(np.float32) for width in (8, 12, 2)))


def perfect_prediction(labels: AffectLabels) -> AffectPrediction:
    return AffectPrediction(np.eye(8)[labels.expression], 2 * labels.action_units - 1, labels.valence_arousal)


def test_ccc_of_a_perfect_prediction_is_one_and_of_its_opposite_minus_one():
    x = rng().normal(size=99)
    assert ccc(x, x) == pytest.approx(1)
    assert ccc(-(x - x.mean()), x - x.mean()) == pytest.approx(-1)


def test_ccc_constant_shift_penalized():
    x = rng().normal(size=99)
    assert ccc(x + 1, x) == pytest.approx(2 * x.var() / (2 * x.var() + 1))


def test_ccc_by_hand():
    assert ccc([0, 1, 2], [0, 2, 4]) == pytest.approx(2 * (4 / 3) / (2 / 3 + 8 / 3 + 1))


def test_ccc_ignores_missing_entries_on_both_sides():
    x, y, valid = rng().normal(size=9), rng(1).normal(size=9), np.arange(9) < 6
    assert ccc(np.where(valid, x, np.nan), np.where(valid, y, -5), valid) == ccc(x[:6], y[:6])


def test_ccc_of_a_constant_is_zero_and_of_one_frame_undefined():
    assert ccc([0.1] * 3, [0.3, 0.2, 0.1]) == 0
    assert ccc([0.1] * 3, [0.1] * 3) == 0
    with pytest.raises(ValueError, match="two labelled frames"):
        ccc([0.1, 0.2], [0.1, 0.2], [True, False])


def test_an_absent_expression_still_counts():
    f1 = expression_f1([0, 1, 1], [0, 1, 1])
    assert f1.tolist() == [1, 1, 0, 0, 0, 0, 0, 0]


def test_expression_f1_by_hand():
    f1 = expression_f1([0, 0, 1, 2], [0, 1, 1, 2], [True, True, True, False], num_classes=3)
    assert f1 == pytest.approx([2 / 3, 2 / 3, 0])


def test_action_unit_f1_by_hand():
    active, target, valid = np.zeros((4, 12), bool), np.zeros((4, 12)), np.ones((4, 12), bool)
    active[:3, 0], target[1:4, 0] = True, 1  # 2 hits, 1 false alarm, 1 miss
    valid[:, 1] = False
    f1 = action_unit_f1(active, target, valid)
    assert f1[0] == pytest.approx(2 / 3)
    assert np.isnan(f1[1]), "no label, no score"
    assert f1[2] == 0, "labelled but neither present nor predicted: 0, as in the competition"


def test_a_perfect_prediction_scores_three():
    labels = random_labels(500)
    assert mtl_score(perfect_prediction(labels), labels)["p_mtl"] == pytest.approx(3)


def test_torch_and_numpy_score_alike():
    labels, prediction = random_labels(200), random_prediction(200)
    as_torch = AffectPrediction(
        *(torch.tensor(a) for a in (
            prediction.expression_logits, prediction.action_unit_logits, prediction.valence_arousal))
    )  # fmt: skip
    ours, theirs = mtl_score(prediction, labels), mtl_score(as_torch, labels.to("cpu"))
    assert all(np.allclose(ours[name], theirs[name]) for name in ours)


def test_thresholds_are_probabilities():
    labels, prediction = random_labels(50), random_prediction(50)
    never = mtl_score(prediction, labels, np.ones(12))
    assert never["action_unit_f1"] == 0
    always = mtl_score(prediction, labels, np.zeros(12))
    np.testing.assert_allclose(
        always["action_unit_f1_per_unit"], best_constant_prediction(labels)["action_unit_f1_per_unit"]
    )


def test_what_has_no_labels_or_no_prediction_has_no_score():
    labels = replace(random_labels(50), expression_valid=np.zeros(50, bool))
    score = mtl_score(random_prediction(50), labels)
    assert np.isnan([score["expression_f1"], score["expression_accuracy"], score["p_mtl"]]).all()
    assert np.isfinite(score["valence_arousal_ccc"])
    score = mtl_score(AffectPrediction(expression_logits=np.eye(8)[labels.expression]), random_labels(50))
    assert score["expression_f1"] == 1
    assert np.isnan([score["valence_ccc"], score["action_unit_f1"]]).all()


def test_the_best_constant_is_the_best_of_all_constants():
    labels = random_labels(400)
    best = best_constant_prediction(labels)
    tried = []
    for expression in range(8):
        logits = np.tile(np.eye(8)[expression], (400, 1))
        tried.append(mtl_score(AffectPrediction(logits, np.ones((400, 12)), np.full((400, 2), 0.2)), labels))
    expected = max(tried, key=lambda score: score["p_mtl"])
    assert best.keys() == expected.keys()
    assert all(np.allclose(best[name], expected[name]) for name in best)


def test_the_best_constant_without_labels_is_unknown():
    assert np.isnan(best_constant_prediction(AffectLabels.missing(5))["p_mtl"])


def test_lsd_score_counts_its_six_classes():
    labels = replace(
        AffectLabels.missing(6, LSD_EXPRESSIONS), expression=np.arange(6), expression_valid=np.ones(6, bool)
    )
    score = lsd_score(AffectPrediction(expression_logits=np.eye(6), vocabulary=LSD_EXPRESSIONS), labels)
    assert (score["expression_f1"], score["expression_accuracy"]) == (1, 1)
    assert score["expression_f1_per_class"].tolist() == [1] * 6
    with pytest.raises(ValueError, match="vocabular|compared"):
        lsd_score(AffectPrediction(expression_logits=np.eye(6)), labels)


def test_confusion_has_annotated_rows_and_predicted_columns():
    counts = expression_confusion([1, 1, 0, 2], [0, 1, 0, 2], [True, True, True, False], num_classes=3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_errors_of_faces_by_hand():
    labels = AffectLabels.missing(2)
    labels.valence_arousal[0], labels.valence_arousal_valid[0] = (0.3, 0.4), True
    labels.expression_valid[0] = True
    labels.action_units[0, 0], labels.action_units_valid[0, :2] = 1, True
    errors = error_of_each_face(AffectPrediction(np.zeros((2, 8)), np.zeros((2, 12)), np.zeros((2, 2))), labels)
    assert errors["valence_arousal"][0] == pytest.approx(0.5)
    assert errors["expression"][0] == pytest.approx(np.log(8))
    assert errors["action_units"][0] == pytest.approx(np.log(2))
    assert all(np.isnan(error[1]) for error in errors.values()), "a face without labels has no error"


def test_a_sure_right_answer_costs_less_than_a_sure_wrong_one():
    labels = random_labels(50)
    right = perfect_prediction(labels)
    wrong = AffectPrediction(-right.expression_logits, -right.action_unit_logits, -right.valence_arousal)
    for task, error in error_of_each_face(right, labels).items():
        known = np.isfinite(error)
        assert (error < error_of_each_face(wrong, labels)[task])[known].all(), task


def test_two_frames_are_enough_and_a_range_of_one_is_no_constant():
    assert ccc([0, 1], [0, 1]) == pytest.approx(1)
    assert ccc([0, 1], [0.5, 1.0]) == pytest.approx(0.25 / 0.375)


def test_two_annotated_frames_have_a_score_and_one_has_none():
    labels = AffectLabels.missing(5)
    labels.valence_arousal[1:3, 0], labels.valence_arousal_valid[1:3, 0] = (0, 1), True
    labels.valence_arousal_valid[4, 1] = True
    score = mtl_score(AffectPrediction(valence_arousal=labels.valence_arousal), labels)
    assert score["valence_ccc"] == pytest.approx(1) and np.isnan(score["arousal_ccc"])


def test_action_unit_f1_without_a_mask_takes_every_frame():
    active, target = np.zeros((4, 12), bool), np.zeros((4, 12))
    active[:3, 0], target[1:4, 0] = True, 1
    assert action_unit_f1(active, target)[0] == pytest.approx(2 / 3)
    assert (action_unit_f1(active, target)[1:] == 0).all()


def test_a_probability_equal_to_the_threshold_is_not_active():
    labels = replace(random_labels(50), action_units=np.ones((50, 12)), action_units_valid=np.ones((50, 12), bool))
    prediction = AffectPrediction(action_unit_logits=np.zeros((50, 12)))
    assert mtl_score(prediction, labels)["action_unit_f1"] == 0
    assert mtl_score(prediction, labels, np.full(12, 0.49))["action_unit_f1"] == 1


def test_the_halves_of_the_score_stand_under_their_own_names():
    labels = replace(random_labels(200), valence_arousal_valid=np.ones((200, 2), bool))
    shifted = labels.valence_arousal + np.array([0, 1], np.float32)
    score = mtl_score(AffectPrediction(valence_arousal=shifted), labels)
    assert score["valence_ccc"] == pytest.approx(1) and score["arousal_ccc"] < 0.8
    assert score["valence_arousal_ccc"] == pytest.approx((score["valence_ccc"] + score["arousal_ccc"]) / 2)


def test_the_score_is_the_sum_of_its_three_parts_and_these_are_means():
    labels, prediction = random_labels(300), random_prediction(300)
    score = mtl_score(prediction, labels)
    parts = [score[name] for name in ("valence_arousal_ccc", "expression_f1", "action_unit_f1")]
    assert score["p_mtl"] == pytest.approx(sum(parts))
    assert score["expression_f1"] == pytest.approx(score["expression_f1_per_class"].mean())
    assert score["action_unit_f1"] == pytest.approx(score["action_unit_f1_per_unit"].mean())
    hits = prediction.expression_logits.argmax(1) == labels.expression
    assert score["expression_accuracy"] == pytest.approx(hits[labels.expression_valid].mean())


def test_the_best_constant_knows_which_coordinate_is_annotated():
    labels = AffectLabels.missing(3)
    labels.valence_arousal_valid[:2, 1] = True
    best = best_constant_prediction(labels)
    assert np.isnan(best["valence_ccc"]) and best["arousal_ccc"] == 0
    labels.valence_arousal_valid[1, 1] = False
    assert np.isnan(best_constant_prediction(labels)["arousal_ccc"]), "one frame has no CCC"


def test_the_best_constant_by_hand():
    labels = AffectLabels.missing(5)
    labels.expression[:4], labels.expression_valid[:4] = (2, 2, 2, 0), True
    labels.action_units[:1, 0], labels.action_units_valid[:4, 0] = 1, True
    best = best_constant_prediction(labels)
    assert best["expression_f1_per_class"].tolist() == pytest.approx([0, 0, 1.5 / 1.75, 0, 0, 0, 0, 0])
    assert best["expression_accuracy"] == 0.75
    assert best["action_unit_f1_per_unit"][0] == pytest.approx(0.5 / 1.25)
    assert np.isnan(best["action_unit_f1_per_unit"][1:]).all()


def test_probabilities_are_the_logistic_function_in_double_precision():
    values = probabilities(np.array([0, np.log(3), -np.log(3)], np.float32))
    assert values.dtype == np.float64 and values == pytest.approx([0.5, 0.75, 0.25])


def test_the_error_of_one_annotated_unit_is_its_own_cross_entropy():
    labels = AffectLabels.missing(1)
    labels.action_units_valid[0, 3] = True
    labels.valence_arousal_valid[0, 0] = labels.expression_valid[0] = True
    scores = np.full((1, 12), 2.0)
    errors = error_of_each_face(AffectPrediction(np.eye(8)[:1], scores, np.zeros((1, 2))), labels)
    assert errors["action_units"][0] == pytest.approx(np.log1p(np.exp(2)))
    assert errors["expression"][0] == pytest.approx(np.log(np.e + 7) - 1)
    assert np.isnan(errors["valence_arousal"][0]), "valence alone is no place on the circumplex"


def test_bfloat16_tensors_and_lists_are_read():
    assert as_array(torch.tensor([0.5, 1.5], dtype=torch.bfloat16)).tolist() == [0.5, 1.5]
    assert as_array(torch.tensor([3], dtype=torch.int64)).dtype == np.int64
    assert as_array([1, 2]).tolist() == [1, 2]


def test_confusion_has_eight_classes_unless_told():
    assert expression_confusion([7], [0]).tolist()[0] == [0] * 7 + [1]
    assert expression_f1([7], [7]).tolist() == [0] * 7 + [1]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_entry_that_is_no_number_leaves_no_ccc_even_against_a_constant(bad):
    for pair in (([bad, 0.5], [1.0, 1.0]), ([1.0, 1.0], [0.5, bad])):
        assert np.isnan(ccc(*pair))


def test_a_spread_below_what_float64_can_square_counts_as_none():
    barely = np.array([0.0, 1e-170])
    assert np.ptp(barely) > 0 and ccc(barely, barely) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_has_no_score(bad):
    labels, prediction = random_labels(9), random_prediction(9)
    prediction.expression_logits[4, 2] = bad
    with pytest.raises(AffectError, match="1 of 9 predictions .expression_logits. are not finite"):
        mtl_score(prediction, labels)


def test_scores_name_the_models_order_before_the_labels():
    labels = replace(random_labels(9), vocabulary=AFFECTNET_EXPRESSIONS)
    for score in (mtl_score, lsd_score):
        with pytest.raises(AffectError, match="model answers in the order neutral, anger, .* count neutral, happiness"):
            score(random_prediction(9), labels)


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"valence_arousal": np.zeros((8, 2))}, r"valence_arousal are \(8, 2\), not \(9, 2\)"),
    ({"action_unit_logits": np.zeros((9, 8))}, r"action_unit_logits are \(9, 8\), not \(9, 12\)"),
    ({"expression_logits": np.zeros((9, 6))}, r"expression_logits are \(9, 6\), not \(9, 8\)"),
    ({"valence_arousal": np.full((9, 2), -np.inf)}, "9 of 9 predictions .valence_arousal. are not finite"),
    ({"expression_logits": np.full((9, 8), -np.inf)}, "9 of 9 predictions .expression_logits. are not finite"),
])  # fmt: skip
def test_what_does_not_fit_the_labels_has_no_score(changes, sentence):
    with pytest.raises(AffectError, match=sentence):
        mtl_score(replace(random_prediction(9), **changes), random_labels(9))


@pytest.mark.parametrize("thresholds", [np.full(11, 0.5), np.r_[np.nan, np.full(11, 0.5)]], ids=["eleven", "nan"])
def test_thresholds_are_twelve_numbers(thresholds):
    with pytest.raises(AffectError, match="thresholds are 12 finite numbers"):
        mtl_score(random_prediction(9), random_labels(9), thresholds)


def test_a_prediction_without_expressions_has_no_score_of_them():
    with pytest.raises(AffectError, match="has no expressions"):
        lsd_score(replace(random_prediction(9), expression_logits=None), random_labels(9))


def test_the_ccc_is_of_two_rows_of_numbers_and_of_nothing_that_numpy_would_spread():
    row = np.linspace(-1, 1, 5)
    for one, other in ((row[:, None], row), (row, row[:, None]), (row[:4], row), (row[None], row[None])):
        with pytest.raises(ValueError, match="two rows of numbers"):
            ccc(one, other)
