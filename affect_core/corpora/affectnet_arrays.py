"""The 2021 edition of AffectNet keeps each label of each image in a .npy file of its own: 0.9 million small files."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_HEADER_BYTES = 128  # what numpy writes for a scalar; other lengths take the slow path


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
    names = {name for name in os.listdir(folder) if name.endswith(endings) and not name.startswith(".")}
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
            except (OSError, ValueError, EOFError) as error:
                reasons.setdefault(row, []).append(f"{folder / name} is not one number ({error})")
    return Scalars(identifiers, values, reasons)


def _read_scalar(path: str, dtypes: dict[bytes, np.dtype]) -> float:
    """The number in one file; `dtypes` remembers headers seen before, since parsing one costs more than reading."""
    with open(path, "rb") as file:
        data = file.read()
    header = data[:_HEADER_BYTES]
    dtype = dtypes.get(header)
    if dtype is None or len(data) != _HEADER_BYTES + dtype.itemsize:
        array = np.load(io.BytesIO(data), allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.size != 1:
            raise ValueError(f"it holds {getattr(array, 'size', 'several')} values")
        if len(data) == _HEADER_BYTES + array.dtype.itemsize and array.dtype.kind in "iufUS":
            dtypes[header] = array.dtype
        item = array.item()
    else:
        item = np.frombuffer(data, dtype, 1, _HEADER_BYTES)[0]
    return float(item.decode() if isinstance(item, bytes) else item)
