"""The steps of one training: AdamW, warm-up and cosine, accumulation, clipping, bf16, EMA, checkpoints.

Nothing here depends on how often it was interrupted: the order of the images is drawn from (seed, epoch) and every
other random number from (seed, step), so that a run which is killed and started again ends, on the CPU, with the same
weights bit for bit.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, is_dataclass
from functools import lru_cache
from typing import Any

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
from affect_core.progress import Progress
from affect_core.record import SCORING_MODULES, code_fingerprint, environment_record
from affect_core.storage import atomic_path, write_json, write_text
from affect_core.train_config import TrainRecord
from affect_core.weight_files import read_pickled


class TrainingLoop:
    """The state of one `fit`: what has to survive an interruption, and how it is saved."""

    def __init__(self, model, data, loss, config, directory, groups, evaluate, monitor, device, inputs, origin):
        self.model, self.data, self.loss, self.config, self.directory = model, data, loss, config, directory
        self.evaluate, self.monitor, self.device = evaluate, monitor, device
        self.model_config = asdict(model.config) if is_dataclass(getattr(model, "config", None)) else None
        self.inputs, self.origin = inputs, origin
        self.images_per_step = config.batch_size * config.accumulation
        if len(data) < self.images_per_step:  # small data: shrink the step, so that there is one
            self.images_per_step = len(data)
        if len(data) < 2:
            raise AffectError(f"{len(data)} training images are too few to train on.")
        if self.images_per_step < 2:
            raise AffectError("a step on one image cannot be trained: batch_size x accumulation is at least 2.")
        self.steps_per_epoch = len(data) // self.images_per_step
        self.total_steps = config.epochs * self.steps_per_epoch
        self.peak = scaled_lr(config.base_learning_rate, self.images_per_step)
        groups = groups or [{"params": [p for p in model.parameters() if p.requires_grad]}]
        self.world = world()[1]
        loss_of_batch = _LossOfBatch(model, loss)
        if config.compile:
            _require_compiler()
            torch.compiler.reset()  # what an earlier training compiled would count towards torch's limit
            loss_of_batch.compile(mode=self._compile_mode(config.batch_size))
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

    def _compile_mode(self, batch_size: int) -> str:
        """With CUDA graphs where a step has one backward pass: the next one's graph would overwrite its gradients."""
        alone = self.device.type == "cuda" and self.world == 1 and self.images_per_step <= batch_size
        return "reduce-overhead" if alone else "default"

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
        seed = int(np.random.SeedSequence([self.config.seed, self.step]).generate_state(1, np.uint64)[0]) >> 1
        # drop path draws from the global generator: in each process its own numbers, and not those of the augmentation
        torch.manual_seed((seed + 1 + world()[0]) % 2**63)
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
            random, weight = RandomStates.now(generator), len(micro) / len(rows)
            with self._gradients_stay(number < len(micro_batches)):
                with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                    parts = self.loss_of_batch(batch, generator)
                if self.step == 0:
                    _require_losses(parts)
                (parts["total"] * (self.world * weight)).backward()
            for name, value in parts.items():
                self.sums[name] += float(value.detach()) * weight
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
                entry |= _validation(self.evaluate(self.kept_model), self.monitor)
        entry["seconds"] = round(self.seconds, 2)
        entry = from_main(entry)
        self.log.append(entry)
        if self.monitor is None or validated:
            self._keep_if_best(epoch, entry)
        if is_main():
            write_text(self.directory / "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in self.log))

    def _keep_if_best(self, epoch: int, entry: dict) -> None:
        score = entry[f"validation_{self.monitor}"] if self.monitor else float(epoch)
        undefined = math.isnan(score)
        if score > self.best or undefined and self.best == -math.inf:  # the last epoch, while no score was defined
            self.best, self.best_epoch = -math.inf if undefined else score, epoch
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


def _require_losses(parts: Any) -> None:
    """Raise AffectError unless a loss returned what `fit` asks of it."""
    if not isinstance(parts, dict) or "total" not in parts:
        said = sorted(parts) if isinstance(parts, dict) else type(parts).__name__
        raise AffectError(f'the loss of a batch is a dict of scalars with a "total", not {said}')
    bad = [name for name, value in parts.items() if not isinstance(value, torch.Tensor) or value.numel() != 1]
    if bad:
        raise AffectError(f"of the loss of a batch {', '.join(bad)} is no tensor of a single number")


def _validation(values: Any, monitor: str | None) -> dict[str, float]:
    """What `evaluate` returned, as it is logged. Raises AffectError if that is no dict, or lacks `monitor`."""
    if not isinstance(values, dict) or (monitor is not None and monitor not in values):
        said = ", ".join(map(str, values)) if isinstance(values, dict) else type(values).__name__
        wanted = f" with {monitor}, which is monitored" if monitor else ""
        raise AffectError(f"evaluate returns a dict of numbers{wanted}; it gave {said or 'none'}")
    return {f"validation_{name}": float(value) for name, value in values.items()}


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
