"""Read published checkpoints into our models: which model a file holds is told by the names of its tensors.

Known: MAE (the reference's pretrained files, with or without decoder), DAN (AffectNet), EMMA and CoTEX (the paper's).
Opening one cannot run code in it, see `weight_files`; .safetensors work too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS, LSD_EXPRESSIONS
from affect_core.mae import MAE, MAEConfig
from affect_core.model_building import build_for
from affect_core.vit import ViTConfig, ViTEncoder, resample_positions
from affect_core.weight_files import check_plain, read_pickled, read_safetensors

StateDict = dict[str, Tensor]
Built = tuple[Callable[[], torch.nn.Module], StateDict]
"""How to build the model, and its weights under our names."""

_CONTAINERS = ("model", "model_state_dict", "state_dict")
_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}  # ViT-Ti, S, B, L, H: heads leave no trace in tensor shapes
_DECODER_HEADS = {512: 16}
_MOST_VIEWS = 64
_DECODER_NAMES = ("decoder_", "mask_token")


def load_published(
    path: str | Path,
    *,
    image_size: int | None = None,
    heads: int | None = None,
    decoder_heads: int | None = None,
    norm_pix_loss: bool = True,
) -> MAE | ViTEncoder | DAN | EMMA | CoTEX:
    """The model in a published checkpoint, on the CPU, in eval mode; a MAE without its decoder gives a ViTEncoder.

    The file holds a state dict, or a list of them (the views of CoTEX), plain or under "model", "model_state_dict" or
    "state_dict". Every tensor must find its place. Sizes are read from shapes; what shapes do not show is given:

    image_size     another input size, px: position embeddings are resampled (timm's resample_abs_pos_embed)
    heads          attention heads of the encoder; known for the widths of ViT-Ti, S, B, L and H
    decoder_heads  attention heads of the MAE decoder; known for width 512
    norm_pix_loss  whether a MAE was trained with normalised targets (it matters for pictures and loss only)

    Raises AffectError for a file that is not there, is damaged, holds code, is none of these models, or does not fit.
    """
    path = Path(path)
    states = _state_dicts(_read(path), path)
    names = set(states[0])
    try:
        if any(name.startswith("cnn.") for name in names):
            build, converted = _emma(states[0], image_size, heads)
        elif any(name.startswith("cat_head") for name in names):
            build, converted = _dan(states[0])
        elif any(name.startswith("vit.") for name in names):
            build, converted = _cotex(states, image_size, heads)
        elif "decoder_embed.weight" in names:
            build, converted = _mae(states[0], image_size, heads, decoder_heads, norm_pix_loss)
        elif "patch_embed.proj.weight" in names:
            vit = _vit_config(states[0], "", image_size, heads)
            build, converted = (lambda: ViTEncoder(vit)), _resampled(states[0], vit.grid_size)
        else:
            some = ", ".join(sorted(names)[:5])
            raise AffectError(f"this is no checkpoint of MAE, DAN, EMMA or CoTEX: its tensors are called {some}, ...")
    except AffectError as error:
        raise AffectError(f"{path}: {error}") from error
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise AffectError(f"{path}: the shapes of its tensors make no model ({error})") from error
    return build_for(build, converted, str(path)).eval()


# -- one function per model: config from shapes, names from theirs to ours ---------------------------------------------
def _mae(
    state: StateDict, image_size: int | None, heads: int | None, decoder_heads: int | None, norm_pix_loss: bool
) -> Built:
    width = _shape(state, "decoder_embed.weight", 2)[0]
    config = MAEConfig(
        vit=_vit_config(state, "", image_size, heads),
        decoder_width=width,
        decoder_depth=_depth(state, "decoder_blocks."),
        decoder_heads=_heads_of(width, decoder_heads, _DECODER_HEADS, "decoder_heads"),
        norm_pix_loss=norm_pix_loss,
    )
    encoder_is_plain = {name if name.startswith(_DECODER_NAMES) else f"encoder.{name}": t for name, t in state.items()}
    return (lambda: MAE(config)), _resampled(encoder_is_plain, config.vit.grid_size)


def _dan(state: StateDict) -> Built:
    config = _dan_config(state, "")
    return (lambda: DAN(config)), state


def _emma(state: StateDict, image_size: int | None, heads: int | None) -> Built:
    config = EMMAConfig(
        vit=replace(_vit_config(state, "vit.", image_size, heads), drop_path=EMMAConfig().vit.drop_path),
        prior=_dan_config(state, "cnn."),
        hidden=_shape(state, "vit.head.0.weight", 2)[0],
        va_hidden=_shape(state, "va_head.0.weight", 2)[0],
    )
    renamed = {re.sub(r"^cnn\.", "prior.model.", name): tensor for name, tensor in state.items()}
    return (lambda: EMMA(config, DAN(config.prior))), _resampled(renamed, config.vit.grid_size)


def _cotex(states: list[StateDict], image_size: int | None, heads: int | None) -> Built:
    classes = _shape(states[0], "vit.head.weight", 2)[0]
    vocabularies = {len(LSD_EXPRESSIONS): LSD_EXPRESSIONS, len(EXPRESSIONS): EXPRESSIONS}
    if classes not in vocabularies:
        raise AffectError(f"a CoTEX checkpoint has {' or '.join(map(str, vocabularies))} classes, this one {classes}")
    config = CoTEXConfig(
        vit=replace(_vit_config(states[0], "vit.", image_size, heads), drop_path=CoTEXConfig().vit.drop_path),
        vocabulary=vocabularies[classes],
        views=len(states),
    )
    renamed = {
        re.sub(r"^vit\.", f"views.{view}.", name): tensor
        for view, state in enumerate(states)
        for name, tensor in state.items()
    }
    return (lambda: CoTEX(config)), _resampled(renamed, config.vit.grid_size)


# -- sizes from shapes -------------------------------------------------------------------------------------------------
def _vit_config(state: StateDict, prefix: str, image_size: int | None, heads: int | None) -> ViTConfig:
    width, _, patch_size, _ = _shape(state, f"{prefix}patch_embed.proj.weight", 4)
    num_patches = _shape(state, f"{prefix}pos_embed", 3)[1] - 1
    grid_size = math.isqrt(num_patches)
    if grid_size**2 != num_patches:
        raise AffectError(f"{prefix}pos_embed has positions for {num_patches} patches, which make no square image")
    return ViTConfig(
        image_size=image_size or grid_size * patch_size,
        patch_size=patch_size,
        width=width,
        depth=_depth(state, f"{prefix}blocks."),
        heads=_heads_of(width, heads, _HEADS, "heads"),
        mlp_ratio=_shape(state, f"{prefix}blocks.0.mlp.fc1.weight", 2)[0] / width,
        drop_path=0.0,
    )


def _dan_config(state: StateDict, prefix: str) -> DANConfig:
    head = re.compile(re.escape(prefix) + r"cat_head(\d+)\.")
    return DANConfig(
        num_classes=_shape(state, f"{prefix}fc.weight", 2)[0],
        num_heads=len({match[1] for name in state if (match := head.match(name))}),
        width=_shape(state, f"{prefix}features.0.weight", 4)[0],
    )


def _shape(state: StateDict, name: str, dimensions: int) -> torch.Size:
    if name not in state:
        raise AffectError(f"the checkpoint lacks {name}")
    if state[name].ndim != dimensions:
        raise AffectError(f"{name} is expected to have {dimensions} dimensions, not {tuple(state[name].shape)}")
    return state[name].shape


def _depth(state: StateDict, prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _heads_of(width: int, given: int | None, known: dict[int, int], argument: str) -> int:
    if given is None and width not in known:
        raise AffectError(f"a checkpoint does not show its attention heads; for width {width} pass {argument}=...")
    return given or known[width]


def _resampled(state: StateDict, grid_size: int) -> StateDict:
    return {name: resample_positions(tensor, grid_size) if name.endswith("pos_embed") else tensor
            for name, tensor in state.items()}  # fmt: skip


# -- opening a file that strangers wrote -------------------------------------------------------------------------------
def _read(path: Path) -> Any:
    if path.suffix != ".safetensors":
        return read_pickled(path)
    tensors, notes = read_safetensors(path)
    if "affect_core" in notes:
        raise AffectError(f"{path} was written by this project: open it with load_model")
    return tensors


def _state_dicts(content: Any, path: Path) -> list[StateDict]:
    """One state dict, or one for each view, out of whatever the file wraps them in."""
    while isinstance(content, dict) and (inside := [key for key in _CONTAINERS if _holds_states(content.get(key))]):
        content = content[inside[0]]
    states = list(content) if isinstance(content, list | tuple) else [content]
    if not _holds_states(states):
        kind = type(content).__name__
        keys = f" with {', '.join(map(str, list(content)[:5]))}" if isinstance(content, dict) else ""
        raise AffectError(f"{path} holds a {kind}{keys}, no state dict and no list of them")
    if len(states) > _MOST_VIEWS:
        raise AffectError(f"{path} holds {len(states)} state dicts; a CoTEX has at most {_MOST_VIEWS} views")
    for state in states:
        check_plain(state, str(path))
    return [{name.removeprefix("module."): tensor for name, tensor in state.items()} for state in states]


def _holds_states(value: Any) -> bool:
    """Whether this is a state dict or a list of them."""
    states = value if isinstance(value, list | tuple) else [value]
    return bool(states) and all(
        isinstance(state, dict) and bool(state)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items())
        for state in states
    )  # fmt: skip
