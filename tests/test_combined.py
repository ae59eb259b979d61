"""Several corpora as one, with one vocabulary; what a corpus does not know stays masked."""

import numpy as np
import pytest
import torch
from published_layouts import write_abaw4, write_affectnet_2021, write_lsd
from published_stills import write_rafdb

from affect_core.corpora import combine_corpora, open_corpus, open_packed, pack_corpus
from affect_core.errors import AffectError
from affect_core.labels import (
    CORPUS_EXPRESSIONS,
    EXPRESSION_SPELLINGS,
    EXPRESSIONS,
    AffectPrediction,
    vocabulary_map,
)
from affect_core.losses import multitask_loss


@pytest.fixture
def corpora(tmp_path):
    write_abaw4(tmp_path, videos=2, frames=10)
    write_affectnet_2021(tmp_path, per_class=1)
    write_rafdb(tmp_path, per_class=1)
    return [opened(tmp_path, name) for name in ("abaw4", "affectnet", "rafdb")]


def opened(root, name, size=16):
    return open_corpus(root, name, size=size, store_dir=root / "stores")


def names(labels):
    return [labels.vocabulary[code] if known else None
            for code, known in zip(labels.expression, labels.expression_valid, strict=True)]  # fmt: skip


def test_every_row_keeps_the_name_of_its_expression(corpora):
    combined = combine_corpora(corpora, EXPRESSIONS)
    before = [name for corpus in corpora for name in names(corpus.labels)]
    assert names(combined.labels) == [None if name == "contempt" else name for name in before]
    assert combined.labels.vocabulary == EXPRESSIONS and "contempt" in before


def test_an_expression_without_a_place_is_masked_and_counted_but_its_row_stays(corpora):
    combined = combine_corpora(corpora, EXPRESSIONS)
    assert len(combined) == sum(map(len, corpora))
    note = "affectnet: 2 images of contempt have no place in the vocabulary: no expression, masked"
    assert [line for line in combined.notes if "no place" in line] == [note]
    affectnet = slice(len(corpora[0]), len(corpora[0]) + len(corpora[1]))
    assert combined.labels.valence_arousal_valid[affectnet].sum() == corpora[1].labels.valence_arousal_valid.sum()


def test_contempt_and_other_are_two_things(corpora):
    with_both = combine_corpora(corpora, (*EXPRESSIONS, "contempt"))
    assert names(with_both.labels) == [name for corpus in corpora for name in names(corpus.labels)]
    assert not any("no place" in note for note in with_both.notes)


def test_images_rows_and_groups_follow_their_corpus(corpora):
    combined = combine_corpora([corpora[0].split("validation"), corpora[2]], EXPRESSIONS)
    assert np.array_equal(combined.images[:20], corpora[0].split("validation").images[:])
    assert np.array_equal(combined.images[[20, 33]], corpora[2].images[[0, 13]])
    assert np.array_equal(combined.split("training").images[:], corpora[2].split("training").images[:])
    assert combined.table["group"][0] == "abaw4/validation_00"
    assert combined.table["image"][20] == corpora[2].table["image"][0]
    assert combined.name == "abaw4+rafdb" and combined.root == corpora[0].root


def test_missing_tasks_stay_masked_and_train(corpora):
    combined = combine_corpora(corpora, EXPRESSIONS)
    stills = combined.labels[len(corpora[0]) + len(corpora[1]) :]
    assert not stills.action_units_valid.any() and not stills.valence_arousal_valid.any()
    scores = torch.zeros(len(combined), 12, requires_grad=True)
    n = len(combined)
    prediction = AffectPrediction(torch.zeros(n, 8), scores, torch.rand(n, 2, generator=torch.manual_seed(0)))
    multitask_loss(prediction, combined.labels.to("cpu"), pos_weight=torch.ones(12))["total"].backward()
    known = combined.labels.action_units_valid
    assert (scores.grad.numpy()[~known] == 0).all() and (scores.grad.numpy()[known] != 0).all()


def test_packed_corpora_combine_and_a_combined_one_packs(corpora, tmp_path):
    packed = open_packed(pack_corpus(corpora[2], tmp_path / "packed", images_per_shard=5))
    combined = combine_corpora([packed, corpora[1]], EXPRESSIONS)
    assert np.array_equal(combined.images[:], np.concatenate([corpora[2].images[:], corpora[1].images[:]]))
    again = open_packed(pack_corpus(combined, tmp_path / "again", images_per_shard=7))
    assert np.array_equal(again.images[:], combined.images[:]) and again.fingerprint == combined.fingerprint


def test_fingerprint_follows_corpora_and_vocabulary(corpora):
    one, two = corpora[0], corpora[1]
    prints = {combine_corpora(parts, words).fingerprint for parts in ([one], [one, two], [two, one])
              for words in (EXPRESSIONS, EXPRESSIONS[:7])}  # fmt: skip
    assert len(prints) == 6
    assert combine_corpora([one, two], EXPRESSIONS).fingerprint in prints


def test_what_cannot_be_combined(corpora, tmp_path):
    with pytest.raises(AffectError, match="no corpora to combine"):
        combine_corpora([], EXPRESSIONS)
    with pytest.raises(AffectError, match="are rafdb, rafdb; each name may occur once"):
        combine_corpora([corpora[2], corpora[2]], EXPRESSIONS)
    write_lsd(tmp_path, per_class=1)
    with pytest.raises(AffectError, match="different sizes.*'lsd': 24"):
        combine_corpora([corpora[2], opened(tmp_path, "lsd", size=24)], EXPRESSIONS)


def test_codes_of_every_corpus_are_names_of_one_list():
    """Orders as published, written out once more; no name twice, no spelling for two expressions."""
    words = {"abaw4": "neutral anger disgust fear happiness sadness surprise other",
             "affectnet": "neutral happiness sadness surprise fear disgust anger contempt",
             "lsd": "anger disgust fear happiness sadness surprise",
             "rafdb": "surprise fear disgust happiness sadness anger neutral",
             "fer2013": "anger disgust fear happiness sadness surprise neutral",
             "ferplus": "neutral happiness surprise sadness anger disgust fear contempt"}  # fmt: skip
    assert {name: tuple(order.split()) for name, order in words.items()} == CORPUS_EXPRESSIONS
    for order in CORPUS_EXPRESSIONS.values():
        assert len(set(order)) == len(order) and set(order) <= set(EXPRESSION_SPELLINGS)
    spellings = [word for spelled in EXPRESSION_SPELLINGS.values() for word in spelled]
    assert len(set(spellings)) == len(spellings)


@pytest.mark.parametrize("source", CORPUS_EXPRESSIONS.values())
@pytest.mark.parametrize("target", CORPUS_EXPRESSIONS.values())
def test_maps_between_corpora_keep_names_and_merge_nothing(source, target):
    place = vocabulary_map(source, target)
    assert [target[index] for index in place if index >= 0] == [name for name in source if name in target]
    assert {name for name, index in zip(source, place, strict=True) if index < 0} == set(source) - set(target)
