"""Attention and occlusion: what they compute, and that they leave the model as they found it."""

import numpy as np
import pytest
import torch

from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.errors import AffectError
from affect_core.explain import (
    action_unit_score,
    attention_distance,
    attention_matrices,
    attention_rollout,
    class_token_maps,
    expression_log_odds,
    occlusion_of_class,
    occlusion_sensitivity,
    readout_maps,
    resize_maps,
    spatial_attention_maps,
)
from affect_core.labels import AffectPrediction
from affect_core.vit import ViTConfig, ViTEncoder

TINY = ViTConfig(image_size=32, patch_size=8, width=24, depth=3, heads=2)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ViTEncoder(TINY)


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_attention_rows_sum_to_one_for_every_block_and_head(encoder, images):
    attention = attention_matrices(encoder, images)
    assert attention.shape == (2, 3, 2, 17, 17)
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 3, 2, 17))
    assert (attention >= 0).all()


def test_attention_is_softmax_of_query_times_key(encoder, images):
    encoder.eval()
    block = encoder.blocks[0]
    entered = []
    hook = block.attn.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    encoder(images)
    hook.remove()
    query, key, _ = block.attn.qkv(entered[0]).reshape(2, 17, 3, 2, 12).permute(2, 0, 3, 1, 4)
    expected = (query @ key.transpose(-1, -2) / 12**0.5).softmax(-1)
    torch.testing.assert_close(attention_matrices(encoder, images)[:, 0], expected)


def test_looking_at_attention_leaves_the_model_as_it_was(encoder, images):
    encoder.train()
    encoder.norm.eval()
    fused = [block.attn.fused_attn for block in encoder.blocks]
    attention_matrices(encoder, images)
    assert encoder.training and encoder.blocks[0].training and not encoder.norm.training
    assert [block.attn.fused_attn for block in encoder.blocks] == fused
    assert not any(block.attn.attn_drop._forward_pre_hooks for block in encoder.blocks)


def test_attention_covers_only_the_patches_that_are_kept(encoder, images):
    kept = torch.tensor([[0, 5, 7], [1, 2, 3]])
    attention = attention_matrices(encoder, images, ids_keep=kept)
    assert attention.shape == (2, 3, 2, 4, 4)
    with pytest.raises(AffectError, match="square"):
        class_token_maps(attention)


def test_a_model_with_two_encoders_is_refused_and_one_view_is_accepted(images):
    cotex = CoTEX(CoTEXConfig(vit=TINY))
    with pytest.raises(AffectError, match="holds 2"):
        attention_matrices(cotex, images)
    assert attention_matrices(cotex.views[1], images).shape[1] == TINY.depth


def test_class_token_maps_put_the_first_patch_at_the_upper_left():
    attention = torch.zeros(1, 1, 1, 5, 5)
    attention[..., 0, :] = torch.tensor([0.5, 0.2, 0.1, 0.1, 0.1])
    expected = torch.tensor([[0.4, 0.2], [0.2, 0.2]])
    torch.testing.assert_close(class_token_maps(attention)[0, 0, 0], expected)


def test_rollout_equals_a_literal_loop_and_keeps_rows_summing_to_one():
    attention = torch.rand(2, 4, 3, 10, 10, generator=torch.Generator().manual_seed(2)).softmax(-1)
    rollout = attention_rollout(attention)
    for face in range(2):
        joint = torch.eye(10)
        for block in range(4):
            joint = (0.5 * attention[face, block].mean(0) + 0.5 * torch.eye(10)) @ joint
        torch.testing.assert_close(rollout[face, -1], joint)
    torch.testing.assert_close(rollout.sum(-1), torch.ones(2, 4, 10))


def test_rollout_of_the_residual_alone_is_the_identity():
    attention = torch.rand(1, 3, 2, 5, 5).softmax(-1)
    torch.testing.assert_close(attention_rollout(attention, residual=1.0)[0, -1], torch.eye(5))


def test_rollout_of_rounded_attention_is_a_distribution():
    halved = torch.rand(1, 3, 2, 200, 200).softmax(-1).bfloat16()
    torch.testing.assert_close(attention_rollout(halved).sum(-1), torch.ones(1, 3, 200))


def test_a_head_that_looks_at_itself_has_distance_zero():
    attention = torch.eye(10).expand(1, 2, 3, 10, 10)
    torch.testing.assert_close(attention_distance(attention), torch.zeros(2, 3))
    uniform = torch.full((1, 1, 1, 5, 5), 0.2)  # 2 x 2 patches: distances 0, 1, 1, sqrt 2
    assert attention_distance(uniform).item() == pytest.approx((2 + 2**0.5) / 4)


def test_log_odds_are_exact_where_a_probability_is_saturated():
    logits = torch.tensor([[0.0, 1.0, -1.0], [60.0, 0.0, 0.0]])
    expected = torch.tensor([logits[0].softmax(0)[1].logit(), 60.0 - np.log(2)], dtype=torch.float32)
    torch.testing.assert_close(expression_log_odds(logits, torch.tensor([1, 0])), expected)
    torch.testing.assert_close(expression_log_odds(logits, 0)[1], expected[1])


def test_an_action_unit_is_scored_by_its_logit_or_its_probability():
    logits = torch.arange(24.0).reshape(2, 12) - 12

    def model(images):
        return AffectPrediction(action_unit_logits=logits)

    torch.testing.assert_close(action_unit_score(model, 26)(None), logits[:, -1])
    torch.testing.assert_close(action_unit_score(model, 1)(None), logits[:, 0])


def test_occlusion_finds_the_one_pixel_a_score_reads():
    images = torch.zeros(2, 3, 16, 16)
    images[:, 1, 4, 11] = 1.0
    drops = occlusion_sensitivity(lambda x: x[:, 1, 4, 11], images, window=4, stride=1)
    assert drops.shape == (2, 16, 16)
    assert np.unravel_index(int(drops[0].argmax()), (16, 16)) == (4, 11)
    assert drops[0, 4, 11] == 1.0 and drops[0, 12, 2] == 0.0


def test_occlusion_covers_the_border_even_if_the_stride_does_not_divide():
    images = torch.ones(1, 3, 17, 17)
    drops = occlusion_sensitivity(lambda x: x[:, 0, 16, 16], images, window=5, stride=5, batch_size=3)
    assert drops.isfinite().all() and drops[0, 16, 16] > 0


def test_a_place_that_speaks_against_the_answer_is_negative():
    images = torch.ones(1, 3, 8, 8)
    assert occlusion_sensitivity(lambda x: -x[:, 0, 0, 0], images, window=2, stride=2)[0, 0, 0] == -1.0


def test_occlusion_of_class_scores_each_face_by_its_own_class():
    images = torch.ones(2, 3, 8, 8)
    drops = occlusion_of_class(lambda x: x[:, 0, 0, :4], images, torch.tensor([0, 3]), window=2, stride=2)
    assert drops[0, 0, 0] == 1 and drops[0, 0, 3] == 0 and drops[1, 0, 3] == 1 and drops[1, 0, 0] == 0


@pytest.mark.parametrize(("window", "stride"), [(9, 1), (2, 3), (0, 1)])
def test_a_window_that_leaves_gaps_or_does_not_fit_is_refused(window, stride):
    with pytest.raises(AffectError, match="stride"):
        occlusion_sensitivity(lambda x: x.sum((1, 2, 3)), torch.ones(1, 3, 8, 8), window=window, stride=stride)


def test_resized_maps_keep_a_constant():
    torch.testing.assert_close(resize_maps(torch.full((2, 3, 4, 4), 0.3), 9), torch.full((2, 3, 9, 9), 0.3))


def test_every_head_of_the_cnn_has_one_map_and_the_model_stays_as_it_was(images):
    torch.manual_seed(0)
    model = DAN(DANConfig(width=8, small_images=True)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    maps = spatial_attention_maps(model, images)
    assert maps.shape == (2, 4, 2, 2)
    assert (maps >= 0).all()
    torch.testing.assert_close(maps.sum((-2, -1)), torch.ones(2, 4))
    assert model.training and all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_readout_maps_average_the_rows_that_a_head_reads():
    attention = torch.rand(2, 3, 17, 17, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(readout_maps(attention, "class_token"), class_token_maps(attention))
    rows = attention[0, 0, 1:, 1:].mean(0)
    torch.testing.assert_close(readout_maps(attention, "patch_tokens")[0, 0].flatten(), rows / rows.sum())
