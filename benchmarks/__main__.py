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
from benchmarks import corpus_reading, measures
from benchmarks.ceilings import ceilings

MEASURES = (measures.rendering, measures.rendering_in_one_process, measures.input_pipeline, measures.mae_steps,
            measures.finetuning_steps, measures.bootstrap_intervals, measures.explorer_update, measures.prediction,
            corpus_reading.million_rows, corpus_reading.shard_reading)  # fmt: skip


def main() -> None:
    """Measure one after the other, say each result, keep all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--only", default="", help="a measure by name; the others keep their stored results")
    options = parser.parse_args()
    profile = load_profile(options.profile)
    results = {"profile": profile.name, "environment": environment_record(), "ceilings": ceilings()}
    for measure in MEASURES:
        if options.only in measure.__name__:
            results[measure.__name__] = measure(profile)
            sys.stdout.write(f"{measure.__name__}: {json.dumps(results[measure.__name__], indent=2)}\n")
            sys.stdout.flush()
    machine = re.sub(r"[^a-z0-9]+", "-", f"{results['environment']['hardware']}".lower()).strip("-")
    path = Path(__file__).parent / "results" / f"{machine or platform.machine()}.json"
    earlier = read_json(path) if path.exists() and options.only else {}
    write_json(path, earlier | results)
    sys.stdout.write(f"written: {os.path.relpath(path)}\n")


if __name__ == "__main__":
    main()
