"""The mutation tests themselves: which faults are made, and that a fault that is met is told from one that is not."""

import os
import subprocess
import sys

import pytest
from mutants import mutants_of
from mutation import GROUPS, ROOT, report


def changes(source: str) -> list[tuple[str, str]]:
    return [(mutant.kind, mutant.change) for mutant in mutants_of(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", [("comparison", "a < b -> a <= b")]),
        ("a < b == c", [("comparison", "a < b == c -> a <= b == c"), ("comparison", "a < b == c -> a < b != c")]),
        ("a + b", [("arithmetic", "a + b -> a - b")]),
        ("a ** b", [("arithmetic", "a ** b -> a * b")]),
        ("a += b", [("arithmetic", "a += b -> a -= b")]),
        ("a and b", [("boolean", "a and b -> a or b")]),
        ("x = True", [("boolean", "True -> False")]),
        ("x = 3", [("number", "3 -> 4")]),
        ("x = 1e-3", [("number", "0.001 -> 0.01")]),
        ("x = 'a'", [("string", "'a' -> 'a~'")]),
        ("-a", [("sign", "-a -> a")]),
        ("not a", [("sign", "not a -> a")]),
        ("f(a, b)", [("arguments", "f(a, b) -> f(b, a)")]),
        ("a if b else c", [("condition", "a if b else c -> a if not b else c")]),
        ("[a for a in b if c]", [("condition", "[a for a in b if c] -> [a for a in b if not c]")]),
        ("def f():\n    return a", [("return", "return a -> return None")]),
    ],
)
def test_each_kind_of_fault(source, expected):
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    ["'''A docstring.'''", "def f(a: 'int') -> 'str':\n    pass", "x = Literal['a', 'b']", "f'text {a:>3}'",
     "max(a, b)", "f(*a, b)", "def f():\n    return None", "x = None"],
)  # fmt: skip
def test_what_is_not_computed_with_is_left_alone(source):
    assert changes(source) == []


def test_a_mutant_differs_in_one_place_and_compiles():
    source = "def f(a, b):\n    if a > b:\n        return a - b\n    return 0\n"
    found = mutants_of(source)
    assert [mutant.line for mutant in found] == [2, 2, 3, 3, 4, 4]
    results = set()
    for mutant in found:
        names = {}
        exec(compile(mutant.tree, "mutant", "exec"), names)
        results.add((names["f"](3, 1), names["f"](1, 1), names["f"](1, 3)))
    assert (2, 0, 0) in results, "a > b or a >= b: the same for numbers, a mutant no test can kill"
    assert results >= {(0, 0, -2), (None, 0, 0), (4, 0, 0), (2, 1, 1), (2, None, None)}
    assert source == "def f(a, b):\n    if a > b:\n        return a - b\n    return 0\n"


def test_every_group_names_modules_and_tests_that_exist():
    for modules in GROUPS.values():
        for module, tests in modules.items():
            assert (ROOT / f"affect_core/{module}.py").is_file()
            assert all((ROOT / f"tests/test_{name}.py").is_file() for name in tests)


def test_the_report_counts_and_names_survivors_without_a_reason():
    low, high = mutants_of("a < 1")
    text = report({"group": {"module": [(low, "survived"), (high, "test_x"), (high, "time")]}}, "All mutants.")
    assert "| group | `module.py` | 3 | 2 | 1 | 1 | 66.7% |" in text
    assert "- line 1, comparison: `a < 1` became `a <= 1`. **no reason given**" in text


IN_A_FORK = """
import sys
from pathlib import Path

from mutants import mutants_of
from mutation import run_tests

changed = {mutant.change: mutant.tree for mutant in mutants_of(Path("affect_core/storage.py").read_text())}
for tree in (None, changed["'.tmp' -> '.tmp~'"], changed["2 -> 3"]):
    print(run_tests("storage", tree, [Path(sys.argv[1])], [], 60))
"""

ASKED = """
from affect_core.storage import write_json


def test_indent(tmp_path):
    write_json(tmp_path / "a", {"b": 1})
    assert (tmp_path / "a").read_text().splitlines()[1] == '  "b": 1'
"""


def test_a_fault_that_tests_meet_is_killed_and_another_survives(tmp_path):
    (tmp_path / "test_indent.py").write_text(ASKED)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run([sys.executable, "-c", IN_A_FORK, str(tmp_path / "test_indent.py")], cwd=ROOT,
                          env=environment, capture_output=True, text=True, timeout=200)  # fmt: skip
    assert done.returncode == 0, done.stderr
    whole, suffix, indent = done.stdout.split()
    assert (whole, suffix) == ("survived", "survived") and indent.endswith("test_indent.py::test_indent")
