"""Where things lie: the project's root, the trained weights, and the folder of a run."""

from __future__ import annotations

import os
from pathlib import Path

from affect_core.errors import AffectError


def project_root() -> Path:
    """The checkout this package lives in, or the working directory if it is installed elsewhere."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").exists() else Path.cwd()


def weights_dir() -> Path:
    """`data/weights/` of the checkout, or the folder that the environment variable AFFECT_WEIGHTS names.

    An installed package has no checkout around it: copy or clone `data/weights` and name it.
    """
    named = os.environ.get("AFFECT_WEIGHTS", "")
    return Path(named).expanduser() if named else project_root() / "data" / "weights"


def run_folder(run_dir: str | Path, default: str | Path) -> Path:
    """Where a run's results go: `run_dir` from the project's root, or `runs/<default>` if it is empty.

    Raises AffectError for a path with "..", which would leave the folder that it names, and for the project's root,
    whose own notebooks would be overwritten.
    """
    root = project_root()
    path = Path(run_dir).expanduser() if str(run_dir) else Path("runs") / default
    if ".." in path.parts:
        raise AffectError(f"The run's folder {path} leads out of the folder it names; give a path without \"..\".")
    folder = root / path
    if folder.resolve() in (root.resolve(), *root.resolve().parents):
        raise AffectError(f"The run's folder {path} holds the project itself; choose one inside runs/.")
    return folder
