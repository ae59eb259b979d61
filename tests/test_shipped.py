"""Weights on their way into `data/weights`: halved, combined, scored, described."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax

from affect_core import shipped, shipped_scores, shipped_training
from affect_core.calibration import expected_calibration_error
from affect_core.checkpoints import load_model
from affect_core.errors import AffectError
from affect_core.labels import AFFECTNET_EXPRESSIONS, EXPRESSIONS
from affect_core.storage import read_json


@pytest.fixture(scope="module")
def folder(smoke_book, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    shipped_training.train(smoke_book)
    shipped_training.export([smoke_book.run_dir], smoke_book, smoke_book, folder)
    return folder


@pytest.mark.slow
def test_halved_weights_are_half_the_bytes_and_nearly_the_same_model(folder, smoke_book):
    emma, _ = smoke_book.train_emma()
    stored = load_model(folder / "emma.safetensors")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, half = emma(images), stored(images)
    assert torch.allclose(whole.expression_logits, half.expression_logits, atol=0.02)
    assert all(tensor.dtype == torch.float32 for tensor in stored.state_dict().values() if tensor.is_floating_point())
    whole_size = (smoke_book.stage("emma") / "best.safetensors").stat().st_size
    ratio = (folder / "emma.safetensors").stat().st_size / whole_size
    assert 0.45 < ratio < 0.75


@pytest.mark.slow
def test_cards_say_data_command_seed_scores_use_and_groups(folder, smoke_book):
    for name in shipped.MODELS:
        card = (folder / f"{name}.md").read_text()
        for said in ("rendered faces", "affect_core.shipped_training train", "| seed", "minutes", "Intended use",
                     "Apache-2.0"):  # fmt: skip
            assert said in card, (name, said)
    card = (folder / "predict.md").read_text()
    for group in ("under 18", "60 and over", "rendered female", "lighter third", "darker third"):
        assert group in card
    assert "views of CoTEX" in card and "CNN and ViT" in card, "which uncertainty was measured, and against what"
    scores = read_json(folder / "scores.json")
    assert 0 < scores["mae"]["held-out error"] < 2 and {"estimate", "low", "high"} <= set(scores["emma"]["p_mtl"])
    stills = shipped_scores.known_expressions(smoke_book.corpus("affectnet"))[1]
    assert sum(row["n"] for row in scores["predict"]["by group"][:3]) == scores["predict"]["n by group"] == len(stills)
    assert scores["predict"]["n"] < len(stills), "the other scores are of validation people"


@pytest.mark.slow
def test_the_log_of_a_training_goes_with_its_weights(folder, smoke_book):
    training = read_json(folder / "training.json")
    assert [len(training[name]["log"]) for name in shipped.MODELS] == [
        smoke_book.profile.mae_training.epochs, smoke_book.profile.prior_training.epochs,
        smoke_book.profile.emma_training.epochs, smoke_book.profile.cotex_training.epochs]  # fmt: skip
    combination = shipped.read_combination(folder)
    assert combination["temperature"] > 0 and len(combination["thresholds"]) == 12


@pytest.mark.slow
def test_an_interrupted_training_is_finished_and_both_parts_are_told(smoke_book, tmp_path):
    shipped_training.train(smoke_book)
    cut = tmp_path / "cut"
    shutil.copytree(smoke_book.run_dir, cut)
    for name in ("emma", "cotex"):
        (cut / name / "record.json").unlink()
    book = replace(smoke_book, run_dir=tmp_path / "finish")
    shipped_training.finish(cut, book)
    shipped_training.export([cut, book.run_dir], book, smoke_book, tmp_path / "weights")
    training = read_json(tmp_path / "weights" / "training.json")
    epochs = smoke_book.profile.emma_training.epochs
    assert [entry["epoch"] for entry in training["emma"]["log"]] == list(range(1, 2 * epochs + 1))
    assert epochs < training["emma"]["best_epoch"] <= 2 * epochs, "the kept weights are those of the last part"
    assert [len(training[name]["phases"]) for name in shipped.MODELS] == [1, 1, 2, 2]
    assert training["emma"]["phases"][0]["environment"]["commit"] is not None
    card = (tmp_path / "weights" / "emma.md").read_text()
    assert card.count("| trained for |") == 2 and "`finish`" in card
    assert "`finish`" not in (tmp_path / "weights" / "mae.md").read_text()
    stored, kept = (load_model(path) for path in (tmp_path / "weights/emma.safetensors",
                                                  book.stage("emma") / "best.safetensors"))  # fmt: skip
    torch.testing.assert_close(stored.vit.pos_embed, kept.vit.pos_embed, rtol=1e-3, atol=1e-4)


def test_weights_that_were_not_trained_are_missed_in_a_sentence(smoke_book, tmp_path):
    with pytest.raises(AffectError, match="no weights of mae"):
        shipped_training.export([tmp_path], smoke_book, smoke_book, tmp_path / "weights")


def test_the_temperature_of_overconfident_logits_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 8))
    target = np.array([rng.choice(8, p=np.exp(row)) for row in log_softmax(logits, axis=1)])
    assert shipped_scores.fit_temperature(3 * logits, target) == pytest.approx(3, rel=0.1)
    cooled = np.exp(log_softmax(logits, axis=1))
    assert expected_calibration_error(cooled.max(axis=1), cooled.argmax(axis=1) == target) < 0.03


def test_faces_of_contempt_have_no_expression_among_the_eight(smoke_book):
    corpus = smoke_book.corpus("affectnet").split("validation")
    known, column = shipped_scores.known_expressions(corpus)
    names = [AFFECTNET_EXPRESSIONS[index] for index in known.labels.expression]
    assert "contempt" not in names and [EXPRESSIONS[index] for index in column] == names
    contempt = (corpus.labels.expression == AFFECTNET_EXPRESSIONS.index("contempt")).sum()
    assert len(known) == len(corpus) - contempt


def test_groups_are_counted_by_age_gender_and_skin_tone():
    truth = pd.DataFrame({"age": [10, 30, 70, 30], "gender": [0, 1, 0.4, 0.6], "skin_tone": [0.1, 0.5, 0.9, 0.9]})
    rows = {row["group"]: row for row in shipped_scores.by_group(truth, np.array([True, False, True, True]))}
    assert rows["age: 18 to 59"]["n"] == 2 and rows["age: 18 to 59"]["estimate"] == 0.5
    assert rows["gender: rendered female"]["n"] == 2 and rows["skin tone: darker third"]["estimate"] == 1
    assert rows["skin tone: darker third"]["low"] < 1 == rows["skin tone: darker third"]["high"]
