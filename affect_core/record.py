"""What a result was made with: versions, hardware, commit, and fingerprints of data, code and weights."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import asdict, fields, is_dataclass
from importlib import metadata
from pathlib import Path

import torch

PACKAGE = Path(__file__).parent
TRAINING_MODULES = (
    "attention", "attention_kernels", "augment", "augment_cpu", "backbones", "batches", "cotex", "dan", "distributed",
    "emma", "hardware", "labels", "losses", "mae", "metrics", "optim", "patches", "priors", "stage_losses", "stages",
    "train_config", "training", "training_loop", "vit",
)  # fmt: skip
"""Modules whose source decides what a training run computes; editing one makes a finished run out of date."""

SCORING_MODULES = ("bootstrap", "metrics")
"""Modules whose source decides what a score means."""

RECORDED_PACKAGES = (
    "torch", "torchvision", "timm", "numpy", "scipy", "numba", "pandas", "scikit-learn", "opencv-python-headless",
    "pillow", "safetensors",
)  # fmt: skip


def fingerprint(*parts) -> str:
    """SHA-256 (hex) of dataclasses, JSON values and strings, in order.

    A field that a dataclass was given later, marked by `metadata={"added": True}`, counts only where it is set, so that
    what was made before still has the fingerprint that it had.
    """
    plain = [_settings(part) if is_dataclass(part) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def _settings(config) -> dict:
    unset = {one.name for one in fields(config) if "added" in one.metadata and getattr(config, one.name) == one.default}
    return {name: value for name, value in asdict(config).items() if name not in unset}


def weights_fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 (hex) over the name, type, shape and bytes of every tensor of the model's state."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def code_fingerprint(modules: tuple[str, ...] = TRAINING_MODULES) -> str:
    """SHA-256 (hex) over the source of the named modules of this package."""
    digest = hashlib.sha256()
    for name in modules:
        digest.update((PACKAGE / f"{name}.py").read_bytes())
    return digest.hexdigest()


def hardware(device: torch.device | str = "cpu") -> str:
    """One line about the machine: processor or accelerator, cores, threads."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    threads = torch.get_num_threads()
    return f"{model}, {os.cpu_count()} cores, {threads} thread{'s' * (threads != 1)}"


def environment_record(device: torch.device | str = "cpu") -> dict:
    """Versions of what computes, hardware, and the git commit (None outside a checkout)."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in RECORDED_PACKAGES},
        "hardware": hardware(device),
        "commit": _git_commit(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    command = ["git", "-C", str(PACKAGE), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
