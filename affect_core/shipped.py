"""The trained weights in `data/weights/`, read. `shipped_training` holds the commands that made them.

Matrices are stored as float16, everything else as float32; models compute in float32. The expression prior is the one
inside EMMA.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from affect_core.checkpoints import load_model
from affect_core.errors import AffectError
from affect_core.project_folders import weights_dir
from affect_core.storage import read_json

MODELS = ("mae", "prior", "emma", "cotex")
FILES = {"mae": "mae.safetensors", "emma": "emma.safetensors", "cotex": "cotex.safetensors"}


def shipped_model(name: str) -> nn.Module:
    """The shipped MAE, DAN, EMMA or CoTEX ("mae", "prior", "emma", "cotex"), on the CPU, in eval mode.

    Raises AffectError for another name, or if the file is not there.
    """
    if name not in MODELS:
        raise AffectError(f"no shipped model is called {name!r}; there are {', '.join(MODELS)}")
    if name == "prior":
        return shipped_model("emma").prior.model
    path = weights_dir() / FILES[name]
    if not path.exists():
        raise AffectError(
            f"{path} not found: the trained weights are in data/weights of the project's checkout; elsewhere set "
            f"AFFECT_WEIGHTS to a copy of that folder, or train them (see affect_core.shipped_training)."
        )
    return load_model(path)


def read_combination(folder: Path | None = None) -> dict:
    """How `predict` combines the shipped models: the fields of `prediction.Predictor` beside the models."""
    values = read_json((folder or weights_dir()) / "combination.json")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
