"""Executed notebooks as pages: stamped, without machine paths and scripts, and those in docs/ match the sources."""

import json
import re

import nbformat
import pytest

from affect_core.errors import AffectError
from affect_core.lesson_pages import MOST_BYTES, page_digest, source_digest, stale_pages, write_pages
from affect_core.page_exporter import PageExporter, mathml
from affect_core.project_folders import project_root
from affect_core.storage import read_json

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
EVIL = '<style>td {color: red}</style><script>alert(1)</script><table onclick="x()"><tr><td>42</td></tr></table>'


def code(source, outputs=(), tags=()):
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "metadata": metadata, "source": source, "execution_count": None,
            "outputs": list(outputs)}  # fmt: skip


def notebook(*cells):
    metadata = {"kernelspec": KERNEL, "papermill": {"input_path": "/root/x"}}
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": list(cells)}


def prose(text):
    return {"cell_type": "markdown", "metadata": {}, "source": text}


@pytest.fixture
def project(tmp_path):
    """One notebook, and its executed copy as papermill leaves it."""
    for folder in ("notebooks", "run/notebooks"):
        (tmp_path / folder).mkdir(parents=True)
    head = prose("# 00 · A title\n\n<details><summary>Solutions</summary>\n\nSeven.\n</details>")
    source = notebook(head, code("seed = 0", tags=["parameters"]), code("1 + 1"))
    outputs = [
        {"output_type": "stream", "name": "stdout",
         "text": [f"read {tmp_path / 'run'}/a.csv\n", "and /home/me/b.csv\n"]},
        {"output_type": "display_data", "metadata": {}, "data": {"text/html": [EVIL], "text/plain": ["42"]}},
    ]  # fmt: skip
    executed = notebook(
        head, code("seed = 0", tags=["parameters"]),
        code('# Parameters\nprofile = "/home/me/mine.toml"\nrun_dir = "/root/secret"\nweights = "shipped"\n',
             tags=["injected-parameters"]),
        code("1 + 1", outputs),
    )  # fmt: skip
    (tmp_path / "notebooks/00_first.ipynb").write_text(json.dumps(source))
    (tmp_path / "run/notebooks/00_first.ipynb").write_text(json.dumps(executed))
    (tmp_path / "run/notebooks/00_first.json").write_text('{"key": "", "seconds": 1}')
    return tmp_path


def build(project):
    return write_pages(project / "run", project / "notebooks", project / "pages")


def test_a_page_is_stamped_with_its_source_and_goes_stale_with_it(project):
    written = build(project)
    assert [path.name for path in written] == ["00_first.html", "index.html"]
    page = project / "pages" / "00_first.html"
    assert page_digest(page) == source_digest(read_json(project / "notebooks/00_first.ipynb")) != ""
    assert stale_pages(project / "notebooks", project / "pages") == []
    changed = read_json(project / "notebooks/00_first.ipynb")
    changed["cells"][2]["source"] = "1 + 2"
    (project / "notebooks/00_first.ipynb").write_text(json.dumps(changed))
    assert stale_pages(project / "notebooks", project / "pages") == ["00_first"]
    page.unlink()
    assert stale_pages(project / "notebooks", project / "pages") == ["00_first"]


def test_a_page_shows_with_which_parameters_it_was_executed(project):
    text = re.sub(r"<[^>]+>", "", build(project)[0].read_text())
    assert "# The parameters of this execution\nprofile = \"...\"\nweights = \"shipped\"" in text
    assert "run_dir" not in text


def test_the_digest_is_of_text_not_of_how_it_is_stored():
    one = notebook(code("a = 1\nb = 2"))
    other = notebook(code("x", tags=["injected-parameters"]), code(["a = 1\n", "b = 2"]))
    assert source_digest(one) == source_digest(other) != source_digest(notebook(prose("a = 1\nb = 2")))


def test_a_page_names_no_folder_of_the_machine_and_runs_no_script_of_an_output(project):
    build(project)
    page = (project / "pages" / "00_first.html").read_text()
    assert "read runs/run/a.csv" in page and "and ...\n" in page
    for secret in (str(project), "/home/me", "/root/"):
        assert secret not in page
    assert "alert(1)" not in page and "onclick" not in page and "td {color" not in page and "<td>42</td>" in page
    assert "<details><summary>Solutions</summary>" in page, "prose is the source's, solutions stay folded"
    assert "00 · A title" in (project / "pages" / "index.html").read_text()


def test_pages_are_made_of_a_finished_run_of_this_source_or_not_at_all(project):
    (project / "run/notebooks/00_first.json").unlink()
    with pytest.raises(AffectError, match=r"00_first\.ipynb is not there or not finished; `make run`"):
        build(project)
    (project / "run/notebooks/00_first.json").write_text("{}")
    (project / "notebooks/00_first.ipynb").write_text(json.dumps(notebook(code("2 + 2"))))
    with pytest.raises(AffectError, match="executed from another version"):
        build(project)
    (project / "notebooks/00_first.ipynb").unlink()
    with pytest.raises(AffectError, match="holds no notebooks"):
        build(project)
    assert not (project / "pages").exists()


def test_pages_that_are_too_large_are_refused(project, monkeypatch):
    monkeypatch.setattr("affect_core.lesson_pages.MOST_BYTES", 1000)
    with pytest.raises(AffectError, match="MB together"):
        build(project)


def test_the_committed_pages_match_the_committed_notebooks():
    root = project_root()
    stale = stale_pages(root / "notebooks", root / "docs" / "notebooks")
    assert not stale, f"the pages of {', '.join(stale)} are not those of notebooks/: `make docs` rebuilds them"
    pages = list((root / "docs" / "notebooks").glob("*.html"))
    assert sum(page.stat().st_size for page in pages) < MOST_BYTES


def test_a_page_needs_no_network_and_has_its_formulas_typeset():
    node = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_markdown_cell("Half of $x_1$:\n\n$$\\frac{x_1}{2} = \\text{a\\_half}$$\n\n and `$y$` is code."),
        nbformat.v4.new_markdown_cell("Unknown: $\\nosuchthing{a} < 1$."),
    ])  # fmt: skip
    page, _ = PageExporter().from_notebook_node(node)
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page) and "MathJax" not in page
    assert page.count("<math") == 2 and "<mfrac>" in page and "a_half" in page
    assert "<code>$y$</code>" in page and r"<code>\nosuchthing{a} &lt; 1</code>" in page


def picture(alt=None, kind="image/jpeg"):
    metadata = {kind: {"alt": alt}} if alt is not None else {}
    return {"output_type": "display_data", "metadata": metadata, "data": {kind: "AAAA", "text/plain": "<Figure>"}}


def test_pictures_are_described_by_their_figures_or_by_their_section():
    cells = [prose("# 01 · A title"), code("a", [picture('F1 < 1. "grey": chance')]), prose("Words alone."),
             prose("text\n\n## Hidden\n\nMore."), code("b", [picture(kind="image/png"), picture("Two.")])]  # fmt: skip
    body, _ = PageExporter().from_notebook_node(nbformat.from_dict(notebook(*cells)))
    assert re.findall(r'<img[^>]* alt="([^"]*)"', body) == [
        "F1 &lt; 1. &quot;grey&quot;: chance", "A figure of the section &#x27;Hidden&#x27;", "Two."]  # fmt: skip


def test_a_picture_in_prose_keeps_its_own_words():
    cells = [prose("# 01 · A title\n\n![a face](data:image/png;base64,AAAA)"), code("a", [picture("One.")])]
    body, _ = PageExporter().from_notebook_node(nbformat.from_dict(notebook(*cells)))
    assert sorted(re.findall(r'alt="([^"]*)"', body)) == ["One.", "a face"]


def test_every_picture_of_the_committed_pages_is_described():
    for page in sorted((project_root() / "docs" / "notebooks").glob("0*.html")):
        text = page.read_text(encoding="utf-8")
        words = re.findall(r'<img[^>]* alt="([^"]*)"', text)
        assert len(words) > 5 and all(len(said) > 20 for said in words), page.name
        assert "No description has been provided" not in text, page.name


def test_a_function_keeps_its_distance_unless_brackets_follow():
    assert "<mi>log</mi><mspace" in mathml(r"2 \log C", "inline")
    assert "<mspace" not in mathml(r"\log (C)", "inline")


@pytest.mark.parametrize("path", sorted((project_root() / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_formula_of_the_notebooks_is_typeset(path):
    cells = read_json(path)["cells"]
    prose = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    formulas = re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", prose, re.DOTALL)
    assert formulas and all("<math" in mathml(block or inline, "block") for block, inline in formulas)
