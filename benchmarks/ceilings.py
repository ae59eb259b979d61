"""What the machine could do at best: matrix products and memory copies, and the bound they put on a training step."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.device import DEVICE, ON_GPU, wait_for_device


def ceilings(side: int = 8192 if ON_GPU else 2048, copy_megabytes: int = 4096 if ON_GPU else 256) -> dict:
    """Measured rates of this machine: square matrix products in fp32 and bf16, GFLOP/s; memory copy, GB/s.

    A copied byte counts once, though it is read and written.
    """
    rates = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(side, side, device=DEVICE).to(dtype) for _ in range(2))
        rates[f"{name} matrix product, GFLOP/s"] = round(2 * side**3 / _best_seconds(lambda a=a, b=b: a @ b) / 1e9, 1)
    source = torch.zeros(copy_megabytes * 2**18, device=DEVICE)
    target = torch.empty_like(source)
    rates["memory copy, GB/s"] = round(copy_megabytes * 2**20 / _best_seconds(lambda: target.copy_(source)) / 1e9, 1)
    return rates


def counted_gflop(step: Callable[[], object]) -> float:
    """Floating-point operations of one call, in 10^9: matrix products, convolutions and attention, both passes."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9


def _best_seconds(function: Callable[[], object], rounds: int = 12) -> float:
    seconds = []
    for _ in range(rounds):
        wait_for_device()
        started = time.perf_counter()
        function()
        wait_for_device()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
