"""Facial affect analysis with masked auto-encoders: MAE pretraining, EMMA, CoTEX, and a rendered corpus to run them on.

The names below are loaded when they are first used, so that `import affect_core` costs nothing.
"""

import os
from importlib import import_module

if os.name != "posix":
    raise ImportError("affect_core runs on Linux, macOS and WSL: on Windows, install it inside WSL.")

_HOME = {
    "AffectError": "errors",
    "AffectLabels": "labels",
    "AffectPrediction": "labels",
    "CoTEX": "cotex",
    "CoTEXConfig": "cotex",
    "Corpus": "corpora",
    "DAN": "dan",
    "DANConfig": "dan",
    "EMMA": "emma",
    "EMMAConfig": "emma",
    "MAE": "mae",
    "MAEConfig": "mae",
    "TrainConfig": "training",
    "ViTConfig": "vit",
    "ViTEncoder": "vit",
    "Workbook": "workbook",
    "check_splits": "splits",
    "compare_runs": "comparability",
    "fit": "training",
    "load_model": "checkpoints",
    "load_published": "published",
    "load_weights": "checkpoints",
    "mtl_score": "metrics",
    "lsd_score": "metrics",
    "open_corpus": "corpora",
    "open_workbook": "workbook",
    "predict": "prediction",
    "save_weights": "checkpoints",
}

__all__ = sorted(_HOME)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"affect_core.{_HOME[name]}"), name)
    raise AttributeError(f"module 'affect_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
