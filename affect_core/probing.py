"""What a masked auto-encoder knows before anybody fine-tunes it: features for a linear probe, and its error by face."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from affect_core.augment import prepare
from affect_core.corpora import Corpus
from affect_core.mae import MAE
from affect_core.vit import ViTEncoder

BATCH = 64
"""Faces that go through the encoder at once."""


@torch.no_grad()
def grid_features(encoder: ViTEncoder, corpus: Corpus, rows, *, cells: int = 4) -> np.ndarray:
    """Features of whole faces, float32 (N, cells * cells * D): patch tokens, averaged in each cell of a coarse grid.

    encoder  on any device; it is run in eval mode and left as it was found
    corpus   where the faces are; rows (N,) say which, in this order
    cells    cells along a side; at most the encoder's grid_size, which is then taken. One mean over all patches would
             forget where things are, all patch tokens in a row would be many numbers for a probe on few faces.
    """
    rows, config = np.asarray(rows), encoder.config
    cells, device = min(cells, config.grid_size), next(encoder.parameters()).device
    training, parts = encoder.training, []
    encoder.eval()
    for first in range(0, len(rows), BATCH):
        images = torch.from_numpy(corpus.images[rows[first : first + BATCH]]).to(device)
        patches = encoder(prepare(images, config.image_size))[:, 1:]  # (N, L, D), class token dropped
        maps = patches.transpose(1, 2).unflatten(2, (config.grid_size, config.grid_size))  # (N, D, rows, columns)
        parts.append(F.adaptive_avg_pool2d(maps.float(), cells).flatten(1).cpu())
    encoder.train(training)
    return torch.cat(parts).numpy() if parts else np.zeros((0, cells * cells * config.width), np.float32)


@torch.no_grad()
def hidden_errors(
    mae: MAE, images: Tensor, mask_ratio: float | None = None, generator: torch.Generator | None = None
) -> np.ndarray:
    """The loss of each face by itself, float64 (N,): mean squared error over its hidden patches.

    images  (N, 3, H, W), normalised, on the model's device. Every face hides equally many patches, so the mean over
            faces is the loss of `mae(images)`.
    mask_ratio, generator   as in `MAE.random_masking`
    """
    errors = []
    for batch in images.split(BATCH):
        output = mae(batch, mask_ratio=mask_ratio, generator=generator)
        faces = zip(batch.split(1), output.prediction.split(1), output.mask.split(1), strict=True)
        errors += [float(mae.reconstruction_loss(*face)) for face in faces]
    return np.array(errors)
