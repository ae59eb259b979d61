"""Image augmentation of whole batches on the training device, every image with its own random parameters.

Images come in as uint8 (N, S, S, 3) from the image store and leave as normalised float32 (N, 3, size, size). A crop,
a resize and a flip are one affine map, so they cost one interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torchvision.transforms.v2 import functional as tv

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Augmentation:
    """What is done to training images.

    EMMA's published augmentation is `enlarge=1.04, jitter_probability=0.2`; CoTEX's is `enlarge=1.02`; MAE's is
    `crop_area=(0.2, 1.0)`; all flip. Jitter strengths are torchvision ColorJitter's.
    """

    enlarge: float = 1.04
    """The image is resized to `enlarge` x size and a random size x size window of it is cut out."""
    crop_area: tuple[float, float] | None = None
    """If given, a random resized crop with this share of the area (aspect ratio 3/4 to 4/3) replaces `enlarge`."""
    flip: bool = True
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.4, 0.1)
    """Brightness, contrast, saturation, hue."""
    jitter_probability: float = 0.0
    grayscale_probability: float = 0.0
    """Not in the paper: share of images shown without colour."""

    def __post_init__(self):
        for name in ("crop_area", "jitter"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if value is not None else None)


def augment(images: torch.Tensor, config: Augmentation, size: int, generator: torch.Generator) -> torch.Tensor:
    """Random views of uint8 images (N, S, S, 3), normalised: float32 (N, 3, size, size)."""
    pixels = _to_unit_range(images)  # (N, 3, S, S)
    scale, center = _crop_windows(len(images), config, generator, images.device)
    flip = torch.ones(len(images), device=images.device)
    if config.flip:
        flip -= 2 * (_uniform(len(images), generator, images.device) < 0.5).float()
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = scale[:, 0] * flip, scale[:, 1]
    theta[:, :, 2] = center
    grid = F.affine_grid(theta, [len(images), 3, size, size], align_corners=False)
    pixels = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    if config.jitter_probability > 0:
        pixels = _color_jitter(pixels, config, generator)
    if config.grayscale_probability > 0:
        gray = _uniform(len(images), generator, images.device) < config.grayscale_probability
        pixels[gray] = tv.rgb_to_grayscale(pixels[gray], num_output_channels=3)
    return normalize(pixels)


def prepare(images: torch.Tensor, size: int) -> torch.Tensor:
    """Images for evaluation: resized if need be, normalised. uint8 (N, S, S, 3) to float32 (N, 3, size, size)."""
    pixels = _to_unit_range(images)
    if pixels.shape[-1] != size:
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


def _to_unit_range(images: torch.Tensor) -> torch.Tensor:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"images must be uint8 (N, H, W, 3), not {images.dtype} {tuple(images.shape)}")
    return images.permute(0, 3, 1, 2).float() / 255  # (N, 3, H, W)


def _uniform(n: int, generator: torch.Generator, device, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return low + (high - low) * torch.rand(n, generator=generator, device=device)


def _crop_windows(n: int, config: Augmentation, generator, device) -> tuple[torch.Tensor, torch.Tensor]:
    """Half-extent (n, 2) and centre (n, 2) of each window, x before y, in the coordinates -1 to 1 of the image."""
    if config.crop_area is None:
        half = torch.full((n, 2), 1 / config.enlarge, device=device)
    else:
        area = _uniform(n, generator, device, *config.crop_area)
        ratio = torch.exp(_uniform(n, generator, device, -1.0, 1.0) * torch.log(torch.tensor(4 / 3)))
        half = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1.0)
    offset = torch.rand(n, 2, generator=generator, device=device) * 2 - 1
    return half, offset * (1 - half)


def _color_jitter(pixels: torch.Tensor, config: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """torchvision's ColorJitter, factors and order drawn per image, on a random share of the images."""
    n, device = len(pixels), pixels.device
    chosen = (_uniform(n, generator, device) < config.jitter_probability).nonzero().flatten().tolist()
    brightness, contrast, saturation, hue = config.jitter
    factors = torch.rand(n, 4, generator=generator, device=device).cpu()
    order = torch.rand(n, 4, generator=generator, device=device).argsort(dim=1).tolist()
    steps = (
        lambda image, u: tv.adjust_brightness(image, 1 + brightness * (2 * u - 1)),
        lambda image, u: tv.adjust_contrast(image, 1 + contrast * (2 * u - 1)),
        lambda image, u: tv.adjust_saturation(image, 1 + saturation * (2 * u - 1)),
        lambda image, u: tv.adjust_hue(image, hue * (2 * u - 1)),
    )
    for index in chosen:
        image = pixels[index]
        for step in order[index]:
            image = steps[step](image, float(factors[index, step]))
        pixels[index] = image
    return pixels
