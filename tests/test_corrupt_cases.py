"""Every case of the catalogue gets its stated treatment, and the committed page lists exactly these cases."""

from pathlib import Path

import pytest
from corrupt.catalogue import CASES, PART
from reliability import committed_cases, rows_of

PAGE = Path(__file__).parents[1] / "docs" / "RELIABILITY.md"


@pytest.mark.parametrize("case", CASES, ids=[f"{case.kind}: {case.name}" for case in CASES])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_corrupt_input_gets_its_stated_treatment(case, tmp_path, record_property):
    record = {"part": PART, "case": f"{case.kind}: {case.name}", "treatment": str(case.treatment)}
    record_property("reliability", record)
    case.check(tmp_path)


def test_catalogue_names_each_case_once_and_has_at_least_eighty():
    names = [f"{case.kind}: {case.name}" for case in CASES]
    assert len(set(names)) == len(names) >= 80


def test_committed_page_lists_exactly_the_catalogue():
    listed = committed_cases(PAGE.read_text(encoding="utf-8"), PART)
    assert listed == rows_of([(f"{case.kind}: {case.name}", str(case.treatment)) for case in CASES])
