"""Compute the loss at which a training stopped once more, and say where in the model it stops being a number.

    again = replay("runs/laptop/emma/bad_batch.pt")
    again.losses, again.first_layer, again.parameters
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from affect_core import stage_losses
from affect_core.bad_batch import BadBatch, RandomStates
from affect_core.batches import Batch
from affect_core.checkpoints import model_from_record
from affect_core.distributed import Share
from affect_core.errors import AffectError
from affect_core.hardware import fastest_attention
from affect_core.labels import AffectLabels

_STAGES = (stage_losses.mae_loss, stage_losses.prior_loss, stage_losses.emma_loss, stage_losses.cotraining_loss)
LOSSES = {loss.__name__: loss for loss in _STAGES}
"""The stages' losses by the names that `bad_batch.pt` knows them by."""


@dataclass(frozen=True)
class Replay:
    """What came out the second time.

    losses       each term; on the CPU those of the stopped training, bit for bit
    first_layer  the module whose output was the first not to be finite, in the order of computation; None if all were
    parameters   names of the parameters whose gradient is not finite
    """

    losses: dict[str, float]
    first_layer: str | None
    parameters: tuple[str, ...]


def load_bad_batch(path: str | Path) -> BadBatch:
    """Read what `fit` kept, without executing anything in it, on the CPU. Raises AffectError for any other file."""
    path = Path(path)
    if not path.is_file():
        raise AffectError(f"{path} not found.")
    try:
        record = torch.load(path, map_location="cpu", weights_only=True)
        parts = record["batch"]
        if isinstance(parts, dict) and parts.keys() == Batch.__dataclass_fields__.keys():
            record["batch"] = Batch(parts["images"], AffectLabels(**parts["labels"]), Share(**parts["share"]))
        return BadBatch(**record | {"random": RandomStates(**record["random"])})
    except Exception as error:  # torch.load has no error of its own: those of pickle and zip come through
        raise AffectError(f"{path} is not a batch that a training has kept ({type(error).__name__}).") from error


def replay(
    path: str | Path, *, model: nn.Module | None = None, loss: Callable | None = None,
    device: torch.device | str = "cpu",
) -> Replay:
    """Play the batch in `path` (see `bad_batch`) with the weights and random numbers of the stopped step.

    model and loss are those that `fit` was given; they may be left out for the four stages. Nothing is trained.
    Raises AffectError if the file is another, or names a model or loss that has to be given.
    """
    bad = load_bad_batch(path)
    if loss is None:
        if bad.loss_name not in LOSSES:
            raise AffectError(f"{path} was made with the loss {bad.loss_name}: replay(path, model=..., loss=...).")
        function, settings = LOSSES[bad.loss_name], _to(bad.loss_settings, device)
        loss = lambda *inputs: function(*inputs, **settings)  # noqa: E731
    generator = torch.Generator(device)
    first: list[str] = []

    def note(name: str):
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not first and isinstance(output, Tensor) and not output.isfinite().all():
                first.append(name or type(module).__name__)

        return hook

    with ExitStack() as held:
        held.enter_context(torch.random.fork_rng([generator.device] if generator.device.type == "cuda" else []))
        if model is None:
            model = model_from_record({"model": bad.model_name, "config": bad.model_config}, str(path))
        model.load_state_dict(bad.weights)  # NaN in statistics included: they may be what stopped it
        model.to(device).train().zero_grad()
        held.enter_context(fastest_attention(model, generator.device, bad.bf16))

        def play() -> dict[str, Tensor]:
            bad.random.restore(generator)
            with torch.autocast(generator.device.type, dtype=torch.bfloat16, enabled=bad.bf16):
                return loss(model, _to(bad.batch, device), generator)

        parts = play()  # unwatched, as it was trained: a watched layer takes no short cut, and rounds otherwise
        parts["total"].backward()
        for name, module in model.named_modules():
            held.callback(module.register_forward_hook(note(name)).remove)
        with torch.no_grad():
            play()
    not_finite = tuple(name for name, parameter in model.named_parameters()
                       if parameter.grad is not None and not parameter.grad.isfinite().all())  # fmt: skip
    losses = {name: float(value.detach()) for name, value in parts.items()}
    return Replay(losses, first[0] if first else None, not_finite)


def _to(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, Batch):
        return Batch(value.images.to(device), value.labels.to(device), value.share)
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _to(part, device) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_to(part, device) for part in value)
    return value
