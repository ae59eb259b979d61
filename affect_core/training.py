"""One training loop for every stage: AdamW, warm-up and cosine, accumulation, clipping, bf16, EMA, resume.

Nothing in the loop depends on how often it was interrupted: the order of the images is drawn from (seed, epoch) and
every other random number from (seed, step), so that a run which is killed and started again ends, on the CPU, with
the same weights bit for bit.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn

from affect_core.bad_batch import BadBatch, RandomStates, name_and_settings, stop_training, what_is_not_finite
from affect_core.checkpoints import load_weights, save_weights
from affect_core.distributed import from_main, is_main, main_first, synchronised, world
from affect_core.errors import AffectError
from affect_core.hardware import fastest_attention, has_bf16
from affect_core.optim import scaled_lr, set_learning_rate, warmup_cosine
from affect_core.progress import Progress, no_progress
from affect_core.record import SCORING_MODULES, code_fingerprint, environment_record, fingerprint, weights_fingerprint
from affect_core.storage import atomic_path, exclusive, read_json, remove_unfinished, write_json, write_text
from affect_core.weight_files import read_pickled


@dataclass(frozen=True)
class TrainConfig:
    """How a stage is optimised. Defaults are EMMA's published ones (METHOD: AdamW, layer decay, clip at 0.05)."""

    epochs: int = 30
    batch_size: int = 100
    """Images of a forward pass; of all processes together, if several train one model."""
    accumulation: int = 4
    """Batches whose gradients are averaged into one step."""
    base_learning_rate: float = 5e-4
    """Per 256 images: the peak rate is base x batch_size x accumulation / 256."""
    minimum_learning_rate: float = 1e-6
    warmup_epochs: float = 5.0
    weight_decay: float = 0.05
    layer_decay: float | None = 0.65
    """Factor of the rate from one block to the one below; None for a single rate."""
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float | None = 0.05
    """Largest L2 norm of the whole gradient; None for no clipping."""
    precision: str = "auto"
    """"bf16", "fp32", or "auto": bf16 autocast where the hardware computes it."""
    ema_decay: float | None = None
    """Decay of an exponential moving average of the weights, which is then what is validated and kept."""
    validate_every: int = 1
    """Epochs from one validation to the next; the last epoch is always validated."""
    seed: int = 0
    checkpoint_seconds: float = 60.0
    """Time between resumable checkpoints inside an epoch; one is always written at its end."""
    compile: bool = field(default=False, metadata={"added": True})
    """Whether torch.compile fuses the step: 0.9 to 1.4 times the speed on our CPU, by model and size, after a start of
    one to two minutes (`benchmarks/NOTES.md`): measure, then use it for trainings of hours. Needs a C++ compiler.
    Results differ in rounding."""

    def __post_init__(self):
        object.__setattr__(self, "betas", tuple(self.betas))
        if self.epochs < 1 or self.batch_size < 1 or self.accumulation < 1:
            raise AffectError("epochs, batch_size and accumulation must be at least 1.")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise AffectError(f'precision must be "auto", "bf16" or "fp32", not {self.precision!r}.')


class Batches(Protocol):
    """Where `fit` gets its batches: rows by number, prepared on the training device.

    It may have `settings`, a dict of JSON values that says in readable form what `fingerprint` stands for.
    """

    fingerprint: str

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray, generator: torch.Generator) -> Any: ...


@dataclass(frozen=True)
class TrainRecord:
    """What a finished stage leaves: its directory, the log (one dict an epoch) and the seconds it took."""

    directory: Path
    log: list[dict]
    best_epoch: int
    seconds: float
    reused: bool
    """True if the stage had been finished before and nothing was computed now."""

    @property
    def best(self) -> dict:
        """The log entry of the epoch whose weights were kept."""
        return self.log[self.best_epoch - 1]


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
    `record.json`. A stage that is already finished with the same inputs (configuration, data, validation set, initial
    weights, code) is loaded instead of trained; one that was interrupted goes on; one that was made from other inputs
    is moved to `<directory>.previous`. In training the last incomplete batch of an epoch is left out, a different one
    each epoch.

    Several processes (see `distributed`) train together: `batch_size` is then that of all of them, so their number
    may change from one start to the next. The main one validates and writes.

    A loss or a gradient that is not finite stops the training before it reaches the weights: the last checkpoint is
    kept, and the batch in `bad_batch.pt` (see `replay`).

    Raises AffectError for such a loss or gradient, if there is no whole batch, or if the disk refuses.
    """
    directory, device = Path(directory), torch.device(device)
    model.to(device)
    origin = {"validation": validation, "initial_weights": weights_fingerprint(model), "code": code_fingerprint()}
    inputs = fingerprint(config, data.fingerprint, origin)
    with ExitStack() as held:
        with main_first():
            if is_main() and not _is_finished(directory, inputs):  # to read what is finished, nobody needs to wait
                held.enter_context(exclusive(directory.parent / f".{directory.name}.lock", str(directory)))
                _set_aside(directory, inputs)
                remove_unfinished(directory)
        record = _finished(directory, model)
        if record is None:
            loop = _Loop(model, data, loss, config, directory, groups, evaluate, monitor, device, inputs, origin)
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


class _Loop:
    """The state of one `fit`: what has to survive an interruption, and how it is saved."""

    def __init__(self, model, data, loss, config, directory, groups, evaluate, monitor, device, inputs, origin):
        self.model, self.data, self.loss, self.config, self.directory = model, data, loss, config, directory
        self.evaluate, self.monitor, self.device = evaluate, monitor, device
        self.model_config = asdict(model.config) if is_dataclass(getattr(model, "config", None)) else None
        self.inputs, self.origin = inputs, origin
        self.images_per_step = config.batch_size * config.accumulation
        if len(data) < self.images_per_step:  # small data: shrink the step, so that there is one
            self.images_per_step = len(data)
        if self.images_per_step < 2:
            raise AffectError(f"{len(data)} training images are too few to train on.")
        self.steps_per_epoch = len(data) // self.images_per_step
        self.total_steps = config.epochs * self.steps_per_epoch
        self.peak = scaled_lr(config.base_learning_rate, self.images_per_step)
        groups = groups or [{"params": [p for p in model.parameters() if p.requires_grad]}]
        self.world = world()[1]
        loss_of_batch = _LossOfBatch(model, loss)
        if config.compile:
            _require_compiler()
            torch.compiler.reset()  # what an earlier training compiled would count towards torch's limit
            loss_of_batch.compile()
        self.loss_of_batch = synchronised(loss_of_batch, device)
        self.optimizer = torch.optim.AdamW(
            groups, lr=self.peak, betas=config.betas, weight_decay=config.weight_decay, fused=True
        )
        self.parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        self.ema = ModelEmaV3(model, decay=config.ema_decay, use_warmup=True) if config.ema_decay else None
        self.bf16 = config.precision == "bf16" or (config.precision == "auto" and has_bf16(device))
        self.step, self.seconds, self.best, self.best_epoch = 0, 0.0, -math.inf, 0
        self.log: list[dict] = []
        self.order = lru_cache(1)(lambda epoch: np.random.default_rng([config.seed, epoch]).permutation(len(data)))
        self.sums: dict[str, float] = defaultdict(float)
        if (directory / "resume.pt").exists():
            self._restore()
        elif is_main():
            write_json(directory / "state.json", {"inputs": inputs})
            write_json(directory / "config.json", {"training": asdict(config), "model": self.model_config})

    @property
    def kept_model(self) -> nn.Module:
        """What is validated and saved: the averaged weights if there are any."""
        return self.ema.module if self.ema else self.model

    def run(self, progress: Progress) -> TrainRecord:
        started = saved = time.monotonic()
        earlier = self.seconds
        devices = [self.device] if self.device.type == "cuda" else []
        with (
            torch.random.fork_rng(devices),
            fastest_attention(self.model, self.device, self.bf16),
            progress(self.total_steps, self.directory.name) as bar,
        ):
            bar.skip(self.step)
            while self.step < self.total_steps:
                self._train_step()
                self.seconds = max(self.seconds, earlier + time.monotonic() - started)
                if self.step % self.steps_per_epoch == 0:
                    self._end_epoch()
                    self._save_resume()
                    saved = time.monotonic()
                elif time.monotonic() - saved > self.config.checkpoint_seconds:
                    self._save_resume()
                    saved = time.monotonic()
                bar.update(1, loss=self.last_total, **self._shown_score())
        return self._finish()

    def _train_step(self) -> None:
        epoch, index = divmod(self.step, self.steps_per_epoch)
        seed = int(np.random.SeedSequence([self.config.seed, self.step]).generate_state(1, np.uint64)[0] >> 1)
        torch.manual_seed(seed)
        generator = torch.Generator(self.device).manual_seed(seed)
        rows = self.order(epoch)[index * self.images_per_step : (index + 1) * self.images_per_step]
        self.model.train()
        rate = warmup_cosine(
            (self.step + 1) / self.steps_per_epoch, self.config.epochs, self.config.warmup_epochs,
            self.peak, self.config.minimum_learning_rate,
        )  # fmt: skip
        set_learning_rate(self.optimizer, rate)
        micro_batches = np.array_split(rows, math.ceil(len(rows) / self.config.batch_size))
        for number, micro in enumerate(micro_batches, start=1):
            batch = self.data.batch(micro, generator)
            random = RandomStates.now(generator)
            with self._gradients_stay(number < len(micro_batches)):
                with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                    parts = self.loss_of_batch(batch, generator)
                (parts["total"] * (self.world / len(micro_batches))).backward()
            for name, value in parts.items():
                self.sums[name] += float(value.detach()) / len(micro_batches)
            self.last_total = float(parts["total"].detach())
            shared = self.world == 1 or number == len(micro_batches)  # else gradients are this process's own
            fault = what_is_not_finite(self.last_total, self.parameters if shared else ())
            if fault:
                losses = {name: float(value.detach()) for name, value in parts.items()}
                model = self.model.state_dict(), type(self.model).__name__, self.model_config
                where = self.step, self.config.seed, micro.tolist()
                loss = name_and_settings(self.loss)
                bad = BadBatch(*fault, *where, losses, batch, *model, *loss, self.bf16, random)
                stop_training(self.directory, bad, self.total_steps)
        if self.config.clip_norm is not None:
            norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm)
            self.sums["gradient_norm"] += float(norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.update(self.model, step=self.step)
        self.step += 1

    def _gradients_stay(self, here: bool):
        """Whether a backward pass leaves the other processes alone: all but the last of an accumulated step."""
        return self.loss_of_batch.no_sync() if here and self.world > 1 else nullcontext()

    def _end_epoch(self) -> None:
        epoch = self.step // self.steps_per_epoch
        entry = {"epoch": epoch, "learning_rate": max(group["lr"] for group in self.optimizer.param_groups)}
        entry |= {f"train_{name}": value / self.steps_per_epoch for name, value in self.sums.items()}
        self.sums.clear()
        validated = epoch % self.config.validate_every == 0 or epoch == self.config.epochs
        if self.evaluate is not None and validated and is_main():
            self.kept_model.eval()
            with torch.no_grad(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                entry |= {f"validation_{name}": float(value) for name, value in self.evaluate(self.kept_model).items()}
        entry["seconds"] = round(self.seconds, 2)
        entry = from_main(entry)
        self.log.append(entry)
        if self.monitor is None or validated:
            self._keep_if_best(epoch, entry)
        if is_main():
            write_text(self.directory / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in self.log))

    def _keep_if_best(self, epoch: int, entry: dict) -> None:
        score = entry[f"validation_{self.monitor}"] if self.monitor else float(epoch)
        if score > self.best or math.isnan(score):  # while the score is undefined, the last epoch is kept
            self.best, self.best_epoch = -math.inf if math.isnan(score) else score, epoch
            if is_main():
                save_weights(self.directory / "best.safetensors", self.kept_model, entry)

    def _shown_score(self) -> dict[str, float]:
        return {self.monitor: self.best} if self.best_epoch and self.monitor else {}

    def _save_resume(self) -> None:
        if not is_main():
            return
        state = {
            "step": self.step, "seconds": self.seconds, "best": self.best, "best_epoch": self.best_epoch,
            "log": self.log, "sums": dict(self.sums), "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(), "ema": self.ema.module.state_dict() if self.ema else None,
        }  # fmt: skip
        with atomic_path(self.directory / "resume.pt") as temporary:
            torch.save(state, temporary)

    def _restore(self) -> None:
        path = self.directory / "resume.pt"
        state = read_pickled(path, self.device)
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.ema:
                self.ema.module.load_state_dict(state["ema"])
            self.step, self.seconds, self.log = int(state["step"]), float(state["seconds"]), list(state["log"])
            self.best, self.best_epoch = float(state["best"]), int(state["best_epoch"])
            self.sums.update(state["sums"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            raise AffectError(
                f"{path} is not the checkpoint of this training ({str(error).splitlines()[0][:120]}); delete it to "
                "start the stage anew"
            ) from error
        if not 0 <= self.step <= self.total_steps or len(self.log) != self.step // self.steps_per_epoch:
            raise AffectError(f"{path} is not the checkpoint of this training; delete it to start the stage anew")

    def _finish(self) -> TrainRecord:
        with main_first():
            if is_main():
                self._write_record()
        load_weights(self.directory / "best.safetensors", self.model)
        return TrainRecord(self.directory, self.log, self.best_epoch, self.seconds, reused=False)

    def _write_record(self) -> None:
        save_weights(self.directory / "last.safetensors", self.kept_model, self.log[-1])
        record = {
            "inputs": self.inputs, "training": asdict(self.config), "model": self.model_config,
            "data": self.data.fingerprint, "data_settings": getattr(self.data, "settings", None), **self.origin,
            "scoring_code": code_fingerprint(SCORING_MODULES), "images": len(self.data), "log": self.log,
            "best_epoch": self.best_epoch,
            "seconds": round(self.seconds, 1), "precision": "bf16" if self.bf16 else "fp32",
            "processes": self.world,
            "environment": environment_record(self.device),
        }  # fmt: skip
        write_json(self.directory / "record.json", record)
        (self.directory / "resume.pt").unlink(missing_ok=True)


def _require_compiler() -> None:
    if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))):
        raise AffectError("compile = true needs a C++ compiler (g++ or clang++), and none was found: set it to false.")


class _LossOfBatch(nn.Module):
    """The loss as a module, which is what DDP wraps: it may call any method of the model."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Any, torch.Generator], dict[str, torch.Tensor]]):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return self.loss(self.model, batch, generator)
