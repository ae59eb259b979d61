"""The page of reliability cases says what the tests of a session found, however they were run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from reliability import ReliabilityPage, committed_cases, page, rows_of

CASES = """
import pytest

@pytest.mark.parametrize("number", [3, 1, 2])
def test_good(number, record_property):
    record_property("reliability", {"part": "b", "case": f"case {number}", "treatment": "refused: a | b <c>"})
    assert number != 2

def test_again(record_property):
    record_property("reliability", {"part": "b", "case": "case 1", "treatment": "refused: a | b <c>"})

def test_skipped(record_property):
    record_property("reliability", {"part": "a", "case": "other", "treatment": "masked"})
    pytest.skip("no such disk")

def test_that_records_nothing():
    assert False
"""


def run(folder, *options):
    """The page and the output of a session of its own over CASES, which loads no plugin but those named."""
    (folder / "conftest.py").write_text("from reliability import *  # noqa: F403\n")
    (folder / "test_cases.py").write_text(CASES)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reliability", "page.md", *options]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert (folder / "page.md").exists(), done.stdout + done.stderr
    return (folder / "page.md").read_text(), done.stdout


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return run(tmp_path_factory.mktemp("session"), "-m", "reliability")


def test_page_has_a_table_for_each_part_in_order(session):
    text, output = session
    assert "1 failed, 3 passed, 1 skipped, 1 deselected" in output
    assert "4 cases, 2 passed, 1 failed, 1 not run. Python " in text
    assert text[text.index("## a") :] == """## a

0 of 1 passed.

| case | stated treatment | passed |
| --- | --- | --- |
| other | masked | not run |

## b

2 of 3 passed.

| case | stated treatment | passed |
| --- | --- | --- |
| case 1 | refused: a &#124; b &lt;c> | yes |
| case 2 | refused: a &#124; b &lt;c> | **no** |
| case 3 | refused: a &#124; b &lt;c> | yes |
"""


def test_page_is_the_same_from_many_processes(session, tmp_path):
    pytest.importorskip("xdist")
    assert run(tmp_path, "-m", "reliability", "-p", "xdist.plugin", "-n", "2")[0] == session[0]


def test_one_failure_outweighs_other_tests_of_the_same_case():
    record = {"part": "p", "case": "c", "treatment": "t"}
    for outcomes in (["passed", "failed", "passed"], ["failed", "skipped"]):
        report = ReliabilityPage(Path("unused"))
        for outcome in outcomes:
            report.add(record, outcome)
        assert report.cases == {("p", "c"): ["t", "failed"]}


@pytest.mark.parametrize("record", [
    {"part": "p", "case": "c"},
    {"part": "p", "case": "c", "treatment": ""},
    {"part": "p", "case": "c", "treatment": "t", "note": "n"},
    {"part": "p", "case": 3, "treatment": "t"},
])  # fmt: skip
def test_incomplete_records_are_refused(record):
    with pytest.raises(ValueError, match="a reliability record has the keys case, part, treatment"):
        ReliabilityPage(Path("unused")).add(record, "passed")


def test_two_treatments_of_one_case_are_refused():
    report = ReliabilityPage(Path("unused"))
    report.add({"part": "p", "case": "c", "treatment": "t"}, "passed")
    with pytest.raises(ValueError, match="p, c: 't' is stated, and 'u'"):
        report.add({"part": "p", "case": "c", "treatment": "u"}, "passed")


def test_cases_are_read_back_as_they_were_written():
    cases = [("a | b", "x <y>"), ("c", "d")]
    text = page({("part", case): [treatment, "passed"] for case, treatment in cases} | {("q", "z"): ["t", "passed"]})
    assert committed_cases(text, "part") == rows_of(cases)
    assert committed_cases(text, "another part") == set()
