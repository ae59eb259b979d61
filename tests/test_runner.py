"""Executing notebooks: order, skipping, failure, command line. (The real ones run in test_notebooks.py.)"""

import json
import os
import time

import pytest

from affect_core import notebook_inputs, notebook_process, progress_watcher, runner
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


def run(folder, jobs=1, **changes):
    parameters = {"profile": "smoke", "corpus_root": "", "run_dir": str(folder / "run"), "seed": 0} | changes
    said = []
    runs = runner.run_workbook(folder / "nb", folder / "run", parameters, say=said.append, jobs=jobs)
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


@pytest.mark.skipif(os.name != "posix", reason="sockets with a path are POSIX")
def test_kernels_are_spoken_to_through_sockets_of_the_user_alone_which_are_gone_afterwards(two):
    """Ports would be open to every program of the machine."""
    (two / "run").mkdir()
    write_notebook(two / "nb" / "00_first.ipynb", """
import json, os, stat, ipykernel
file = ipykernel.get_connection_file()
folder = os.path.dirname(json.load(open(file))["ip"])
mode = stat.S_IMODE(os.stat(folder).st_mode) & 0o777
open(run_dir + "/kernel", "w").write(json.dumps([json.load(open(file))["transport"], folder, mode]))
open(run_dir + "/value", "w").write("41")
""")  # fmt: skip
    run(two)
    transport, folder, mode = json.loads((two / "run" / "kernel").read_text())
    assert (transport, mode) == ("ipc", 0o700) and not os.path.exists(folder)
    assert [path.suffix for path in (two / "nb").iterdir()] == [".ipynb"] * 2


@pytest.mark.skipif(os.name != "posix", reason="sockets with a path are POSIX")
def test_a_kernel_says_its_faults_but_not_that_it_was_interrupted_before_its_end(two, capfd):
    """jupyter_client interrupts every kernel before it shuts it down; some say so."""
    (two / "run").mkdir()
    write_notebook(two / "nb" / "00_first.ipynb", """
from ipykernel.kernelapp import IPKernelApp
for words in ("KeyboardInterrupt caught in kernel.", "KeyboardInterrupt caught in kernel", "a fault of the kernel"):
    IPKernelApp.instance().log.error(words)
open(run_dir + "/value", "w").write("41")
""")  # fmt: skip
    assert run(two)[0] == ["executed", "executed"]
    said = capfd.readouterr().err
    assert "a fault of the kernel" in said and "KeyboardInterrupt" not in said


def test_a_long_path_of_the_temporary_folder_keeps_ports(tmp_path):
    assert notebook_process._kernel_manager(tmp_path / "short")().transport in ("ipc", "tcp")
    assert notebook_process._kernel_manager(tmp_path / ("long" * 30))().transport == "tcp"


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
    before = notebook_inputs.shared_inputs(parameters)
    assert notebook_inputs.shared_inputs(parameters) == before
    (tmp_path / "labels.txt").write_text("ab")
    assert notebook_inputs.shared_inputs(parameters) != before


def test_links_under_the_corpus_root_are_followed_and_dead_ones_are_inputs_too(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").mkdir()
    for name, target in (("lsd", tmp_path / "disk"), ("gone", tmp_path / "nowhere"), ("again", tmp_path / "root")):
        (tmp_path / "root" / name).symlink_to(target)
    (tmp_path / "disk" / "a.jpg").write_text("a")
    parameters = {"profile": "smoke", "corpus_root": str(tmp_path / "root"), "run_dir": "r", "seed": 0}
    before = notebook_inputs.shared_inputs(parameters)
    assert notebook_inputs.shared_inputs(parameters) == before
    (tmp_path / "disk" / "a.jpg").write_text("ab")
    changed = notebook_inputs.shared_inputs(parameters)
    (tmp_path / "nowhere").write_text("mounted")
    assert len({before, changed, notebook_inputs.shared_inputs(parameters)}) == 3


def test_a_profile_of_ones_own_is_an_input(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[cotex]\njs_weight = 1.0\n")
    parameters = {"profile": str(path), "corpus_root": "", "run_dir": "r", "seed": 0}
    before = notebook_inputs.shared_inputs(parameters)
    assert notebook_inputs.shared_inputs(parameters) == before
    path.write_text("[cotex]\njs_weight = 2.0\n")
    assert notebook_inputs.shared_inputs(parameters) != before


def test_trained_weights_are_an_input_where_a_run_starts_from_them(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECT_WEIGHTS", str(tmp_path))
    digests = []
    for content in ("a", "b"):
        (tmp_path / "emma.safetensors").write_text(content)
        digests += [notebook_inputs.shared_inputs({"profile": "smoke", "corpus_root": "", "weights": weights})
                    for weights in ("fresh", "shipped")]  # fmt: skip
    assert digests[0] == digests[2] and digests[1] != digests[3]


def test_the_command_line_says_an_error_in_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "NEEDS", {"99_missing": ()})
    assert runner.main(["--profile", "smoke", "--run-dir", str(tmp_path / "run")]) == 1
    assert "error: " in capsys.readouterr().out


@pytest.mark.parametrize("typo", ["04_ema", "emma", "04_emma.ipynb"])
def test_a_notebook_that_is_not_there_is_said_before_anything_is_done(typo, tmp_path, capsys):
    assert runner.main(["--profile", "smoke", "--run-dir", str(tmp_path / "run"), "--only", "00_tour", typo]) == 1
    said = capsys.readouterr().out
    assert f"there is no notebook {typo}; there are 00_tour, 01_data, " in said and "08_your_photos" in said
    assert not (tmp_path / "run").exists()


def test_every_notebook_of_the_list_exists_and_needs_only_earlier_ones():
    from affect_core.project_folders import project_root

    names = list(runner.NEEDS)
    assert names == sorted(path.stem for path in (project_root() / "notebooks").glob("*.ipynb"))
    for index, name in enumerate(names):
        assert set(runner.NEEDS[name]) <= set(names[:index])


def test_progress_of_a_kernel_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress_watcher.ProgressWatcher, "interval", 0.05)
    with progress_watcher.ProgressWatcher([tmp_path / "line", tmp_path / "other"]):
        (tmp_path / "line").write_text("mae 3/10")
        (tmp_path / "other").write_text("prior 1/10")
        time.sleep(0.5)
    shown = capsys.readouterr().err
    assert shown.count("mae 3/10") == 1 and shown.count("prior 1/10") == 1, "each once, for neither has changed"


MEET = """
import os, time
from pathlib import Path
Path(run_dir, "{mine}").write_text(os.environ.get("OMP_NUM_THREADS", ""))
deadline = time.monotonic() + 60
while not Path(run_dir, "{other}").exists() and time.monotonic() < deadline:
    time.sleep(0.05)
assert Path(run_dir, "{other}").exists(), "the other notebook does not run beside this one"
"""


@pytest.fixture
def three(tmp_path, monkeypatch):
    """A notebook, then two that wait for one another, then one that needs both."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(runner.os, "cpu_count", lambda: 6)
    needs = {"00_first": (), "01_left": (), "02_right": (), "03_last": ("01_left", "02_right")}
    monkeypatch.setattr(runner, "NEEDS", needs)
    monkeypatch.setattr(runner, "LONGEST_FIRST", ("02_right",))
    write_notebook(tmp_path / "nb" / "00_first.ipynb", "import os; assert not os.path.exists(run_dir + '/left')")
    write_notebook(tmp_path / "nb" / "01_left.ipynb", MEET.format(mine="left", other="right"))
    write_notebook(tmp_path / "nb" / "02_right.ipynb", MEET.format(mine="right", other="left"))
    write_notebook(tmp_path / "nb" / "03_last.ipynb", "[open(run_dir + '/' + x).read() for x in ('left', 'right')]")
    (tmp_path / "run").mkdir()
    return tmp_path


def test_notebooks_that_do_not_need_one_another_run_side_by_side_with_their_part_of_the_cores(three):
    statuses, said = run(three, jobs=2)
    assert statuses == ["executed"] * 4
    assert said[0] == "[1/4] 00_first ..." and said[1].startswith("[1/4] 00_first: "), "the first renders, alone"
    assert said[2:4] == ["[3/4] 02_right ...", "[2/4] 01_left ..."] and said[-2] == "[4/4] 03_last ..."
    assert "['3', '3']" in (three / "run" / "notebooks" / "03_last.ipynb").read_text(), "6 cores, 2 notebooks"
    assert run(three, jobs=2)[0] == ["unchanged"] * 4
    assert not list((three / "run").glob(".progress*"))


def test_a_notebook_that_fails_stops_the_one_beside_it_which_runs_again(three):
    write_notebook(three / "nb" / "01_left.ipynb", MEET.format(mine="left", other="right") + "1 / 0")
    write_notebook(three / "nb" / "02_right.ipynb", MEET.format(mine="right", other="left") + "time.sleep(100)")
    started = time.monotonic()
    with pytest.raises(AffectError, match="01_left stopped: ZeroDivisionError"):
        run(three, jobs=2)
    assert time.monotonic() - started < 80
    assert sorted(path.stem for path in (three / "run" / "notebooks").glob("*.json")) == ["00_first"]
    for name, other in (("01_left", "right"), ("02_right", "left")):
        write_notebook(three / "nb" / f"{name}.ipynb", MEET.format(mine=name[3:], other=other))
    assert run(three, jobs=2)[0] == ["unchanged", "executed", "executed", "executed"]


def test_no_notebook_starts_before_those_it_needs_or_after_one_that_failed(three):
    write_notebook(three / "nb" / "00_first.ipynb", "1 / 0")
    with pytest.raises(AffectError, match="00_first stopped: ZeroDivisionError"):
        run(three, jobs=2)
    assert not (three / "run" / "left").exists() and not (three / "run" / "notebooks" / "01_left.ipynb").exists()


def test_a_stopped_run_says_that_it_can_go_on(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_workbook", interrupted)
    assert runner.main(["--profile", "smoke", "--run-dir", str(tmp_path / "run")]) == 130
    assert "Run again to go on" in capsys.readouterr().out
