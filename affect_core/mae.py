"""Masked auto-encoder: hide most of a face, encode what is left, reconstruct the rest (idea 1, the facial prior).

Source: He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022. Written from the paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import torch
from timm.layers import build_sincos2d_pos_embed
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from affect_core.backbones import build_encoder
from affect_core.distributed import Share
from affect_core.hardware import narrowed
from affect_core.patches import num_visible, random_noise, take_patches
from affect_core.vit import ViTConfig, block_for, is_plain


@dataclass(frozen=True)
class MAEConfig:
    """Encoder size, decoder size and masking; the defaults are the reference recipe for ViT-B/16.

    vit            the encoder; its drop_path is not used, because the mask is the only noise of pretraining
    decoder_width, decoder_depth, decoder_heads   the light decoder
    mask_ratio     share of patches hidden from the encoder, in [0, 1)
    norm_pix_loss  normalise each target patch to mean 0 and variance 1 (better features, blurrier pictures)
    """

    vit: ViTConfig = field(default_factory=ViTConfig)
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    mask_ratio: float = 0.75
    norm_pix_loss: bool = True


class MAEOutput(NamedTuple):
    """loss (), the mean squared error over hidden patches; prediction (N, L, p*p*3); mask (N, L), 1 where hidden."""

    loss: Tensor
    prediction: Tensor
    mask: Tensor


class Reconstruction(NamedTuple):
    """Pictures of one pass, all (N, 3, H, W) in the scale of the input except mask (N, 1, H, W), 1 where hidden.

    visible     the input with hidden patches set to 0, the mean colour of normalised images
    prediction  every patch as the decoder draws it
    completed   the input where it was visible, the prediction where it was hidden
    """

    visible: Tensor
    prediction: Tensor
    completed: Tensor
    mask: Tensor


class MAE(nn.Module):
    """Encoder on visible patches, decoder on all, squared error on hidden ones."""

    def __init__(self, config: MAEConfig):
        super().__init__()
        self.config = config
        vit = config.vit
        width = config.decoder_width
        self.encoder = build_encoder(replace(vit, drop_path=0.0))

        self.decoder_embed = nn.Linear(vit.width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.decoder_pos_embed = nn.Parameter(sincos_positions(vit.grid_size, width), requires_grad=False)
        norm_layer = partial(nn.LayerNorm, eps=1e-6)
        self.decoder_blocks = nn.Sequential(
            *(Block(width, config.decoder_heads, vit.mlp_ratio, qkv_bias=True, norm_layer=norm_layer)
              for _ in range(config.decoder_depth))
        )  # fmt: skip
        self.decoder_norm = norm_layer(width)
        self.decoder_pred = nn.Linear(width, vit.patch_size**2 * 3)
        self._initialise()

    # -- images <-> patches --------------------------------------------------------------------------------------------
    def patchify(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, L, p*p*3); within a patch row, column, channel."""
        p = self.config.vit.patch_size
        n, _, height, width = images.shape
        patches = images.reshape(n, 3, height // p, p, width // p, p)
        patches = patches.permute(0, 2, 4, 3, 5, 1)  # (N, rows, columns, p, p, 3)
        return patches.reshape(n, -1, p * p * 3)

    def unpatchify(self, patches: Tensor) -> Tensor:
        """(N, L, p*p*3) -> (N, 3, H, W), the inverse of `patchify`."""
        p, grid = self.config.vit.patch_size, self.config.vit.grid_size
        images = patches.reshape(len(patches), grid, grid, p, p, 3)
        images = images.permute(0, 5, 1, 3, 2, 4)  # (N, 3, rows, p, columns, p)
        return images.reshape(len(patches), 3, grid * p, grid * p)

    # -- masking -------------------------------------------------------------------------------------------------------
    def random_masking(
        self,
        n: int,
        mask_ratio: float | None = None,
        *,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Show each of n images a random subset of patches: those with the smallest noise.

        noise (n, L) decides; by default it is uniform, drawn from `generator`.
        Returns ids_keep (n, K), the visible patches; ids_restore (n, L), where each patch stands after shuffling;
        mask (n, L) float, 1 where hidden.
        """
        num_patches = self.config.vit.num_patches
        keep = num_visible(num_patches, self.config.mask_ratio if mask_ratio is None else mask_ratio)
        if noise is None:
            noise = random_noise(n, num_patches, self.mask_token.device, generator)
        ids_shuffle = noise.argsort(dim=1, stable=True)
        ids_restore = ids_shuffle.argsort(dim=1, stable=True)
        mask = (ids_restore >= keep).float()
        return ids_shuffle[:, :keep], ids_restore, mask

    # -- encoder, decoder, loss ----------------------------------------------------------------------------------------
    def forward(
        self,
        images: Tensor,
        *,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        mask_ratio: float | None = None,
    ) -> MAEOutput:
        """One pass over normalised images (N, 3, H, W); see `random_masking` for noise, generator, mask_ratio."""
        ids_keep, ids_restore, mask = self.random_masking(len(images), mask_ratio, noise=noise, generator=generator)
        prediction = self.decode(self.encoder(images, ids_keep), ids_restore)
        return MAEOutput(self.reconstruction_loss(images, prediction, mask), prediction, mask)

    def training_loss(
        self,
        images: Tensor,
        *,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        share: Share | None = None,
    ) -> Tensor:
        """The loss of `forward`, at the cost of the hidden patches alone: what pretraining minimises.

        The decoder reads its tokens in shuffled order, visible ones first, each with the position of its patch; its
        last block answers for hidden ones only, and only hidden patches are normalised as targets. The images may be a
        process's `share` of a batch; the loss is theirs alone.
        """
        if noise is None:
            noise = random_noise(len(images), self.config.vit.num_patches, images.device, generator, share)
        ids_shuffle = noise.argsort(dim=1, stable=True)  # visible patches first, as in `random_masking`
        keep = num_visible(self.config.vit.num_patches, self.config.mask_ratio)
        ids_keep = ids_shuffle[:, :keep]
        if keep == ids_shuffle.shape[1]:
            return self(images, noise=noise).loss  # nothing hidden
        tokens = self.decoder_embed(self.encoder(images, ids_keep))  # (N, 1 + K, decoder_width)
        positions = take_patches(self.decoder_pos_embed[:, 1:].expand(len(images), -1, -1), ids_shuffle)
        hidden = self.mask_token + positions[:, keep:]
        class_token = tokens[:, :1] + self.decoder_pos_embed[:, :1]
        tokens = narrowed(torch.cat([class_token, tokens[:, 1:] + positions[:, :keep], hidden], dim=1))
        tokens, last = self.decoder_blocks[:-1](tokens), self.decoder_blocks[-1]
        rows = slice(1 + keep, None)
        decoded = block_for(last, tokens, rows) if is_plain(last) else last(tokens)[:, rows]
        prediction = self.decoder_pred(self.decoder_norm(decoded))  # (N, L - K, p*p*3)
        target = take_patches(self.patchify(images.float()), ids_shuffle[:, keep:])
        if self.config.norm_pix_loss:
            target = _normalise_patches(target)
        return F.mse_loss(prediction.float(), target)

    def decode(self, tokens: Tensor, ids_restore: Tensor) -> Tensor:
        """Visible tokens (N, 1 + K, D) -> prediction of every patch (N, L, p*p*3)."""
        class_token, visible = self.decoder_embed(tokens).split([1, tokens.shape[1] - 1], dim=1)
        hidden = self.mask_token.to(visible.dtype).expand(len(visible), ids_restore.shape[1] - visible.shape[1], -1)
        patches = take_patches(torch.cat([visible, hidden], dim=1), ids_restore)  # (N, L, D), in image order
        tokens = narrowed(torch.cat([class_token, patches], dim=1) + self.decoder_pos_embed)
        tokens = self.decoder_norm(self.decoder_blocks(tokens))
        return self.decoder_pred(tokens[:, 1:])  # class token dropped

    def reconstruction_loss(self, images: Tensor, prediction: Tensor, mask: Tensor) -> Tensor:
        """Mean over hidden patches of the mean squared error of a patch, in float32; 0 if nothing is hidden."""
        target = self.patchify(images.float())
        if self.config.norm_pix_loss:
            target = _normalise_patches(target)
        error = (prediction.float() - target).square().mean(dim=-1)  # (N, L)
        return (error * mask).sum() / mask.sum().clamp(min=1)

    # -- pictures ------------------------------------------------------------------------------------------------------
    @torch.no_grad()
    def reconstruct(
        self,
        images: Tensor,
        *,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        mask_ratio: float | None = None,
    ) -> Reconstruction:
        """Pictures of what the model sees and draws, in the scale of `images`.

        A model with norm_pix_loss predicts each patch up to its mean and contrast; these are borrowed from the true
        patch, as in the MAE paper's figures, so such a picture looks better than what the model alone knows.
        """
        output = self(images, noise=noise, generator=generator, mask_ratio=mask_ratio)
        patches = output.prediction.float()
        if self.config.norm_pix_loss:
            mean, std = _patch_statistics(self.patchify(images.float()))
            patches = patches * std + mean
        prediction = self.unpatchify(patches)
        mask = self.unpatchify(output.mask.unsqueeze(-1).expand_as(patches))  # (N, 3, H, W)
        return Reconstruction(
            visible=images * (1 - mask),
            prediction=prediction,
            completed=images * (1 - mask) + prediction * mask,
            mask=mask[:, :1],
        )

    def _initialise(self) -> None:
        """Xavier-uniform linear layers (the patch projection counts as one), fixed sin-cos positions, small tokens."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.encoder.initialise_for_mae(sincos_positions(self.config.vit.grid_size, self.config.vit.width))
        nn.init.normal_(self.mask_token, std=0.02)


def sincos_positions(grid_size: int, width: int) -> Tensor:
    """Fixed 2-D position embeddings (1, 1 + L, width), zero for the class token. Width is a multiple of 4.

    The first half of the channels encodes the column, the second half the row; each half is the sines of
    position / 10000^(k / (width / 4)), k = 0, 1, ..., then the cosines.
    """
    row_then_column = build_sincos2d_pos_embed([grid_size, grid_size], dim=width, interleave_sin_cos=True)  # (L, width)
    positions = row_then_column.roll(width // 2, dims=1)
    return torch.cat([torch.zeros(1, width), positions]).unsqueeze(0)


def _patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each patch, (N, L, 1); variance with n - 1, plus 1e-6, as in the reference."""
    return patches.mean(dim=-1, keepdim=True), (patches.var(dim=-1, keepdim=True) + 1e-6).sqrt()


def _normalise_patches(patches: Tensor) -> Tensor:
    """(patches - mean) / std of `_patch_statistics`, by layer_norm, which is several times faster on a CPU.

    layer_norm divides by sqrt(v + e) with v over n instead of n - 1; hence the factor and the smaller e.
    """
    n = patches.shape[-1]
    share = (n - 1) / n
    return F.layer_norm(patches, (n,), eps=1e-6 * share) * share**0.5
