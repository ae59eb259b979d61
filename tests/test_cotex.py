"""CoTEX: independent views in training, whole images and summed logits at test time."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.distributed import Share
from affect_core.errors import AffectError
from affect_core.labels import LSD_EXPRESSIONS
from affect_core.mae import MAE, MAEConfig
from affect_core.optim import parameter_groups
from affect_core.vit import ViTConfig, ViTEncoder

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


def test_defaults_are_the_papers_and_cannot_be_changed():
    config = CoTEXConfig()
    assert (config.views, config.mask_ratio, config.js_weight) == (2, 0.75, 100.0)
    assert config.vocabulary == LSD_EXPRESSIONS and config.vit == ViTConfig()
    with pytest.raises(FrozenInstanceError):
        config.views = 3


def test_a_view_sees_the_patches_with_its_smallest_noise(images):
    cotex = build().train()
    drawn = generator(0)
    noise = [torch.rand(4, 16, generator=drawn) for _ in range(2)]
    for ids_keep, of_view in zip(cotex.draw_patches(images, generator(0)), noise, strict=True):
        assert torch.equal(of_view.gather(1, ids_keep), of_view.sort(dim=1).values[:, :4])


def test_logits_are_the_heads_answer_to_the_drawn_patches(images):
    cotex = build().train()
    kept = cotex.draw_patches(images, generator(7))
    logits = cotex(images, generator(7))
    for number, (view, ids_keep) in enumerate(zip(cotex.views, kept, strict=True)):
        torch.testing.assert_close(logits[number], view.head(view.features(images, ids_keep)))


def test_nothing_is_drawn_in_eval_mode_or_at_ratio_zero(images):
    assert build().eval().draw_patches(images) == [None, None]
    assert build(mask_ratio=0.0).train().draw_patches(images) == [None, None]
    assert build().train().draw_patches(images)[0].shape == (4, 4)


def test_a_process_draws_the_patches_of_its_rows_of_the_batch(images):
    cotex = build().train()
    whole = cotex.draw_patches(images, generator(3))
    for view in range(2):
        parts = [cotex.draw_patches(images[Share(4, rank, 2).rows], generator(3), Share(4, rank, 2))[view]
                 for rank in range(2)]  # fmt: skip
        assert torch.equal(torch.cat(parts), whole[view])


def test_a_bare_encoder_starts_the_views_too(images):
    encoder, cotex = ViTEncoder(VIT).eval(), build().eval()
    cotex.init_from_mae(encoder)
    assert all(torch.equal(view(images), encoder(images)) for view in cotex.views)


def test_layer_k_of_all_views_is_one_layer():
    cotex = build()
    rate = {id(parameter): group["lr_scale"] for group in parameter_groups(cotex, layer_decay=0.5)
            for parameter in group["params"]}  # fmt: skip
    for view in cotex.views:
        for stem in (view.cls_token, view.patch_embed.proj.weight):
            assert rate[id(stem)] == 0.5**3
        assert rate[id(view.blocks[0].attn.qkv.weight)] == 0.5**2
        assert rate[id(view.blocks[1].mlp.fc1.weight)] == rate[id(view.norm.weight)] == 0.5
        assert rate[id(view.head.weight)] == 1
