"""Nothing in a file, a name or a parameter is run, and nothing of it reaches a page as markup."""

import ast
import json
from fnmatch import fnmatchcase
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from corrupt.checkpoints import RunsCode
from papermill.translators import translate_parameters
from reliability import committed_cases, rows_of

import affect_core
from affect_core import runner
from affect_core.errors import AffectError
from affect_core.export import load_folder
from affect_core.published import load_published
from affect_core.report import build_report
from affect_core.storage import write_json

PACKAGE = Path(affect_core.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "RELIABILITY.md"
PART = "nothing of a file is executed"
SCRIPT = "<script>alert(1)</script>"
INJECTIONS = {
    "a quote, then code": '"; import os; os.system("touch ran"); "',
    "three quotes, then code": '"""\nimport os\nos.system("touch ran")\n"""',
    "a backslash before the quote": '\\"; __import__("os").system("touch ran") #',
    "a line break, then code": "x\n__import__('os').system('touch ran')",
    "a line separator of Unicode": "x\u2028__import__('os').system('touch ran')",
    "braces and a shell command": "{__import__('os').system('touch ran')} $(touch ran) `touch ran`",
    "a cell magic": "%%bash\ntouch ran",
}
CASES = [
    *((f"notebook parameter: {name}", "stays the text that it is") for name in INJECTIONS),
    ("profile ..", "refused before anything is written"),
    ("run folder that holds the notebooks", "refused before anything is written"),
    ("calls in our own code that could run what a file holds", "none: each call of the package is looked at"),
    ("model folder whose weights are a pickle", "refused, not run"),
    ("pickle under the name of a .safetensors file", "refused, not run"),
    ("script in a file name, a label, a notebook's or a run's name: report", "shown as text"),
    ("script in outputs and tables of a notebook: its page", "shown as text"),
    ("report record with text where a number belongs", "refused with file and reason"),
]


@pytest.fixture
def recorded(record_property):
    def record(case):
        record_property("reliability", {"part": PART, "case": case, "treatment": dict(CASES)[case]})

    return record


def set_by_papermill(value):
    """The statements of the cell in which papermill sets parameters that are `value`, and the parameters."""
    parameters = {"profile": value, "run_dir": value, "corpus_root": value}
    return parameters, ast.parse(translate_parameters("python3", "python", parameters)).body


def is_only_values(parameters, statements):
    """Whether the statements do nothing but assign these constants to these names."""
    return parameters == {line.targets[0].id: ast.literal_eval(line.value) for line in statements}


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_parameter_stays_text(name, recorded):
    recorded(f"notebook parameter: {name}")
    assert is_only_values(*set_by_papermill(INJECTIONS[name]))


@pytest.mark.parametrize(
    ("case", "options"),
    [("profile ..", ["--profile", ".."]), ("run folder that holds the notebooks", ["--run-dir", "."])],
)
def test_the_runner_writes_nothing_outside_its_folder(case, options, tmp_path, monkeypatch, capsys, recorded):
    recorded(case)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks/00_tour.ipynb").write_text("precious")
    monkeypatch.setattr("affect_core.project_folders.project_root", lambda: tmp_path)
    assert runner.main(options) == 1
    assert capsys.readouterr().out.startswith("error: ")
    assert [path.name for path in tmp_path.rglob("*")] == ["notebooks", "00_tour.ipynb"]
    assert (tmp_path / "notebooks/00_tour.ipynb").read_text() == "precious"


FORBIDDEN = (
    "eval", "exec", "compile", "__import__", "builtins.*", "code.*", "runpy.*", "imp.*",
    "importlib.util.spec_from_file_location", "importlib.machinery.SourceFileLoader",
    "pickle.load*", "pickle.Unpickler", "_pickle.*", "cloudpickle.*", "dill.*", "marshal.load*", "shelve.*",
    "joblib.load", "yaml.load", "yaml.load_all", "yaml.full_load*", "yaml.unsafe_load*", "yaml.Loader",
    "yaml.UnsafeLoader",
    "pandas.read_pickle", "numpy.core.*", "torch.hub.*", "torch.jit.load", "torch.package.*",
    "torch.serialization.*load", "torch.serialization.*safe_globals",
    "os.system", "os.popen", "os.exec*", "os.spawn*", "os.posix_spawn*", "subprocess.getoutput",
    "subprocess.getstatusoutput",
)  # fmt: skip
"""What can run code that a file or a text holds: full names, whatever they are called where they stand."""


def imported(tree):
    """Name in this file -> full name of what it was imported from."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for part in node.names:
                package = part.name.partition(".")[0]
                names[part.asname or package] = part.name if part.asname else package
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {part.asname or part.name: f"{node.module}.{part.name}" for part in node.names}
    return names


def full_name(node, names):
    """`loads` after `from pickle import loads` is pickle.loads."""
    first, dot, rest = ast.unparse(node).partition(".")
    return names.get(first, first) + dot + rest


def forbidden_in(source):
    """(line, full name) of what `source` uses of FORBIDDEN, whether it is called, handed on or imported; sorted."""
    tree = ast.parse(source)
    names = imported(tree)
    used = {(0, name) for name in names.values()}
    used |= {(node.lineno, full_name(node, names)) for node in ast.walk(tree)
             if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)}  # fmt: skip
    return sorted((line, name) for line, name in used if any(fnmatchcase(name, pattern) for pattern in FORBIDDEN))


def calls():
    """(file and line, full name, number of arguments without a keyword, keywords) of each call in the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = imported(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                yield f"{path.name}:{node.lineno}", full_name(node.func, names), len(node.args), keywords


@pytest.mark.parametrize("source", [
    "from pickle import loads", "import pickle as p\np.loads(b'')", "import pickle\nread = pickle.Unpickler",
    "from torch import hub\nhub.load('a', 'b')", "import torch\ntorch.hub.load_state_dict_from_url('u')",
    "import marshal\nmarshal.loads(b'')", "from runpy import run_path", "import cloudpickle\ncloudpickle.load(f)",
    "import pandas as pd\npd.read_pickle('f')", "from os import system as run\nrun('ls')", "map(eval, texts)",
    "import importlib.util\nimportlib.util.spec_from_file_location('a', 'b')", "from builtins import exec as run",
    "from torch.serialization import load", "from joblib import load", "import yaml\nyaml.load(t, yaml.UnsafeLoader)",
])  # fmt: skip
def test_code_that_could_run_what_a_file_holds_is_found_under_any_name(source):
    assert forbidden_in(source)


@pytest.mark.parametrize("source", [
    "model.eval()", "import re\nre.compile('a')", "import torch\ntorch.compile(model)",
    "import yaml\nyaml.safe_load(t)",
    "import pickle\ntry:\n    f()\nexcept pickle.UnpicklingError:\n    pass", "import json\njson.loads(t)",
])  # fmt: skip
def test_harmless_code_is_not_taken_for_it(source):
    assert forbidden_in(source) == []


def test_no_call_of_the_package_can_run_what_a_file_holds(recorded):
    recorded("calls in our own code that could run what a file holds")
    seen = list(calls())
    loads = [(place, keywords) for place, name, _, keywords in seen if name == "torch.load"]
    assert len(loads) >= 2 and all(keywords.get("weights_only") == "True" for _, keywords in loads), loads
    arrays = [place for place, name, given, keywords in seen
              if keywords.get("allow_pickle", "False") != "False" or (name == "numpy.load" and given > 2)]  # fmt: skip
    shells = [place for place, _, _, keywords in seen if keywords.get("shell", "False") != "False"]
    used = [(path.name, *found) for path in sorted(PACKAGE.rglob("*.py"))
            for found in forbidden_in(path.read_text(encoding="utf-8"))]  # fmt: skip
    assert (arrays, shells, used) == ([], [], [])


DISGUISED = ("model folder whose weights are a pickle", "pickle under the name of a .safetensors file")


@pytest.mark.parametrize("case", DISGUISED)
def test_a_pickle_in_disguise_is_not_run(case, tmp_path, recorded):
    recorded(case)
    torch.save(RunsCode(tmp_path / "ran"), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["DAN"], "affect_core": {"width": 4}}))
    load, argument = (load_folder, tmp_path) if "folder" in case else (load_published, tmp_path / "model.safetensors")
    with pytest.raises(AffectError, match="model.safetensors is not a safetensors file"):
        load(argument)
    assert not (tmp_path / "ran").exists()


class Markup(HTMLParser):
    """Tags, the names of their attributes, and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.text += data


def test_the_report_shows_names_and_labels_as_text(tmp_path, recorded):
    recorded("script in a file name, a label, a notebook's or a run's name: report")
    run_dir = tmp_path / "<iframe src=x onerror='a(1)'>"
    name, figure = "02_<video src='x' onload=a(1)>", "<audio x='y'>"
    keys = ("task", "ours", "baseline", "published", "data", "seed", "n")
    write_json(run_dir / "results/01.json", {"title": SCRIPT, "rows": [dict.fromkeys(keys, f"{SCRIPT}'\" onload='x")]})
    write_json(run_dir / f"figures/{name}-{figure}.json", {"caption": f"{SCRIPT}' onload='x", "order": 1})
    (run_dir / f"figures/{name}-{figure}.png").write_bytes(b"")
    write_json(run_dir / f"notebooks/{name}.json", {"status": SCRIPT, "seconds": 1.0})
    (run_dir / f"notebooks/{name}.html").write_text("")
    page = Markup(build_report(run_dir, title=SCRIPT).read_text(encoding="utf-8"))
    assert not page.tags & {"script", "iframe", "video", "audio"}
    assert not {name for name in page.attributes if name.startswith("on")}
    for shown in (SCRIPT, run_dir.name, name.replace("_", " "), f"{SCRIPT}'\" onload='x"):
        assert shown in page.text


@pytest.mark.parametrize(
    ("folder", "name", "record", "reason"),
    [
        ("results", "01_data", {"title": "x", "rows": SCRIPT}, "must hold a list of rows"),
        ("results", "01_data", {"title": "x", "rows": [{"task": 1, "ours": 1, "interval": [SCRIPT, 1]}]}, "interval"),
        ("figures", "01_data-x", {"caption": "x", "order": SCRIPT}, "has an order that is no number"),
        ("notebooks", "01_data", {"status": "executed", "seconds": SCRIPT}, "has seconds that are no number"),
    ],
)
def test_a_report_record_of_another_type_is_refused(tmp_path, folder, name, record, reason, recorded):
    recorded("report record with text where a number belongs")
    write_json(tmp_path / folder / f"{name}.json", record)
    with pytest.raises(AffectError, match=reason) as error:
        build_report(tmp_path)
    assert f"{name}.json" in str(error.value)


def test_a_notebooks_page_shows_outputs_as_text(tmp_path, recorded):
    recorded("script in outputs and tables of a notebook: its page")
    table = pd.DataFrame({SCRIPT: [SCRIPT]}, index=[SCRIPT])
    new = nbformat.v4.new_output
    outputs = [
        new("stream", text=SCRIPT),
        new("execute_result", {"text/plain": repr(SCRIPT), "text/html": table._repr_html_()}),
        new("error", ename="AffectError", evalue=SCRIPT, traceback=[f"AffectError: {SCRIPT}"]),
        new("display_data", {"text/plain": str(np.array([SCRIPT]))}),
    ]
    cell = nbformat.v4.new_code_cell(f"open_corpus('{SCRIPT}')", outputs=outputs)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "x.ipynb")
    runner._export_html(tmp_path / "x.ipynb")
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert SCRIPT not in text and text.count("alert(1)") + text.count("alert</span>") >= 6


def test_committed_page_lists_exactly_these_cases():
    assert committed_cases(PAGE.read_text(encoding="utf-8"), PART) == rows_of(CASES)
