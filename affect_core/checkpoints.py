"""Weights on disk: safetensors with the model's config inside, written whole or not at all, and read strictly.

`published.load_published` reads the files that the paper's authors and the MAE reference distribute.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from safetensors.torch import save_file
from torch import Tensor, nn

from affect_core.backbones import TimmViTConfig
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.mae import MAE, MAEConfig
from affect_core.model_building import assign_weights, build_for, plain_torch
from affect_core.priors import CustomPriorConfig, TimmPrior, TimmPriorConfig, build_prior
from affect_core.settings import check_types
from affect_core.storage import atomic_path
from affect_core.vit import ViTConfig
from affect_core.weight_files import read_safetensors, read_safetensors_metadata

_CONFIGS = {MAE: MAEConfig, DAN: DANConfig, TimmPrior: TimmPriorConfig, EMMA: EMMAConfig, CoTEX: CoTEXConfig}
_PARALLEL = nn.DataParallel, nn.parallel.DistributedDataParallel
_KEY = "affect_core"


def build_model(name: str, config: MAEConfig | DANConfig | TimmPriorConfig | EMMAConfig | CoTEXConfig) -> nn.Module:
    """A new model, in eval mode, with random weights, by class name: MAE, DAN, TimmPrior, EMMA (with prior), CoTEX."""
    classes = {model.__name__: model for model in _CONFIGS}
    if name not in classes:
        raise AffectError(f"no model is called {name!r}; there are {', '.join(classes)}")
    if name == "EMMA":
        return EMMA(config, build_prior(config.prior) if config.needs_prior else None).eval()
    return classes[name](config).eval()


def save_weights(
    path: str | Path,
    model: nn.Module,
    metadata: dict[str, Any] | None = None,
    *,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Write the model's weights, class, config and `metadata` (anything JSON: thresholds, scores, epoch) to `path`.

    `weights` replaces the model's own, under the same names (an exponential moving average). The file appears at
    `path` complete, by a rename after it has reached the disk; a reader or a killed run never meets half a file. Of a
    compiled model, or one in DataParallel, it is the model inside. Raises AffectError for metadata that are no JSON,
    and for weights that share memory.
    """
    model = _unwrapped(model)
    if weights is not None and weights.keys() != model.state_dict().keys():
        raise AffectError(f"{path} is not written: weights have other names than those of the {type(model).__name__}")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in (weights or model.state_dict()).items()}
    config = asdict(model.config) if is_dataclass(getattr(model, "config", None)) else None
    record = {"model": type(model).__name__, "config": config, "metadata": metadata or {}}
    try:
        notes = {_KEY: json.dumps(record)}
    except (TypeError, ValueError) as error:
        raise AffectError(f"{path} cannot be written: the metadata are not JSON ({error})") from error
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=notes)
        except RuntimeError as error:  # two names for one tensor, of which the file could keep one
            raise AffectError(f"{path} cannot be written: {str(error).strip().splitlines()[0]}") from error


def _unwrapped(model: nn.Module) -> nn.Module:
    """The model that torch.compile, DataParallel or DDP stands around."""
    while (inner := getattr(model, "_orig_mod", None)) is not None or isinstance(model, _PARALLEL):
        model = model.module if inner is None else inner
    return model


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `save_weights` noted beside the weights: {"model": class name, "config": dict, "metadata": dict}."""
    return _record(read_safetensors_metadata(path), path)


def load_weights(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Copy the weights of `path` into `model` and return the metadata given to `save_weights`.

    Raises AffectError if a tensor is missing, unexpected or of another shape (all are listed); the model is then
    unchanged.
    """
    tensors, notes = read_safetensors(path)
    record = _record(notes, path)
    assign_weights(_unwrapped(model), tensors, source=str(path))
    return record["metadata"]


def load_model(path: str | Path) -> nn.Module:
    """The model of a class above that `save_weights` wrote, rebuilt from the file alone, on the CPU, in eval mode."""
    with plain_torch():
        tensors, notes = read_safetensors(path)
        return model_from_record(_record(notes, path), str(path), tensors)


def model_from_record(record: dict[str, Any], source: str, tensors: dict[str, Tensor] | None = None) -> nn.Module:
    """The model of the class and config in a record of `read_metadata`, in eval mode, with `tensors` as its weights.

    Without tensors the weights are random, and nothing limits what a config may ask for.

    Raises AffectError, naming `source`, for another class, for fields that its config does not have, of another type or
    that make no model, and if the tensors do not fit.
    """
    configs = {model.__name__: config for model, config in _CONFIGS.items()}
    if record["model"] not in configs:
        raise AffectError(f"{source} holds a {record['model']}; load_model knows {', '.join(configs)}")
    config = config_from_dict(configs[record["model"]], record["config"], source)
    if tensors is None:
        return build_model(record["model"], config)
    return build_for(lambda: build_model(record["model"], config), tensors, source)


def config_from_dict(config_class: type, values: dict[str, Any], source: str) -> Any:
    """Rebuild a frozen config, nested ones included, from `dataclasses.asdict` that went through JSON.

    Raises AffectError, naming `source`, for fields that the config does not have, of another type or out of range.
    """
    if not isinstance(values, dict):
        raise AffectError(f"{source}: {config_class.__name__} must be a JSON object, not {str(values)[:60]!r}")
    config_class = concrete_config(config_class, values)
    unknown = values.keys() - {field.name for field in fields(config_class)}
    if unknown:
        raise AffectError(f"{source}: {config_class.__name__} has no {', '.join(sorted(unknown))}")
    types = get_type_hints(config_class)
    built = {}
    for name, value in values.items():
        kinds = [kind for kind in (types[name], *get_args(types[name])) if is_dataclass(kind)]
        if kinds:
            value = config_from_dict(kinds[0], value, source)
        built[name] = tuple(value) if isinstance(value, list) else value
    check_types(config_class, built, source)
    try:
        return config_class(**built)
    except (AffectError, TypeError, ArithmeticError) as error:
        raise AffectError(f"{source}: {config_class.__name__}: {error}") from error


def concrete_config(config_class: type, values: dict[str, Any]) -> type:
    """The class that `values` are of, where several may stand: a timm architecture has a timm_name, a network of one's
    own a mean. `config_class` is the plain one."""
    if config_class is ViTConfig and "timm_name" in values:
        return TimmViTConfig
    if config_class is DANConfig and "timm_name" in values:
        return TimmPriorConfig
    return CustomPriorConfig if config_class is DANConfig and "mean" in values else config_class


def _record(notes: dict[str, str], path: str | Path) -> dict[str, Any]:
    if _KEY not in notes:
        raise AffectError(f"{path} was not written by this project: it does not say which model its weights belong to")
    try:
        record = json.loads(notes[_KEY])
    except (ValueError, RecursionError) as error:
        raise AffectError(f"{path} does not say in JSON which model its weights belong to ({error})") from error
    if not isinstance(record, dict) or not {"model", "config", "metadata"} <= record.keys():
        raise AffectError(f"{path} was not written by this project: its record lacks model, config or metadata")
    if not isinstance(record["model"], str):
        raise AffectError(f"{path} does not name the class of its model")
    return record
