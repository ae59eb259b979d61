"""What the hardware does well: whether it multiplies bf16 matrices, which form of attention is fast on it.

The choices are from measurements (`benchmarks/NOTES.md`); none changes what is computed, beyond rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def has_bf16(device: torch.device | str) -> bool:
    """Whether the device multiplies bf16 matrices in hardware."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


@contextmanager
def fastest_attention(model: nn.Module, device: torch.device, bf16: bool) -> Iterator[None]:
    """Within, timm's attention layers in `model` run in the form that trains fastest on the device.

    That is the fused kernel, except in bf16 on the CPU, where its backward pass takes 2 to 6 times the time of
    attention written out as two matrix products and a softmax (torch 2.14, 17 to 197 tokens).
    """
    with fused_attention(attention_layers(model), not (bf16 and device.type == "cpu")):
        yield


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
