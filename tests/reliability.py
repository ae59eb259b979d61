"""Turns what tests record about robustness into one page, docs/RELIABILITY.md; hooks that conftest.py imports.

A test says what it shows with pytest's own fixture:

    record_property("reliability", {"part": "corrupt input", "case": "JPEG of 0 bytes", "treatment": "refused: ..."})

and `pytest --reliability=docs/RELIABILITY.md` writes one table for each part when the session ends, also under
pytest-xdist. Tests that ask for `record_property` carry the marker `reliability`: `pytest -m reliability` runs them.
A case that several tests record has passed if all of them did; one that was skipped is shown as skipped.
"""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import pytest

KEYS = {"part", "case", "treatment"}
VERSIONS = ("pytest", "torch", "numpy", "pillow", "safetensors", "papermill")
OUTCOMES = ("failed", "skipped", "passed")  # the worst first
SHOWN = {"passed": "yes", "failed": "**no**", "skipped": "not run"}


def pytest_addoption(parser):
    parser.addoption("--reliability", metavar="PATH", help="write the table of recorded reliability cases to PATH")


def pytest_configure(config):
    config.addinivalue_line("markers", "reliability: records a case of docs/RELIABILITY.md")
    path = config.getoption("--reliability")
    if path and not hasattr(config, "workerinput"):  # a worker of pytest-xdist sends its reports to the controller
        config.pluginmanager.register(ReliabilityPage(config.invocation_params.dir / path), "reliability page")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if "record_property" in getattr(item, "fixturenames", ()):
            item.add_marker("reliability")


class ReliabilityPage:
    """Collects the cases of a session; `cases` is (part, case) -> [treatment, worst outcome]."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.cases: dict[tuple[str, str], list[str]] = {}

    def pytest_runtest_logreport(self, report):
        for name, value in report.user_properties:
            if name == "reliability":
                self.add(value, report.outcome)

    def pytest_sessionfinish(self):
        if self.cases:
            self.path.write_text(page(self.cases), encoding="utf-8")

    def add(self, record: dict[str, str], outcome: str) -> None:
        """Count one test's record. Raises ValueError for other keys, or if two tests state different treatments."""
        if set(record) != KEYS or not all(isinstance(value, str) and value.strip() for value in record.values()):
            raise ValueError(f"a reliability record has the keys {', '.join(sorted(KEYS))}, all text, not {record}")
        known = self.cases.setdefault((record["part"], record["case"]), [record["treatment"], outcome])
        if known[0] != record["treatment"]:
            raise ValueError(f"{record['part']}, {record['case']}: {known[0]!r} is stated, and {record['treatment']!r}")
        known[1] = min(known[1], outcome, key=OUTCOMES.index)


def page(cases: dict[tuple[str, str], list[str]]) -> str:
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
    ]
    for part in sorted({part for part, _ in cases}):
        own = sorted((case, *rest) for (name, case), rest in cases.items() if name == part)
        passed = sum(outcome == "passed" for _, _, outcome in own)
        lines += ["", f"## {_cell(part)}", "", f"{passed} of {len(own)} passed.", ""]
        lines += ["| case | stated treatment | passed |", "| --- | --- | --- |"]
        lines += [f"| {_cell(case)} | {_cell(treatment)} | {SHOWN[outcome]} |" for case, treatment, outcome in own]
    return "\n".join(lines) + "\n"


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
