"""Do the tests notice a fault? Each mutant of a module meets the tests of that module; docs/MUTATION.md is the result.

    make mutants                                  every mutant of all groups, some 1,850: more than an hour on one core
    python tests/mutation.py losses masking       every mutant of some groups
    python tests/mutation.py --sample 40 --seed 1 at most 40 mutants a module, drawn with a seed

A mutant (`mutants.py`) is killed if a test fails, the module cannot be imported, or the tests take ten times as long as
without it. This process imports the libraries once and forks for each mutant, so that one costs what its tests cost.
Verdicts are kept in runs/mutants.json until the module changes; survivors are asked again when the tests change.
Without that file everything is asked anew. Why a survivor may live is said in tests/mutation_survivors.toml, and the
report says which have no reason.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import importlib.machinery
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from mutants import Mutant, mutants_of  # noqa: E402

GROUPS = {
    "losses": {"losses": ["losses", "golden"]},
    "metrics": {"metrics": ["metrics", "golden"]},
    "masking": {
        "patches": ["patches", "vit", "mae"],
        "vit": ["vit", "mae", "backbones"],
        "mae": ["mae", "golden"],
        "cotex": ["cotex"],
    },
    "labels": {"labels": ["labels", "readers", "readers_stills"], "corpora/label_text": ["label_text"]},
    "corpora": {
        "corpora/listing": ["listing"],
        "corpora/abaw": ["readers", "corpora_abaw"],
        "corpora/affectnet": ["readers", "corpora_affectnet"],
        "corpora/folders": ["readers_stills", "corpora_folders"],
        "corpora/fer": ["readers_stills", "corpora_stills"],
        "corpora/table": ["readers_stills", "corpora_table"],
    },
}
"""Group -> module of the package -> the tests (tests/test_<name>.py) that have to notice its faults."""

SLOW = "not dan_gives and not emma_gives and not each_cotex_view"
"""pytest -k: three tests of test_golden.py take 30 s and need whole networks; a mutant does not meet them."""

VERDICTS, REPORT = ROOT / "runs/mutants.json", ROOT / "docs/MUTATION.md"
REASONS = ROOT / "tests/mutation_survivors.toml"
BAR = 0.9
"""Share of killed mutants that each group must reach."""


class MutatedModule(importlib.machinery.SourceFileLoader):
    """Finds and loads one module of the package from a changed tree; first in sys.meta_path of a forked process."""

    def __init__(self, module: str, tree: ast.Module):
        super().__init__(f"affect_core.{module.replace('/', '.')}", str(ROOT / f"affect_core/{module}.py"))
        self.tree = tree

    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            return importlib.machinery.ModuleSpec(name, self, origin=self.path)
        return None

    def get_code(self, fullname):
        return compile(self.tree, self.path, "exec")


class FirstFailure:
    """pytest plugin: tests that failed for earlier mutants come first, and the first failure is written to `pipe`."""

    def __init__(self, killers: list[str], pipe: int):
        self.killers, self.pipe = killers, pipe

    def pytest_collection_modifyitems(self, items):
        rank = {name: place for place, name in enumerate(self.killers)}
        items.sort(key=lambda item: rank.get(item.nodeid, len(rank)))

    def pytest_runtest_logreport(self, report):
        if report.failed:
            os.write(self.pipe, report.nodeid.encode())


def run_tests(module: str, tree: ast.Module | None, tests: list[Path], killers: list[str], limit: float) -> str:
    """"survived", or what killed the mutant: the test's name, "import" or "time". tree None: the module as it is."""
    scratch = tempfile.mkdtemp(prefix="mutant-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setsid()
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os._exit(_child(module, tree, tests, FirstFailure(killers, writing), scratch))
    os.close(writing)
    status, end = None, time.monotonic() + limit
    while status is None and time.monotonic() < end:
        done, value = os.waitpid(child, os.WNOHANG)
        status = os.waitstatus_to_exitcode(value) if done else None
        time.sleep(0.01)
    if status is None:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        killer = pipe.read() if status is not None else ""
    shutil.rmtree(scratch, ignore_errors=True)
    if status in (4, 5):
        raise SystemExit(f"the tests of {module} cannot be run: pytest ended with status {status}")
    return "survived" if status == 0 else killer or ("time" if status is None else "import")


def _child(module: str, tree: ast.Module | None, tests: list[Path], plugin: FirstFailure, scratch: str) -> int:
    import pytest

    os.fsync = lambda handle: None  # nothing here has to survive a power cut
    tempfile.tempdir = scratch
    os.chdir(ROOT)
    if tree is not None:
        sys.meta_path.insert(0, MutatedModule(module, tree))
    options = ["-x", "-q", "-p", "no:cacheprovider", "-k", SLOW, "--basetemp", f"{scratch}/t"]
    return int(pytest.main([*options, *map(str, tests)], plugins=[plugin]))


def judge(module: str, tests: list[str], sample: int | None, seed: int) -> list[tuple[Mutant, str]]:
    """(mutant, verdict) of a module; verdicts known from `VERDICTS` are not asked for again."""
    source = (ROOT / f"affect_core/{module}.py").read_text()
    files = [ROOT / f"tests/test_{name}.py" for name in tests]
    tests_digest = _digest(*(path.read_text() for path in files))
    mutants = mutants_of(source)
    if sample is not None and sample < len(mutants):
        mutants = [mutants[place] for place in sorted(random.Random(seed).sample(range(len(mutants)), sample))]
    known = json.loads(VERDICTS.read_text()) if VERDICTS.exists() else {}
    begun = time.monotonic()
    if (whole := run_tests(module, None, files, [], 300)) != "survived":
        raise SystemExit(f"the tests of {module} fail without any mutant: {whole}")
    limit = 10 * (time.monotonic() - begun) + 5
    killers, judged = Counter(), []
    for number, mutant in enumerate(mutants, start=1):
        key = f"{module} {_digest(source)} {mutant.line}:{mutant.column} {mutant.kind} {mutant.change}"
        verdict, by = known.get(key, ("survived", ""))
        if verdict == "survived" and by != tests_digest:
            order = [name for name, _ in killers.most_common(12)]
            verdict = run_tests(module, mutant.tree, files, order, limit)
            known[key] = verdict, tests_digest
            VERDICTS.parent.mkdir(exist_ok=True)
            VERDICTS.write_text(json.dumps(known, indent=0))
        killers[verdict] += 1
        judged.append((mutant, verdict))
        sys.stdout.write(f"\r{module}: {number} of {len(mutants)}, {killers['survived']} survived")
        sys.stdout.flush()
    sys.stdout.write(f", {(time.monotonic() - begun):.0f} s\n")
    return judged


def _digest(*texts: str) -> str:
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:16]


def report(results: dict[str, dict[str, list[tuple[Mutant, str]]]], settings: str) -> str:
    """docs/MUTATION.md: a table of groups and modules, and every survivor with the reason it may live."""
    reasons = tomllib.loads(REASONS.read_text()) if REASONS.exists() else {}
    lines = ["# Mutation tests", "", " ".join((__doc__ or "").split("\n\n")[2].split()), "",
             f"{settings} Regenerate with `make mutants`. Each group must kill {BAR:.0%}.", "",
             "| group | module | mutants | killed | of these by time or import | survived | killed, share |",
             "| --- | --- | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for group, modules in results.items():
        rows = {f"`{module}.py`": verdicts for module, verdicts in modules.items()}
        if len(rows) > 1:
            rows["all"] = [verdict for verdicts in modules.values() for verdict in verdicts]
        lines += [f"| {group} | {name} | {_counts([verdict for _, verdict in verdicts])} |"
                  for name, verdicts in rows.items()]  # fmt: skip
    lines += ["", "## Survivors"]
    for modules in results.values():
        for module, verdicts in modules.items():
            alive = [mutant for mutant, verdict in verdicts if verdict == "survived"]
            lines += ["", f"### `{module}.py`: {len(alive)}", ""] if alive else []
            for mutant in alive:
                reason = reasons.get(module, {}).get(mutant.change, "**no reason given**")
                before, after = (" ".join(text.split()) for text in (mutant.before, mutant.after))
                lines.append(f"- line {mutant.line}, {mutant.kind}: `{before}` became `{after}`. {reason}")
    return "\n".join(lines) + "\n"


def _counts(verdicts: list[str]) -> str:
    survived = verdicts.count("survived")
    killed = len(verdicts) - survived
    return f"{len(verdicts)} | {killed} | {verdicts.count('time') + verdicts.count('import')} | {survived} | " \
        f"{killed / len(verdicts):.1%}"  # fmt: skip


def _load_libraries() -> None:
    """Import once what every fork needs, and keep it out of the way of their garbage collection."""
    import cv2, matplotlib.pyplot, numba, pandas, pytest, scipy.fft, sklearn.metrics, timm, torch, torchvision  # noqa

    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # plugins that tests of one module do not use
    gc.collect()
    gc.freeze()


def main(arguments: list[str] | None = None) -> int:
    """The command; status 1 if a group stays below `BAR`. The report is written when all groups were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help=", ".join(GROUPS))
    parser.add_argument("--sample", type=int, help="at most so many mutants a module")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    _load_libraries()
    results, low = {}, []
    for group in options.groups or GROUPS:
        results[group] = {module: judge(module, tests, options.sample, options.seed)
                          for module, tests in GROUPS[group].items()}  # fmt: skip
        verdicts = [verdict for judged in results[group].values() for _, verdict in judged]
        if verdicts.count("survived") > (1 - BAR) * len(verdicts):
            low.append(group)
    settings = "All mutants." if options.sample is None else \
        f"At most {options.sample} mutants a module, drawn with seed {options.seed}."  # fmt: skip
    text = report(results, settings)
    if options.groups:
        sys.stdout.write(text)
    else:
        REPORT.write_text(text)
    sys.stdout.write(f"below {BAR:.0%}: {', '.join(low)}\n" if low else f"every group at {BAR:.0%} or above\n")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
