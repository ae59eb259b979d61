"""`affect-core predict` on folders of pictures: memory for few and for many, and speed beside the model's own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from affect_core.profiles import Profile
from benchmarks.plain import write_faces

FEW, MANY = 200, 1000
TURNS = 2
SIDE = 112
"""Pixels of the pictures, as of s-Aff-Wild2's aligned faces."""
BATCH = 32

_PEAK = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([seconds, peak * 1024 if sys.platform == "linux" else peak]))
"""
"""Run in a small process of its own: a child's peak counts from that of the process that starts it."""


def folder_prediction(profile: Profile) -> dict:
    """The command, with the shipped weights on the CPU, on 200 and on 1,000 different JPEG files, in turns with the
    model on pictures that are decoded already.

    Peak memory is the largest resident set of the command's process. Images per second of the command are those of the
    800 pictures that the larger folder has more, so that the seconds in which Python starts do not count.
    """
    from affect_core.prediction import STORED_SIZE, load_predictor

    predictor = load_predictor()
    faces = np.random.default_rng(0).integers(0, 256, (BATCH, STORED_SIZE, STORED_SIZE, 3), dtype=np.uint8)
    predictor.predict_batch(faces)
    seconds: dict[int, list[float]] = {FEW: [], MANY: []}
    peaks: dict[int, list[int]] = {FEW: [], MANY: []}
    own = []
    with tempfile.TemporaryDirectory() as name:
        for count in (FEW, MANY):
            (Path(name) / f"{count}").mkdir()
            write_faces(Path(name) / f"{count}", count, SIDE)
        for _ in range(TURNS):
            for count in (FEW, MANY):
                took, peak = _measured_command(Path(name) / f"{count}", Path(name) / "out.csv")
                seconds[count].append(took)
                peaks[count].append(peak)
                own.append(_own_speed(predictor, faces))
    after_start = (MANY - FEW) / (np.median(seconds[MANY]) - np.median(seconds[FEW]))
    return {
        **{f"{count:,} images, peak MB": round(max(peaks[count]) / 1e6, 1) for count in (FEW, MANY)},
        **{f"{count:,} images, s": round(float(np.median(seconds[count])), 2) for count in (FEW, MANY)},
        "images per second, after the start": round(float(after_start), 1),
        "images per second, model on decoded images": round(float(np.median(own)), 1),
        "times the model": round(float(after_start / np.median(own)), 2),
    }


def _measured_command(folder: Path, out: Path) -> tuple[float, int]:
    """(seconds, largest resident set in bytes) of `affect-core predict folder`."""
    command = [sys.executable, "-m", "affect_core.command_line", "predict", str(folder), "--out", str(out),
               "--batch-size", str(BATCH)]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", _PEAK, *command], check=True, capture_output=True, text=True)
    return tuple(json.loads(done.stdout))


def _own_speed(predictor, faces: np.ndarray, batches: int = 10) -> float:
    """Images per second of the model's forward passes alone."""
    started = time.perf_counter()
    for _ in range(batches):
        predictor.predict_batch(faces)
    return batches * len(faces) / (time.perf_counter() - started)
