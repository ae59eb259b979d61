"""Turns what tests record about robustness into one page, docs/RELIABILITY.md; hooks that conftest.py imports.

A test says what it shows with pytest's own fixture:

    record_property("reliability", {"part": "corrupt input", "case": "JPEG of 0 bytes", "treatment": "refused: ..."})

and `pytest --reliability=docs/RELIABILITY.md` writes one table for each part when the session ends, also under
pytest-xdist. Tests that ask for `record_property` carry the marker `reliability`: `pytest -m reliability` runs them.
A case that several tests record has passed if all of them did; one that was skipped is shown as skipped. What a test
counts, it adds to the summary at the head of the page:

    record_property("reliability counts", {"kills": 22})
"""

from __future__ import annotations

import json
import platform
import re
import time
from collections import Counter
from importlib import metadata
from pathlib import Path

import pytest

KEYS = {"part", "case", "treatment"}
VERSIONS = ("pytest", "torch", "numpy", "pillow", "safetensors", "papermill")
OUTCOMES = ("failed", "skipped", "passed")  # the worst first
SHOWN = {"passed": "yes", "failed": "**no**", "skipped": "not run"}
FUZZ_RECORD = Path(__file__).parent / "fuzz_record.json"
MUTATION_PAGE = Path(__file__).parents[1] / "docs" / "MUTATION.md"
NOT_COUNTED = "not counted in this session"


def pytest_addoption(parser):
    parser.addoption("--reliability", metavar="PATH", help="write the table of recorded reliability cases to PATH")


def pytest_configure(config):
    config.addinivalue_line("markers", "reliability: records a case of docs/RELIABILITY.md")
    path = config.getoption("--reliability")
    if path and not hasattr(config, "workerinput"):  # a worker of pytest-xdist sends its reports to the controller
        config.pluginmanager.register(ReliabilityPage(config.invocation_params.dir / path, config), "reliability page")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "record_property" in getattr(item, "fixturenames", ()):
            item.add_marker("reliability")


class ReliabilityPage:
    """Collects the cases of a session, (part, case) -> [treatment, worst outcome], and what its tests counted."""

    def __init__(self, path: Path, config: pytest.Config | None = None):
        self.path, self.config, self.started = Path(path), config, time.monotonic()
        self.cases: dict[tuple[str, str], list[str]] = {}
        self.counts: Counter[str] = Counter()
        self.tests = 0

    def pytest_runtest_logreport(self, report):
        self.tests += report.when == "call"
        for name, value in report.user_properties:
            if name == "reliability":
                self.add(value, report.outcome)
            if name == "reliability counts" and report.when == "teardown":  # each phase reports what those before did
                self.counts.update(value)

    def pytest_sessionfinish(self):
        if self.cases:
            self.path.write_text(page(self.cases, self.counts, self._session()), encoding="utf-8")

    def _session(self) -> dict[str, str]:
        """Rows of the summary that tell how the tests were run."""
        option = self.config.getoption if self.config else lambda name, default: default
        seed, processes = option("randomly_seed", None), option("numprocesses", None)
        shuffled = isinstance(seed, int) and option("randomly_reorganize", True)
        seconds = f"{self.tests:,} tests, {time.monotonic() - self.started:.0f} s"
        return {
            "order of these tests": f"random: `pytest --randomly-seed={seed}`" if shuffled else "as they are written",
            "time of these tests": f"{seconds} in {processes} processes" if processes else seconds,
        }

    def add(self, record: dict[str, str], outcome: str) -> None:
        """Count one test's record. Raises ValueError for other keys, or if two tests state different treatments."""
        if set(record) != KEYS or not all(isinstance(value, str) and value.strip() for value in record.values()):
            raise ValueError(f"a reliability record has the keys {', '.join(sorted(KEYS))}, all text, not {record}")
        known = self.cases.setdefault((record["part"], record["case"]), [record["treatment"], outcome])
        if known[0] != record["treatment"]:
            raise ValueError(f"{record['part']}, {record['case']}: {known[0]!r} is stated, and {record['treatment']!r}")
        known[1] = min(known[1], outcome, key=OUTCOMES.index)


def page(
    cases: dict[tuple[str, str], list[str]], counts: dict[str, int] | None = None, session: dict[str, str] | None = None
) -> str:
    """The page as Markdown: parts and cases in alphabetical order, so that it does not depend on the tests' order."""
    outcomes = [outcome for _, outcome in cases.values()]
    installed = ", ".join(f"{name} {_version(name)}" for name in VERSIONS)
    lines = [
        "# Reliability",
        "",
        "What happens to what goes wrong: each row is a case that tests make, the treatment that is stated for it, and",
        "whether the tests found that treatment. Written by `make reliability`; do not edit.",
        "",
        f"{len(cases)} cases, {outcomes.count('passed')} passed, {outcomes.count('failed')} failed, "
        f"{outcomes.count('skipped')} not run. Python {platform.python_version()}, {installed}.",
        "",
        "| counted | |",
        "| --- | --- |",
        *(f"| {_cell(name)} | {_cell(text)} |" for name, text in summary(cases, counts or {}, session or {}).items()),
        *fuzz_table(read_fuzz_record()),
    ]
    for part in sorted({part for part, _ in cases}):
        own = sorted((case, *rest) for (name, case), rest in cases.items() if name == part)
        passed = sum(outcome == "passed" for _, _, outcome in own)
        lines += ["", f"## {_cell(part)}", "", f"{passed} of {len(own)} passed.", ""]
        lines += ["| case | stated treatment | passed |", "| --- | --- | --- |"]
        lines += [f"| {_cell(case)} | {_cell(treatment)} | {SHOWN[outcome]} |" for case, treatment, outcome in own]
    return "\n".join(lines) + "\n"


def summary(cases, counts: dict[str, int], session: dict[str, str]) -> dict[str, str]:
    """What -> how many, for the head of the page."""
    from killing import SEED

    kinds = Counter(case.partition(":")[0] for part, case in cases if part == "corrupt input")
    listed = ", ".join(f"{number} of kind {kind}" for kind, number in sorted(kinds.items()))
    return {
        "kills (SIGKILL)": _counted(counts, "kills"),
        "of these at drawn moments": _counted(counts, "kills at drawn moments")
        + f"; seed of this session: AFFECT_KILL_SEED={SEED}",
        "of these by the clock": _counted(counts, "kills by the clock"),
        "of these inside a write": _counted(counts, "kills inside a write"),
        "corrupt inputs": f"{kinds.total()}: {listed}" if kinds else NOT_COUNTED,
        "fuzzing": fuzz_sentence(read_fuzz_record()),
        "examples of Hypothesis": _counted(counts, "examples of Hypothesis"),
        "mutants killed (docs/MUTATION.md)": mutants_killed(MUTATION_PAGE.read_text(encoding="utf-8")),
        **session,
    }


def _counted(counts: dict[str, int], name: str) -> str:
    return f"{counts[name]:,}" if name in counts else NOT_COUNTED


def read_fuzz_record() -> dict[str, dict[str, int]]:
    """Target -> counts of the run that `python tests/fuzz.py --record` made last."""
    return json.loads(FUZZ_RECORD.read_text(encoding="utf-8"))["targets"]


def fuzz_sentence(targets: dict[str, dict[str, int]]) -> str:
    """All targets together."""
    seconds, executions, crashes = (
        sum(target.get(name, 0) for target in targets.values()) for name in ("seconds", "executions", "crashes")
    )
    return f"{seconds:,} s, {executions:,} executions, {crashes} crashes outside AffectError"


def fuzz_table(targets: dict[str, dict[str, int]]) -> list[str]:
    """The section on fuzzing, in lines."""
    names = ("seconds", "executions", "coverage_of_seeds", "coverage", "kept", "crashes")
    lines = [
        "", "## fuzzing", "",
        "The last run of `python tests/fuzz.py --record` (atheris, guided by coverage). Coverage: branches of",
        "affect_core that sound files take, and that changed ones took; kept: inputs that reached new ones.", "",
        "| reader | seconds | executions | coverage at first | coverage at last | kept | crashes outside AffectError |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    rows = {target: [f"{counts[name]:,}" if name in counts else "-" for name in names]
            for target, counts in targets.items()}  # fmt: skip
    return [*lines, *(f"| {target} | {' | '.join(row)} |" for target, row in rows.items())]


def mutants_killed(text: str) -> str:
    """Share of each group in the table of docs/MUTATION.md: its last row, which is the one for all its modules."""
    lines = [line.strip("| ") for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    shares = {row[0]: row[-1] for row in rows if len(row) > 2 and re.fullmatch(r"[\d.]+ ?%", row[-1])}
    return ", ".join(f"{group} {share}" for group, share in shares.items()) or "no table in docs/MUTATION.md"


def committed_cases(text: str, part: str) -> set[tuple[str, str]]:
    """(case, treatment) of each row in the table of `part`, as `page` wrote them (cells stay escaped)."""
    section = f"\n{text}".partition(f"\n## {part}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {(row[0], row[1]) for row in rows[2:]}


def rows_of(cases: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """(case, treatment) as they stand in the page, to compare with `committed_cases`."""
    return {(_cell(case), _cell(treatment)) for case, treatment in cases}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "&#124;").replace("<", "&lt;")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
