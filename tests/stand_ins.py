"""Stand-ins for models and for the operating system, whose answers show what they were asked."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from affect_core.labels import AffectPrediction


def by_brightness(crops: np.ndarray) -> AffectPrediction:
    """In place of the models: valence is the mean brightness of the crop that it was given."""
    bright = crops.reshape(len(crops), -1).mean(1) / 255
    logits, units = np.log(np.full((len(crops), 8), 1 / 8)), np.zeros((len(crops), 12))
    return AffectPrediction(logits, units, np.stack([bright, -bright], 1), np.full(len(crops), 0.875))


def no_entry_to(name: str) -> Callable:
    """In place of `os.scandir`: a folder of this name may not be read (root, who runs tests too, may read all)."""
    scandir = os.scandir

    def searched(folder):
        if Path(folder).name == name:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    return searched
