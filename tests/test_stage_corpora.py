"""A profile says which corpora a stage learns from; no two orders of expressions are ever mixed up."""

from dataclasses import replace
from importlib import resources
from itertools import permutations

import numpy as np
import pytest
import torch
from published_stills import write_rafdb, write_table

from affect_core.bootstrap import expression_bootstrap, mtl_bootstrap
from affect_core.corpora import combine_corpora, open_corpus
from affect_core.emma import EMMAConfig
from affect_core.errors import AffectError
from affect_core.labels import AFFECTNET_EXPRESSIONS, CORPUS_EXPRESSIONS, EXPRESSIONS, AffectLabels, AffectPrediction
from affect_core.losses import multitask_loss
from affect_core.metrics import lsd_score, mtl_score
from affect_core.stage_corpora import StageCorpora
from affect_core.stages import train_emma, train_prior
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
])  # fmt: skip
def test_a_section_that_makes_no_sense_is_refused(tmp_path, section, message):
    with pytest.raises(AffectError, match=message):
        open_workbook(profile_with(tmp_path, section), run_dir=tmp_path / "run")


def test_a_corpus_that_no_stage_reads_is_not_replaced_in_silence(tmp_path, root):
    with pytest.raises(AffectError, match=r"holds none of .*; to learn from rafdb, name them in \[corpora\]"):
        open_workbook("smoke", root, tmp_path / "run")
    with pytest.raises(AffectError, match="mine is not rendered; give the folder that holds it as corpus_root"):
        open_workbook(profile_with(tmp_path, 'abaw4 = ["abaw4", "mine"]'), run_dir=tmp_path / "run")
    with pytest.raises(AffectError, match="holds none of the folders"):
        open_workbook(profile_with(tmp_path, 'abaw4 = ["abaw4", "mine"]'), tmp_path / "nowhere", tmp_path / "run")


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
