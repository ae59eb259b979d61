"""EMMA's action-unit thresholds: fitted to training frames once its training is done, and kept beside its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from affect_core.batches import predict_corpus
from affect_core.calibration import fit_thresholds
from affect_core.corpora import Corpus
from affect_core.emma import EMMA
from affect_core.labels import ACTION_UNITS
from affect_core.record import weights_fingerprint
from affect_core.storage import read_json, write_json

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
    path, weights = Path(directory) / "thresholds.json", weights_fingerprint(model)
    if path.exists() and (kept := read_json(path))["weights"] == weights:
        return np.array(kept["thresholds"])
    sample = calibration_sample(training)
    prediction, labels = predict_corpus(model, sample, size, device), sample.labels
    thresholds = fit_thresholds(prediction.action_unit_logits, labels.action_units, labels.action_units_valid)
    write_json(path, {"weights": weights, "action_units": ACTION_UNITS, "thresholds": thresholds.tolist()})
    return thresholds
