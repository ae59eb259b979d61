"""A profile says which corpora a stage learns from; no two orders of expressions are ever mixed up."""

from dataclasses import replace
from importlib import resources
from itertools import permutations

import numpy as np
import pytest
import torch
from published_stills import write_ferplus, write_rafdb, write_table
from torch.nn import functional as F

from affect_core.batches import FaceBatches
from affect_core.bootstrap import expression_bootstrap, mtl_bootstrap
from affect_core.corpora import combine_corpora, open_corpus
from affect_core.dan import DAN
from affect_core.emma import EMMAConfig
from affect_core.errors import AffectError
from affect_core.labels import AFFECTNET_EXPRESSIONS, CORPUS_EXPRESSIONS, EXPRESSIONS, AffectLabels, AffectPrediction
from affect_core.losses import multitask_loss
from affect_core.metrics import lsd_score, mtl_score
from affect_core.stage_corpora import StageCorpora
from affect_core.stage_losses import prior_loss
from affect_core.stages import train_cotex, train_emma, train_prior
from affect_core.workbook import open_workbook

MINE = """image,AU12,AU1,split,group
a.png,1,0,training,ann
b.png,0,1,training,ann
c.png,1,1,training,bob
d.png,0,0,validation,cleo
"""


def profile_with(tmp_path, section):
    text = (resources.files("affect_core.profiles") / "smoke.toml").read_text()
    path = tmp_path / "mixed.toml"
    path.write_text(f"{text}\n[corpora]\n{section}\n")
    return str(path)


@pytest.fixture
def root(tmp_path):
    write_rafdb(tmp_path / "real", per_class=2)
    base = write_table(tmp_path / "real" / "mine", MINE)
    (base / "vocabulary.txt").unlink()
    return tmp_path / "real"


def opened(tmp_path, section, root):
    return open_workbook(profile_with(tmp_path, section), root, tmp_path / "run")


def test_a_second_corpus_gives_training_images_and_the_first_validates(data_dir, tmp_path, root):
    book = opened(tmp_path, 'affectnet = ["affectnet", "rafdb"]\nabaw4 = ["abaw4", "mine"]', root)
    alone = open_workbook("smoke", run_dir=tmp_path / "other").corpus("affectnet")
    stills, rafdb = book.corpus("affectnet"), open_corpus(root, "rafdb", size=32, store_dir=tmp_path / "stores")
    assert stills.labels.vocabulary == AFFECTNET_EXPRESSIONS and stills.name == "affectnet+rafdb"
    assert len(stills.split("training")) == len(alone.split("training")) + len(rafdb.split("training"))
    validation = stills.split("validation")
    assert np.array_equal(validation.images[:], alone.split("validation").images[:])
    assert f"rafdb: {len(rafdb.split('validation'))} images are not learnt from: they are no training images" in (
        stills.notes)  # fmt: skip
    added = stills.labels[len(alone) :]
    named = [AFFECTNET_EXPRESSIONS[code] for code in added.expression]
    expected = rafdb.split("training").labels
    assert named == [expected.vocabulary[code] for code in expected.expression]
    videos = book.corpus("abaw4")
    assert videos.split("training").labels.action_units_valid[-3:].sum(axis=1).tolist() == [2, 2, 2]
    assert not videos.labels.valence_arousal_valid[-3:].any()
    sources = [book.source(name) for name in ("affectnet", "abaw4", "lsd")]
    assert sources == ["synthetic and real", "synthetic and real", "synthetic"]
    summary = book.summary()["value"]
    assert "rendered (embedded corpus) + rafdb: stills" in summary["corpus affectnet"]


def test_stages_learn_from_several_corpora_with_tasks_that_some_lack(data_dir, tmp_path, root):
    book = opened(tmp_path, 'affectnet = ["affectnet", "rafdb"]\nabaw4 = ["abaw4", "mine"]', root)
    prior, record = book.train_prior()
    assert record.log[-1]["validation_expression_f1"] >= 0 and np.isfinite(record.log[-1]["train_total"])
    config = replace(book.profile.emma, va_source="vit_scores")
    model, record = train_emma(config, book.profile.emma_training, book.profile.emma_augmentation, book.corpus("abaw4"),
                               book.stage("emma"))  # fmt: skip
    assert all(np.isfinite(row["train_total"]) for row in record.log)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_another_corpus_may_stand_for_the_published_one(data_dir, tmp_path, root):
    book = opened(tmp_path, 'affectnet = ["rafdb"]', root)
    corpus = book.corpus("affectnet")
    assert corpus.labels.vocabulary == AFFECTNET_EXPRESSIONS and set(corpus.splits) == {"training", "validation"}
    assert book.source("affectnet") == "real"


@pytest.mark.parametrize(("section", "message"), [
    ("abaw4 = []", "at least one corpus, each once"),
    ('abaw4 = ["abaw4", "abaw4"]', "each once"),
    ('emma = ["abaw4"]', r"section \[corpora\]: unknown \['emma'\]"),
    ('abaw4 = "mine"', "must be"),
    ('soft_labels = true', "soft_labels is 'True', but must be"),
    ('soft_labels = ["ferplus"]', r"names ferplus, from which no stage learns; there are abaw4, affectnet, faces, lsd"),
    ('affectnet = ["ferplus"]\nsoft_labels = ["ferplus", "rafdb"]', "names rafdb, from which no stage learns"),
])  # fmt: skip
def test_a_section_that_makes_no_sense_is_refused(tmp_path, section, message):
    with pytest.raises(AffectError, match=message):
        open_workbook(profile_with(tmp_path, section), run_dir=tmp_path / "run")


def test_a_corpus_that_no_stage_reads_is_not_replaced_in_silence(tmp_path, root):
    with pytest.raises(AffectError, match=r"holds none of .*; to learn from rafdb, name them in \[corpora\]"):
        open_workbook("smoke", root, tmp_path / "run")
    with pytest.raises(AffectError, match="mine is not rendered; give the folder that holds it as corpus_root"):
        open_workbook(profile_with(tmp_path, 'abaw4 = ["abaw4", "mine"]'), run_dir=tmp_path / "run")
    with pytest.raises(AffectError, match="nowhere is not there"):
        open_workbook(profile_with(tmp_path, 'abaw4 = ["abaw4", "mine"]'), tmp_path / "nowhere", tmp_path / "run")


# -- soft labels -------------------------------------------------------------------------------------------------------
SOFT = 'soft_labels = ["ferplus"]'
VOTES = [(0, 0, 0, 0, 0, 0, 0, 7, 3, 0), (5, 5, 0, 0, 0, 0, 0, 0, 0, 0), (4, 3, 3, 0, 0, 0, 0, 0, 0, 0),
         (0, 0, 0, 0, 0, 0, 0, 0, 9, 1), (0, 1, 0, 0, 6, 3, 0, 0, 0, 0)]  # fmt: skip


@pytest.fixture
def ferplus(root):
    write_ferplus(root, 8 * VOTES, [f"fer{row:07d}.png" for row in range(42)])
    return root


def test_the_prior_learns_from_the_votes_of_ferplus(data_dir, tmp_path, ferplus):
    """The loss that is logged is that of the shares, and another one than that of the majorities."""
    book = opened(tmp_path, f'affectnet = ["ferplus"]\n{SOFT}', ferplus)
    corpus = book.corpus("affectnet")
    training = corpus.split("training")
    assert training.labels.expression_valid.sum() < training.labels.expression_shares.any(1).sum() == 11
    model, record = book.train_prior()
    assert all(np.isfinite(row["train_total"]) and np.isfinite(row["validation_expression_f1"]) for row in record.log)
    batches = FaceBatches(training, book.profile.prior_augmentation, 32)
    batch = batches.batch(np.arange(14), torch.Generator().manual_seed(0))
    model.eval()
    with torch.no_grad():
        parts, (logits, auxiliary) = prior_loss(model, batch, None), model.forward_with_auxiliary(batch.images)
    shares = torch.from_numpy(training.labels.expression_shares)
    for name, said in (("expression", logits), ("auxiliary", auxiliary)):
        cost = -(shares * said.log_softmax(dim=1)).sum(dim=1)
        torch.testing.assert_close(parts[name], cost[shares.any(1)].mean())
    hard = opened(tmp_path, 'affectnet = ["ferplus"]', ferplus)
    assert hard.corpus("affectnet").labels.expression_shares is None
    other, _ = replace(hard, run_dir=tmp_path / "hard").train_prior()
    assert any(not torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


def test_every_stage_mixes_soft_labels_with_single_answers(data_dir, tmp_path, ferplus):
    book = opened(tmp_path, f'affectnet = ["affectnet", "ferplus"]\nabaw4 = ["abaw4", "ferplus"]\n'
                  f'lsd = ["lsd", "ferplus"]\n{SOFT}', ferplus)  # fmt: skip
    alone = open_workbook("smoke", run_dir=tmp_path / "other")
    for role, contempt in (("affectnet", True), ("abaw4", False), ("lsd", False)):
        labels, before = book.corpus(role).labels, alone.corpus(role).labels
        hard, votes = labels.expression_shares[: len(before)], labels.expression_shares[len(before) :]
        np.testing.assert_array_equal(hard.any(1), before.expression_valid)
        np.testing.assert_array_equal(hard.argmax(1), before.expression * before.expression_valid)
        assert set(np.unique(hard)) <= {0, 1} and len(votes) == 14
        assert votes[4].argmax() == labels.vocabulary.index("anger") and votes[4].max() == pytest.approx(0.6)
        assert votes[0].any() == contempt and not votes[3].any()
        if contempt:
            assert votes[0, labels.vocabulary.index("contempt")] == 1
    profile = book.profile
    _, record = book.train_prior()
    assert np.isfinite(record.log[-1]["train_total"]) and record.log[-1]["validation_expression_f1"] >= 0
    _, record = train_emma(replace(profile.emma, va_source="vit_scores"), profile.emma_training,
                           profile.emma_augmentation, book.corpus("abaw4"), book.stage("emma"))  # fmt: skip
    assert np.isfinite(record.log[-1]["train_expression"])
    _, record = train_cotex(profile.cotex, profile.cotex_training, profile.cotex_augmentation, book.corpus("lsd"),
                            book.stage("cotex"))  # fmt: skip
    assert np.isfinite(record.log[-1]["train_cross_entropy"])


def test_single_answers_cost_what_they_did_bit_for_bit(smoke_book):
    """Written out once more without soft labels; one-hot soft labels cost the same."""
    corpus, profile = smoke_book.corpus("affectnet").split("training"), smoke_book.profile
    batch = FaceBatches(corpus, profile.prior_augmentation, 32).batch(np.arange(20), torch.Generator().manual_seed(1))
    valid = torch.arange(20) % 5 != 0
    hard = replace(batch, labels=replace(batch.labels, expression_valid=valid))
    one_hot = F.one_hot(hard.labels.expression, 8).float() * valid[:, None]
    soft = replace(batch, labels=replace(hard.labels, expression_shares=one_hot))
    torch.manual_seed(0)
    model = DAN(profile.prior).eval()
    with torch.no_grad():
        logits, auxiliary = model.forward_with_auxiliary(batch.images)
        target = hard.labels.expression
        costs = [F.cross_entropy(said, target, reduction="none").masked_fill(~valid, 0).sum() / valid.sum()
                 for said in (logits, auxiliary)]  # fmt: skip
        for one in (hard, soft):
            parts = prior_loss(model, one, None)
            assert parts["expression"] == costs[0] and parts["auxiliary"] == costs[1]
            assert parts["total"] == costs[0] + costs[1]


def test_soft_labels_of_a_corpus_without_votes_are_refused(data_dir, tmp_path, root):
    book = opened(tmp_path, 'affectnet = ["affectnet", "rafdb"]\nsoft_labels = ["rafdb"]', root)
    with pytest.raises(AffectError, match="corpus rafdb has no soft labels: no shares of votes"):
        book.train_prior()
    assert not (tmp_path / "run/prior").exists()


def test_a_later_corpus_needs_something_to_learn_from(data_dir, tmp_path, root):
    table = (root / "mine/labels.csv").read_text().replace("training", "test")
    (root / "mine/labels.csv").write_text(table)
    book = opened(tmp_path, 'abaw4 = ["abaw4", "mine"]', root)
    with pytest.raises(AffectError, match="mine has no images to learn from, only test, validation"):
        book.corpus("abaw4")


def test_every_pair_of_published_orders_is_told_apart_and_the_same_order_taken():
    for one, other in permutations(CORPUS_EXPRESSIONS.values(), 2):
        labels = AffectLabels.missing(4, other)
        labels.expression_valid[:] = True
        prediction = AffectPrediction(expression_logits=np.eye(len(one))[:4], vocabulary=one)
        scores = (lsd_score, mtl_score, lambda guess, truth: expression_bootstrap(guess, truth, np.arange(4)))
        for score in scores:
            with pytest.raises(AffectError, match="answers in the order.*the labels count"):
                score(prediction, labels)
        as_torch = prediction.map(torch.from_numpy)
        with pytest.raises(AffectError, match=f"in the order {', '.join(one)}; the labels count {', '.join(other)}"):
            multitask_loss(as_torch, labels.to("cpu"))
        same = replace(labels, vocabulary=one)
        assert np.isfinite(lsd_score(prediction, same)["expression_f1"])
        assert torch.isfinite(multitask_loss(as_torch, same.to("cpu"))["total"])


def test_intervals_of_the_challenge_score_need_one_order_too():
    labels = replace(AffectLabels.missing(6), vocabulary=AFFECTNET_EXPRESSIONS)
    prediction = AffectPrediction(np.zeros((6, 8)), np.zeros((6, 12)), np.zeros((6, 2)))
    with pytest.raises(AffectError, match="answers in the order"):
        mtl_bootstrap(prediction, labels, np.arange(6), resamples=2)


def test_stages_refuse_a_corpus_in_another_order(data_dir, tmp_path, root, smoke_book):
    rafdb = open_corpus(root, "rafdb", size=32, store_dir=tmp_path / "stores")
    profile = smoke_book.profile
    prior = profile.prior, profile.prior_training, profile.prior_augmentation
    with pytest.raises(AffectError, match="answers in the order neutral, happiness.*combine_corpora"):
        train_prior(*prior, rafdb, 32, tmp_path / "prior")
    in_emmas_order = combine_corpora([rafdb], EXPRESSIONS)
    with pytest.raises(AffectError, match="the labels count neutral, anger"):
        train_prior(*prior, in_emmas_order, 32, tmp_path / "prior")
    with pytest.raises(AffectError, match="has 6 classes, corpus rafdb has 7: surprise, fear"):
        train_prior(replace(prior[0], num_classes=6), *prior[1:], rafdb, 32, tmp_path / "prior")
    config = EMMAConfig(profile.vit, va_source="vit_scores")
    with pytest.raises(AffectError, match="the labels count neutral, happiness"):
        train_emma(config, profile.emma_training, profile.emma_augmentation, smoke_book.corpus("affectnet"),
                   tmp_path / "emma")  # fmt: skip
    assert not (tmp_path / "prior").exists() and not (tmp_path / "emma").exists()


def test_names_are_those_of_all_stages():
    assert StageCorpora(abaw4=("abaw4", "mine")).names == {"faces", "affectnet", "abaw4", "mine", "lsd"}
