"""What the hardware does well: whether it multiplies bf16 matrices, which form of attention is fast on it.

The choices are from measurements (`benchmarks/NOTES.md`); none changes what is computed, beyond rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from affect_core.attention import attention_layers, fused_attention, has_kernels, narrows, short_attention


def has_bf16(device: torch.device | str) -> bool:
    """Whether the device multiplies bf16 matrices in hardware."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


@contextmanager
def fastest_attention(model: nn.Module, device: torch.device, bf16: bool) -> Iterator[None]:
    """Within, timm's attention layers in `model` run in the form that trains fastest on the device.

    That is the fused kernel, with two exceptions. In bf16 on the CPU its backward pass takes 2 to 6 times the time of
    attention written out as two matrix products and a softmax (torch 2.14, 17 to 197 tokens). In bf16 on a Hopper GPU
    plain layers among few tokens have kernels of their own (`attention.ShortAttention`), for ViT-B twice as fast.
    """
    layers = attention_layers(model)
    short = layers if bf16 and _is_hopper(device) and has_kernels() else []
    with fused_attention(layers, not (bf16 and device.type == "cpu")), short_attention(short):
        yield


def _is_hopper(device: torch.device) -> bool:
    """Whether the kernels for few tokens were tried on such a device: H100, H200; others have other limits."""
    if device.type != "cuda" or not torch.version.cuda or not torch.cuda.is_available():
        return False
    if device.index not in (None, torch.cuda.current_device()):  # Triton launches on the current one
        return False
    return torch.cuda.get_device_capability(device) == (9, 0)


def narrowed(tokens: Tensor) -> Tensor:
    """`tokens` in bf16 under autocast to it on a GPU, where half as many bytes pass through memory between the blocks.

    Elsewhere as they are: on a CPU it gains little (`benchmarks/NOTES.md`). Norms and losses are computed in float32
    either way. Layer scale (DINOv2) makes tokens float32 again.
    """
    return tokens.to(torch.bfloat16) if tokens.is_cuda and narrows("cuda") else tokens
