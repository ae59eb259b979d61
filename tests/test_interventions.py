"""Change one thing and watch the answer: parts of a face, one score."""

import numpy as np
import pytest
import torch
from torch import nn

from affect_core.batches import predict_corpus
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.interventions import (
    half_face_drops,
    logits_from_parts,
    masking_effects,
    score_influence,
    view_logits,
)
from affect_core.labels import AFFECTNET_EXPRESSIONS
from affect_core.losses import generalized_js
from affect_core.metrics import lsd_score
from affect_core.priors import CustomPrior, CustomPriorConfig
from affect_core.vit import ViTConfig

TINY = ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=2, drop_path=0.0)


@pytest.fixture
def images():
    return torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def emma(va_source: str) -> EMMA:
    torch.manual_seed(0)
    prior = DAN(DANConfig(width=8, small_images=True))
    return EMMA(EMMAConfig(TINY, hidden=16, va_hidden=8, va_source=va_source), prior).eval()


def test_with_nothing_hidden_the_views_answer_as_at_test_time(images):
    torch.manual_seed(0)
    model = CoTEX(CoTEXConfig(TINY)).eval()
    logits, masks = logits_from_parts(model, images, 0.0)
    assert masks.sum() == 0
    torch.testing.assert_close(logits, model(images).detach())


def test_parts_are_those_of_training(images):
    torch.manual_seed(0)
    model = CoTEX(CoTEXConfig(TINY, mask_ratio=0.75)).eval()
    logits, masks = logits_from_parts(model, images, 0.75, torch.Generator().manual_seed(3))
    assert masks.shape == (2, 5, 16) and (masks.sum(-1) == 12).all()
    assert (masks[0] != masks[1]).any(), "each view sees its own patches"
    model.train()  # no dropout in TINY: the same generator gives the same parts and so the same answer
    trained = model(images, torch.Generator().manual_seed(3)).detach()
    torch.testing.assert_close(logits, trained)


def test_views_of_a_whole_corpus_sum_to_its_prediction(smoke_book):
    torch.manual_seed(0)
    model = CoTEX(CoTEXConfig(TINY)).eval()
    validation = smoke_book.corpus("lsd").split("validation")
    logits = view_logits(model, validation)
    assert logits.shape == (2, len(validation), 6)
    expected = predict_corpus(model.predict, validation, 32).expression_logits
    np.testing.assert_allclose(logits.sum(0), expected, rtol=1e-4, atol=1e-5)
    hidden = [view_logits(model, validation, 0.5, seed=seed) for seed in (1, 1, 2)]
    assert (hidden[0] == hidden[1]).all() and (hidden[0] != hidden[2]).any()


def test_with_nothing_hidden_masking_has_the_scores_of_the_whole_faces(smoke_book):
    torch.manual_seed(0)
    model = CoTEX(CoTEXConfig(TINY)).eval()
    validation = smoke_book.corpus("lsd").split("validation")
    table = masking_effects(model, validation, (0.0, 0.5), mask_seeds=2, resamples=50)
    assert list(table["what"][:5]) == ["added", "view 1", "view 2", "divergence", "agreement"] and len(table) == 10
    assert (table["low"] <= table["high"]).all()
    whole = table[table["ratio"] == 0].set_index("what")["estimate"]
    prediction = predict_corpus(model.predict, validation, 32)
    assert whole["added"] == pytest.approx(lsd_score(prediction, validation.labels)["expression_f1"])
    logits = view_logits(model, validation)
    assert whole["divergence"] == pytest.approx(float(generalized_js(torch.from_numpy(logits), per="image")), rel=1e-5)
    assert whole["agreement"] == pytest.approx((logits[0].argmax(-1) == logits[1].argmax(-1)).mean())


def test_a_score_read_from_the_lower_half_falls_there_alone():
    images = torch.ones(6, 3, 8, 8)
    drops = half_face_drops(lambda x: x[:, 0, 4:].mean((1, 2)), images, window=2, stride=2)
    assert drops["upper"].estimate == 0 and drops["lower"].estimate == pytest.approx(1 / 8), "4 of 32 pixels covered"
    assert drops["lower minus upper"].low == pytest.approx(1 / 8), "all faces alike: no spread"


def test_influence_of_a_linear_head_is_weight_times_deviation(images):
    model = emma("vit_scores")
    model.va_head = torch.nn.Linear(20, 2)
    table = score_influence(model, images, batch_size=2)
    prediction = model(images)
    scores = torch.cat([prediction.expression_logits, prediction.action_unit_logits], dim=1).detach()
    expected = model.va_head.weight.detach() * scores.std(dim=0, unbiased=False)
    np.testing.assert_allclose(table[["valence", "arousal"]].to_numpy().T, expected, rtol=1e-4, atol=1e-7)


def test_influence_names_the_scores_in_the_order_of_the_head(images):
    index = score_influence(emma("both_scores"), images).index
    assert len(index) == 28
    assert index[1] == ("CNN", "happiness") and index[8] == ("ViT", "neutral") and index[-1] == ("ViT", "AU26")
    assert len(score_influence(emma("cnn_scores"), images)) == 8


def test_a_network_of_ones_own_may_have_more_classes_than_affectnet(images):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    model = EMMA(EMMAConfig(TINY, hidden=16, va_hidden=8), CustomPrior(network, CustomPriorConfig(num_classes=10)))
    index = score_influence(model.eval(), images).index
    assert len(index) == 30 and index[7:11].tolist() == [
        ("CNN", AFFECTNET_EXPRESSIONS[7]), ("CNN", "class 8"), ("CNN", "class 9"), ("ViT", "neutral")
    ]  # fmt: skip


def test_features_have_no_names(images):
    with pytest.raises(AffectError, match="features"):
        score_influence(emma("vit_features"), images)


def test_looking_at_influence_leaves_no_hook_and_no_gradient(images):
    model = emma("both_scores")
    score_influence(model, images)
    assert not model.va_head._forward_pre_hooks
    assert all(parameter.grad is None for parameter in model.parameters())
