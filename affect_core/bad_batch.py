"""The batch at which a training was stopped because a loss or a gradient was not a finite number.

`training.fit` keeps it as `bad_batch.pt` in the stage's folder, with everything that decided the loss: images and
labels as the model saw them, weights, random states. `replay.load_bad_batch` reads it, `replay.replay` plays it again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from affect_core.distributed import world
from affect_core.errors import AffectError
from affect_core.storage import atomic_path


@dataclass(frozen=True)
class RandomStates:
    """Where the random numbers of a loss come from: its generator, the CPU, and the CUDA device if there is one."""

    generator: Tensor
    cpu: Tensor
    cuda: Tensor | None = None

    @classmethod
    def now(cls, generator: torch.Generator) -> RandomStates:
        """The states before the next draw; `generator` is on the training device."""
        device = generator.device
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(generator.get_state(), torch.get_rng_state(), cuda)

    def restore(self, generator: torch.Generator) -> None:
        """Draw from here again. States of another kind of device mean nothing to `generator`, which then stays."""
        torch.set_rng_state(self.cpu)
        if (self.cuda is not None) == (generator.device.type == "cuda"):
            generator.set_state(self.generator)
            if self.cuda is not None:
                torch.cuda.set_rng_state(self.cuda, generator.device)


@dataclass(frozen=True)
class BadBatch:
    """One micro-batch and what its loss was computed from.

    quantity      "training loss", or "gradient": the norm over all parameters
    value         nan or infinite
    step          optimiser steps taken before
    seed          of the training's configuration
    rows          N rows of the training data
    losses        each term of the loss
    batch         what `data.batch` returned, for the stages a `batches.Batch`; in the file a dataclass is a dict
    weights       the model's state before the step, but for running statistics, which have seen the batch
    model_name    the model's class, and its config as a dict (None if it has none)
    loss_name     the loss function, and what `functools.partial` has fixed of it
    bf16          whether bf16 autocast was on
    random        random states just before the loss
    """

    quantity: str
    value: float
    step: int
    seed: int
    rows: list[int]
    losses: dict[str, float]
    batch: Any
    weights: dict[str, Tensor]
    model_name: str
    model_config: dict[str, Any] | None
    loss_name: str
    loss_settings: dict[str, Any]
    bf16: bool
    random: RandomStates


def what_is_not_finite(loss: float, parameters: Iterable[nn.Parameter]) -> tuple[str, float] | None:
    """(quantity, value) of `BadBatch`: the loss, or the norm of all gradients; None if both are finite."""
    if not math.isfinite(loss):
        return "training loss", loss
    norm = float(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
    return None if math.isfinite(norm) else ("gradient", norm)


def name_and_settings(loss) -> tuple[str, dict[str, Any]]:
    """The name of a loss function, and the keywords that `functools.partial` has fixed."""
    if isinstance(loss, partial):
        return loss.func.__name__, dict(loss.keywords)
    return getattr(loss, "__name__", type(loss).__name__), {}


def stop_training(directory: Path, bad: BadBatch, total_steps: int) -> NoReturn:
    """Keep the batch in `directory` and raise the AffectError that says what happened and what is left."""
    directory = Path(directory)
    try:
        kept = f"The batch is kept in {keep_bad_batch(directory, bad)}; affect_core.replay plays it again."
    except AffectError as error:
        kept = f"The batch could not be kept: {error}"
    saved = (directory / "resume.pt").exists()
    checkpoint = f"the checkpoint before it is kept in {directory}" if saved else "there was no checkpoint before it"
    raise AffectError(
        f"The {bad.quantity} of {directory.name} is {bad.value} at step {bad.step + 1} of {total_steps}; {checkpoint}. "
        f'{kept} A lower base_learning_rate or precision = "fp32" may help.'
    )


def keep_bad_batch(directory: Path, bad: BadBatch) -> Path:
    """Write `bad` to `directory/bad_batch.pt`; of several processes, the others' shares to `bad_batch-<rank>.pt`.

    Raises AffectError if the disk refuses.
    """
    rank = world()[0]
    path = Path(directory) / ("bad_batch.pt" if rank == 0 else f"bad_batch-{rank}.pt")
    record = {field.name: getattr(bad, field.name) for field in fields(bad)}
    record["random"] = vars(bad.random)
    record["batch"] = asdict(bad.batch) if is_dataclass(bad.batch) else bad.batch
    with atomic_path(path) as temporary:
        torch.save(record, temporary)
    return path
