"""One training for every stage: begun, continued after an interruption, or found finished; see `training_loop`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from affect_core.checkpoints import load_weights
from affect_core.distributed import is_main, main_first
from affect_core.errors import AffectError
from affect_core.objective import objective_of
from affect_core.progress import Progress, no_progress
from affect_core.record import code_fingerprint, fingerprint, weights_fingerprint
from affect_core.storage import exclusive, read_json, remove_unfinished
from affect_core.train_config import Batches, TrainConfig, TrainRecord
from affect_core.training_loop import TrainingLoop

__all__ = ["Batches", "TrainConfig", "TrainRecord", "fit"]


def fit(
    model: nn.Module,
    data: Batches,
    loss: Callable[[nn.Module, Any, torch.Generator], dict[str, torch.Tensor]],
    config: TrainConfig,
    directory: Path,
    *,
    groups: list[dict] | None = None,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    monitor: str | None = None,
    validation: str | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
) -> TrainRecord:
    """Train `model` on `data` and leave the kept weights in it and in `directory`.

    loss        returns named scalars of a batch; "total" is minimised, all are logged.
    groups      parameter groups of the optimiser (see `optim.parameter_groups`); all parameters alike if None.
    evaluate    called after each epoch; its numbers are logged.
    monitor     the number of `evaluate` to maximise: the best epoch's weights are kept. None keeps the last ones.
    validation  fingerprint of what `evaluate` looks at, for the record; another one trains anew, as other data do.

    The directory receives `config.json`, `log.jsonl`, `best.safetensors`, `last.safetensors` and, when all is done,
    `record.json`. A stage that is already finished with the same inputs (`config`, the model's own config, data,
    validation set, initial weights, code) is loaded instead of trained; one that was interrupted goes on; one that was
    made from other inputs is moved to `<directory>.previous`. Inputs are also `loss` and `evaluate` (their source and
    what is fixed in them, see `objective`; not what they call), `groups`, `monitor`, and which parameters take a
    gradient. In training the last incomplete batch of an epoch is left out, a different one each epoch.

    Several processes (see `distributed`) train together: `batch_size` is then that of all of them, so their number
    may change from one start to the next. The main one validates and writes.

    A loss or a gradient that is not finite stops the training before it reaches the weights: the last checkpoint is
    kept, and the batch in `bad_batch.pt` (see `replay`).

    Raises AffectError for such a loss or gradient, if there is no whole batch or nothing to train, for a `loss` or an
    `evaluate` that returns no such names and numbers, or if the disk refuses.
    """
    directory, device = Path(directory), torch.device(device)
    model.to(device)
    if monitor is not None and evaluate is None:
        raise AffectError(f"monitor {monitor!r} is a number of `evaluate`, and there is none")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise AffectError("nothing to train: no parameter of the model takes a gradient")
    origin = {"validation": validation, "initial_weights": weights_fingerprint(model), "code": code_fingerprint(),
              "objective": fingerprint(objective_of(model, loss, groups, evaluate, monitor))}  # fmt: skip
    own = getattr(model, "config", None)  # weights do not tell how much is masked, or how a term of the loss weighs
    inputs = fingerprint(config, data.fingerprint, origin, own if is_dataclass(own) else None)
    with ExitStack() as held:
        with main_first():
            if is_main() and not _is_finished(directory, inputs):  # to read what is finished, nobody needs to wait
                held.enter_context(exclusive(directory.parent / f".{directory.name}.lock", str(directory)))
                _set_aside(directory, inputs)
                remove_unfinished(directory)
        record = _finished(directory, model)
        if record is None:
            loop = TrainingLoop(model, data, loss, config, directory, groups, evaluate, monitor, device, inputs, origin)
            record = loop.run(progress if is_main() else no_progress)
    model.eval()
    return record


def _set_aside(directory: Path, inputs: str) -> None:
    """Move what was made from other inputs to `<directory>.previous`."""
    state = directory / "state.json"
    if state.exists() and read_json(state)["inputs"] != inputs:
        previous = directory.with_name(directory.name + ".previous")
        shutil.rmtree(previous, ignore_errors=True)
        directory.rename(previous)


def _is_finished(directory: Path, inputs: str) -> bool:
    state = directory / "state.json"
    return (directory / "record.json").exists() and state.exists() and read_json(state)["inputs"] == inputs


def _finished(directory: Path, model: nn.Module) -> TrainRecord | None:
    """The record of a stage that is already done."""
    if not (directory / "record.json").exists():
        return None
    record = read_json(directory / "record.json")
    load_weights(directory / "best.safetensors", model)
    if is_main():
        (directory / "resume.pt").unlink(missing_ok=True)  # left over if a process was killed at the very end
    return TrainRecord(directory, record["log"], record["best_epoch"], record["seconds"], reused=True)
