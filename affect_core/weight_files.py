"""Opening files of weights that strangers wrote: nothing in them is executed, and none takes more memory than it has.

.safetensors is a header and numbers. Everything else is opened with `torch.load(weights_only=True)`, which builds
tensors and plain containers and refuses to call anything else.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from affect_core.errors import AffectError

_SHARD = re.compile(r"-\d+-of-\d+\.|\.index\.json$")
_DAMAGED = (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError,
            AssertionError, NotImplementedError, RecursionError, MemoryError, OSError)  # fmt: skip


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a whole .safetensors file. Raises AffectError for another, a damaged or a missing file.

    The format has each tensor's bytes in the file once, so that no header can ask for more memory than the file has.
    """
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def read_safetensors_metadata(path: str | Path) -> dict[str, str]:
    """The metadata alone. Raises AffectError as `read_safetensors`."""
    with _opened(path) as file:
        return file.metadata() or {}


@contextmanager
def _opened(path: str | Path) -> Iterator[safe_open]:
    path = existing(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, *_DAMAGED) as error:
        raise AffectError(f"{path} is not a safetensors file, or not a whole one ({error})") from error


def read_pickled(path: str | Path, device: torch.device | str = "cpu") -> Any:
    """What `torch.save` wrote: tensors in dicts, lists and tuples. Raises AffectError for anything that is more.

    Refused are files that name a class or function (they are listed), that are compressed (a few kB could hold many
    GB), damaged or missing.
    """
    path = existing(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise AffectError(f"{path} is a compressed archive, which torch.save does not write; unpack it")
        return torch.load(path, map_location=device, weights_only=True)
    except AffectError:
        raise
    except pickle.UnpicklingError as error:
        refused = _refused_classes(path, str(error))
        if not refused:
            raise AffectError(f"{path} is not a PyTorch checkpoint") from error
        raise AffectError(
            f"{path} holds more than tensors ({', '.join(refused)}) and was not opened, because loading such objects "
            "can run code; ask its author for a state dict, or save one yourself where you trust the file"
        ) from error
    except Exception as error:  # the unpickler raises whatever damaged bytes lead it to
        raise AffectError(f"{path} is not a PyTorch checkpoint, or not a whole one") from error


def check_plain(tensors: dict[str, Tensor], source: str) -> None:
    """Raises AffectError, naming `source`, for a tensor that shows more numbers than it holds, or holds them oddly.

    Odd are sparse and quantized tensors, those without storage (device meta) and those expanded from fewer numbers.
    """
    for name, tensor in tensors.items():
        plain = tensor.layout is torch.strided and tensor.device.type != "meta" and not tensor.is_quantized
        if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            shape = tuple(tensor.shape)
            raise AffectError(f"{source}: {name} of shape {shape} is no plain tensor with all its numbers")


def existing(path: str | Path) -> Path:
    """`path`, if it is a whole file. Raises AffectError if it is not there or one part of several."""
    path = Path(path)
    if not path.is_file():
        raise AffectError(f"{path} not found")
    if _SHARD.search(path.name):
        raise AffectError(f"{path} is one part of weights in several files; join them into one file first")
    return path


def _refused_classes(path: Path, message: str) -> list[str]:
    """Classes and functions that a refused pickle names: all of a zipped file, the first of an old-style one."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # as in read_pickled; the message names the first
        found = []
    return sorted(found) or re.findall(r"GLOBAL (\S+)", message)[:1]
