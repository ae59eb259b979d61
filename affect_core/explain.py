"""Where a vision transformer looks, and what its answer depends on.

Attention maps and rollout read the network; occlusion asks it. They need not agree: attention says where a layer
gathers from, not what decides (Jain and Wallace 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from affect_core.attention import attention_layers, fused_attention
from affect_core.dan import DAN
from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS
from affect_core.vit import ViTEncoder


@torch.no_grad()
def attention_matrices(model: nn.Module, images: Tensor, **options) -> Tensor:
    """Attention of every block of one ViT: (N, depth, heads, T, T), each row summing to 1.

    T = 1 + patches, the class token first; of an encoder with registers or without a class token,
    `encoder.num_prefix_tokens` + patches.

    model    a ViTEncoder, or a model that holds exactly one (EMMA); of a CoTEX, pass one of `model.views`
    images   (N, 3, H, W), normalised, on the model's device; `options` go to the model (e.g. ids_keep)
    Entry [n, block, head, i, j] is how much token i gathers from token j. The model runs in eval mode and is left as
    it was found. Raises AffectError if it holds no timm attention, or several encoders.
    """
    encoders = [module for module in model.modules() if hasattr(module, "blocks") and attention_layers(module)]
    if len(encoders) != 1:
        raise AffectError(
            f"attention maps need a model with one ViT encoder; {type(model).__name__} holds {len(encoders)}."
        )
    collected: list[Tensor] = []
    with _eval_mode(model), _written_out(encoders[0], collected):
        model(images, **options)
    return torch.stack(collected, dim=1).float()  # (N, depth, heads, T, T)


def class_token_maps(attention: Tensor, *, prefix: int = 1) -> Tensor:
    """What the first token gathers from each patch: (..., T, T) -> (..., g, g); renormalised to sum to 1.

    prefix: tokens before the patches, class and registers. T - prefix must be a square: every patch is needed (no
    ids_keep).
    """
    return _as_grid(attention[..., 0, prefix:])


def readout_maps(attention: Tensor, readout: str, encoder: ViTEncoder | None = None) -> Tensor:
    """What the tokens that a head reads gather from each patch: (..., T, T) -> (..., g, g), summing to 1.

    readout  "class_token": that token's row, or, where the architecture has none, the mean of all patches' rows;
             "patch_tokens": that mean (see `vit.ViTConfig`)
    encoder  whose attention it is, for the tokens before its patches; None: one class token
    """
    prefix, has_class_token = (1, True) if encoder is None else (encoder.num_prefix_tokens, encoder.has_class_token)
    if readout == "class_token" and has_class_token:
        return class_token_maps(attention, prefix=prefix)
    return _as_grid(attention[..., prefix:, prefix:].mean(-2))


def attention_rollout(attention: Tensor, *, residual: float = 0.5) -> Tensor:
    """Attention followed through the blocks: (N, depth, heads, T, T) -> (N, depth, T, T).

    R_l = A_l R_(l-1), R_0 = I, with A_l = (1 - residual) mean of heads + residual I, rows summing to 1.
    [n, l, 0, 1:] is what reaches the class token from each patch of the input through blocks 1..l; the last l is the
    usual rollout.
    Source: Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers", equation 1.
    """
    fused = attention.float().mean(2)  # (N, depth, T, T)
    fused = fused / fused.sum(-1, keepdim=True)  # rows of rounded halves do not sum to 1
    mixed = (1 - residual) * fused + residual * torch.eye(fused.shape[-1], device=fused.device)
    rolled = [mixed[:, 0]]
    for block in range(1, mixed.shape[1]):
        rolled.append(mixed[:, block] @ rolled[-1])
    return torch.stack(rolled, dim=1)


def attention_distance(attention: Tensor, *, prefix: int = 1) -> Tensor:
    """How far patches look: mean distance in patches, (N, depth, heads, T, T) -> (depth, heads).

    Distances are weighted by attention. Small: the head is local, as a convolution. prefix: tokens before the patches.
    Source: Dosovitskiy et al. 2021, figure 7.
    """
    between = attention[..., prefix:, prefix:]
    side = _side(between.shape[-1])
    rows = torch.arange(side, dtype=between.dtype, device=between.device)
    places = torch.cartesian_prod(rows, rows)  # (L, 2)
    distance = torch.cdist(places, places)
    weight = between / between.sum(-1, keepdim=True).clamp_min(1e-12)
    return (weight * distance).sum(-1).mean(dim=(0, -1))


@torch.no_grad()
def spatial_attention_maps(model: DAN, images: Tensor) -> Tensor:
    """Where each cross-attention head of the expression CNN looks: (N, heads, g, g), at least 0, each summing to 1.

    images (N, 3, H, W), normalised, on the model's device. The model runs in eval mode and is left as it was found.
    Unlike a transformer's attention these maps multiply the features: what has weight 0 cannot reach the answer.
    """
    with _eval_mode(model):
        trunk = model.features(images)
        heads = [getattr(model, f"cat_head{index}") for index in range(model.config.num_heads)]
        maps = torch.cat([head.sa.attention_map(trunk) for head in heads], dim=1)  # (N, heads, g, g)
    return maps / maps.sum(dim=(-2, -1), keepdim=True).clamp_min(1e-12)


@torch.no_grad()
def occlusion_sensitivity(
    score: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    window: int,
    stride: int,
    fill: float | Tensor = 0.0,
    batch_size: int = 64,
) -> Tensor:
    """How much a score falls when a pixel is covered: (N, H, W), in the score's own unit.

    A square is moved over the face; a pixel's value is the mean, over the squares that cover it, of score(face) minus
    score(covered face). Positive: the place speaks for the answer, negative: against.

    score      images (B, 3, H, W) -> (B,), e.g. `lambda x: model(x).valence_arousal[:, 1]`; the model in eval mode
    images     (N, 3, H, W), normalised
    window     side of the square, pixels;  stride its step, pixels, at most the window (a last step ends at the border)
    fill       what covers, in the scale of `images`: 0 is the mean colour of normalised images; or (3,) by channel
    Source: Zeiler and Fergus 2014, section 4.2. Raises AffectError if the window does not fit or would leave gaps.
    """
    n, _, height, width = images.shape
    if not 1 <= stride <= window <= min(height, width):
        raise AffectError(
            f"occlusion needs 1 <= stride <= window <= image size; "
            f"got a stride of {stride}, a window of {window} and images of {height} x {width} px."
        )
    corners = [(top, left) for top in _steps(height, window, stride) for left in _steps(width, window, stride)]
    covers = torch.zeros(len(corners), 1, height, width, dtype=torch.bool, device=images.device)
    for index, (top, left) in enumerate(corners):
        covers[index, :, top : top + window, left : left + window] = True
    colour = torch.as_tensor(fill, dtype=images.dtype, device=images.device).reshape(1, -1, 1, 1)
    drops = torch.empty(n, len(corners), device=images.device)
    for index, image in enumerate(images):
        whole = score(image[None]).float()
        for start in range(0, len(corners), batch_size):
            part = covers[start : start + batch_size]
            drops[index, start : start + len(part)] = whole - score(torch.where(part, colour, image[None])).float()
    weight = covers[:, 0].float()  # (K, H, W)
    return torch.einsum("nk,khw->nhw", drops, weight) / weight.sum(0)


def occlusion_of_class(
    probabilities: Callable[[Tensor], Tensor], images: Tensor, classes: Tensor, *, window: int, stride: int, **options
) -> Tensor:
    """`occlusion_sensitivity` of P(classes[n]) of each face n: (N, H, W), drop of a probability (or of a logit).

    probabilities  images (B, 3, H, W) -> (B, C), or logits;  classes (N,) int64, one class a face
    """
    maps = [
        occlusion_sensitivity(_column(probabilities, index), image[None], window=window, stride=stride, **options)
        for image, index in zip(images, classes.tolist(), strict=True)
    ]
    return torch.cat(maps)


def action_unit_score(model: nn.Module, unit: int) -> Callable[[Tensor], Tensor]:
    """A `score` of `occlusion_sensitivity`: images (B, 3, H, W) -> (B,), the logit of an action unit, e.g. 12.

    Not its probability, which hardly moves where it is near 0 or 1: sigmoid' = p (1 - p). model: an EMMA, or what else
    answers with `action_unit_logits`, in eval mode.
    """
    return _column(lambda images: model(images).action_unit_logits, ACTION_UNITS.index(unit))


def expression_log_odds(logits: Tensor, classes: Tensor | int) -> Tensor:
    """log P / (1 - P) of a class (one, or one a face) from logits (N, C): (N,), exact where P is next to 0 or 1."""
    index = torch.as_tensor(classes, device=logits.device).expand(len(logits))[:, None]
    others = logits.scatter(1, index, -torch.inf)
    return logits.gather(1, index)[:, 0] - others.logsumexp(dim=1)


def _column(function: Callable[[Tensor], Tensor], index: int) -> Callable[[Tensor], Tensor]:
    return lambda images: function(images)[:, index]


def _steps(length: int, window: int, stride: int) -> list[int]:
    """Where a window starts: every `stride`, and once flush with the end."""
    return sorted({*range(0, length - window + 1, stride), length - window})


def resize_maps(maps: Tensor, size: int) -> Tensor:
    """Maps (..., g, g) resized bilinearly to (..., size, size), so that maps of several methods fit one array."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:]).float()
    return F.interpolate(flat, size=(size, size), mode="bilinear", align_corners=False).reshape(
        *maps.shape[:-2], size, size
    )


def _as_grid(values: Tensor) -> Tensor:
    side = _side(values.shape[-1])
    values = values / values.sum(-1, keepdim=True).clamp_min(1e-12)
    return values.reshape(*values.shape[:-1], side, side)


def _side(patches: int) -> int:
    side = math.isqrt(patches)
    if side * side != patches:
        raise AffectError(f"{patches} patches are not a square grid; maps need every patch of the image.")
    return side


@contextmanager
def _written_out(encoder: nn.Module, collected: list[Tensor]) -> Iterator[None]:
    """timm's attention in its literal form, whose softmax passes through `attn_drop`, where it is collected."""
    layers = attention_layers(encoder)
    hooks = [
        layer.attn_drop.register_forward_pre_hook(lambda _, inputs: collected.append(inputs[0])) for layer in layers
    ]
    try:
        with fused_attention(layers, False):
            yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, was_training in training.items():
            module.training = was_training
