"""EMMA: what flows from where to where."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from affect_core.dan import DAN, DANConfig, FrozenPrior
from affect_core.emma import EMMA, EMMAConfig, ValenceArousalSource
from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS, AffectLabels
from affect_core.losses import multitask_loss
from affect_core.mae import MAE, MAEConfig
from affect_core.vit import ViTConfig

VIT = ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=3)
CONFIG = EMMAConfig(vit=VIT, hidden=16, va_hidden=8)
PRIOR = DANConfig(width=4, num_heads=2, small_images=True)


def build(**changes) -> EMMA:
    torch.manual_seed(0)
    return EMMA(replace(CONFIG, **changes), DAN(PRIOR))


@pytest.fixture
def images():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("source", get_args(ValenceArousalSource))
def test_every_va_source_predicts_three_tasks(images, source):
    prediction = build(va_source=source)(images)
    assert prediction.expression_logits.shape == (4, 8)
    assert prediction.action_unit_logits.shape == (4, 12)
    assert prediction.valence_arousal.shape == (4, 2)
    assert prediction.vocabulary == EXPRESSIONS


@pytest.mark.parametrize(
    ("source", "vit", "head"),
    [("both_scores", True, True), ("vit_scores", True, True), ("vit_features", True, False),
     ("cnn_scores", False, False), ("both_scores_detached", False, False)],
)  # fmt: skip
def test_which_parts_the_valence_arousal_loss_trains(images, source, vit, head):
    emma = build(va_source=source)
    emma(images).valence_arousal.sum().backward()
    assert (emma.vit.blocks[0].mlp.fc1.weight.grad is not None) == vit
    assert (emma.vit.head[0].weight.grad is not None) == head
    assert emma.va_head[0].weight.grad is not None


def test_the_va_head_reads_28_scores_the_cnns_first(images):
    emma = build().eval()
    assert emma.va_head[0].in_features == 28
    prediction = emma(images)
    inputs = torch.cat([emma.prior(images), prediction.expression_logits, prediction.action_unit_logits], dim=1)
    torch.testing.assert_close(prediction.valence_arousal, emma.va_head(inputs))


def test_the_prior_is_frozen_and_valence_and_arousal_hang_on_what_it_says(images):
    emma = build().train()
    assert isinstance(emma.prior, FrozenPrior)
    assert not emma.prior.model.training
    said = emma.eval()(images)
    emma.prior.forward = lambda images: torch.zeros(len(images), 8)
    mute = emma(images)
    assert not torch.equal(mute.valence_arousal, said.valence_arousal)
    assert torch.equal(mute.expression_logits, said.expression_logits)


def test_the_config_describes_the_prior_it_was_given():
    assert build().config.prior == PRIOR


def test_a_missing_prior_is_refused_only_where_it_is_needed(images):
    with pytest.raises(AffectError, match="prior"):
        EMMA(CONFIG)
    assert EMMA(replace(CONFIG, va_source="vit_scores"))(images).valence_arousal.shape == (4, 2)


def test_an_unknown_va_source_is_refused():
    with pytest.raises(AffectError, match="both_scores"):
        EMMAConfig(va_source="middle_name")


@pytest.mark.parametrize("name", ["pos_weight", "ccc_formula"])
def test_an_unknown_form_of_the_loss_is_refused_with_the_known_ones(name):
    with pytest.raises(AffectError, match=f"{name} 'other' is none of .*published"):
        EMMAConfig(**{name: "other"})


def test_init_from_mae_copies_the_encoder(images):
    mae = MAE(MAEConfig(VIT, decoder_width=16, decoder_depth=1, decoder_heads=2)).eval()
    emma = build().eval()
    emma.init_from_mae(mae)
    assert torch.equal(emma.vit(images), mae.encoder(images))
    assert emma.vit.pos_embed.requires_grad, "fine-tuning learns the positions that MAE kept fixed"


def test_bf16_autocast_trains_every_part_with_a_float32_loss(images):
    emma = build().train()
    labels = replace(
        AffectLabels.missing(4),
        valence_arousal_valid=np.ones((4, 2), bool),
        valence_arousal=np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2),
        expression_valid=np.ones(4, bool),
        action_units_valid=np.ones((4, 12), bool),
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = multitask_loss(emma(images), labels.to("cpu"))["total"]
    loss.backward()
    assert loss.dtype == torch.float32
    trained = [parameter for parameter in emma.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in trained)
