"""The models of a run, for whoever uses them without the workbook: with thresholds where some belong to the weights.

    predictor = run_predictor(Path("runs/laptop"))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from affect_core.checkpoints import load_model
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.emma import EMMA
from affect_core.emma_thresholds import THRESHOLDS, thresholds_of
from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS
from affect_core.prediction import Predictor


class NoCoTEX(nn.Module):
    """Stands in a `Predictor` where a run has no CoTEX: equal scores for its expressions, to be given no weight."""

    config = CoTEXConfig()

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) -> zeros (1, N, 6)."""
        return images.new_zeros(1, len(images), len(self.config.vocabulary))


def run_model(run_dir: Path, stage: str, device: torch.device | str = "cpu") -> EMMA | CoTEX:
    """EMMA or CoTEX ("emma", "cotex") of a run, in eval mode. Raises AffectError if the run has none."""
    path = Path(run_dir) / stage / "best.safetensors"
    if not path.exists():
        raise AffectError(
            f"{path} not found: train it with `affect-core train {stage} --run-dir {run_dir}`, or leave --run-dir out "
            "for the shipped models"
        )
    model, expected = load_model(path), {"emma": EMMA, "cotex": CoTEX}[stage]
    if not isinstance(model, expected):
        raise AffectError(f"{path} holds a {type(model).__name__}, not a {expected.__name__}")
    return model.to(device)


def kept_thresholds(run_dir: Path, emma: EMMA, say: Callable[[str], None] = lambda line: None) -> tuple[float, ...]:
    """(12,) probabilities above which action units count as active: those that the run's notebook 04 fitted to these
    very weights (`emma_thresholds.calibrate_emma`), else 0.5. `say` is told which, in a sentence."""
    path = Path(run_dir) / "emma" / THRESHOLDS
    if (kept := thresholds_of(path.parent, emma)) is not None:
        say(f"action units count as active above the thresholds of {path}")
        return tuple(kept)
    why = "of other weights" if path.exists() else "not there"
    say(f"action units count as active above 0.5: {path}, which notebook 04 writes, is {why}")
    return (0.5,) * len(ACTION_UNITS)


def run_predictor(
    run_dir: Path, device: torch.device | str = "cpu", say: Callable[[str], None] = lambda line: None
) -> Predictor:
    """EMMA of a run, its thresholds, and its CoTEX if it has one, as a `Predictor` of plain settings.

    say   is told where the thresholds come from, and if there is no CoTEX
    Raises AffectError if the run has no EMMA, or one without the expression CNN, which a Predictor asks.
    """
    emma = run_model(run_dir, "emma", device)
    if emma.prior is None:
        raise AffectError(f"{run_dir}: this EMMA has no expression CNN (va_source {emma.config.va_source!r}), which "
                          "predictions are made with")  # fmt: skip
    thresholds = kept_thresholds(run_dir, emma, say)
    if (Path(run_dir) / "cotex" / "best.safetensors").exists():
        return Predictor(emma, run_model(run_dir, "cotex", device), thresholds=thresholds)
    say(f"{run_dir} has no CoTEX: expressions are those of EMMA and its CNN")
    return Predictor(emma, NoCoTEX(), cotex_share=0.0, thresholds=thresholds)
