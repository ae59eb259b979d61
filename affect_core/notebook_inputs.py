"""What the result of a notebook depends on, as digests: a notebook whose digests are the same is not executed again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from affect_core.project_folders import weights_dir
from affect_core.record import PACKAGE
from affect_core.storage import read_json


def shared_inputs(parameters: dict) -> str:
    """Digest of the package's source, the parameters, and the files that these name: profile, weights, corpora."""
    parts = [json.dumps(parameters, sort_keys=True)]
    sources = [path for pattern in ("*.py", "*.toml") for path in PACKAGE.rglob(pattern)]
    for path in sorted(sources):
        parts.append(f"{path.relative_to(PACKAGE)} {hashlib.sha256(path.read_bytes()).hexdigest()}")
    profile = Path(parameters["profile"])
    named = [profile] if profile.suffix == ".toml" and profile.is_file() else []
    if parameters.get("weights") == "shipped":
        named += sorted(path for path in weights_dir().glob("*") if path.is_file())
    parts += [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in named]
    if parameters["corpus_root"]:
        parts += _files_under(parameters["corpus_root"])
    return digest(*parts)


def _files_under(root: str) -> list[str]:
    """Name, size and time of every file; links are followed, each folder once, and one that leads nowhere is named."""
    found, visited = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders.sort()
        for file in sorted(files):
            try:
                status = os.stat(os.path.join(folder, file))
                found.append(f"{folder}/{file} {status.st_size} {status.st_mtime_ns}")
            except OSError as error:
                found.append(f"{folder}/{file} {error.strerror}")
    return found


def tables_read_by(notebook: Path) -> list[str]:
    """Digests of the stored tables, for the notebook that shows them."""
    tables = sorted((notebook.parents[1] / "results").glob("*.csv")) if notebook.stem == "06_ablations" else []
    return [hashlib.sha256(table.read_bytes()).hexdigest() for table in tables]


def notebook_source(path: Path) -> str:
    """Type and source of the notebook's cells, as JSON; outputs and metadata do not count."""
    cells = read_json(path)["cells"]
    return json.dumps([[cell["cell_type"], cell["source"]] for cell in cells])


def digest(*parts: str) -> str:
    """SHA-256 (hex) of the parts, a line each."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
