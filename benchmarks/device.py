"""Where is measured: the first CUDA device if there is one, else the CPU."""

from __future__ import annotations

import os

import torch

from affect_core.workbook import select_device

DEVICE = select_device()
ON_GPU = DEVICE.type == "cuda"


def wait_for_device() -> None:
    """Return when the device has done what it was given; a CPU has."""
    if ON_GPU:
        torch.cuda.synchronize(DEVICE)


def loader_workers() -> int:
    """Workers of a plain DataLoader: one for each core, at most 8."""
    return min(8, os.cpu_count() or 1)
