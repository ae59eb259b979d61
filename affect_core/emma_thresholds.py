"""EMMA's action-unit thresholds: fitted to training frames once its training is done, and kept beside its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from affect_core.batches import predict_corpus
from affect_core.calibration import fit_thresholds
from affect_core.corpora import Corpus
from affect_core.emma import EMMA
from affect_core.labels import ACTION_UNITS
from affect_core.record import weights_fingerprint
from affect_core.storage import read_json, write_json

THRESHOLDS = "thresholds.json"
CALIBRATION_FRAMES = 2000
"""Training frames to which the thresholds of action units are fitted."""


def calibration_sample(training: Corpus) -> Corpus:
    """At most `CALIBRATION_FRAMES` frames, evenly spread over the corpus."""
    count = min(CALIBRATION_FRAMES, len(training))
    return training.select(np.linspace(0, len(training) - 1, count).round().astype(int))


def calibrate_emma(
    model: EMMA, training: Corpus, size: int, directory: Path, *, device: torch.device | str = "cpu"
) -> np.ndarray:
    """Action-unit thresholds (12,) on probabilities, fitted on training frames and kept in `thresholds.json`.

    The frames are those of `calibration_sample`.

    Thresholds that were fitted to these very weights before are read, not fitted again.
    """
    if (kept := thresholds_of(directory, model)) is not None:
        return np.array(kept)
    sample = calibration_sample(training)
    prediction, labels = predict_corpus(model, sample, size, device), sample.labels
    thresholds = fit_thresholds(prediction.action_unit_logits, labels.action_units, labels.action_units_valid)
    of = {"weights": weights_fingerprint(model), "action_units": ACTION_UNITS}
    write_json(Path(directory) / THRESHOLDS, of | {"thresholds": thresholds.tolist()})
    return thresholds


def thresholds_of(directory: Path, model: nn.Module) -> list[float] | None:
    """What `calibrate_emma` kept in `directory`; None where it is not there, damaged, or of other weights."""
    path = Path(directory) / THRESHOLDS
    kept = read_json(path) if path.is_file() else None
    fitting = isinstance(kept, dict) and "thresholds" in kept and kept.get("weights") == weights_fingerprint(model)
    return kept["thresholds"] if fitting else None
