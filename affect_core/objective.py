"""What a training minimises and by what its best epoch is chosen, told in values that can be compared between runs."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn


def objective_of(
    model: nn.Module, loss: Callable, groups: list[dict] | None, evaluate: Callable | None, monitor: str | None
) -> dict[str, Any]:
    """JSON values that differ wherever `fit` would compute something else for its arguments of these names.

    Functions are told by their source, what `functools.partial` or a closure has fixed, and their defaults; other
    objects in those by their type alone.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    told = [{key: [names.get(id(one), "?") for one in value] if key == "params" else as_told(value)
             for key, value in group.items()} for group in groups or ()]  # fmt: skip
    return {
        "loss": as_told(loss), "evaluate": as_told(evaluate), "monitor": monitor, "groups": told,
        "trained": [name for name, parameter in model.named_parameters() if parameter.requires_grad],
    }  # fmt: skip


def as_told(value: Any) -> Any:
    """`value` in JSON: numbers, words and arrays as they are, functions by what they do, all else by its type."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): as_told(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_told(part) for part in value]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        array = value.detach().cpu() if isinstance(value, torch.Tensor) else value
        return array.tolist() if array.size == 1 or np.prod(array.shape) <= 1000 else str(tuple(array.shape))
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__qualname__, as_told(_plain(value))]
    if isinstance(value, partial):
        return [as_told(value.func), as_told(value.args), as_told(value.keywords)]
    if inspect.ismethod(value):
        return [as_told(value.__func__), type(value.__self__).__qualname__]
    if inspect.isfunction(value):
        fixed = [_content(cell) for cell in value.__closure__ or ()]
        return [value.__qualname__, _source(value), as_told(value.__defaults__), as_told(value.__kwdefaults__),
                [as_told(part) for part in fixed if not callable(part)]]  # fmt: skip
    return [type(value).__qualname__, _source(type(value))]


def _plain(value: Any) -> dict[str, Any]:
    try:
        return asdict(value)
    except TypeError:  # a field that cannot be copied
        return vars(value)


def _content(cell) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that the enclosing function has not set yet
        return None


def _source(thing: Any) -> str:
    """SHA-256 of the source, or, where there is none to be found, of a function's code."""
    try:
        text = inspect.getsource(thing).encode()
    except (OSError, TypeError):
        text = getattr(getattr(thing, "__code__", None), "co_code", b"")
    return hashlib.sha256(text).hexdigest()
