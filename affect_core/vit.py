"""The vision transformer under MAE, EMMA and CoTEX: timm's, taught to embed only the patches it is asked to see.

Sources: Dosovitskiy et al. 2021 (ViT), He et al. 2022 (MAE: LayerNorm eps 1e-6, only visible patches are encoded).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from timm.layers import resample_abs_pos_embed
from timm.models import checkpoint_seq
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from affect_core.attention import is_plain_attention
from affect_core.errors import AffectError
from affect_core.hardware import narrowed
from affect_core.patches import flatten_patches, take_patches


@dataclass(frozen=True)
class ViTConfig:
    """Size of a vision transformer; the defaults are ViT-B/16 at 224 px, as in the paper.

    image_size  side of the square input, pixels; a multiple of patch_size
    patch_size  side of a patch, pixels
    width       channels of a token; a multiple of heads
    depth       number of transformer blocks
    heads       attention heads of a block
    mlp_ratio   hidden width of a block's MLP / width
    drop_path   stochastic depth of the last block in training, growing linearly from 0 (published EMMA and CoTEX: 0.1)
    readout     what a head reads: "class_token", as published, or "patch_tokens", all patch tokens in a row. MAE never
                asks the class token for anything, so it must learn during fine-tuning to gather from the patches, which
                was slow in our short trials; small models read the patches themselves (ours, see the README).
    """

    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_ratio: float = 4.0
    drop_path: float = 0.1
    readout: Literal["class_token", "patch_tokens"] = "class_token"

    def __post_init__(self):
        if min(self.image_size, self.patch_size, self.width, self.heads, self.depth) < 1:
            raise AffectError("image_size, patch_size, width, depth and heads of a ViT are at least 1")
        if self.image_size % self.patch_size:
            raise AffectError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        if self.width % self.heads:
            raise AffectError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.readout not in ("class_token", "patch_tokens"):
            raise AffectError(f'readout is "class_token" or "patch_tokens", not {self.readout!r}')

    @property
    def grid_size(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size

    @property
    def num_patches(self) -> int:
        """L, patches of an image."""
        return self.grid_size**2

    @property
    def feature_width(self) -> int:
        """F, numbers that a head reads."""
        return self.width * (self.num_patches if self.readout == "patch_tokens" else 1)


class ViTEncoder(VisionTransformer):
    """Images to tokens, with all patches or with a subset of them per image.

    It is a timm VisionTransformer, so parameter names (cls_token, pos_embed, patch_embed.proj, blocks, norm, head) are
    those of published checkpoints and timm's tools work on it. `head` maps features to outputs; the encoder never
    applies it itself: `encoder.head(encoder.features(images))`.
    """

    def __init__(self, config: ViTConfig, head: nn.Module | None = None):
        super().__init__(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.width,
            depth=config.depth,
            num_heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            drop_path_rate=config.drop_path,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            num_classes=0,
        )
        self.config = config
        if head is not None:
            self.head = head
            initialise_head(head)

    def forward(self, images: Tensor, ids_keep: Tensor | None = None) -> Tensor:
        """Tokens after the final LayerNorm, class token first: (N, 1 + L, D), or (N, 1 + K, D) for K kept patches.

        images    (N, 3, H, W), normalised; H = W = config.image_size
        ids_keep  (N, K) int64, which patches each image shows, row by row from the top left; None shows all.
                  Hidden patches are left out before the linear projection, so they cost nothing.
        Raises AffectError for images of another size.
        """
        tokens = self._through(self.blocks, self._embedded(images, ids_keep))
        return self.summary_first(self.norm(tokens))

    def _through(self, blocks: nn.Sequential, tokens: Tensor) -> Tensor:
        """Tokens after `blocks`; with timm's `set_grad_checkpointing` they are computed again for the gradient."""
        if self.grad_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint_seq(blocks, tokens)
        return blocks(tokens)

    def _embedded(self, images: Tensor, ids_keep: Tensor | None) -> Tensor:
        """What enters the first block, (N, P + L, D) or (N, P + K, D)."""
        size = self.config.image_size
        if images.shape[1:] != (3, size, size):
            raise AffectError(f"this model takes images of 3 x {size} x {size}, not {tuple(images.shape[1:])}")
        prefix, positions = self._prefix_and_positions()  # (1, P, D), (1, L, D)
        if ids_keep is None:
            patches = self.patch_embed(images) + positions
        else:
            visible = take_patches(flatten_patches(images, self.config.patch_size), ids_keep)  # (N, K, 3 * p * p)
            projection = self.patch_embed.proj
            patches = self.patch_embed.norm(F.linear(visible, projection.weight.flatten(1), projection.bias))
            patches = patches + take_patches(positions.expand(len(images), -1, -1), ids_keep)
        return narrowed(self.norm_pre(torch.cat([prefix.expand(len(images), -1, -1), patches], dim=1)))

    def summary_first(self, tokens: Tensor) -> Tensor:
        """Tokens of all kinds (N, P + K, D) -> one token about the whole face, then the patches: (N, 1 + K, D).

        The first is the class token; in an architecture without one (see `backbones`) the mean of the patches. Register
        tokens are left out.
        """
        if self.has_class_token and self.num_prefix_tokens == 1:
            return tokens
        patches = tokens[:, self.num_prefix_tokens :]
        first = tokens[:, :1] if self.has_class_token else patches.mean(dim=1, keepdim=True)
        return torch.cat([first, patches], dim=1)

    def features(self, images: Tensor, ids_keep: Tensor | None = None) -> Tensor:
        """What a head reads, (N, config.feature_width); arguments as in `forward`.

        With readout "patch_tokens" hidden patches count as 0 and visible ones L / K times, as dropout does, so that
        training on parts and testing on whole faces see features of one scale.

        In training the last block answers for the class token alone if that is what is read: the same numbers for 7 %
        less work (ViT-B). Otherwise every token passes it, for those who look inside.
        """
        if self.config.readout == "class_token":
            if not self.training or type(self) is not ViTEncoder or not is_plain(self.blocks[-1]):
                return self(images, ids_keep)[:, 0]
            tokens = self._through(self.blocks[:-1], self._embedded(images, ids_keep))
            return self.norm(block_for(self.blocks[-1], tokens, slice(0, 1)))[:, 0]
        patches = self(images, ids_keep)[:, 1:]  # (N, K, D), class token dropped
        if ids_keep is not None:
            n, kept, width = patches.shape
            scaled = patches * (self.config.num_patches / kept)
            whole = scaled.new_zeros(n, self.config.num_patches, width)
            patches = whole.scatter(1, ids_keep.unsqueeze(-1).expand(-1, -1, width), scaled)  # (N, L, D)
        return patches.flatten(1)  # (N, L * D)

    def load_encoder(self, source: ViTEncoder) -> None:
        """Copy everything but the head from `source`, resampling its position embeddings if its image size differs.

        Raises AffectError if the architectures differ: patch size, width, depth, heads, tokens, kinds of layers.
        """
        if _architecture(self) != _architecture(source):
            raise AffectError(f"the pretrained encoder is {source.config}, this model needs {self.config}")
        weights = {name: tensor for name, tensor in source.state_dict().items() if not name.startswith("head.")}
        weights["pos_embed"] = resample_positions(weights["pos_embed"], self.config.grid_size, self._embedded_prefix)
        kept_head = {name: tensor for name, tensor in self.state_dict().items() if name.startswith("head.")}
        self.load_state_dict({**weights, **kept_head})

    def initialise_for_mae(self, positions: Tensor) -> None:
        """Start as MAE does: fixed positions (1, 1 + L, D), small tokens, the patch projection like a linear layer."""
        projection = self.patch_embed.proj
        nn.init.xavier_uniform_(projection.weight.view(self.config.width, -1))
        if projection.bias is not None:
            nn.init.zeros_(projection.bias)
        for token in self._prefix_tokens():
            nn.init.normal_(token, std=0.02)
        zeros = positions.new_zeros(1, self._embedded_prefix, self.config.width)
        self.pos_embed.data.copy_(torch.cat([zeros, positions[:, 1:]], dim=1))
        self.pos_embed.requires_grad_(False)

    def _prefix_tokens(self) -> list[nn.Parameter]:
        return [token for token in (self.cls_token, self.reg_token) if token is not None]

    @property
    def _embedded_prefix(self) -> int:
        """Prefix tokens that have a row in pos_embed."""
        return 0 if self.no_embed_class else self.num_prefix_tokens

    def _prefix_and_positions(self) -> tuple[Tensor, Tensor]:
        """Class and register tokens with their positions (1, P, D), and the positions of the patches (1, L, D)."""
        embedded = self._embedded_prefix
        prefix = torch.cat([self.pos_embed[:, :0], *self._prefix_tokens()], dim=1)  # (1, P, D)
        return (prefix + self.pos_embed[:, :embedded] if embedded else prefix), self.pos_embed[:, embedded:]


def is_plain(block: nn.Module) -> bool:
    """Whether `block_for` may stand for `block`: what it does not call itself is timm's own, not exchanged (LoRA), and
    has no hook."""
    if type(block) is not Block or not is_plain_attention(block.attn):
        return False
    if block.attn.proj_drop.p or block.attn.qkv.bias is None:
        return False
    hooks = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
    return not any(getattr(module, kind) for module in (block, block.attn, block.attn.qkv) for kind in hooks)


def block_for(block: Block, tokens: Tensor, rows: slice) -> Tensor:
    """What timm's plain `block` gives for tokens[:, rows]: (N, T, D) -> (N, R, D). They look at all, others at none.

    In training it draws the same numbers for stochastic depth as the whole block. The attention must be timm's without
    norms of queries and keys.
    """
    attention, asking = block.attn, tokens[:, rows]
    n, count, width = asking.shape
    normed = block.norm1(tokens)
    weight, bias = attention.qkv.weight, attention.qkv.bias
    query = F.linear(normed[:, rows], weight[:width], bias[:width])
    key, value = F.linear(normed, weight[width:], bias[width:]).chunk(2, dim=-1)
    query, key, value = (part.reshape(n, -1, attention.num_heads, attention.head_dim).transpose(1, 2)
                         for part in (query, key, value))  # fmt: skip
    if attention.fused_attn:
        gathered = F.scaled_dot_product_attention(query, key, value)
    else:
        gathered = ((query * attention.scale) @ key.transpose(-2, -1)).softmax(dim=-1) @ value
    gathered = attention.proj(gathered.transpose(1, 2).reshape(n, count, width))
    asking = asking + block.drop_path1(block.ls1(gathered))
    return asking + block.drop_path2(block.ls2(block.mlp(block.norm2(asking))))


def resample_positions(pos_embed: Tensor, grid_size: int, num_prefix_tokens: int = 1) -> Tensor:
    """Position embeddings (1, P + L, D) of a square grid interpolated to grid_size x grid_size (timm, bicubic)."""
    return resample_abs_pos_embed(pos_embed, new_size=[grid_size, grid_size], num_prefix_tokens=num_prefix_tokens)


def _architecture(encoder: ViTEncoder) -> tuple:
    """What two encoders must share to compute the same from the same weights, whatever their image size."""
    layers = [(name, type(module).__name__.removeprefix("Short"), getattr(module, "eps", None))
              for name, module in encoder.named_modules()
              if name and not name.startswith("head") and "drop_path" not in name]  # fmt: skip
    shapes = {name: tensor.shape for name, tensor in encoder.state_dict().items()
              if name != "pos_embed" and not name.startswith("head.")}  # fmt: skip
    return encoder.config.patch_size, encoder.config.heads, encoder.no_embed_class, layers, shapes


def initialise_head(head: nn.Module) -> None:
    """Small random weights, no biases, for every linear layer of a head."""
    for module in head.modules():
        if isinstance(module, nn.Linear):
            # 0.02 as usual; less for the many inputs of a "patch_tokens" readout, so that first logits stay below 1
            nn.init.trunc_normal_(module.weight, std=0.02 * min(1.0, 1000 / module.in_features))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
