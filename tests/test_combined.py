"""Several corpora as one, with one vocabulary; what a corpus does not know stays masked."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from published_layouts import write_abaw4, write_affectnet_2021, write_lsd
from published_stills import write_ferplus, write_rafdb

from affect_core.corpora import combine_corpora, open_corpus, open_packed, pack_corpus
from affect_core.errors import AffectError
from affect_core.labels import (
    AFFECTNET_EXPRESSIONS,
    CORPUS_EXPRESSIONS,
    EXPRESSION_SPELLINGS,
    EXPRESSIONS,
    FERPLUS_EXPRESSIONS,
    LSD_EXPRESSIONS,
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


def opened(root, name, size=16, **options):
    return open_corpus(root, name, size=size, store_dir=root / "stores", **options)


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


# -- soft labels -------------------------------------------------------------------------------------------------------
VOTES = [
    (1, 2, 0, 0, 0, 0, 0, 7, 0, 0),  # contempt
    (1, 3, 0, 0, 0, 0, 0, 4, 2, 0),  # half of those who named an expression say contempt
    (1, 2, 2, 0, 0, 0, 0, 4, 0, 1),  # the first says contempt, five of nine do not
    (0, 1, 2, 3, 4, 0, 0, 0, 0, 0),
    (0, 0, 0, 0, 0, 2, 8, 0, 0, 0),
    (0, 0, 0, 0, 0, 0, 0, 0, 10, 0),  # unknown
    (3, 0, 0, 0, 0, 0, 0, 2, 1, 0),  # three of the five who named an expression have a place
]


@pytest.fixture
def votes(tmp_path):
    write_ferplus(tmp_path, VOTES, [f"fer{row:07d}.png" for row in range(42)])
    return opened(tmp_path, "ferplus", soft_labels=True)


def shares_by_name(labels, row):
    return {labels.vocabulary[k]: float(share) for k, share in enumerate(labels.expression_shares[row]) if share}


def test_soft_labels_keep_the_names_of_their_expressions_in_every_order(votes):
    for order in (AFFECTNET_EXPRESSIONS, FERPLUS_EXPRESSIONS[::-1], (*EXPRESSIONS, "contempt")):
        labels = combine_corpora([votes], order).labels
        assert labels.expression_shares.shape == (42, len(order)) and labels.expression_shares.dtype == np.float32
        for row in range(42):
            assert shares_by_name(labels, row) == pytest.approx(shares_by_name(votes.labels, row))
    labels = combine_corpora([votes], AFFECTNET_EXPRESSIONS).labels
    assert shares_by_name(labels, 3) == pytest.approx({"happiness": 0.1, "surprise": 0.2, "sadness": 0.3, "anger": 0.4})
    assert shares_by_name(labels, 0)["contempt"] == pytest.approx(0.7) and labels.vocabulary[7] == "contempt"


def test_contempt_is_never_other_and_those_who_chose_it_do_not_count_in_an_order_without_it(votes):
    combined = combine_corpora([votes], EXPRESSIONS)
    labels, other = combined.labels, EXPRESSIONS.index("other")
    assert not labels.expression_shares[:, other].any()
    assert [bool(shares_by_name(labels, row)) for row in range(7)] == [False, False, True, True, True, False, True]
    assert shares_by_name(labels, 2) == pytest.approx({"neutral": 0.2, "happiness": 0.4, "surprise": 0.4})
    assert shares_by_name(labels, 6) == {"neutral": 1}
    known = labels.expression_shares.any(1)
    np.testing.assert_allclose(labels.expression_shares[known].sum(1), 1, atol=1e-6)
    assert not (labels.expression_valid & ~known).any(), "who has an expression has a soft label"
    assert "ferplus: 2 images, half or more of whose votes have no place: no soft label" in combined.notes
    six = combine_corpora([votes], LSD_EXPRESSIONS).labels
    assert shares_by_name(six, 4) == pytest.approx({"disgust": 0.2, "fear": 0.8}) and not shares_by_name(six, 6)


def test_half_of_the_votes_is_half_in_float32_too(votes):
    for raters in range(2, 21, 2):
        for lost in range(raters // 2 + 1):
            shares = np.zeros((1, 8), np.float32)
            shares[0, [1, 2, 7]] = np.array([raters // 2 - lost, lost, raters // 2]) / raters
            labels = replace(votes.labels[:1], expression_shares=shares)
            mapped = combine_corpora([replace(votes.select(np.arange(1)), labels=labels)], EXPRESSIONS)
            assert not mapped.labels.expression_shares.any()


def test_faces_with_one_expression_are_one_hot_beside_soft_labels(votes, corpora):
    combined = combine_corpora([corpora[1], votes, corpora[2]], AFFECTNET_EXPRESSIONS)
    labels, end = combined.labels, len(corpora[1]) + len(votes)
    for rows in (range(len(corpora[1])), range(end, len(combined))):
        for row in rows:
            name = names(labels[[row]])[0]
            assert shares_by_name(labels, row) == ({name: 1} if name else {})
    assert shares_by_name(labels, len(corpora[1]) + 4) == pytest.approx({"disgust": 0.2, "fear": 0.8})
    assert not any("half or more" in note for note in combined.notes)
    assert combine_corpora(corpora[1:], AFFECTNET_EXPRESSIONS).labels.expression_shares is None


def test_soft_labels_are_packed_and_parts_of_the_packed_corpus_have_theirs(votes, tmp_path):
    packed = open_packed(pack_corpus(votes, tmp_path / "soft", images_per_shard=9))
    np.testing.assert_array_equal(packed.labels.expression_shares, votes.labels.expression_shares)
    assert packed.fingerprint == votes.fingerprint
    rows = np.array([4, 3, 0])
    assert packed.select(rows).fingerprint == votes.select(rows).fingerprint
    hard = opened(tmp_path, "ferplus")
    again = open_packed(pack_corpus(hard, tmp_path / "hard"))
    assert again.labels.expression_shares is None and again.fingerprint == hard.fingerprint != votes.fingerprint
    (tmp_path / "soft/expression_shares.npy").unlink()
    with pytest.raises(AffectError, match="expression_shares.npy.*pack the corpus again"):
        open_packed(tmp_path / "soft")


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
