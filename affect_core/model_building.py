"""Models for weights that are there: built without memory first, so that a file cannot ask for what it lacks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from affect_core.errors import AffectError
from affect_core.weight_files import check_plain

_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange, torch.tensor}
_IMPOSSIBLE = (TypeError, ValueError, ArithmeticError, RuntimeError, AssertionError, AttributeError, LookupError,
               MemoryError)  # fmt: skip


class _WithoutMemory(TorchFunctionMode):
    """Every new tensor is on the device "meta". (`torch.device("meta")` would also move the ramp whose numbers older
    versions of timm read for stochastic depth.) After `limit` tensors, or for a ramp of that many, it stops."""

    def __init__(self, limit: int):
        super().__init__()
        self.limit, self.made = limit, 0

    def __torch_function__(self, function, types, arguments=(), options=None):
        options = dict(options or {})
        if function in _FACTORIES:
            self.made += 1
            options["device"] = "meta"
        steps = options.get("steps", arguments[2] if len(arguments) > 2 else 0) if function is torch.linspace else 0
        if max(self.made, steps) > self.limit:
            raise AffectError("its settings ask for many more tensors than it holds")
        return function(*arguments, **options)


@contextmanager
def plain_torch() -> Iterator[None]:
    """New tensors are float32 on the CPU and may be trained, whatever the caller has set for tensors of its own."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)


def build_for(build: Callable[[], nn.Module], tensors: dict[str, Tensor], source: str) -> nn.Module:
    """`build()` with `tensors` as its weights; raises AffectError, before memory is taken, if they do not fit."""
    try:
        with _WithoutMemory(limit=8 * len(tensors) + 200), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of layers without width; they do not fit
            skeleton = build()
        check_fit(skeleton, tensors, source)
        model = build()
    except AffectError as error:
        message = str(error)
        raise AffectError(message if message.startswith(source) else f"{source}: {message}") from error
    except _IMPOSSIBLE as error:
        raise AffectError(f"{source}: no model can be built with its settings ({error})") from error
    assign_weights(model, tensors, source=source)
    return model


def assign_weights(model: nn.Module, tensors: dict[str, Tensor], *, source: str) -> None:
    """Copy `tensors` into `model`, every one accounted for; floats of any precision become the model's.

    Raises AffectError as `check_fit` does, before anything is copied.
    """
    check_fit(model, tensors, source)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(tensors[name])


def check_fit(model: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Raises AffectError that lists the tensors that are missing, unexpected, of another shape, of numbers of another
    kind (integers for floats), or not finite."""
    check_plain(tensors, source)
    expected = model.state_dict()
    shared = {name: tensor for name, tensor in expected.items() if name in tensors}
    faults = {
        "missing": [name for name in expected if name not in tensors],
        "unexpected": [name for name in tensors if name not in expected],
        "of another shape": [
            f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in shared.items() if tensors[name].shape != tensor.shape
        ],
        "of another type": [
            f"{name} {tensors[name].dtype} instead of {tensor.dtype}"
            for name, tensor in shared.items() if tensors[name].is_floating_point() != tensor.is_floating_point()
            or tensors[name].is_complex()
        ],
        "with NaN or infinity": [
            name for name in shared if tensors[name].is_floating_point() and not _is_finite(tensors[name])
        ],
    }  # fmt: skip
    if any(faults.values()):
        listed = "; ".join(f"{len(names)} {fault}: {', '.join(names)}" for fault, names in faults.items() if names)
        raise AffectError(f"{source} does not fit {type(model).__name__}: {listed}")


def _is_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor if tensor.element_size() > 1 else tensor.float()).all())
