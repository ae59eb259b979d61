"""The encoder of any model as a plain timm checkpoint: tensors in one file, how to build their model beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from affect_core.augment import IMAGENET_MEAN, IMAGENET_STD
from affect_core.backbones import TimmViTConfig, create_arguments
from affect_core.errors import AffectError
from affect_core.mae import MAE
from affect_core.storage import atomic_path, write_json
from affect_core.vit import ViTConfig, ViTEncoder


def timm_arguments(config: ViTConfig) -> dict[str, Any]:
    """Keyword arguments, all of them JSON, for which `timm.create_model` builds the encoder of this size, headless.

    They carry this project's normalisation, so that timm.data.resolve_model_data_config(model) prepares images alike.
    """
    plain = {
        "model_name": "vit_base_patch16_224",  # timm's name for a plain ViT; every size in it is overridden below
        "img_size": config.image_size,
        "patch_size": config.patch_size,
        "embed_dim": config.width,
        "depth": config.depth,
        "num_heads": config.heads,
        "mlp_ratio": config.mlp_ratio,
        "num_classes": 0,
    }
    return {
        **(create_arguments(config) if isinstance(config, TimmViTConfig) else plain),
        "pretrained_cfg_overlay": {
            "input_size": [3, config.image_size, config.image_size],
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
        },
    }


def save_timm_encoder(path: str | Path, model: MAE | ViTEncoder) -> None:
    """Write the encoder's tensors to `path` (.safetensors) and its `timm_arguments` to the same name with .json.

    Anyone with timm gets the encoder back without this project:

        model = timm.create_model(**json.load(open("encoder.json")), checkpoint_path="encoder.safetensors")

    `model.forward_features(images)` are then the tokens of `ViTEncoder.forward`, (N, 1 + L, D), and `model(images)`
    is the class token (N, D). (Of an encoder by timm name both are all tokens, registers among them, unpooled.) For an
    EMMA pass `emma.vit`, for a CoTEX one of `cotex.views`; heads are left out.
    Raises AffectError for another suffix or another model.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise AffectError(f"{path}: an encoder is written as .safetensors")
    encoder = model.encoder if isinstance(model, MAE) else model
    if not isinstance(encoder, ViTEncoder):
        raise AffectError(f"a {type(model).__name__} is no encoder; pass a MAE, emma.vit or cotex.views[0]")
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in encoder.state_dict().items()
        if not name.startswith("head.")
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    write_json(path.with_suffix(".json"), timm_arguments(encoder.config))
