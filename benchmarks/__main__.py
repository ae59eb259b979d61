"""Run every measure and write `benchmarks/results/<machine>.json`: python -m benchmarks [--profile laptop]."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from pathlib import Path

from affect_core.profiles import load_profile
from affect_core.record import environment_record
from affect_core.storage import read_json, write_json
from benchmarks import corpus_reading, folder_prediction, measures, training_steps
from benchmarks.ceilings import ceilings
from benchmarks.device import DEVICE

MEASURES = (measures.rendering, measures.rendering_in_one_process, measures.input_pipeline,
            training_steps.mae_steps, training_steps.finetuning_steps,
            measures.bootstrap_intervals, measures.explorer_update, measures.prediction,
            folder_prediction.folder_prediction,
            corpus_reading.million_rows, corpus_reading.shard_reading)  # fmt: skip


def main() -> None:
    """Measure one after the other, say each result, keep all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--only", default=[], nargs="*",
                        help="measures by (a part of the) name; the others keep their stored results")
    options = parser.parse_args()
    profile = load_profile(options.profile)
    results = {"profile": profile.name, "environment": environment_record(DEVICE), "ceilings": ceilings()}
    machine = re.sub(r"[^a-z0-9]+", "-", f"{results['environment']['hardware']} {cpu_generation()}".lower()).strip("-")
    path = Path(__file__).parent / "results" / f"{machine or platform.machine()}.json"
    results = (read_json(path) if path.exists() and options.only else {}) | results
    for measure in MEASURES:
        if not options.only or any(name in measure.__name__ for name in options.only):
            results[measure.__name__] = measure(profile)
            sys.stdout.write(f"{measure.__name__}: {json.dumps(results[measure.__name__], indent=2)}\n")
            sys.stdout.flush()
            write_json(path, results)
    sys.stdout.write(f"written: {os.path.relpath(path)}\n")


def cpu_generation() -> str:
    """Family and model of the processor where Linux tells them and its name does not; "" on a GPU or elsewhere."""
    cpuinfo = Path("/proc/cpuinfo")
    if DEVICE.type != "cpu" or not cpuinfo.exists():
        return ""
    facts = dict(re.findall(r"^(cpu family|model)\s*:\s*(\d+)$", cpuinfo.read_text(), re.MULTILINE))
    return " ".join(f"{name.split()[-1]} {number}" for name, number in sorted(facts.items()))


if __name__ == "__main__":
    main()
