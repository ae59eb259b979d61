"""The patches of an image: how many of them a mask leaves visible, the noise that draws which, and taking those alone.

MAE hides patches, CoTEX makes two views of a face by hiding others in each; both encode what is left.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from affect_core.distributed import Share
from affect_core.errors import AffectError


def num_visible(num_patches: int, mask_ratio: float) -> int:
    """Patches left visible: floor(L * (1 - mask_ratio)), at least one; mask_ratio in [0, 1)."""
    if not 0 <= mask_ratio < 1:
        raise AffectError(f"mask_ratio is the share of hidden patches, from 0 to below 1, not {mask_ratio}")
    return max(1, math.floor(num_patches * (1 - mask_ratio) + 1e-6))  # 1e-6: 10 * (1 - 0.9) is 0.9999... in floats


def random_noise(
    n: int,
    num_patches: int,
    device: torch.device,
    generator: torch.Generator | None = None,
    share: Share | None = None,
) -> Tensor:
    """(n, L) uniform noise that decides which patches an image shows, drawn on the generator's device (default CPU).

    The n images may be a process's `share` of a batch: each gets the noise it would get in the whole batch.

    timm's PatchDropout draws from the global generator of the images' device and does not say what it kept. Ours takes
    a generator, so that two views are independent yet a training run can be repeated bit for bit on any device.
    """
    drawn_on = torch.device("cpu") if generator is None else generator.device
    share = share or Share(n)
    return torch.rand(share.total, num_patches, generator=generator, device=drawn_on)[share.rows].to(device)


def draw_visible(
    n: int,
    num_patches: int,
    mask_ratio: float,
    device: torch.device,
    generator: torch.Generator | None = None,
    share: Share | None = None,
) -> Tensor:
    """ids_keep (n, K) int64, the patches that each of n images shows: those with the least `random_noise`."""
    noise = random_noise(n, num_patches, device, generator, share)
    return noise.argsort(dim=1, stable=True)[:, : num_visible(num_patches, mask_ratio)]


def take_patches(patches: Tensor, ids: Tensor) -> Tensor:
    """patches (N, L, D), ids (N, K) int64 -> (N, K, D), row k of image n being patches[n, ids[n, k]]."""
    return patches.gather(1, ids.unsqueeze(-1).expand(-1, -1, patches.shape[-1]))


def flatten_patches(images: Tensor, patch_size: int) -> Tensor:
    """(N, C, H, W) -> (N, L, C * p * p), channel first within a patch as in a convolution's weight."""
    n, channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    patches = images.reshape(n, channels, rows, patch_size, columns, patch_size)
    patches = patches.permute(0, 2, 4, 1, 3, 5)  # (N, rows, columns, C, p, p)
    return patches.reshape(n, rows * columns, channels * patch_size**2)
