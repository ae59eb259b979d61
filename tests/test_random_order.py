"""The tests run in an order that is drawn anew each time, the longest files first, and the order can be repeated."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("test_a", "test_b", "test_c", "test_notebooks", "test_runner")  # the last two are among the longest


def order(folder, seed, *options):
    """Names of the tests of FILES in the order in which they run."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    for name in FILES:
        tests = "".join(f"def test_{number}(): pass\n" for number in range(6))
        (folder / f"{name}.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "pytest_randomly",
               f"--randomly-seed={seed}", *options]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
                   "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "AFFECT_KILL_SEED": "12"}  # fmt: skip
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Using --randomly-seed={seed}\nKills at drawn moments: AFFECT_KILL_SEED=12" in done.stdout
    return [line.partition(" ")[0] for line in done.stdout.splitlines() if "::" in line]


def files_of(names):
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def test_another_seed_is_another_order_with_the_longest_files_first(tmp_path):
    pytest.importorskip("pytest_randomly")
    first, second = order(tmp_path, 1), order(tmp_path, 2)
    assert order(tmp_path, 1) == first != second and sorted(first) == sorted(second)
    assert files_of(first)[:2] == files_of(second)[:2] == ["test_notebooks", "test_runner"]
    assert len(files_of(first)) == len(FILES), "a file's tests stay together, as do their fixtures"
    inside = [[name for name in names if name.startswith("test_runner")] for names in (first, second)]
    assert inside[0] != inside[1], "shuffled in the file, too"
    assert len({tuple(files_of(order(tmp_path, seed))) for seed in range(3, 7)}) > 1, "and the files"


def test_what_continuous_integration_runs_is_shuffled():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert any(name.startswith("pytest-randomly") for name in project["project"]["optional-dependencies"]["test"])
    commands = (ROOT / "Makefile").read_text() + project["tool"]["pytest"]["ini_options"]["addopts"]
    for option in ("no:randomly", "dont-reorganize", "randomly-seed=0", "--quiet --numprocesses"):
        assert option not in commands
