"""Settings from JSON and TOML: whether a value is of the type that a config's field has."""

from __future__ import annotations

import math
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from affect_core.errors import AffectError


def check_types(config_class: type, values: dict[str, Any], source: str) -> None:
    """Raises AffectError, naming `source`, field and value, for the first of `values` of another type than its field.

    Whole numbers are fine for float fields, lists for tuples; true and false are no numbers, and no number is NaN or
    infinite. Names that are no field are not looked at.
    """
    kinds = get_type_hints(config_class)
    for name, value in values.items():
        if name in kinds and not is_of(kinds[name], value):
            wanted = getattr(kinds[name], "__name__", None) if not get_args(kinds[name]) else str(kinds[name])
            raise AffectError(f"{source}: {name} is {str(value)[:60]!r}, but must be {wanted}")


def is_of(kind: Any, value: Any) -> bool:
    """Whether `value` fits the type hint `kind` (classes, unions, Literal and tuple)."""
    arguments = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return any(is_of(one, value) for one in arguments)
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in arguments
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            return False
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return len(kinds) == len(value) and all(map(is_of, kinds, value))
    if kind in (int, float):
        number = isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
        return number and (isinstance(value, int) or math.isfinite(value))
    return value is None if kind is NoneType else isinstance(value, kind)
