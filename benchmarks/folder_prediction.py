"""`affect-core predict` on folders of pictures: memory for few and for many, and speed beside the model's own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from affect_core.prediction import STORED_SIZE, Predictor, load_predictor
from affect_core.profiles import Profile
from affect_core.streams import in_streams, streams_for
from benchmarks.plain import write_faces

FEW, MANY = 200, 1000
TURNS = 3
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
    800 pictures that the larger folder has more, so that the seconds in which Python starts do not count. The model is
    asked in two ways: batch after batch on all cores, as whoever calls it does, and several batches at once, as the
    command does; against the latter what is lost is what decoding and writing cost. Ratios are medians over the turns.
    """
    predictor = load_predictor()
    with tempfile.TemporaryDirectory() as name:
        folders = {count: Path(name) / f"{count}" for count in (FEW, MANY)}
        for count, folder in folders.items():
            folder.mkdir()
            write_faces(folder, count, SIDE)
        turns = [_turn(predictor, folders, Path(name) / "out.csv") for _ in range(TURNS)]
    median = {key: float(np.median([turn[key] for turn in turns])) for key in turns[0]}
    return {
        **{f"{count:,} images, peak MB": round(max(turn[f"peak {count}"] for turn in turns) / 1e6, 1)
           for count in folders},
        **{f"{count:,} images, s": round(median[f"seconds {count}"], 2) for count in folders},
        "images per second, after the start": round(median["command"], 1),
        "images per second, model on decoded images": round(median["model"], 1),
        "images per second, model on decoded images, several batches at once": round(median["streams"], 1),
        "times the model": round(float(np.median([turn["command"] / turn["model"] for turn in turns])), 2),
        "times the model with several batches at once":
            round(float(np.median([turn["command"] / turn["streams"] for turn in turns])), 2),
    }  # fmt: skip


def _turn(predictor: Predictor, folders: dict[int, Path], out: Path) -> dict[str, float]:
    """Each thing measured once: seconds and peak of the command for each folder; images per second of all."""
    measured = {count: _measured_command(folder, out) for count, folder in folders.items()}
    (few, _), (many, _) = measured[FEW], measured[MANY]
    return {
        **{f"seconds {count}": seconds for count, (seconds, _) in measured.items()},
        **{f"peak {count}": peak for count, (_, peak) in measured.items()},
        "command": (MANY - FEW) / (many - few),
        "model": _own_speed(predictor, 1),
        "streams": _own_speed(predictor, streams_for(predictor, BATCH)),
    }


def _measured_command(folder: Path, out: Path) -> tuple[float, int]:
    """(seconds, largest resident set in bytes) of `affect-core predict folder`."""
    command = [sys.executable, "-m", "affect_core.command_line", "predict", str(folder), "--out", str(out),
               "--batch-size", str(BATCH)]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", _PEAK, *command], check=True, capture_output=True, text=True)
    return tuple(json.loads(done.stdout))


def _own_speed(predictor: Predictor, streams: int, batches: int = 10) -> float:
    """Images per second of the model's forward passes alone, BATCH images at once divided among streams."""
    shape = (BATCH // streams, STORED_SIZE, STORED_SIZE, 3)
    faces = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    predictor.predict_batch(faces)
    started = time.perf_counter()
    answers = list(in_streams(predictor.predict_batch, [faces] * (batches * streams), streams))
    return len(answers) * len(faces) / (time.perf_counter() - started)
