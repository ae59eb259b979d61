"""Numbers and faces as a figure draws them, from numpy, lists or torch, whatever their type and layout."""

from __future__ import annotations

import numpy as np


def as_array(values, dtype=float) -> np.ndarray:
    """A numpy array from numpy, a list or a torch tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values, dtype=dtype)


def as_images(images) -> np.ndarray:
    """Faces as (N, H, W, 3) float in [0, 1].

    Takes uint8 or float in [0, 1] (clipped), channels last or first, greyscale (N, H, W), numpy or torch.
    Raises ValueError for any other shape.
    """
    if hasattr(images, "detach"):
        images = images.detach().cpu().numpy()
    images = np.asarray(images)
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    if images.ndim == 3:
        images = np.repeat(images[..., None], 3, axis=-1)
    elif images.ndim == 4 and images.shape[-1] != 3 and images.shape[1] == 3:
        images = images.transpose(0, 2, 3, 1)
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"faces must be (N, H, W, 3), (N, 3, H, W) or (N, H, W); got {images.shape}")
    return np.clip(images.astype(np.float32) / scale, 0.0, 1.0)
