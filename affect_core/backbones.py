"""Any plain vision transformer of timm as the encoder of MAE, EMMA and CoTEX, by name.

    vit = TimmViTConfig(timm_name="vit_small_patch14_dinov2", image_size=112)
    emma = EMMA(EMMAConfig(vit=vit), prior)
    emma.init_from_mae(pretrained_encoder(vit))       # timm's published weights; needs a network, once

In a profile: `timm_name = "vit_tiny_patch16_224"` in section [vit]. Registers, layer scale, pre-norm and architectures
without a class token work; what cannot leave patches out is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from affect_core.attention import attention_layers
from affect_core.errors import AffectError
from affect_core.vit import ViTConfig, ViTEncoder, initialise_head


@dataclass(frozen=True)
class TimmViTConfig(ViTConfig):
    """A ViTConfig whose architecture is timm's `timm_name` (with or without the tag of its weights).

    image_size, patch_size, width, depth, heads, mlp_ratio   0: as in the architecture; another number replaces it
    readout   "class_token" reads the mean of the patch tokens where there is no class token

    Raises AffectError for a name that timm does not know, or an architecture that cannot leave patches out.
    """

    image_size: int = 0
    patch_size: int = 0
    width: int = 0
    depth: int = 0
    heads: int = 0
    mlp_ratio: float = 0.0
    timm_name: str = ""

    def __post_init__(self):
        for name, own in _sizes(self.timm_name).items():
            object.__setattr__(self, name, getattr(self, name) or own)
        super().__post_init__()


def build_encoder(config: ViTConfig, head: nn.Module | None = None) -> ViTEncoder:
    """The encoder of a ViTConfig or TimmViTConfig, with random weights."""
    return TimmEncoder(config, head) if isinstance(config, TimmViTConfig) else ViTEncoder(config, head)


class TimmEncoder(ViTEncoder):
    """A ViTEncoder that has the layers, and the names of parameters, of the timm model of its config."""

    def __init__(self, config: TimmViTConfig, head: nn.Module | None = None, *, pretrained: bool = False):
        nn.Module.__init__(self)
        self.__dict__.update(_trunk(config, pretrained).__dict__)  # a timm VisionTransformer, which this class extends
        self.config = config
        if head is not None:
            self.head = head
            initialise_head(head)


def pretrained_encoder(config: TimmViTConfig | str, **sizes) -> TimmEncoder:
    """The encoder with the weights that timm publishes for its name, position embeddings resampled to its image size.

    config  a TimmViTConfig, or a timm name with the sizes that differ: `("vit_base_patch16_224.mae", image_size=112)`
    The weights come from the Hugging Face hub or its cache; where timm's pretraining normalised pixels in another way
    than ours (ImageNet mean and deviation, as MAE and DINOv2), fine-tuning has to make up for it. Raises AffectError
    where timm has no weights, or they cannot be fetched.
    """
    if isinstance(config, str):
        config = TimmViTConfig(timm_name=config, **sizes)
    return TimmEncoder(config, pretrained=True).eval()


def download(create, name: str):
    """`create()`, which fetches timm's weights for `name`; raises AffectError where they are not to be had."""
    if not timm.models.get_pretrained_cfg(name).has_weights:
        raise AffectError(f"timm publishes no weights for {name}")
    try:
        return create()
    except (OSError, *_hub_errors()) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise AffectError(
            f"the weights of {name} cannot be fetched and are not in the cache of the Hugging Face hub: {reason} "
            "Connect to the network once, or start from random weights."
        ) from error


def require_known(name: str) -> None:
    """Raise AffectError, naming some that are alike, unless timm has a model called `name`."""
    if not timm.is_model(name):
        alike = get_close_matches(name, timm.list_models())
        raise AffectError(f"timm has no model {name!r}" + (f"; it has {', '.join(alike)}, ..." if alike else ""))


def create_arguments(config: TimmViTConfig) -> dict[str, Any]:
    """Keyword arguments, all of them JSON, for which `timm.create_model` builds the encoder, headless and unpooled."""
    own = _sizes(config.timm_name)
    names = {"image_size": "img_size", "patch_size": "patch_size", "width": "embed_dim", "depth": "depth",
             "heads": "num_heads", "mlp_ratio": "mlp_ratio"}  # fmt: skip
    changed = {names[name]: getattr(config, name) for name in names if getattr(config, name) != own[name]}
    plain = {"num_classes": 0, "global_pool": "", "dynamic_img_size": False}
    return {"model_name": config.timm_name, **plain, **changed}


def _trunk(config: TimmViTConfig, pretrained: bool) -> VisionTransformer:
    def create() -> VisionTransformer:
        return timm.create_model(**create_arguments(config), drop_path_rate=config.drop_path, pretrained=pretrained)

    return download(create, config.timm_name) if pretrained else create()


@lru_cache
def _sizes(name: str) -> dict[str, int | float]:
    """The sizes of a timm architecture, as fields of ViTConfig. Raises AffectError if it cannot be an encoder."""
    require_known(name)
    with torch.device("meta"):
        model = timm.create_model(name)
    if reason := _unfit(model):
        raise AffectError(
            f"{name} cannot be the encoder: {reason}. MAE and CoTEX hide patches by leaving their tokens out; name one "
            "of timm's plain ViTs, such as vit_small_patch16_224, vit_base_patch16_224.mae, vit_small_patch14_dinov2."
        )
    mlp = getattr(model.blocks[0], "mlp", None)
    hidden = mlp.fc1.out_features / model.embed_dim if hasattr(mlp, "fc1") else ViTConfig.mlp_ratio
    return {
        "image_size": model.patch_embed.img_size[0],
        "patch_size": model.patch_embed.patch_size[0],
        "width": model.embed_dim,
        "depth": len(model.blocks),
        "heads": attention_layers(model)[0].num_heads,
        "mlp_ratio": hidden,
    }


def _unfit(model: nn.Module) -> str:
    """Why a timm model cannot leave patches out; empty if it can."""
    kind = type(model).__name__
    if not attention_layers(model):
        return f"{kind} has no patch tokens, its layers mix neighbouring places (convolutions or the like)"
    if type(model) is not VisionTransformer:
        return f"{kind} has attention, positions or tokens of its own kind (windows, rotary or relative positions)"
    if type(model.patch_embed) is not PatchEmbed:
        return "a network before its tokens lets every patch see its neighbours"
    if model.pos_embed is None:
        return "it has no position embeddings, by which a patch would know its place"
    if len(set(model.patch_embed.img_size)) > 1 or len(set(model.patch_embed.patch_size)) > 1:
        return "its images or patches are not square"
    return ""


def _hub_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises for a network that is not there, beside OSError."""
    try:
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        return ()
    return HfHubHTTPError, LocalEntryNotFoundError
