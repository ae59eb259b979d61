"""Tiny models and images for the tests of the exports."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from affect_core.augment import prepare
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.mae import MAE, MAEConfig
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.renderer import render
from affect_core.synthetic.scene import sample_scene
from affect_core.vit import ViTConfig, ViTEncoder

VIT = ViTConfig(image_size=32, patch_size=8, width=32, depth=2, heads=2)
PATCHES = ViTConfig(image_size=32, patch_size=8, width=32, depth=2, heads=2, readout="patch_tokens")


def emma(**changes) -> EMMA:
    """An EMMA whose BatchNorm statistics and positions are not the trivial ones of a new model."""
    torch.manual_seed(0)
    prior = DAN(DANConfig(width=8, num_heads=2, small_images=True))
    for module in prior.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return lively(EMMA(EMMAConfig(**{"vit": PATCHES, "hidden": 16, "va_hidden": 8} | changes), prior))


def cotex(views: int = 2, vit: ViTConfig = VIT) -> CoTEX:
    torch.manual_seed(1)
    return lively(CoTEX(CoTEXConfig(vit=vit, views=views)))


def mae() -> MAE:
    torch.manual_seed(2)
    return lively(MAE(MAEConfig(VIT, decoder_width=16, decoder_depth=1, decoder_heads=2)))


def lively(model: nn.Module) -> nn.Module:
    """The model with encoders and heads that tell images apart: new ones start near zero."""
    for module in model.modules():
        if isinstance(module, ViTEncoder):
            nn.init.normal_(module.pos_embed)
            for layer in module.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.normal_(layer.weight, std=2 / layer.in_features**0.5)
    return model.eval()


def random_images(n: int) -> Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def rendered_images(n: int) -> Tensor:
    """Faces of the embedded corpus's renderer, normalised, (n, 3, 32, 32)."""
    rng = np.random.default_rng(0)
    faces = [render(sample_person(rng, "lsd_synthetic"), {4: 0.2 * i}, sample_scene(rng, "video"), size=32)
             for i in range(n)]  # fmt: skip
    return prepare(torch.from_numpy(np.stack(faces)), 32)
