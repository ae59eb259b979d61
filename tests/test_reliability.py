"""The page of reliability cases says what the tests of a session found, however they were run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import fuzz
import pytest
from fuzz import TARGETS
from killing import SEED
from reliability import (
    MUTATION_PAGE,
    NOT_COUNTED,
    ReliabilityPage,
    committed_cases,
    fuzz_sentence,
    fuzz_table,
    mutants_killed,
    page,
    read_fuzz_record,
    rows_of,
)

COMMITTED = Path(__file__).parents[1] / "docs" / "RELIABILITY.md"
CASES = """
import pytest

@pytest.mark.parametrize("number", [3, 1, 2])
def test_good(number, record_property):
    record_property("reliability", {"part": "b", "case": f"case {number}", "treatment": "refused: a | b <c>"})
    record_property("reliability counts", {"kills": 500 + number, "kills by the clock": 2})
    assert number != 2

def test_again(record_property):
    record_property("reliability", {"part": "b", "case": "case 1", "treatment": "refused: a | b <c>"})

def test_skipped(record_property):
    record_property("reliability", {"part": "a", "case": "other", "treatment": "masked"})
    record_property("reliability counts", {"kills": 4})
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
    assert text[text.index("## a\n") :] == """## a

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
    many, alone = run(tmp_path, "-m", "reliability", "-p", "xdist.plugin", "-n", "2")[0], session[0]
    times = [[line for line in text.splitlines() if line.startswith("| time of these tests")] for text in (many, alone)]
    assert times[0][0].endswith(" s in 2 processes |") and len(times[0]) == len(times[1]) == 1
    assert many.replace(times[0][0], "") == alone.replace(times[1][0], "")


def row(text, name):
    """The row of the summary with this name, without the name."""
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return found.removeprefix(f"| {name} | ").removesuffix(" |")


def test_summary_adds_up_what_the_tests_counted_once(session):
    text, _ = session
    assert row(text, "kills (SIGKILL)") == "1,510" and row(text, "of these by the clock") == "6"
    assert row(text, "of these at drawn moments") == f"{NOT_COUNTED}; seed of this session: AFFECT_KILL_SEED={SEED}"
    assert row(text, "corrupt inputs") == row(text, "examples of Hypothesis") == NOT_COUNTED
    assert row(text, "order of these tests") == "as they are written"
    assert text.index("| kills") < text.index("\n## "), "the summary is at the head"


def test_summary_counts_corrupt_inputs_by_kind():
    cases = {("corrupt input", f"{kind}: {n}"): ["t", "passed"] for kind, count in (("image", 3), ("checkpoint", 2))
             for n in range(count)}  # fmt: skip
    text = page(cases | {("q", "image: z"): ["t", "passed"]})
    assert row(text, "corrupt inputs") == "5: 2 of kind checkpoint, 3 of kind image"


def test_summary_names_the_seed_of_a_random_order(tmp_path):
    pytest.importorskip("pytest_randomly")
    text, _ = run(tmp_path, "-m", "reliability", "-p", "pytest_randomly", "--randomly-seed=7")
    assert row(text, "order of these tests") == "random: `pytest --randomly-seed=7`"


def test_share_of_mutants_is_read_from_the_last_row_of_each_group():
    table = """
| group | module | mutants | killed, share |
| --- | --- | ---: | ---: |
| losses | `losses.py` | 40 | 92.5% |
| masking | `vit.py` | 40 | 97.5% |
| masking | all | 80 | 95.0% |
"""
    assert mutants_killed(table) == "losses 92.5%, masking 95.0%"
    assert mutants_killed("nothing") == "no table in docs/MUTATION.md"
    assert len(mutants_killed(MUTATION_PAGE.read_text()).split(", ")) >= 5, "losses, metrics, masking, labels, corpora"


def test_committed_page_shows_the_recorded_fuzzing():
    text, targets = COMMITTED.read_text(encoding="utf-8"), read_fuzz_record()
    assert row(text, "fuzzing") == fuzz_sentence(targets)
    assert "\n".join(fuzz_table(targets)) in text
    assert set(targets) == set(TARGETS)
    assert all(counts["seconds"] >= 120 and counts["crashes"] == 0 for counts in targets.values())
    assert all(counts["coverage"] > counts["coverage_of_seeds"] > 0 for counts in targets.values())


def test_committed_page_has_the_counts_that_are_asked_for():
    text = COMMITTED.read_text(encoding="utf-8")
    drawn = row(text, "of these at drawn moments").partition(";")[0]
    counted = [row(text, name) for name in ("kills (SIGKILL)", "examples of Hypothesis", "of these inside a write")]
    kills, examples, inside = (int(number.replace(",", "")) for number in counted)
    assert kills >= 200 and int(drawn) >= 100 and inside >= 30 and examples >= 400
    assert int(row(text, "corrupt inputs").partition(":")[0]) >= 80
    assert row(text, "order of these tests").startswith("random: ")


LOG = """INFO: seed corpus: files: 8
#4\tINITED cov: 23 ft: 24 corp: 1/132b exec/s: 0 rss: 945Mb
#5\tNEW    cov: 25 ft: 26 corp: 2/264b lim: 132 exec/s: 0 rss: 945Mb L: 132/132 MS: 1 ShuffleBytes-
#4058\tDONE   cov: 26 ft: 27 corp: 3/148b lim: 153 exec/s: 368 rss: 945Mb
Done 4058 runs in 11 second(s)
"""


def test_counts_are_read_from_what_libfuzzer_says():
    expected = {"seconds": 11, "executions": 4058, "coverage_of_seeds": 23, "coverage": 26, "kept": 3}
    assert fuzz.counts(LOG) == expected
    with pytest.raises(ValueError, match="did not come to its end"):
        fuzz.counts(LOG.partition("Done")[0])


def test_a_crash_is_in_the_record(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "FOUND", tmp_path / "found")
    monkeypatch.setattr(fuzz, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(fuzz.metadata, "version", lambda name: "3")

    def run(command, **_):
        crashed = command[2] == "pickles"
        if crashed:
            (tmp_path / "found" / "pickles").mkdir(parents=True)
            for name in ("crash-ab", "timeout-cd"):
                (tmp_path / "found" / "pickles" / name).write_bytes(b"")
        return subprocess.CompletedProcess(command, 77 if crashed else 0, "", LOG)

    assert fuzz.record(11, run) == 1
    targets = json.loads((tmp_path / "record.json").read_text())["targets"]
    assert {name: target["crashes"] for name, target in targets.items()} == dict.fromkeys(TARGETS, 0) | {"pickles": 2}
    assert fuzz_sentence(targets) == "33 s, 12,174 executions, 2 crashes outside AffectError"
    assert fuzz_table(targets)[-1] == "| pickles | - | - | - | - | - | 2 |"


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
