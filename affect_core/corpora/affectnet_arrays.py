"""The 2021 edition of AffectNet keeps each label of each image in a .npy file of its own: 0.9 million small files."""

from __future__ import annotations

import io
import math
import os
import tokenize
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affect_core.errors import AffectError

_HEADER_BYTES = 128  # what numpy writes for a scalar; other lengths take the slow path
_LARGEST_FILE = 2**20
_HEADER_ERRORS = (ValueError, SyntaxError, TypeError, LookupError, AttributeError, RecursionError, MemoryError,
                  tokenize.TokenError)  # fmt: skip


@dataclass(frozen=True)
class Scalars:
    """identifiers sorted; values (N, len(kinds)) float64, NaN where unreadable; reasons: row -> what is wrong."""

    identifiers: list[str]
    values: np.ndarray
    reasons: dict[int, list[str]]


def read_scalars(folder: Path, kinds: tuple[str, ...]) -> Scalars:
    """Numbers in `folder/ID_<kind>.npy`, for every ID that has at least one such file.

    An array may hold a number or a number as text, with any shape that has one element; pickled arrays are refused.
    """
    endings = tuple(f"_{kind}.npy" for kind in kinds)
    try:
        listed = os.listdir(folder)
    except OSError as error:
        raise AffectError(f"{folder} cannot be read: {error.strerror}.") from error
    names = {name for name in listed if name.endswith(endings) and not name.startswith(".")}
    identifiers = sorted({name.rpartition("_")[0] for name in names})
    values = np.full((len(identifiers), len(kinds)), np.nan)
    reasons: dict[int, list[str]] = {}
    dtypes: dict[bytes, np.dtype] = {}
    for row, identifier in enumerate(identifiers):
        for column, ending in enumerate(endings):
            name = identifier + ending
            if name not in names:
                reasons.setdefault(row, []).append(f"{folder / name} not found")
                continue
            try:
                values[row, column] = _read_scalar(f"{folder}/{name}", dtypes)
            except (OSError, ValueError) as error:
                reasons.setdefault(row, []).append(f"{folder / name} is not one number ({error})")
    return Scalars(identifiers, values, reasons)


def _read_scalar(path: str, dtypes: dict[bytes, np.dtype]) -> float:
    """The number in one file; `dtypes` remembers headers seen before, since parsing one costs more than reading."""
    if os.path.getsize(path) > _LARGEST_FILE:
        raise ValueError(f"it has more than {_LARGEST_FILE:,} bytes")
    with open(path, "rb") as file:
        data = file.read()
    header = data[:_HEADER_BYTES]
    dtype, start = dtypes.get(header), _HEADER_BYTES
    if dtype is None or len(data) != _HEADER_BYTES + dtype.itemsize:
        dtype, start = _dtype_of_one(io.BytesIO(data))
        if start == _HEADER_BYTES and len(data) == _HEADER_BYTES + dtype.itemsize:
            dtypes[header] = dtype
    item = np.frombuffer(data, dtype, 1, start)[0]
    return float(item.decode() if isinstance(item, bytes) else item)


def _dtype_of_one(file: io.BytesIO) -> tuple[np.dtype, int]:
    """Type and place of the only value of an array file. Nothing of the size that its header claims is allocated."""
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read_header:
        raise ValueError(f"its format has version {version}")
    try:
        shape, _, dtype = read_header[version](file)
    except _HEADER_ERRORS as error:
        raise ValueError(f"its header cannot be read: {error}") from error
    if math.prod(shape) != 1:
        raise ValueError(f"it holds {math.prod(shape)} values")
    if dtype.kind not in "iufUS" or dtype.itemsize == 0:
        raise ValueError(f"it holds a value of type {dtype}")
    return dtype, file.tell()
