"""How a model's attention layers compute: fused, written out, or by kernels for few tokens; what is computed stays.

On a GPU, kernels for long sequences (FlashAttention, cuDNN) walk over keys in pieces, in the backward pass twice, and
give three gradients that must be put together again. With at most 256 tokens, as in MAE and in masked views, all keys
and values of a head fit on chip (`attention_kernels`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from timm.layers import Attention
from torch import Tensor, nn

from affect_core.errors import AffectError

MOST_TOKENS = 256
HEAD_DIMS = (16, 32, 64)


class ShortAttention(Attention):
    """timm's plain attention, same parameters, in training under bf16 autocast on a GPU by the kernels for few tokens.

    A layer is one for a time, see `short_attention`; its copies, and what is pickled of it, are timm's class again.
    """

    def forward(self, x: Tensor, *args, **kwargs) -> Tensor:
        """Tokens (N, T, D) -> (N, T, D), as in the class it stands for."""
        if not self.training or not self.fused_attn or not x.is_cuda or _is_masked(args, kwargs):
            return super().forward(x, *args, **kwargs)
        if not narrows("cuda") or not attends_briefly(x.shape[1], self.head_dim):
            return super().forward(x, *args, **kwargs)
        return self.proj_drop(self.proj(attend(self.qkv(x), self.num_heads)))

    def __reduce_ex__(self, protocol):
        return _blank_attention, (), self.__dict__


def _blank_attention() -> Attention:
    return Attention.__new__(Attention)


def narrows(device_type: str) -> bool:
    """Whether autocast to bf16 is on for devices of this type."""
    return torch.is_autocast_enabled(device_type) and torch.get_autocast_dtype(device_type) == torch.bfloat16


def _is_masked(args: tuple, kwargs: dict) -> bool:
    return any(given is not None and given is not False for given in (*args, *kwargs.values()))


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Attention of packed queries, keys and values, (N, T, 3 * heads * d) in bf16 -> (N, T, heads * d).

    d is one of HEAD_DIMS, T from 1 to MOST_TOKENS. Differentiable, may be compiled; needs a CUDA device, and
    `has_kernels`. The same attention as elsewhere but for rounding. Tried on Hopper GPUs; others may lack the shared
    memory for 64 channels on 256 tokens. Raises AffectError for other sizes.
    """
    tokens, head_dim = qkv.shape[1], qkv.shape[2] // (3 * heads)
    if not attends_briefly(tokens, head_dim):
        raise AffectError(f"these kernels take 1 to {MOST_TOKENS} tokens and heads of {HEAD_DIMS} channels, "
                          f"not {tokens} and {head_dim}")  # fmt: skip
    return torch.ops.affect_core.short_attention(qkv, heads)[0]


def attends_briefly(tokens: int, head_dim: int) -> bool:
    """Whether the kernels take so many tokens and channels of a head."""
    return head_dim in HEAD_DIMS and 1 <= tokens <= MOST_TOKENS


def has_kernels() -> bool:
    """Whether the kernels for few tokens are at hand: they need Triton, which comes with PyTorch for CUDA on Linux."""
    try:
        import affect_core.attention_kernels  # noqa: F401  (registers the operators)
    except ImportError:
        return False
    return True


def attention_layers(model: nn.Module) -> list[nn.Module]:
    """timm's attention layers in `model`, in order."""
    return [module for module in model.modules() if hasattr(module, "fused_attn")]


@contextmanager
def fused_attention(layers: list[nn.Module], fused: bool) -> Iterator[None]:
    """Within, the attention layers run as one kernel, or written out; afterwards as before."""
    before = [layer.fused_attn for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = fused
        yield
    finally:
        for layer, was_fused in zip(layers, before, strict=True):
            layer.fused_attn = was_fused


@contextmanager
def short_attention(layers: list[nn.Module]) -> Iterator[None]:
    """Within, those attention layers that are timm's plain ones are ShortAttention; afterwards as before."""
    changed = [layer for layer in layers if is_plain_attention(layer) and type(layer) is Attention]
    try:
        for layer in changed:
            layer.__class__ = ShortAttention
        yield
    finally:
        for layer in changed:
            layer.__class__ = Attention


def is_plain_attention(layer: nn.Module) -> bool:
    """Whether a layer is timm's attention without norms of queries and keys, gate or dropout, its first product not
    exchanged (LoRA)."""
    if type(layer) not in (Attention, ShortAttention) or type(layer.qkv) is not nn.Linear:
        return False
    if layer.attn_drop.p or getattr(layer, "gate", None) is not None:
        return False
    return all(type(getattr(layer, name, None)) in (nn.Identity, type(None)) for name in ("q_norm", "k_norm", "norm"))
