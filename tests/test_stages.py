"""The stages on the small rendered corpus: they run, validate every frame, and freeze what they say they freeze."""

import copy
import json
from dataclasses import asdict, replace
from typing import get_args

import numpy as np
import pytest
import torch

from affect_core import stages
from affect_core.augment import prepare
from affect_core.batches import Batch, FaceBatches, predict_corpus
from affect_core.checkpoints import load_model
from affect_core.distributed import Share
from affect_core.emma import EMMAConfig
from affect_core.errors import AffectError
from affect_core.labels import AffectLabels, AffectPrediction
from affect_core.losses import ACTION_UNIT_POS_WEIGHT, CCCFormula, multitask_loss, positive_weights
from affect_core.stage_losses import emma_loss
from affect_core.stages import train_cotex, train_emma
from affect_core.storage import read_json


@pytest.fixture(scope="module")
def emma(smoke_book):
    return smoke_book.train_emma()


def test_batches_carry_images_and_their_own_labels(smoke_book):
    corpus = smoke_book.corpus("abaw4").split("training")
    batches = FaceBatches(corpus, smoke_book.profile.emma_augmentation, 32)
    rows = np.array([5, 0, 7])
    batch = batches.batch(rows, torch.Generator().manual_seed(0))
    assert batch.images.shape == (3, 3, 32, 32) and batch.images.dtype == torch.float32
    np.testing.assert_array_equal(batch.labels.numpy().action_units, corpus.labels.action_units[rows])


def test_predictions_of_a_corpus_are_in_order_and_complete(smoke_book):
    corpus = smoke_book.corpus("lsd").split("validation")

    def brightness(images):
        return AffectPrediction(valence_arousal=images.mean(dim=(2, 3))[:, :2])

    whole = predict_corpus(brightness, corpus, 32, batch_size=7).valence_arousal
    every = brightness(prepare(torch.from_numpy(corpus.images[np.arange(len(corpus))]), 32)).numpy().valence_arousal
    np.testing.assert_allclose(whole, every, atol=1e-6)


def test_emma_starts_from_the_mae_and_leaves_the_prior_untouched(smoke_book, emma):
    model, record = emma
    prior, _ = smoke_book.train_prior()
    trained = dict(model.prior.model.state_dict())
    assert all(torch.equal(value, trained[name]) for name, value in prior.state_dict().items())
    assert set(record.log[0]) >= {"train_valence_arousal", "train_expression", "train_action_units", "validation_p_mtl"}
    assert not model.training


def test_a_finished_stage_is_loaded_in_the_next_notebook(smoke_book, emma):
    again, record = smoke_book.train_emma()
    assert record.reused
    assert all(torch.equal(a, b) for a, b in zip(emma[0].parameters(), again.parameters(), strict=True))
    rebuilt = load_model(smoke_book.stage("emma") / "best.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), rebuilt.parameters(), strict=True))


def test_the_record_names_the_faces_it_was_trained_and_validated_on(smoke_book, emma):
    record = read_json(smoke_book.stage("emma") / "record.json")
    corpus = smoke_book.corpus("abaw4")
    assert record["validation"] == corpus.split("validation").fingerprint
    assert record["data_settings"]["corpus"] == corpus.split("training").fingerprint
    assert record["data_settings"]["name"] == "abaw4" and record["data_settings"]["size"] == 32
    as_json = json.loads(json.dumps(asdict(smoke_book.profile.emma_augmentation)))
    assert record["data_settings"]["augmentation"] == as_json
    assert record["training"]["seed"] == smoke_book.seed and record["model"]["vit"]["image_size"] == 32


def test_thresholds_are_fitted_once_for_given_weights(smoke_book, emma):
    thresholds = smoke_book.calibrate_emma(emma[0])
    path = smoke_book.stage("emma") / "thresholds.json"
    written = path.stat().st_mtime_ns
    np.testing.assert_array_equal(smoke_book.calibrate_emma(emma[0]), thresholds)
    assert path.stat().st_mtime_ns == written and ((0 <= thresholds) & (thresholds <= 1)).all()


def test_cotex_logs_both_terms_of_its_loss(smoke_book):
    model, record = smoke_book.train_cotex()
    entry = record.log[0]
    weight = smoke_book.profile.cotex.js_weight
    assert entry["train_total"] == pytest.approx(entry["train_cross_entropy"] + weight * entry["train_js"], rel=1e-4)
    assert model.config.vocabulary == smoke_book.corpus("lsd").labels.vocabulary


def test_a_setting_of_the_loss_that_no_weight_tells_of_trains_anew(smoke_book, tmp_path):
    p, lsd = smoke_book.profile, smoke_book.corpus("lsd")
    once = replace(p.cotex_training, epochs=1)

    def train(**changes):
        return train_cotex(replace(p.cotex, **changes), once, p.cotex_augmentation, lsd, tmp_path / "cotex")

    train(js_weight=1.0)
    assert train(js_weight=1.0)[1].reused
    for changes in ({"js_weight": 50.0}, {"js_weight": 50.0, "mask_ratio": 0.25}):
        model, record = train(**changes)
        assert not record.reused and load_model(tmp_path / "cotex" / "best.safetensors").config == model.config


@pytest.mark.parametrize("chosen", ["training", "published"])
def test_emma_trains_with_the_positive_weights_that_its_config_names(smoke_book, tmp_path, monkeypatch, chosen):
    p, corpus, given = smoke_book.profile, smoke_book.corpus("abaw4"), {}
    monkeypatch.setattr(stages, "fit", lambda model, data, loss, *_, **__: given.update(loss.keywords))
    config = replace(p.emma, va_source="vit_scores", pos_weight=chosen)
    train_emma(config, p.emma_training, p.emma_augmentation, corpus, tmp_path)
    labels = corpus.split("training").labels.to("cpu")
    own = positive_weights(labels.action_units, labels.action_units_valid)
    published = torch.tensor(ACTION_UNIT_POS_WEIGHT)
    assert torch.equal(given["pos_weight"], published if chosen == "published" else own)
    assert not torch.equal(own, published)


@pytest.mark.parametrize("formula", ["population", "published"])
def test_emmas_loss_has_the_ccc_that_its_config_names(formula):
    rng = np.random.default_rng(0)
    labels = AffectLabels.missing(9).to("cpu")
    labels.valence_arousal[:] = torch.from_numpy(rng.uniform(-1, 1, (9, 2)))
    labels.valence_arousal_valid[:] = True
    answer = AffectPrediction(valence_arousal=torch.from_numpy(rng.uniform(-1, 1, (9, 2))))

    class Emma:
        config = EMMAConfig(ccc_formula=formula)

        def __call__(self, images):
            return answer

    values = {name: float(multitask_loss(answer, labels, ccc_formula=name)["total"]) for name in get_args(CCCFormula)}
    loss = emma_loss(Emma(), Batch(torch.zeros(9), labels, Share(9)), None, pos_weight=torch.ones(12))
    assert float(loss["total"]) == values[formula] and len(set(values.values())) == 2


@pytest.mark.slow
def test_a_trained_model_is_trained_further_and_another_one_refused(smoke_book, tmp_path):
    p, abaw, lsd = smoke_book.profile, smoke_book.corpus("abaw4"), smoke_book.corpus("lsd")
    slow = replace(p.emma_training, epochs=1, base_learning_rate=1e-9, minimum_learning_rate=0.0, warmup_epochs=0)
    before = smoke_book.train_emma()[0]
    start = build_copy(before)
    model, record = train_emma(start.config, slow, p.emma_augmentation, abaw, tmp_path / "emma", start=start)
    assert model is start and not record.reused and len(record.log) == 1
    for one, other in zip(model.vit.parameters(), before.vit.parameters(), strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=0, atol=1e-6)
    cotex = build_copy(smoke_book.train_cotex()[0])
    assert train_cotex(cotex.config, slow, p.cotex_augmentation, lsd, tmp_path / "cotex", start=cotex)[0] is cotex
    with pytest.raises(AffectError, match="differs from the settings in .*hidden"):
        train_emma(replace(start.config, hidden=7), slow, p.emma_augmentation, abaw, tmp_path / "other", start=start)
    with pytest.raises(AffectError, match="takes no other one"):
        train_emma(start.config, slow, p.emma_augmentation, abaw, tmp_path / "two", start=start,
                   mae=smoke_book.pretrain_mae()[0])  # fmt: skip


def build_copy(model):
    """Another object with the same weights, on the CPU."""
    return copy.deepcopy(model).cpu()
