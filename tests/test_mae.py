"""Masked auto-encoding: what is hidden stays hidden, and only what is hidden is scored."""

import math
from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from affect_core.distributed import Share
from affect_core.mae import MAE, MAEConfig, sincos_positions
from affect_core.vit import ViTConfig

CONFIG = MAEConfig(
    ViTConfig(image_size=32, patch_size=8, width=24, depth=1, heads=3),
    decoder_width=16, decoder_depth=1, decoder_heads=2, norm_pix_loss=False,
)  # fmt: skip


@pytest.fixture
def mae():
    torch.manual_seed(0)
    return MAE(CONFIG).eval()


@pytest.fixture
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_unpatchify_undoes_patchify(mae, images):
    assert mae.patchify(images).shape == (3, 16, 192)
    assert torch.equal(mae.unpatchify(mae.patchify(images)), images)


def test_a_patch_is_row_column_channel(mae, images):
    patch = mae.patchify(images)[0, 5].reshape(8, 8, 3)  # second row of patches, second column
    assert torch.equal(patch, images[0, :, 8:16, 8:16].permute(1, 2, 0))


def test_masking_hides_its_ratio_in_every_image(mae):
    ids_keep, ids_restore, mask = mae.random_masking(5, 0.75, generator=generator())
    assert ids_keep.shape == (5, 4)
    assert (mask.sum(dim=1) == 12).all()
    assert (mask.gather(1, ids_keep) == 0).all(), "kept patches are not hidden"
    assert (ids_restore.sort(dim=1).values == torch.arange(16)).all()


def test_the_smallest_noise_stays_visible(mae):
    noise = torch.arange(16.0).flip(0)[None]
    ids_keep, _, mask = mae.random_masking(1, 0.75, noise=noise)
    assert sorted(ids_keep[0].tolist()) == [12, 13, 14, 15]
    assert mask[0].tolist() == [1] * 12 + [0] * 4


def test_masks_repeat_with_the_generator_and_differ_between_images(mae, images):
    first, again = (mae(images, generator=generator(3)).mask for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])


def test_hidden_pixels_do_not_reach_the_prediction(mae, images):
    noise = torch.rand(3, 16, generator=generator())
    output = mae(images, noise=noise)
    hidden = mae.unpatchify(output.mask.unsqueeze(-1).expand(-1, -1, 192))
    repainted = mae(images + 7 * hidden, noise=noise)
    assert torch.equal(output.prediction, repainted.prediction)
    assert repainted.loss > output.loss


def test_loss_is_the_mean_squared_error_of_hidden_patches(mae, images):
    output = mae(images, generator=generator())
    hidden = output.mask.bool()
    expected = (output.prediction[hidden] - mae.patchify(images)[hidden]).square().mean()
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.parametrize("norm_pix_loss", [False, True])
@pytest.mark.parametrize("mask_ratio", [0.25, 0.75])
def test_the_training_loss_is_the_loss_and_has_its_gradients(images, norm_pix_loss, mask_ratio):
    torch.manual_seed(0)
    mae = MAE(replace(CONFIG, norm_pix_loss=norm_pix_loss, mask_ratio=mask_ratio))
    noise = torch.rand(3, 16, generator=generator())
    results = []
    for loss in (mae(images, noise=noise).loss, mae.training_loss(images, noise=noise)):
        mae.zero_grad()
        loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in mae.parameters() if p.requires_grad)])
    for literal, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, literal, rtol=1e-4, atol=1e-6)


def test_the_training_loss_of_nothing_hidden_is_zero(images):
    torch.manual_seed(0)
    assert MAE(replace(CONFIG, mask_ratio=0.0)).training_loss(images, generator=generator()) == 0


def test_nothing_hidden_is_loss_zero(mae, images):
    assert mae(images, mask_ratio=0.0, generator=generator()).loss == 0


def test_normalised_targets_make_the_loss_blind_to_brightness_and_contrast(images):
    torch.manual_seed(0)
    mae = MAE(replace(CONFIG, norm_pix_loss=True)).eval()
    prediction, mask = torch.randn(3, 16, 192, generator=generator()), torch.ones(3, 16)
    torch.testing.assert_close(
        mae.reconstruction_loss(images, prediction, mask),
        mae.reconstruction_loss(3 * images + 1, prediction, mask),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize("norm_pix_loss", [False, True])
def test_a_perfect_prediction_reconstructs_the_image(images, norm_pix_loss):
    torch.manual_seed(0)
    mae = MAE(replace(CONFIG, norm_pix_loss=norm_pix_loss)).eval()
    target = mae.patchify(images)
    if norm_pix_loss:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    mae.decode = lambda tokens, ids_restore: target
    picture = mae.reconstruct(images, generator=generator())
    torch.testing.assert_close(picture.prediction, images, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(picture.completed, images, rtol=1e-4, atol=1e-5)
    assert picture.mask.shape == (3, 1, 32, 32)
    assert torch.equal(picture.visible, images * (1 - picture.mask))


def test_visible_pixels_are_completed_by_themselves(mae, images):
    picture = mae.reconstruct(images, generator=generator())
    visible = (picture.mask == 0).expand_as(images)
    assert torch.equal(picture.completed[visible], images[visible])


def test_positions_are_fixed_and_tell_rows_from_columns(mae):
    assert not mae.encoder.pos_embed.requires_grad
    assert not mae.decoder_pos_embed.requires_grad
    positions = sincos_positions(4, 24)[0, 1:].reshape(4, 4, 24)
    assert torch.equal(positions[0, :, :12], positions[3, :, :12]), "first half: the column, equal in every row"
    assert torch.equal(positions[:, 0, 12:], positions[:, 3, 12:]), "second half: the row, equal in every column"
    assert len(positions.reshape(16, 24).unique(dim=0)) == 16


def test_it_learns_one_picture(images):
    torch.manual_seed(0)
    mae = MAE(CONFIG)
    optimizer = torch.optim.AdamW(mae.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        loss = mae(images, generator=generator(step)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_bf16_autocast_keeps_the_loss_in_float32(mae, images):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = mae(images, generator=generator())
    assert output.loss.dtype == torch.float32
    assert output.loss.isfinite()


def test_defaults_are_the_reference_recipe_and_cannot_be_changed():
    config = MAEConfig()
    assert (config.decoder_width, config.decoder_depth, config.decoder_heads) == (512, 8, 16)
    assert config.mask_ratio == 0.75 and config.norm_pix_loss is True and config.vit == ViTConfig()
    with pytest.raises(FrozenInstanceError):
        config.mask_ratio = 0.5


def test_shapes_hold_for_any_number_of_images(mae):
    two = torch.randn(2, 3, 32, 32, generator=generator(2))
    assert torch.equal(mae.unpatchify(mae.patchify(two)), two)
    output = mae(two, generator=generator())
    assert output.prediction.shape == (2, 16, 192) and output.mask.shape == (2, 16)
    picture = mae.reconstruct(two, generator=generator())
    assert picture.prediction.shape == picture.visible.shape == (2, 3, 32, 32) and picture.mask.shape == (2, 1, 32, 32)
    assert torch.equal(picture.visible[0, :, 8:16, :8] == 0, (picture.mask[0, :, 8:16, :8] == 1).expand(3, -1, -1))


def test_the_mask_is_drawn_with_the_configs_ratio_unless_told(mae):
    assert mae.random_masking(2, generator=generator())[2].sum().item() == 2 * 12
    assert mae.random_masking(2, 0.25, generator=generator())[2].sum().item() == 2 * 4


def test_shuffling_and_restoring_are_inverse(mae):
    noise = torch.rand(2, 16, generator=generator())
    ids_keep, ids_restore, mask = mae.random_masking(2, noise=noise)
    shuffled = noise.sort(dim=1).values
    assert torch.equal(shuffled.gather(1, ids_restore), noise)
    assert torch.equal(noise.gather(1, ids_keep), shuffled[:, :4])
    assert torch.equal(mask, (noise > shuffled[:, 3:4]).float())


def test_the_mask_is_the_only_noise_of_pretraining(images):
    torch.manual_seed(0)
    mae = MAE(replace(CONFIG, vit=replace(CONFIG.vit, depth=3, drop_path=0.5))).train()
    losses = [mae(images, generator=generator(3)).loss.item() for _ in range(4)]
    assert len(set(losses)) == 1


def test_first_weights_are_xavier_small_tokens_and_no_biases():
    torch.manual_seed(0)
    mae = MAE(replace(CONFIG, vit=replace(CONFIG.vit, width=192), decoder_width=96))
    linear = [module for module in mae.modules() if isinstance(module, torch.nn.Linear)]
    assert not any(module.bias.any() for module in linear) and not mae.encoder.patch_embed.proj.bias.any()
    for weight in (*(module.weight for module in linear), mae.encoder.patch_embed.proj.weight.flatten(1)):
        bound = (6 / sum(weight.shape)) ** 0.5
        assert 0.95 * bound < weight.abs().max() <= bound
    for token in (mae.encoder.cls_token, mae.mask_token):
        assert 0.01 < token.std().item() < 0.03
    assert torch.equal(mae.encoder.pos_embed, sincos_positions(4, 192))


def test_positions_are_sines_then_cosines_of_the_column_then_of_the_row():
    positions = sincos_positions(3, 16)[0]
    assert not positions[0].any(), "the class token has none"
    for row in range(3):
        for column in range(3):
            expected = []
            for place in (column, row):
                angles = [place / 10000 ** (k / 4) for k in range(4)]
                expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
            torch.testing.assert_close(positions[1 + 3 * row + column], torch.tensor(expected))


def test_one_hidden_patch_costs_its_own_error(mae, images):
    prediction, mask = torch.zeros(3, 16, 192), torch.zeros(3, 16)
    mask[1, 5] = 1
    expected = images[1, :, 8:16, 8:16].square().mean()
    torch.testing.assert_close(mae.reconstruction_loss(images, prediction, mask), expected)


@pytest.mark.parametrize("contrast", [1.0, 1e-3, 0.0])
def test_normalised_targets_have_mean_zero_and_the_variance_of_the_reference(contrast):
    torch.manual_seed(0)
    mae = MAE(replace(CONFIG, norm_pix_loss=True)).eval()
    image = 0.5 + contrast * torch.randn(1, 3, 32, 32, generator=generator())
    patches = mae.patchify(image)
    target = (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()
    loss = mae.reconstruction_loss(image, target, torch.ones(1, 16))
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_a_patch_without_contrast_is_drawn_with_the_smallest_contrast():
    torch.manual_seed(0)
    mae = MAE(replace(CONFIG, norm_pix_loss=True)).eval()
    grey = torch.full((2, 3, 32, 32), 0.5)
    noise = torch.rand(2, 16, generator=generator())
    drawn = mae.unpatchify(mae(grey, noise=noise).prediction)
    torch.testing.assert_close(mae.reconstruct(grey, noise=noise).prediction, 0.5 + 1e-3 * drawn, rtol=1e-5, atol=1e-7)


def test_attention_written_out_equals_timms_fused_one(mae, images):
    torch.manual_seed(0)
    mae = MAE(replace(CONFIG, decoder_depth=2)).eval()
    noise = torch.rand(3, 16, generator=generator())
    expected = mae(images, noise=noise).loss
    for fused in (False, True):
        for block in mae.decoder_blocks:
            block.attn.fused_attn = fused
        torch.testing.assert_close(mae.training_loss(images, noise=noise), expected, rtol=1e-4, atol=1e-6)


def test_the_loss_of_a_process_is_that_of_its_images_under_the_masks_of_the_batch(mae, images):
    noise = torch.rand(3, 16, generator=generator(9))
    share = Share(3, 1, 2)
    ours = mae.training_loss(images[share.rows], generator=generator(9), share=share)
    torch.testing.assert_close(ours, mae(images[2:], noise=noise[2:]).loss, rtol=1e-4, atol=1e-6)


def test_reconstruct_leaves_no_gradient_and_takes_a_ratio(mae, images):
    picture = mae.reconstruct(images, generator=generator(), mask_ratio=0.25)
    assert not picture.prediction.requires_grad
    assert picture.mask.mean().item() == 0.25


def test_the_class_token_enters_the_decoder_at_its_position_in_training_as_in_pictures(images):
    torch.manual_seed(0)
    mae = MAE(CONFIG).eval()
    mae.decoder_pos_embed.data.normal_()  # fixed ones are 0 for the class token; those of other checkpoints need not be
    noise = torch.rand(3, 16, generator=generator())
    torch.testing.assert_close(mae.training_loss(images, noise=noise), mae(images, noise=noise).loss)


def test_every_norm_of_the_decoder_has_the_papers_epsilon(mae):
    norms = [module for module in mae.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) > 4 and {norm.eps for norm in norms} == {1e-6}
