"""The notebooks, headless in the smoke profile: on the embedded corpus, and on files in the published layouts."""

import json

import pytest
from published_layouts import write_abaw4, write_lsd

from affect_core.project_folders import project_root
from affect_core.runner import NEEDS, run_workbook
from affect_core.storage import read_json

NOTEBOOKS = project_root() / "notebooks"


def execute(run_dir, corpus_root=""):
    run_dir.mkdir(parents=True, exist_ok=True)
    parameters = {"profile": "smoke", "corpus_root": str(corpus_root), "run_dir": str(run_dir), "seed": 0,
                  "weights": "fresh"}  # fmt: skip
    return [run.status for run in run_workbook(NOTEBOOKS, run_dir, parameters)]


@pytest.fixture(scope="module")
def run_dir(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "smoke"
    assert execute(folder) == ["executed"] * len(NEEDS)
    return folder


@pytest.mark.slow
def test_the_embedded_corpus_runs_end_to_end_and_leaves_a_report(run_dir):
    page = (run_dir / "index.html").read_text()
    for name in NEEDS:
        assert f"notebooks/{name}.html" in page and (run_dir / "notebooks" / f"{name}.html").exists()
    assert "P_MTL" in page and "synthetic" in page and "not verified" in page
    assert "http://" not in page and "https://" not in page.replace("https://arxiv.org", ""), "needs no network"


@pytest.mark.slow
def test_a_second_run_with_nothing_changed_executes_nothing(run_dir):
    assert execute(run_dir) == ["unchanged"] * len(NEEDS)


@pytest.mark.slow
def test_real_layouts_run_through_the_same_notebooks(data_dir, tmp_path):
    write_abaw4(tmp_path / "corpora")
    write_lsd(tmp_path / "corpora")
    assert execute(tmp_path / "run", tmp_path / "corpora") == ["executed"] * len(NEEDS)
    rows = read_json(tmp_path / "run" / "results" / "04_emma.json")["rows"]
    assert all(row["data"] == "corpora" for row in rows), "results must name the corpus, not call it synthetic"


def cells(name):
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]


@pytest.mark.parametrize("name", NEEDS)
def test_committed_notebooks_are_stripped_and_parameterised(name):
    code = [cell for cell in cells(name) if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1
    parameters = next(cell for cell in code if "parameters" in cell["metadata"].get("tags", []))
    own = {"08_your_photos": ["photos", "video", "cropped"]}.get(name, [])
    assert [line.split(" = ")[0] for line in "".join(parameters["source"]).splitlines()] == [
        "profile", "corpus_root", "run_dir", "seed", "weights", *own]  # fmt: skip


@pytest.mark.parametrize("name", NEEDS)
def test_notebooks_are_essays_with_short_cells(name):
    code = [len("".join(cell["source"]).splitlines()) for cell in cells(name) if cell["cell_type"] == "code"]
    prose = [cell for cell in cells(name) if cell["cell_type"] == "markdown"]
    assert max(code) <= 25 and sorted(code)[len(code) // 2] <= 8
    assert len(prose) >= len(code)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_no_output_is_larger_than_200_kilobytes(run_dir, name):
    executed = read_json(run_dir / "notebooks" / f"{name}.ipynb")["cells"]
    sizes = [len(json.dumps(output)) for cell in executed for output in cell.get("outputs", [])]
    assert max(sizes, default=0) < 200_000
