"""Image augmentation of whole batches on the training device, every image with its own random parameters.

Images come in as uint8 (N, S, S, 3) from the image store and leave as normalised float32 (N, 3, size, size). A crop,
a resize and a flip are one affine map, so they cost one interpolation. Parameters are drawn once, in `_draw_views`;
on the CPU one kernel applies them (`augment_cpu`), elsewhere torch does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import functional as tv

from affect_core.augment_cpu import normalize_pixels, render_views
from affect_core.distributed import Share

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_NEUTRAL = (1.0, 1.0, 1.0, 0.0)
_TRIES = 10
"""Windows drawn for a random resized crop until one lies within the image; then the whole image, as in torchvision."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images.

    EMMA's published augmentation is `enlarge=1.04, jitter_probability=0.2`; CoTEX's is `enlarge=1.02`; MAE's is
    `crop_area=(0.2, 1.0)`; all flip. Jitter strengths are torchvision ColorJitter's.
    """

    enlarge: float = 1.04
    """The image is resized to `enlarge` x size and a random size x size window of it is cut out."""
    crop_area: tuple[float, float] | None = None
    """If given, a random resized crop with this share of the area (aspect ratio 3/4 to 4/3) replaces `enlarge`. It is
    torchvision's RandomResizedCrop: a window that is larger than the image is drawn again. But a view is sampled
    bilinearly, without antialiasing: keep images at not much more than the size that the model sees (`store_size`)."""
    flip: bool = True
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    """Brightness, contrast, saturation: factors of 1 - strength, but at least 0, to 1 + strength; hue: up to 0.5."""
    jitter_probability: float = 0.0
    grayscale_probability: float = 0.0
    """Not in the paper: share of images shown without colour."""

    def __post_init__(self):
        for name in ("crop_area", "jitter"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if value is not None else None)


def augment(
    images: torch.Tensor, config: Augmentation, size: int, generator: torch.Generator, share: Share | None = None
) -> torch.Tensor:
    """Random views of uint8 images (N, S, S, 3), normalised: float32 (N, 3, size, size).

    The images may be a process's `share` of a batch: they then look as they would in the whole batch.
    """
    _check(images)
    views = _draw_views(config, _Draws(generator, images.device, share or Share(len(images))))
    if len(views.half) != len(images):
        raise ValueError(f"{len(images)} images were given for a share of {len(views.half)} rows")
    if images.device.type == "cpu":
        return _render_on_cpu(images, views, size)
    return _render_with_torch(images, views, size)


def prepare(images: torch.Tensor, size: int) -> torch.Tensor:
    """Images for evaluation: resized if need be, normalised. uint8 (N, S, S, 3) to float32 (N, 3, size, size)."""
    _check(images)
    if images.device.type == "cpu" and images.shape[1:3] == (size, size):
        out = torch.empty(len(images), 3, size, size)
        normalize_pixels(images.contiguous().numpy(), *_mean_and_std(), out.numpy(), torch.get_num_threads())
        return out
    pixels = _to_unit_range(images)
    if pixels.shape[-2:] != (size, size):
        pixels = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return normalize(pixels)


def normalize(pixels: torch.Tensor) -> torch.Tensor:
    """Subtract ImageNet's mean and divide by its standard deviation; (N, 3, H, W) in [0, 1]."""
    mean = pixels.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = pixels.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    return (pixels - mean) / std


def denormalize(pixels: torch.Tensor) -> torch.Tensor:
    """The inverse of `normalize`, clipped to [0, 1]."""
    mean = pixels.new_tensor(IMAGENET_MEAN).view(1, 3, 1, 1)
    std = pixels.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
    return (pixels * std + mean).clamp(0, 1)


def _check(images: torch.Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:]:
        raise ValueError(f"images must be uint8 (N, H, W, 3), not {images.dtype} {tuple(images.shape)}")


def _to_unit_range(images: torch.Tensor) -> torch.Tensor:
    return images.permute(0, 3, 1, 2).float() / 255  # (N, 3, H, W)


@dataclass(frozen=True)
class _Draws:
    """Random numbers for the rows of a share, the same as these rows get when the whole batch draws."""

    generator: torch.Generator
    device: torch.device
    share: Share

    def __call__(self, *shape: int) -> torch.Tensor:
        """Uniform on [0, 1), (rows, *shape)."""
        whole = torch.rand(self.share.total, *shape, generator=self.generator, device=self.device)
        return whole[self.share.rows]


def _crop_windows(config: Augmentation, draw: _Draws) -> tuple[torch.Tensor, torch.Tensor]:
    """Half-extent (n, 2) and centre (n, 2) of each window, x before y, in the coordinates -1 to 1 of the image."""
    if config.crop_area is not None:
        smallest, largest = config.crop_area
        area = smallest + (largest - smallest) * draw(_TRIES)
        ratio = torch.exp((2 * draw(_TRIES) - 1) * math.log(4 / 3))
        halves = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=2)  # (n, tries, 2)
        fits = (halves <= 1).all(dim=2)
        first = halves[torch.arange(len(halves), device=halves.device), fits.float().argmax(dim=1)]  # (n, 2)
        half = torch.where(fits.any(dim=1, keepdim=True), first, 1.0)
        offset = draw(2) * 2 - 1
    else:
        offset = draw(2) * 2 - 1
        half = torch.full_like(offset, 1 / config.enlarge)
    return half, offset * (1 - half)


@dataclass(frozen=True)
class _Views:
    """Drawn parameters of n views, on the device of their generator; `augment_cpu.render_views` says what they mean."""

    half: torch.Tensor
    center: torch.Tensor
    jittered: torch.Tensor
    factors: torch.Tensor
    order: torch.Tensor
    gray: torch.Tensor


def _draw_views(config: Augmentation, draw: _Draws) -> _Views:
    """Colour jitter is torchvision's ColorJitter, factors and order drawn per image, on a random share of them."""
    half, center = _crop_windows(config, draw)
    if config.flip:
        half[:, 0] *= 1 - 2 * (draw() < 0.5).float()
    n = len(half)
    jittered, gray = half.new_zeros(n, dtype=torch.bool), half.new_zeros(n, dtype=torch.bool)
    factors, order = half.new_zeros(n, 4), half.new_zeros(n, 4, dtype=torch.long)
    if config.jitter_probability > 0:
        jittered = draw() < config.jitter_probability
        strength, drawn = half.new_tensor(config.jitter), draw(4)
        factors = half.new_tensor(_NEUTRAL) + strength * (drawn * 2 - 1)
        factors = torch.where(strength > 1, drawn * (1 + strength), factors)  # no factor is below 0
        order = draw(4).argsort(dim=1)
    if config.grayscale_probability > 0:
        gray = draw() < config.grayscale_probability
    return _Views(half, center, jittered, factors, order, gray)


def _render_on_cpu(images: torch.Tensor, views: _Views, size: int) -> torch.Tensor:
    out = torch.empty(len(images), 3, size, size)
    parameters = (getattr(views, field.name).contiguous().numpy() for field in fields(views))
    render_views(images.contiguous().numpy(), *parameters, *_mean_and_std(), out.numpy(), torch.get_num_threads())
    return out


def _mean_and_std() -> tuple[np.ndarray, np.ndarray]:
    return np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)


def _render_with_torch(images: torch.Tensor, views: _Views, size: int) -> torch.Tensor:
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = views.half.unbind(dim=1)
    theta[:, :, 2] = views.center
    grid = F.affine_grid(theta, [len(images), 3, size, size], align_corners=False)
    pixels = _to_unit_range(images)  # (N, 3, S, S)
    pixels = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    chosen = views.jittered.nonzero().flatten()
    if len(chosen):
        pixels[chosen] = _color_jitter(pixels[chosen], views.factors[chosen], views.order[chosen])
    if views.gray.any():
        pixels[views.gray] = tv.rgb_to_grayscale(pixels[views.gray], num_output_channels=3)
    return normalize(pixels)


def _color_jitter(pixels: torch.Tensor, factors: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """The images are grouped by what comes next in their order, so that each adjustment runs on a batch."""
    adjustments = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
    for turn in range(4):
        for kind, adjust in enumerate(adjustments):
            rows = (order[:, turn] == kind).nonzero().flatten()
            if len(rows):
                pixels[rows] = adjust(pixels[rows], factors[rows, kind])
    return pixels


def adjust_brightness(pixels: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """torchvision's adjust_brightness with a factor (N,) for each image; pixels (N, 3, H, W) in [0, 1]."""
    return (pixels * factor.view(-1, 1, 1, 1)).clamp(0, 1)


def adjust_contrast(pixels: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """torchvision's adjust_contrast with a factor (N,) for each image: away from the image's mean grey."""
    mean = tv.rgb_to_grayscale(pixels).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, pixels, factor.view(-1, 1, 1, 1)).clamp(0, 1)


def adjust_saturation(pixels: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """torchvision's adjust_saturation with a factor (N,) for each image: away from each pixel's grey."""
    return torch.lerp(tv.rgb_to_grayscale(pixels), pixels, factor.view(-1, 1, 1, 1)).clamp(0, 1)


def adjust_hue(pixels: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """torchvision's adjust_hue with a shift (N,) in turns of the colour circle for each image.

    Turning the hue keeps each pixel's largest channel v and its chroma c; channel k is then
    v - c * clamp(min(t, 4 - t), 0, 1) with t = (hue * 6 + (5, 3, 1)[k]) mod 6 (HSV to RGB in one formula).
    """
    highest, lowest = pixels.amax(dim=1), pixels.amin(dim=1)  # (N, H, W)
    chroma = highest - lowest
    red, green, blue = pixels.unbind(dim=1)
    divisor = chroma.clamp(min=1e-12)
    sextant = torch.where(
        highest == red,
        (green - blue) / divisor,
        torch.where(highest == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    sextant = sextant + 6 * shift.view(-1, 1, 1)
    offsets = pixels.new_tensor((5.0, 3.0, 1.0)).view(1, 3, 1, 1)
    turn = (sextant.unsqueeze(1) + offsets).remainder(6)  # (N, 3, H, W)
    return highest.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(turn, 4 - turn).clamp(0, 1)
