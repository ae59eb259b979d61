"""Vocabularies, column orders and masks: what everything else relies on."""

from dataclasses import FrozenInstanceError, replace
from itertools import chain

import numpy as np
import pytest
import torch

from affect_core.corpora.corpus import READERS
from affect_core.errors import AffectError
from affect_core.labels import (
    ACTION_UNIT_NAMES,
    ACTION_UNITS,
    AFFECTNET_EXPRESSIONS,
    AROUSAL_RANGE,
    CORPUS_EXPRESSIONS,
    EXPRESSION_SPELLINGS,
    EXPRESSIONS,
    FER2013_EXPRESSIONS,
    FERPLUS_EXPRESSIONS,
    LSD_EXPRESSIONS,
    RAFDB_EXPRESSIONS,
    VALENCE_RANGE,
    AffectLabels,
    AffectPrediction,
    require_one_vocabulary,
    vocabulary_map,
)

TASKS = ("valence_arousal", "expression", "action_units")


def known(n=4) -> AffectLabels:
    labels = AffectLabels.missing(n)
    labels.valence_arousal[:] = np.linspace(-1, 1, 2 * n).reshape(n, 2)
    labels.expression[:] = np.arange(n)
    labels.action_units[:, 0] = 1
    labels.valence_arousal_valid[1:] = labels.expression_valid[1:] = labels.action_units_valid[1:] = True
    return labels


def test_every_expression_has_a_spelling_that_is_its_own_name_and_no_spelling_belongs_to_two():
    assert set(chain(*CORPUS_EXPRESSIONS.values())) == set(EXPRESSION_SPELLINGS)
    assert all(spellings[0] == name for name, spellings in EXPRESSION_SPELLINGS.items())
    spellings = list(chain(*EXPRESSION_SPELLINGS.values()))
    assert len(spellings) == len(set(spellings)) and all(word == word.lower() for word in spellings)


def test_no_vocabulary_names_an_expression_twice_and_all_have_the_six_basic_ones():
    for vocabulary in CORPUS_EXPRESSIONS.values():
        assert len(set(vocabulary)) == len(vocabulary)
        assert set(vocabulary) >= set(LSD_EXPRESSIONS)
    assert tuple(sorted(LSD_EXPRESSIONS)) == LSD_EXPRESSIONS, "as published: alphabetical"
    assert set(EXPRESSIONS) - set(AFFECTNET_EXPRESSIONS) == {"other"}
    assert set(AFFECTNET_EXPRESSIONS) - set(EXPRESSIONS) == {"contempt"}
    assert set(FERPLUS_EXPRESSIONS) == set(FER2013_EXPRESSIONS) | {"contempt"}
    assert set(RAFDB_EXPRESSIONS) == set(FER2013_EXPRESSIONS)


def test_corpora_with_expressions_have_a_reader():
    assert set(CORPUS_EXPRESSIONS) == set(READERS) - {"faces", "celeba", "lfw", "videos"}


def test_the_twelve_action_units_are_named_and_in_rising_order():
    assert len(ACTION_UNITS) == 12 and list(ACTION_UNITS) == sorted(set(ACTION_UNITS))
    assert set(ACTION_UNIT_NAMES) == set(ACTION_UNITS) and len(set(ACTION_UNIT_NAMES.values())) == 12


def test_the_circumplex_is_a_square_from_minus_one_to_one():
    assert VALENCE_RANGE == AROUSAL_RANGE == (-1, 1)


def test_maps_between_vocabularies_go_by_name_and_merge_nothing():
    place = vocabulary_map(AFFECTNET_EXPRESSIONS, EXPRESSIONS)
    assert place.dtype == np.int64 and place.tolist() == [0, 4, 5, 6, 3, 2, 1, -1]
    assert vocabulary_map(EXPRESSIONS, EXPRESSIONS).tolist() == list(range(8))
    assert vocabulary_map((), EXPRESSIONS).tolist() == []


def test_missing_labels_are_zero_and_masked():
    labels = AffectLabels.missing(3, LSD_EXPRESSIONS)
    assert len(labels) == 3 and labels.vocabulary == LSD_EXPRESSIONS
    shapes = {"valence_arousal": (3, 2), "expression": (3,), "action_units": (3, 12)}
    dtypes = {"valence_arousal": np.float32, "expression": np.int64, "action_units": np.float32}
    for task in TASKS:
        values, valid = getattr(labels, task), getattr(labels, f"{task}_valid")
        assert values.shape == valid.shape == shapes[task]
        assert values.dtype == dtypes[task] and valid.dtype == bool
        assert not values.any() and not valid.any()


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([1, 2]), np.array([False, True, True, False])])
def test_rows_are_taken_of_every_column(rows):
    labels = known()
    part = labels[rows]
    assert len(part) == 2 and part.vocabulary == labels.vocabulary
    for task in TASKS:
        np.testing.assert_array_equal(getattr(part, task), getattr(labels, task)[1:3])
        np.testing.assert_array_equal(getattr(part, f"{task}_valid"), getattr(labels, f"{task}_valid")[1:3])


def test_there_and_back_between_numpy_and_torch():
    labels = known()
    tensors = labels.to("cpu")
    assert isinstance(tensors.expression, torch.Tensor) and tensors.expression.dtype == torch.int64
    assert tensors.action_units_valid.dtype == torch.bool
    back = tensors.numpy()
    for task in TASKS:
        np.testing.assert_array_equal(getattr(back, task), getattr(labels, task))
        assert isinstance(getattr(back, task), np.ndarray)
    assert labels.numpy().expression is labels.expression, "numpy stays what it is"


def soft(shares) -> AffectLabels:
    return replace(known(len(shares)), expression_shares=np.array(shares, np.float32) @ np.eye(8, dtype=np.float32)[:2])


def test_without_soft_labels_the_one_expression_is_learnt_from():
    labels = known()
    target, valid = labels.expression_target
    assert target is labels.expression and valid is labels.expression_valid and labels.expression_shares is None
    assert labels.to("cpu").expression_shares is None and labels[1:].expression_shares is None


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_soft_labels_are_learnt_from_where_a_row_has_shares(kind):
    labels = soft([[0.25, 0.75], [0, 0], [1, 0], [0, 1]])
    target, valid = (labels if kind == "numpy" else labels.to("cpu")).expression_target
    assert target.shape == (4, 8) and target[0].tolist() == [0.25, 0.75] + [0] * 6
    assert valid.tolist() == [True, False, True, True] and str(valid.dtype).endswith("bool")
    part = labels[np.array([2, 0])].expression_shares
    assert part[:, 0].tolist() == [1, 0.25] and part.dtype == np.float32


def test_stacked_with_soft_labels_hard_ones_are_one_hot_and_missing_ones_stay_missing():
    hard, votes = known(3), soft([[0.5, 0.5], [0, 0]])
    for parts, order in (([hard, votes], [0, 1, 2, 3, 4]), ([votes, hard], [2, 3, 4, 0, 1])):
        both = AffectLabels.concatenate(parts)[np.array(order)]
        assert both.expression_shares.dtype == np.float32 and both.expression.tolist() == [0, 1, 2, 0, 1]
        expected = np.zeros((5, 8))
        expected[1, 1] = expected[2, 2] = 1  # row 0 has no expression
        expected[3, :2] = 0.5
        np.testing.assert_array_equal(both.expression_shares, expected)
    assert AffectLabels.concatenate([hard, hard]).expression_shares is None
    assert len(AffectLabels.concatenate([votes, votes]).expression_shares) == 4


def test_labels_are_stacked_row_by_row_and_only_with_one_vocabulary():
    one, other = known(2), known(3)
    both = AffectLabels.concatenate([one, other])
    assert both.expression.tolist() == [0, 1, 0, 1, 2] and both.vocabulary == EXPRESSIONS
    assert both.action_units_valid.any(1).tolist() == [False, True, False, True, True]
    lsd = AffectLabels.concatenate([AffectLabels.missing(1, LSD_EXPRESSIONS)] * 2)
    assert lsd.vocabulary == LSD_EXPRESSIONS and len(lsd) == 2
    with pytest.raises(ValueError, match="different expression vocabularies cannot be stacked"):
        AffectLabels.concatenate([one, AffectLabels.missing(1, LSD_EXPRESSIONS)])


def test_a_prediction_maps_the_tasks_it_has_and_leaves_the_others_none():
    prediction = AffectPrediction(expression_logits=torch.ones(2, 6), vocabulary=LSD_EXPRESSIONS)
    doubled = prediction.map(lambda task: 2 * task)
    assert torch.equal(doubled.expression_logits, torch.full((2, 6), 2.0))
    assert doubled.vocabulary == LSD_EXPRESSIONS
    assert doubled.action_unit_logits is doubled.valence_arousal is doubled.uncertainty is None


def test_a_prediction_becomes_float32_numpy_without_gradient():
    logits = torch.tensor([[0.5, -1.5]], dtype=torch.bfloat16, requires_grad=True)
    prediction = AffectPrediction(action_unit_logits=logits, valence_arousal=np.zeros((1, 2))).numpy()
    assert prediction.action_unit_logits.dtype == np.float32
    assert prediction.action_unit_logits.tolist() == [[0.5, -1.5]]
    assert prediction.valence_arousal.shape == (1, 2) and prediction.expression_logits is None


def test_predictions_are_put_together_row_by_row_and_keep_what_they_lack_and_their_vocabulary():
    def part(n: int, first: int) -> AffectPrediction:
        rows = np.arange(first, first + n, dtype=np.float32)
        return AffectPrediction(np.repeat(rows[:, None], 6, 1), uncertainty=rows / 10, vocabulary=LSD_EXPRESSIONS)

    whole = AffectPrediction.concatenate([part(2, 0), part(3, 2), part(1, 5)])
    np.testing.assert_array_equal(whole.expression_logits, part(6, 0).expression_logits)
    np.testing.assert_array_equal(whole.uncertainty, part(6, 0).uncertainty)
    assert whole.action_unit_logits is None and whole.valence_arousal is None
    assert whole.vocabulary == LSD_EXPRESSIONS


def test_labels_and_predictions_cannot_be_rebound():
    for thing in (known(), AffectPrediction()):
        with pytest.raises(FrozenInstanceError):
            thing.vocabulary = ()
    assert replace(known(), vocabulary=LSD_EXPRESSIONS).vocabulary == LSD_EXPRESSIONS


def test_model_and_labels_must_count_expressions_alike():
    require_one_vocabulary(LSD_EXPRESSIONS, list(LSD_EXPRESSIONS))
    with pytest.raises(AffectError) as error:
        require_one_vocabulary(("fear", "anger"), ("anger", "fear"))
    assert str(error.value) == (
        "the model answers in the order fear, anger; the labels count anger, fear. "
        "combine_corpora([corpus], vocabulary) maps the labels by name")  # fmt: skip
    with pytest.raises(AffectError):
        require_one_vocabulary(LSD_EXPRESSIONS, LSD_EXPRESSIONS[:5])
