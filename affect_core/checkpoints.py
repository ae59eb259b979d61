"""Weights on disk: safetensors with the model's config inside, written whole or not at all, and read strictly.

`published.load_published` reads the files that the paper's authors and the MAE reference distribute.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from affect_core.backbones import TimmViTConfig
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.mae import MAE, MAEConfig
from affect_core.priors import CustomPriorConfig, TimmPrior, TimmPriorConfig, build_prior
from affect_core.storage import atomic_path
from affect_core.vit import ViTConfig

_CONFIGS = {MAE: MAEConfig, DAN: DANConfig, TimmPrior: TimmPriorConfig, EMMA: EMMAConfig, CoTEX: CoTEXConfig}
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
    `path` complete, by a rename after it has reached the disk; a reader or a killed run never meets half a file.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in (weights or model.state_dict()).items()}
    config = asdict(model.config) if is_dataclass(getattr(model, "config", None)) else None
    record = {"model": type(model).__name__, "config": config, "metadata": metadata or {}}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={_KEY: json.dumps(record)})


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `save_weights` noted beside the weights: {"model": class name, "config": dict, "metadata": dict}."""
    path = _existing(path)
    try:
        with safe_open(path, framework="pt") as file:
            record = (file.metadata() or {}).get(_KEY)
    except SafetensorError as error:
        raise AffectError(f"{path} is not a safetensors file, or not a whole one ({error})") from error
    if record is None:
        raise AffectError(f"{path} was not written by this project: it does not say which model its weights belong to")
    return json.loads(record)


def load_weights(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Copy the weights of `path` into `model` and return the metadata given to `save_weights`.

    Raises AffectError if a tensor is missing, unexpected or of another shape (all are listed); the model is then
    unchanged.
    """
    path = _existing(path)
    record = read_metadata(path)
    assign_weights(model, load_file(path), source=str(path))
    return record["metadata"]


def load_model(path: str | Path) -> nn.Module:
    """The model of a class above that `save_weights` wrote, rebuilt from the file alone, on the CPU, in eval mode."""
    model = model_from_record(read_metadata(path), str(path))
    load_weights(path, model)
    return model


def model_from_record(record: dict[str, Any], source: str) -> nn.Module:
    """A new model, in eval mode, with random weights, of the class and config in a record of `read_metadata`.

    Raises AffectError, naming `source`, for another class or for fields that its config does not have.
    """
    configs = {model.__name__: config for model, config in _CONFIGS.items()}
    if record["model"] not in configs:
        raise AffectError(f"{source} holds a {record['model']}; load_model knows {', '.join(configs)}")
    return build_model(record["model"], config_from_dict(configs[record["model"]], record["config"], source))


def config_from_dict(config_class: type, values: dict[str, Any], source: str) -> Any:
    """Rebuild a frozen config, nested ones included, from `dataclasses.asdict` that went through JSON.

    Raises AffectError, naming `source`, for fields that the config does not have.
    """
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
    return config_class(**built)


def concrete_config(config_class: type, values: dict[str, Any]) -> type:
    """The class that `values` are of, where several may stand: a timm architecture has a timm_name, a network of one's
    own a mean. `config_class` is the plain one."""
    if config_class is ViTConfig and "timm_name" in values:
        return TimmViTConfig
    if config_class is DANConfig and "timm_name" in values:
        return TimmPriorConfig
    return CustomPriorConfig if config_class is DANConfig and "mean" in values else config_class


def assign_weights(model: nn.Module, tensors: dict[str, Tensor], *, source: str) -> None:
    """Copy `tensors` into `model`, every one accounted for.

    Raises AffectError that lists missing, unexpected and mismatched tensors, before anything is copied.
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    mismatched = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": mismatched}
    if any(faults.values()):
        listed = "; ".join(f"{len(names)} {fault}: {', '.join(names)}" for fault, names in faults.items() if names)
        raise AffectError(f"{source} does not fit {type(model).__name__}: {listed}")
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(tensors[name])


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise AffectError(f"{path} not found")
    return path
