"""Executing notebooks: order, skipping, failure, command line. (The real ones run in test_notebooks.py.)"""

import json

import pytest

from affect_core import runner
from affect_core.errors import AffectError

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
NOTEBOOK = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": KERNEL}}


def write_notebook(path, code):
    empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    defaults = "profile = corpus_root = run_dir = ''\nseed = 0"
    parameters = {"id": "a", "metadata": {"tags": ["parameters"]}, "source": defaults}
    cells = [empty | parameters, empty | {"id": "b", "source": code}]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(NOTEBOOK | {"cells": cells}))


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two notebooks, the second of which reads what the first wrote."""
    monkeypatch.setattr(runner, "NEEDS", {"00_first": (), "01_second": ("00_first",)})
    write_notebook(tmp_path / "nb" / "00_first.ipynb", "open(run_dir + '/value', 'w').write('41')")
    write_notebook(tmp_path / "nb" / "01_second.ipynb", "int(open(run_dir + '/value').read()) + 1")
    return tmp_path


def run(folder, **changes):
    parameters = {"profile": "smoke", "corpus_root": "", "run_dir": str(folder / "run"), "seed": 0} | changes
    said = []
    runs = runner.run_workbook(folder / "nb", folder / "run", parameters, say=said.append)
    return [one.status for one in runs], said


def test_notebooks_run_in_order_are_skipped_when_nothing_changed_and_run_when_something_did(two):
    (two / "run").mkdir()
    assert run(two)[0] == ["executed", "executed"]
    assert "42" in (two / "run" / "notebooks" / "01_second.ipynb").read_text()
    assert "42" in (two / "run" / "notebooks" / "01_second.html").read_text()
    assert (two / "run" / "index.html").exists()
    statuses, said = run(two)
    assert statuses == ["unchanged", "unchanged"] and "not executed again" in said[0]
    write_notebook(two / "nb" / "01_second.ipynb", "1")
    assert run(two)[0] == ["unchanged", "executed"]
    write_notebook(two / "nb" / "00_first.ipynb", "open(run_dir + '/value', 'w').write('1')")
    assert run(two)[0] == ["executed", "executed"], "a notebook is out of date when one it needs was"
    assert run(two, seed=1)[0] == ["executed", "executed"]


def test_a_failing_notebook_stops_the_run_with_its_name_and_reason(two):
    (two / "run").mkdir()
    write_notebook(two / "nb" / "00_first.ipynb", "raise ValueError('the label file is empty')")
    with pytest.raises(AffectError, match="00_first stopped: ValueError: the label file is empty"):
        run(two)
    assert (two / "run" / "index.html").exists()
    assert not (two / "run" / "notebooks" / "00_first.json").exists()


def test_files_under_the_corpus_root_are_inputs(tmp_path):
    (tmp_path / "labels.txt").write_text("a")
    parameters = {"profile": "smoke", "corpus_root": str(tmp_path), "run_dir": "r", "seed": 0}
    before = runner._shared_inputs(parameters)
    assert runner._shared_inputs(parameters) == before
    (tmp_path / "labels.txt").write_text("ab")
    assert runner._shared_inputs(parameters) != before


def test_the_command_line_says_an_error_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "NEEDS", {"99_missing": ()})
    assert runner.main(["--profile", "smoke", "--run-dir", str(tmp_path / "run")]) == 1
    assert "error: " in capsys.readouterr().out


def test_every_notebook_of_the_list_exists_and_needs_only_earlier_ones():
    from affect_core.workbook import project_root

    names = list(runner.NEEDS)
    assert names == sorted(path.stem for path in (project_root() / "notebooks").glob("*.ipynb"))
    for index, name in enumerate(names):
        assert set(runner.NEEDS[name]) <= set(names[:index])


def test_progress_of_a_kernel_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runner._Watcher, "interval", 0.05)
    with runner._Watcher(tmp_path / "line"):
        (tmp_path / "line").write_text("mae 3/10")
        import time

        time.sleep(0.5)
    assert "mae 3/10" in capsys.readouterr().err
