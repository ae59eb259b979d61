"""The encoder sees exactly the patches it is shown, at the cost of those patches only."""

from dataclasses import FrozenInstanceError, replace

import pytest
import timm
import torch
from torch import nn

from affect_core.attention import attention_layers, fused_attention
from affect_core.errors import AffectError
from affect_core.vit import ViTConfig, ViTEncoder, block_for, resample_positions

TINY = ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=3)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = ViTEncoder(TINY).eval()
    nn.init.normal_(encoder.pos_embed)
    return encoder


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_defaults_are_vit_base_at_224_px():
    assert (ViTConfig().grid_size, ViTConfig().num_patches) == (14, 196)


def test_tokens_are_class_token_and_patches(encoder, images):
    assert encoder(images).shape == (3, 17, 24)
    assert encoder(images, torch.arange(5).expand(3, -1)).shape == (3, 6, 24)


def test_visible_patches_equal_a_slow_literal_loop(encoder, images):
    ids_keep = torch.tensor([[3, 0, 15], [7, 8, 9], [1, 2, 14]])
    rows = []
    for image, ids in zip(images, ids_keep, strict=True):
        tokens = [encoder.cls_token[0, 0] + encoder.pos_embed[0, 0]]
        for patch in ids.tolist():
            top, left = patch // 4 * 8, patch % 4 * 8
            square = image[None, :, top : top + 8, left : left + 8]
            tokens.append(encoder.patch_embed.proj(square).flatten() + encoder.pos_embed[0, 1 + patch])
        rows.append(encoder.norm(encoder.blocks(torch.stack(tokens)[None]))[0])
    torch.testing.assert_close(encoder(images, ids_keep), torch.stack(rows), rtol=1e-4, atol=1e-5)


def test_keeping_every_patch_in_order_equals_keeping_all(encoder, images):
    everything = torch.arange(16).expand(3, -1)
    torch.testing.assert_close(encoder(images, everything), encoder(images), rtol=1e-4, atol=1e-5)


def test_hidden_patches_cannot_leak(encoder, images):
    ids_keep = torch.tensor([[0, 1]]).expand(3, -1)
    painted = images.clone()
    painted[:, :, 8:] = 99.0  # everything below the first row of patches
    painted[:, :, :8, 16:] = -99.0
    assert torch.equal(encoder(images, ids_keep), encoder(painted, ids_keep))


def test_the_order_of_kept_patches_does_not_change_the_class_token(encoder, images):
    one = encoder(images, torch.tensor([[2, 5, 11]]).expand(3, -1))[:, 0]
    other = encoder(images, torch.tensor([[11, 2, 5]]).expand(3, -1))[:, 0]
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_images_of_another_size_are_refused_in_words(encoder):
    with pytest.raises(AffectError, match=r"3 x 32 x 32, not \(3, 64, 64\)"):
        encoder(torch.zeros(1, 3, 64, 64))


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(AffectError, match="patch_size"):
        ViTConfig(image_size=100, patch_size=16)
    with pytest.raises(AffectError, match="heads"):
        ViTConfig(width=100, heads=3)


def test_load_encoder_copies_all_but_the_head(images):
    torch.manual_seed(2)
    source, target = ViTEncoder(TINY).eval(), ViTEncoder(TINY, nn.Linear(24, 5)).eval()
    head = target.head.weight.clone()
    target.load_encoder(source)
    assert torch.equal(target(images), source(images))
    assert torch.equal(target.head.weight, head)


def test_load_encoder_resamples_positions_to_another_image_size():
    source, target = ViTEncoder(TINY), ViTEncoder(replace(TINY, image_size=64))
    target.load_encoder(source)
    assert torch.equal(target.pos_embed, resample_positions(source.pos_embed, 8))
    assert torch.equal(target.pos_embed[:, 0], source.pos_embed[:, 0]), "the class token's position stays"


def test_load_encoder_refuses_another_architecture():
    with pytest.raises(AffectError, match="pretrained encoder"):
        ViTEncoder(replace(TINY, depth=3)).load_encoder(ViTEncoder(TINY))


def test_the_class_token_is_read_by_default_and_patch_tokens_in_a_row_on_request(encoder, images):
    assert torch.equal(encoder.features(images), encoder(images)[:, 0])
    patches = ViTEncoder(replace(TINY, readout="patch_tokens")).eval()
    patches.load_encoder(encoder)
    assert patches.config.feature_width == 16 * 24
    assert torch.equal(patches.features(images), encoder(images)[:, 1:].flatten(1))


def test_hidden_patches_read_as_zero_and_visible_ones_are_scaled_up_at_their_own_place(images):
    torch.manual_seed(0)
    encoder = ViTEncoder(replace(TINY, readout="patch_tokens")).eval()
    ids_keep = torch.tensor([[3, 0, 15, 7], [7, 8, 9, 1], [1, 2, 14, 0]])
    tokens, features = encoder(images, ids_keep), encoder.features(images, ids_keep).view(3, 16, 24)
    torch.testing.assert_close(features[0, 15], tokens[0, 3] * 4)  # the third kept patch, behind the class token
    hidden = torch.ones(3, 16, dtype=torch.bool).scatter(1, ids_keep, False)
    assert not features[hidden].any()


def test_an_unknown_readout_is_refused():
    with pytest.raises(AffectError, match="readout"):
        ViTConfig(readout="mean")


def test_the_default_encoder_has_the_shapes_of_timms_vit_base():
    with torch.device("meta"):
        ours, theirs = ViTEncoder(ViTConfig()), timm.create_model("vit_base_patch16_224", num_classes=0)
    shapes = [{name: tensor.shape for name, tensor in model.state_dict().items()} for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert ours.blocks[0].attn.num_heads == theirs.blocks[0].attn.num_heads
    assert ours.norm.eps == ours.blocks[0].norm1.eps == 1e-6
    assert [block.drop_path1.drop_prob for block in ours.blocks[1:]] == pytest.approx([k / 110 for k in range(1, 12)])
    assert ViTConfig().feature_width == 768


def test_settings_cannot_be_changed_behind_the_models_back():
    with pytest.raises(FrozenInstanceError):
        TINY.width = 48


def test_the_encoder_applies_no_head_and_a_heads_first_weights_are_small():
    torch.manual_seed(0)
    for inputs, width in ((24, 0.02), (4000, 0.005)):
        encoder = ViTEncoder(TINY, nn.Linear(inputs, 200))
        assert encoder.head.weight.std().item() == pytest.approx(width, rel=0.1)
        assert not encoder.head.bias.any()
    assert encoder(torch.zeros(1, 3, 32, 32)).shape == (1, 17, 24)


def test_load_encoder_leaves_the_heads_of_both_alone():
    source, target = ViTEncoder(TINY, nn.Linear(24, 5)), ViTEncoder(TINY)
    target.load_encoder(source)
    assert not [name for name in target.state_dict() if name.startswith("head")]
    other = ViTEncoder(replace(TINY, drop_path=0.3, readout="patch_tokens"), nn.Linear(16 * 24, 5))
    before = other.head.weight.clone()
    other.load_encoder(source)
    assert torch.equal(other.head.weight, before), "drop_path and readout may differ"
    assert torch.equal(other.pos_embed, source.pos_embed)
    for change in ({"width": 48}, {"heads": 6}, {"patch_size": 4}, {"mlp_ratio": 2.0}):
        with pytest.raises(AffectError, match="this model needs"):
            target.load_encoder(ViTEncoder(replace(TINY, **change)))


def test_visible_features_are_scaled_by_all_over_kept():
    torch.manual_seed(0)
    encoder = ViTEncoder(replace(TINY, readout="patch_tokens")).eval()
    images, ids_keep = torch.randn(1, 3, 32, 32), torch.tensor([[5]])
    features = encoder.features(images, ids_keep).view(16, 24)
    torch.testing.assert_close(features[5], 16 * encoder(images, ids_keep)[0, 1])
    assert features.any(dim=1).nonzero().tolist() == [[5]]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("ids_keep", [None, torch.tensor([[3, 0, 15], [7, 8, 9], [1, 2, 14]])])
def test_a_head_that_reads_the_class_token_trains_as_if_every_token_had_passed_the_last_block(images, ids_keep, fused):
    torch.manual_seed(0)
    encoder = ViTEncoder(replace(TINY, depth=3, drop_path=0.5)).train()  # two blocks before the last: none is left out
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    passed = []
    encoder.blocks[-1].mlp.register_forward_hook(lambda _, inputs, output: passed.append(output.shape[1]))
    results = []
    for tokens in (lambda: encoder(images, ids_keep)[:, 0], lambda: encoder.features(images, ids_keep)):
        encoder.zero_grad()
        torch.manual_seed(3)  # of the blocks that stochastic depth leaves out
        with fused_attention(attention_layers(encoder), fused):
            features = tokens()
        features.square().sum().backward()
        results.append((features.detach(), [parameter.grad for parameter in encoder.parameters()]))
    (whole, whole_gradients), (short, gradients) = results
    torch.testing.assert_close(short, whole, rtol=1e-4, atol=1e-5)
    for one, other in zip(gradients, whole_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert passed == [17 if ids_keep is None else 4, 1]
    encoder.eval().features(images, ids_keep)
    assert passed[-1] > 1, "outside training every token passes"


@pytest.mark.parametrize("fused", [True, False])
def test_a_block_answers_for_some_rows_as_it_does_for_all(encoder, fused):
    tokens = torch.randn(2, 9, 24, generator=torch.Generator().manual_seed(2))
    block = encoder.blocks[1]
    with fused_attention(attention_layers(encoder), fused):
        some, all_rows = block_for(block, tokens, slice(2, 7)), block(tokens)
    assert some.shape == (2, 5, 24)
    torch.testing.assert_close(some, all_rows[:, 2:7], rtol=1e-4, atol=1e-5)


def test_load_encoder_refuses_norms_with_another_epsilon():
    source = ViTEncoder(TINY)
    source.blocks[0].norm1.eps = 1e-5
    with pytest.raises(AffectError, match="pretrained encoder"):
        ViTEncoder(TINY).load_encoder(source)


def test_the_start_of_mae_has_small_tokens_a_linear_projection_and_fixed_positions():
    torch.manual_seed(0)
    encoder = ViTEncoder(replace(TINY, width=240))
    nn.init.ones_(encoder.patch_embed.proj.bias)
    positions = torch.randn(1, 17, 240)
    encoder.initialise_for_mae(positions)
    assert not encoder.patch_embed.proj.bias.any()
    assert encoder.cls_token.std().item() == pytest.approx(0.02, rel=0.2)
    fan_in_and_out = 3 * 8 * 8 + 240
    assert encoder.patch_embed.proj.weight.abs().max().item() == pytest.approx((6 / fan_in_and_out) ** 0.5, rel=0.01)
    assert torch.equal(encoder.pos_embed[:, 1:], positions[:, 1:]) and not encoder.pos_embed[:, 0].any()
    assert not encoder.pos_embed.requires_grad


def test_patches_of_two_images_are_their_own():
    torch.manual_seed(0)
    encoder, images = ViTEncoder(TINY).eval(), torch.randn(2, 3, 32, 32)
    ids_keep = torch.tensor([[3, 0, 15], [7, 8, 9]])
    together = encoder(images, ids_keep)
    alone = torch.cat([encoder(images[row : row + 1], ids_keep[row : row + 1]) for row in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder(images, torch.arange(16).expand(2, -1)), encoder(images), rtol=1e-4, atol=1e-5)


class LowRank(nn.Linear):
    """A stand-in for LoRA: the layer, and a small learnt product beside it."""

    def __init__(self, layer):
        super().__init__(layer.in_features, layer.out_features)
        self.load_state_dict(layer.state_dict())
        self.low = nn.Parameter(torch.full((layer.out_features, layer.in_features), 0.05))

    def forward(self, tokens):
        return super().forward(tokens) + tokens @ self.low.T


def test_an_exchanged_layer_of_the_last_block_counts_in_training_and_learns(encoder, images):
    encoder.blocks[-1].attn.qkv = LowRank(encoder.blocks[-1].attn.qkv)
    still = encoder.features(images)
    encoder.train()
    for path in encoder.modules():
        if type(path).__name__ == "DropPath":
            path.drop_prob = 0.0
    trained = encoder.features(images)
    torch.testing.assert_close(trained, still)
    trained.sum().backward()
    assert encoder.blocks[-1].attn.qkv.low.grad.abs().sum() > 0


@pytest.mark.parametrize("hook", ["register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook"])
@pytest.mark.parametrize("part", ["attn", "attn.qkv", "norm2"])
def test_hooks_on_the_last_block_are_called_in_training(encoder, images, hook, part):
    called = []
    getattr(encoder.blocks[-1].get_submodule(part), hook)(lambda *_: called.append(1))
    encoder.train().features(images).sum().backward()
    assert called


def test_gradients_are_the_same_when_activations_are_computed_again(images):
    torch.manual_seed(0)
    plain = ViTEncoder(replace(TINY, drop_path=0.0, depth=3)).train()
    again = ViTEncoder(plain.config).train()
    again.load_state_dict(plain.state_dict())
    again.set_grad_checkpointing(True)
    calls = []
    again.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    for encoder in (plain, again):
        encoder.features(images).square().sum().backward()
    assert len(calls) == 2
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
