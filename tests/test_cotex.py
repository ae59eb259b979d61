"""CoTEX: independent views in training, whole images and summed logits at test time."""

from dataclasses import replace

import pytest
import torch

from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.errors import AffectError
from affect_core.labels import LSD_EXPRESSIONS
from affect_core.mae import MAE, MAEConfig
from affect_core.vit import ViTConfig

VIT = ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=3, drop_path=0.0)
CONFIG = CoTEXConfig(vit=VIT)


def build(**changes) -> CoTEX:
    torch.manual_seed(0)
    return CoTEX(replace(CONFIG, **changes))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("views", [1, 2, 3])
def test_any_number_of_views(images, views):
    assert build(views=views)(images, generator(0)).shape == (views, 4, 6)


def test_views_see_independent_subsets_of_the_right_size(images):
    one, other = build().train().draw_patches(images, generator(0))
    assert one.shape == other.shape == (4, 4)
    assert not torch.equal(one.sort().values, other.sort().values)
    assert not torch.equal(one[0].sort().values, one[1].sort().values), "each image draws its own"


def test_training_repeats_with_the_generator(images):
    cotex = build().train()
    first, again, other = (cotex(images, generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_in_eval_mode_nothing_is_hidden(images):
    cotex = build().eval()
    assert torch.equal(cotex(images), cotex(images))
    assert torch.equal(cotex(images), build(mask_ratio=0.0).eval()(images))


def test_prediction_is_the_sum_of_the_views_logits(images):
    cotex = build().eval()
    prediction = cotex.predict(images)
    torch.testing.assert_close(prediction.expression_logits, cotex(images)[0] + cotex(images)[1])
    assert prediction.vocabulary == LSD_EXPRESSIONS


def test_every_view_starts_from_the_same_mae_and_its_own_head(images):
    mae = MAE(MAEConfig(VIT, decoder_width=16, decoder_depth=1, decoder_heads=2)).eval()
    cotex = build().eval()
    cotex.init_from_mae(mae)
    one, other = cotex.views
    assert torch.equal(one(images), other(images))
    assert torch.equal(one(images), mae.encoder(images))
    assert not torch.equal(one.head.weight, other.head.weight)


def test_impossible_settings_are_refused():
    with pytest.raises(AffectError, match="view"):
        CoTEXConfig(views=0)
    with pytest.raises(AffectError, match="mask_ratio"):
        CoTEXConfig(mask_ratio=1.0)
