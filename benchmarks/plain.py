"""EMMA's and CoTEX's training loops as one would write them from the paper: eager fp32, images decoded one by one.

The models hold the same weights and compute the same loss as ours (`tests/test_benchmarks.py` compares them); only the
way is the plain one. This is the baseline of the benchmarks, not something to train with.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from affect_core.augment import IMAGENET_MEAN, IMAGENET_STD
from affect_core.cotex import CoTEX
from affect_core.losses import expression_loss
from affect_core.patches import num_visible
from affect_core.vit import ViTEncoder


class PlainFaces(Dataset):
    """JPEG files of a folder, each opened with PIL and augmented as published for EMMA."""

    def __init__(self, folder: Path, size: int, enlarge: float = 1.04, jitter_probability: float = 0.2):
        self.files = sorted(Path(folder).glob("*.jpg"))
        self.transform = v2.Compose([
            v2.Resize((round(enlarge * size), round(enlarge * size))), v2.RandomCrop(size), v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], jitter_probability),
            v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB"))


def write_faces(folder: Path, count: int, size: int) -> np.ndarray:
    """`count` JPEG files of smooth random pictures; returns their decoded pixels (count, size, size, 3) uint8."""
    rng, pixels = np.random.default_rng(0), []
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        path = folder / f"{index:05d}.jpg"
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(path, quality=95)
        with Image.open(path) as image:
            pixels.append(np.asarray(image))
    return np.stack(pixels)


def endless(dataset: Dataset, batch_size: int, workers: int = 2):
    """Shuffled batches without end from a DataLoader, whose workers stay."""
    loader = DataLoader(dataset, batch_size, shuffle=True, drop_last=True, num_workers=workers,
                        persistent_workers=workers > 0)  # fmt: skip
    while True:
        yield from loader


class WholeViT(ViTEncoder):
    """A ViTEncoder in whose training every token passes every block."""


def plain_cotex_loss(model: CoTEX, images: Tensor, target: Tensor, noise: list[Tensor] | None = None) -> Tensor:
    """CoTEX's loss: every view embeds all patches, then keeps its own; divergence written out.

    noise: (N, L) for each view, which decides what it sees.
    """
    vit = model.config.vit
    keep = num_visible(vit.num_patches, model.config.mask_ratio)
    noise = noise or [torch.rand(len(images), vit.num_patches, device=images.device) for _ in model.views]
    logits = [view.head(_plain_features(view, images, draw.argsort(dim=1, stable=True)[:, :keep]))
              for view, draw in zip(model.views, noise, strict=True)]  # fmt: skip
    probabilities = [one.softmax(dim=1) for one in logits]
    mixture = torch.stack(probabilities).mean(dim=0).clamp(min=1e-4).log()
    js = torch.stack([(p * (p.clamp(min=1e-4).log() - mixture)).mean() for p in probabilities]).mean()
    known = torch.ones(len(images), dtype=torch.bool, device=images.device)
    cross_entropy = torch.stack([expression_loss(one, target, known) for one in logits]).mean()
    return cross_entropy + model.config.js_weight * js


def _plain_features(view: ViTEncoder, images: Tensor, ids_keep: Tensor) -> Tensor:
    patches = view.patch_embed(images) + view.pos_embed[:, 1:]
    width = patches.shape[-1]
    patches = torch.gather(patches, 1, ids_keep[..., None].expand(-1, -1, width))
    class_token = (view.cls_token + view.pos_embed[:, :1]).expand(len(images), -1, -1)
    tokens = view.norm(view.blocks(torch.cat([class_token, patches], dim=1)))
    if view.config.readout == "class_token":
        return tokens[:, 0]
    num_patches = view.config.num_patches
    whole = torch.zeros(len(images), num_patches, width, device=images.device)
    whole = whole.scatter(1, ids_keep[..., None].expand(-1, -1, width), tokens[:, 1:] * num_patches / ids_keep.shape[1])
    return whole.flatten(1)
