"""Coverage-guided fuzzing of what reads files that strangers wrote; not part of the tests.

    python tests/fuzz.py annotations --seconds 60      # or arrays, checkpoints (safetensors), pickles
    python tests/fuzz.py --record --seconds 150        # each of them; counts in tests/fuzz_record.json (RELIABILITY.md)

It starts from sound files, changes them, keeps what reaches new code, and stops at an exception that is no AffectError.
What it found lies in tests/fuzz_found/<target>/ then, and is a regression test of test_any_input.py from there on.
Needs the package atheris (`pip install atheris`), which is not installed with the project.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

TARGETS = ("annotations", "arrays", "checkpoints", "pickles")
FOUND = Path(__file__).parent / "fuzz_found"
RECORD = Path(__file__).parent / "fuzz_record.json"
LONGEST = 8192
"""Bytes of an input."""


def seeds(target: str) -> list[bytes]:
    """Sound inputs of a target, from which the changes start."""
    import io

    import numpy as np
    import torch
    from corrupt.checkpoints import SMALL, dan, recorded
    from fuzz_targets import READERS

    if target == "arrays":
        files = [io.BytesIO() for _ in range(3)]
        for file, value in zip(files, (3, np.float32(0.5), "0.25"), strict=True):
            np.save(file, np.array(value))
        return [file.getvalue() for file in files]
    if target == "checkpoints":
        record = {"model": "DAN", "config": SMALL.__dict__, "metadata": {}}
        with TemporaryDirectory() as folder:
            whole, small = (recorded(record, tensors)(Path(folder)).read_bytes()
                            for tensors in (dan().state_dict(), {"fc.weight": torch.zeros(2)}))  # fmt: skip
        return [whole[:LONGEST], small]
    if target == "pickles":
        file = io.BytesIO()
        torch.save({"model": {"fc.weight": torch.zeros(2)}}, file, _use_new_zipfile_serialization=False)
        return [file.getvalue()]
    rows = {
        "abaw4": "h\nv/1.jpg,0.5,-5,3" + ",1" * 12, "affectnet": "v/1.jpg,0,0,9,9,1;2,3,0.5,-2",
        "rafdb": "train_1.jpg 5\ntest_2.jpg 1", "fer2013": f"emotion,pixels,Usage\n3,{'7 ' * 2304},Training",
        "ferplus": "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
                   "Training,a.png,10,0,0,0,0,0,0,0,0,0", "celeba": "1.jpg 2880\n2.jpg 3",
        "table": "image,expression,valence,AU1,split\nv/1.jpg,happy,0.5,1,train\nv/2.jpg,0,,,val",
        "vocabulary": "neutral\nhappy\npain",
    }  # fmt: skip
    return [bytes([number]) + rows[name].encode() for number, name in enumerate(sorted(READERS))]


def counts(log: str) -> dict[str, int]:
    """What libFuzzer says of a run: seconds, executions, coverage of the seeds and at the end, inputs that were kept.

    Coverage is counted in branches of affect_core that were taken. Raises ValueError if the run did not end by itself,
    as after a crash.
    """
    done = re.search(r"^Done (\d+) runs in (\d+) second", log, re.MULTILINE)
    status = re.findall(r"^#\d+\s+(\w+)\s+cov: (\d+) ft: \d+ corp: (\d+)/", log, re.MULTILINE)
    started = [int(coverage) for event, coverage, _ in status if event == "INITED"]
    if not done or not started:
        raise ValueError("the run of libFuzzer did not come to its end")
    return {"seconds": int(done[2]), "executions": int(done[1]), "coverage_of_seeds": started[0],
            "coverage": int(status[-1][1]), "kept": int(status[-1][2])}  # fmt: skip


def record(seconds: int, run=subprocess.run) -> int:
    """Fuzz each target for `seconds` in a process of its own and write RECORD; 1 if one crashed, as the record says."""
    made = {"atheris": metadata.version("atheris"), "targets": {}}
    for target in TARGETS:
        command = [sys.executable, __file__, target, "--seconds", str(seconds)]
        before = set((FOUND / target).glob("*"))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = run(command, capture_output=True, text=True, errors="replace", env=environment)
        crashes = {path.name.rpartition("-")[2] for path in set((FOUND / target).glob("*")) - before}
        if done.returncode and not crashes:
            sys.stderr.write(done.stderr[-3000:])
            return done.returncode
        made["targets"][target] = {**({} if crashes else counts(done.stderr)), "crashes": len(crashes)}
        sys.stderr.write(f"{target}: {made['targets'][target]}\n")
    RECORD.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    return int(any(target["crashes"] for target in made["targets"].values()))


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status if atheris is missing, otherwise libFuzzer ends the process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS, nargs="?")
    parser.add_argument("--record", action="store_true", help="every target; its counts go to tests/fuzz_record.json")
    parser.add_argument("--seconds", type=int, default=60, help="of one target")
    options = parser.parse_args(arguments)
    if options.record == bool(options.target):
        parser.error("name a target, or say --record for all of them")
    try:
        import atheris
    except ImportError:
        sys.stderr.write("Fuzzing needs the package atheris; install it with: pip install atheris\n")
        return 1
    if options.record:
        return record(options.seconds)
    with atheris.instrument_imports(include=["affect_core"], enable_loader_override=False):
        import fuzz_targets

    found = FOUND / options.target
    found.mkdir(parents=True, exist_ok=True)

    def feed(data: bytes) -> None:
        try:
            fuzz_targets.TARGETS[options.target](data)
        except Exception:
            (found / f"crash-{hashlib.sha1(data).hexdigest()}").write_bytes(data)  # as libFuzzer would name it
            raise

    with TemporaryDirectory() as corpus:
        for number, data in enumerate([*seeds(options.target), *(path.read_bytes() for path in found.iterdir())]):
            (Path(corpus) / f"seed{number}").write_bytes(data)
        flags = [f"-max_total_time={options.seconds}", f"-max_len={LONGEST}", f"-artifact_prefix={found}/",
                 "-rss_limit_mb=4096", "-timeout=30", "-print_final_stats=1"]  # fmt: skip
        atheris.Setup([sys.argv[0], *flags, corpus], feed)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
