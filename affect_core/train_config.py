"""How a stage is optimised, where its batches come from, and what it leaves: the words that `training` speaks in."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from affect_core.errors import AffectError
from affect_core.settings import check_types


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
    one to two minutes. On an H100 1.4 times for ViT-B's MAE, and 4.8 times for the small one (batches of 1,024), with
    CUDA graphs, which steps of one batch get (`benchmarks/NOTES.md`). Needs a C++ compiler; rounds differently."""

    def __post_init__(self):
        object.__setattr__(self, "betas", tuple(self.betas))
        check_types(TrainConfig, {field.name: getattr(self, field.name) for field in fields(self)}, "TrainConfig")
        if min(self.epochs, self.batch_size, self.accumulation, self.validate_every) < 1:
            raise AffectError("epochs, batch_size, accumulation and validate_every must be at least 1.")
        if self.seed < 0 or self.warmup_epochs < 0 or (self.clip_norm is not None and self.clip_norm <= 0):
            raise AffectError("seed and warmup_epochs must be at least 0, clip_norm above 0 (or None: no clipping).")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise AffectError(f"betas are two numbers from 0 to below 1, not {self.betas}.")
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
