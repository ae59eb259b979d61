"""A model as the ONNX exporter can follow it: every step one that ONNX has, any number of images, outputs by name."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from affect_core.attention import attention_layers
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.mae import MAE
from affect_core.priors import CustomPrior
from affect_core.vit import ViTConfig, ViTEncoder

Exportable = EMMA | CoTEX | MAE | ViTEncoder


class OnnxForm(nn.Module):
    """A copy of the model, in eval mode and float32, whose answer is that of `named_outputs` as a tuple."""

    def __init__(self, model: Exportable):
        super().__init__()
        self.model = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
        size = vit_config(model).image_size
        for module in list(self.model.modules()):
            if isinstance(module, EMMA) and module.prior is not None:
                module.prior = module.prior.model  # plain layers: the exporter folds BatchNorm itself
            if isinstance(module, CustomPrior) and module.config.image_size not in (0, size):
                _resize_by_products(module, size)
            if isinstance(module, ViTEncoder):
                # timm's own way to the same tokens, whose batch size the exporter does not take for a constant
                module.forward = lambda images, _=None, vit=module: vit.summary_first(vit.forward_features(images))
        for layer in attention_layers(self.model):
            layer.fused_attn = False  # two matrix products and a softmax, which every ONNX runtime knows

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(named_outputs(self.model, images).values())


class FixedResize(nn.Module):
    """The antialiased bilinear resize of `CustomPrior` between two fixed sizes, as two products with one matrix.

    A resize is linear, so its matrix is the resized identity. The exporter does not know the operator itself.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        resized = F.interpolate(torch.eye(inputs)[None, None], (outputs, inputs), mode="bilinear", antialias=True)
        self.register_buffer("weights", resized[0, 0])  # (outputs, inputs)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, inputs, inputs) -> (N, C, outputs, outputs)."""
        # The matrix stands on the left both times: `onnx_int8` rounds only matrices on the right of a product.
        rows = self.weights @ images  # (N, C, outputs, inputs)
        return (self.weights @ rows.transpose(-2, -1)).transpose(-2, -1)


@torch.no_grad()
def named_outputs(model: Exportable, images: Tensor) -> dict[str, Tensor]:
    """What the graph is to give for normalised images (N, 3, S, S), see `onnx_graphs`."""
    if isinstance(model, MAE):
        return {"tokens": model.encoder(images)}
    if isinstance(model, ViTEncoder):
        return {"tokens": model(images)}
    if isinstance(model, CoTEX):
        return {"expression_logits": model.predict(images).expression_logits}
    prediction = model(images)
    return {name: getattr(prediction, name) for name in ("expression_logits", "action_unit_logits", "valence_arousal")}


def vit_config(model: Exportable) -> ViTConfig:
    """The config of the model's encoder."""
    return model.config if isinstance(model, ViTEncoder) else model.config.vit


def _resize_by_products(prior: CustomPrior, size: int) -> None:
    """Let the prior resize images of `size` after it has changed their normalisation, which is the same, for a resize
    is a weighted mean of pixels."""
    prior.network = nn.Sequential(FixedResize(size, prior.config.image_size), prior.network)
    prior.config = replace(prior.config, image_size=0)
