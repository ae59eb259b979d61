"""Any network as EMMA's expression prior: the protocol, timm's CNNs by name, and a wrapper for one's own.

    prior = TimmPrior(TimmPriorConfig(timm_name="convnext_atto"))          # to be trained
    prior = pretrained_prior("convnext_atto")                              # the same with timm's published weights
    prior = CustomPrior(my_cnn, CustomPriorConfig(num_classes=8, image_size=224))
    emma = EMMA(EMMAConfig(), prior)

What EMMA needs of a prior is `ExpressionPrior`. It freezes the network itself (`dan.FrozenPrior`): eval mode whatever
`.train()` says, no gradients. In a profile: `timm_name = "resnet18"` in section [prior].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import timm
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torch.nn import functional as F

from affect_core.augment import IMAGENET_MEAN, IMAGENET_STD
from affect_core.backbones import download, require_known
from affect_core.dan import DAN, DANConfig
from affect_core.errors import AffectError


class ExpressionPrior(Protocol):
    """An nn.Module that EMMA can freeze and read.

    config     a dataclass with `num_classes`; it is stored with EMMA's weights
    __call__   images (N, 3, H, W), normalised as `augment.prepare` does -> logits (N, num_classes), one an image

    Eight classes in the order of `labels.AFFECTNET_EXPRESSIONS` if `predict` is to combine them with EMMA's own
    answer; EMMA alone reads any number, in any order.
    """

    config: Any

    def __call__(self, images: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class CustomPriorConfig:
    """What a network takes and gives.

    num_classes  logits
    image_size   pixels to which images are resized before the network sees them; 0 leaves them as EMMA's are
    mean, std    per channel, of the normalisation that the network was trained with; images in [0, 1]
    """

    num_classes: int = 8
    image_size: int = 0
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True)
class TimmPriorConfig(CustomPriorConfig):
    """The timm model `timm_name` with `num_classes` logits; the other fields as in CustomPriorConfig."""

    timm_name: str = ""
    auxiliary: ClassVar[bool] = False
    """There is no second classifier, as `DANConfig.auxiliary` has it."""

    def __post_init__(self):
        require_known(self.timm_name)


class CustomPrior(nn.Module):
    """A network behind the protocol. `load_model` cannot rebuild a stranger: see `checkpoints.load_weights`."""

    def __init__(self, network: nn.Module, config: CustomPriorConfig):
        super().__init__()
        self.config, self.network = config, network

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) -> logits (N, num_classes). Raises AffectError if the network gives others."""
        config = self.config
        if config.image_size and images.shape[-2:] != (config.image_size, config.image_size):
            images = F.interpolate(images, (config.image_size,) * 2, mode="bilinear", antialias=True)
        if (config.mean, config.std) != (IMAGENET_MEAN, IMAGENET_STD):
            scales = (IMAGENET_MEAN, IMAGENET_STD, config.mean, config.std)
            ours, ours_std, mean, std = (images.new_tensor(scale)[:, None, None] for scale in scales)
            images = (images * ours_std + ours - mean) / std
        logits = self.network(images)
        if logits.shape != (len(images), config.num_classes):
            raise AffectError(
                f"the expression prior gives {tuple(logits.shape)} for {len(images)} images, "
                f"not ({len(images)}, {config.num_classes}) logits"
            )
        return logits


class TimmPrior(CustomPrior):
    """A timm network as expression prior, with random weights, to be trained by `stages.train_prior`."""

    def __init__(self, config: TimmPriorConfig):
        super().__init__(timm.create_model(config.timm_name, num_classes=config.num_classes), config)


def pretrained_prior(timm_name: str, *, num_classes: int = 8, image_size: int = 0) -> TimmPrior:
    """A TimmPrior whose trunk has timm's published weights and normalisation; its classifier is new.

    Raises AffectError where timm has no weights, or they cannot be fetched.
    """
    require_known(timm_name)
    network = download(lambda: timm.create_model(timm_name, pretrained=True, num_classes=num_classes), timm_name)
    data = resolve_model_data_config(network)
    config = TimmPriorConfig(num_classes, image_size, tuple(data["mean"]), tuple(data["std"]), timm_name)
    prior = TimmPrior(config)
    prior.network = network
    return prior


def build_prior(config: DANConfig | TimmPriorConfig) -> DAN | TimmPrior:
    """The expression network of a config, with random weights. Raises AffectError for a network of one's own."""
    if isinstance(config, TimmPriorConfig):
        return TimmPrior(config)
    if isinstance(config, DANConfig):
        return DAN(config)
    raise AffectError(
        "this model has an expression prior that only its author can build: build EMMA(config, prior) yourself and "
        "fill it with load_weights(path, model)"
    )


def check_prior(prior: nn.Module) -> None:
    """Raise AffectError unless `prior` has the config that `ExpressionPrior` asks for."""
    if not isinstance(getattr(getattr(prior, "config", None), "num_classes", None), int):
        raise AffectError(
            f"a {type(prior).__name__} cannot be EMMA's expression prior, for it has no config with num_classes: wrap "
            "it, CustomPrior(network, CustomPriorConfig(num_classes=8))"
        )
