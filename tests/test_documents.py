"""README and docs/ say what is there: links, commands, modules, and numbers that some stored result has."""

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from affect_core.project_folders import project_root

ROOT = project_root()
PAGES = sorted(path for folder in (".", "docs", "data", "benchmarks", "results", "data/weights")
               for path in (ROOT / folder).glob("*.md"))  # fmt: skip
SHARE = r"[+-]?\d\.\d{2,4}"


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def leaves(value) -> list[float]:
    """Every number in nested lists and dictionaries."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [float(value)] if isinstance(value, int | float) else [leaf for part in parts for leaf in leaves(part)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)#\s]+)\)", path.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (path.parent / target).exists()]
    assert not missing


def test_every_make_target_and_profile_of_the_pages_exists():
    named = {target for path in PAGES for target in re.findall(r"^    make (\w+)", path.read_text("utf-8"), re.M)}
    targets = set(re.findall(r"^(\w+):", page("Makefile"), re.M))
    assert named <= targets and {"run", "test", "lab", "bench", "results", "docs"} <= named
    profiles = {name for path in PAGES for name in re.findall(r"PROFILE=(\w+)(?!\.toml|\w)", path.read_text("utf-8"))}
    assert {"smoke", "gpu"} <= profiles
    assert all((ROOT / "affect_core" / "profiles" / f"{name}.toml").exists() for name in profiles)


def test_every_command_of_the_pages_exists():
    said = subprocess.run([sys.executable, "-m", "affect_core.command_line", "--help"], capture_output=True, text=True)
    known = set(re.findall(r"^    (\w+)  +[A-Z]", said.stdout, re.M))
    using = page("docs/USING.md") + page("README.md")
    named = set(re.findall(r"affect-core (\w+) ", using))
    (listed,) = re.findall(r"`affect-core ((?:\w+ \| )+\w+)`", using)
    assert set(listed.split(" | ")) == known >= named >= {"predict", "submit", "evaluate", "export"}


def test_what_the_pages_import_is_there():
    imports = r"^ *(from affect_core[\w.]* import [\w, ]+)"
    lines = {line for path in PAGES for line in re.findall(imports, path.read_text("utf-8"), re.M)}
    assert len(lines) >= 3
    for line in lines:
        exec(line, {})


def test_the_house_names_every_module_and_nothing_else():
    house = page("README.md").split("    affect_core/\n")[1].split("    notebooks/")[0].strip("\n")
    named = [name for line in house.splitlines() for name in re.split(r" {2,}", line)[-1].strip(" ,").split(", ")]
    package = ROOT / "affect_core"
    modules = {path.stem for path in package.glob("[!_]*.py")}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")} | {"profiles/"}
    assert sorted(named) == sorted(modules | folders)


def test_the_differences_of_the_pages_are_stored():
    """ "+0.064 [0.039, 0.090]" on a page is a row of a table in `results/`, up to the order of the two settings."""
    tables = [pd.read_csv(ROOT / "results" / f"{name}.csv")[["difference", "low", "high"]].to_numpy()
              for name in ("differences", "options", "ema", "int8", "narrow")]  # fmt: skip
    stored = np.concatenate(tables)
    stored = np.concatenate([stored, -stored[:, [0, 2, 1]]])
    for name, least in (("docs/FINDINGS.md", 20), ("docs/USING.md", 2), ("results/evidence.md", 60),
                        ("benchmarks/NOTES.md", 2)):  # fmt: skip
        triples = re.findall(rf"({SHARE}) \[({SHARE}),\s+({SHARE})\]", page(name))
        assert len(triples) >= least, f"{name}: numbers that are not read are not checked"
        for triple in triples:
            gaps = np.abs(stored - np.array(triple, float)).max(axis=1)
            assert gaps.min() <= 0.00051, (name, triple)


def test_the_rates_of_the_pages_are_measured():
    """The images a second in the tables of speed, ours and the peers', are in `benchmarks/results/`, rounded."""
    measured = np.array([leaf for path in (ROOT / "benchmarks" / "results").glob("*.json")
                         for leaf in leaves(json.loads(path.read_text("utf-8")))])  # fmt: skip
    lines = page("docs/SPEED.md").splitlines()
    lines += [line for line in page("README.md").splitlines() if re.match(r"\| (MAE|EMMA|CoTEX), .*\(\d", line)]
    cells = "; ".join(cell for line in lines if re.match(r"\|.*\d", line) for cell in line.split("|")[2:4])
    rates = re.findall(r"(?<![\w./,])\d[\d,]*\.?\d*(?![\w/]| workers| of| is)", cells)
    for number in rates:
        value, decimals = float(number.replace(",", "")), len(number.partition(".")[2])
        thousands = 0.5 * 10 ** (np.floor(np.log10(value)) - 2) if value >= 2000 else 0  # to three digits
        assert np.abs(measured - value).min() <= max(0.5001 * 10.0**-decimals, thousands), number
    assert len(rates) > 40
