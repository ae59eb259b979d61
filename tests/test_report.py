"""The report reads what notebooks leave behind and makes one page of it that needs nothing else."""

import json
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest

from affect_core.errors import AffectError
from affect_core.report import build_report, clear_outputs, save_figure, save_results

ROW = {"task": "P_MTL", "ours": 1.234, "interval": [1.1, 1.3], "baseline": 0.4, "published": "1.276 (HSE-NN)",
       "data": "synthetic corpus", "seed": 0, "n": 1234}  # fmt: skip


class Page(HTMLParser):
    """Collects tags, addresses and text; complains about tags that are closed in the wrong order."""

    VOID = {"meta", "img", "br"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.open, self.words = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def figure():
    figure = plt.figure(figsize=(1, 1))
    plt.close(figure)
    return figure


@pytest.fixture
def run_dir(tmp_path, figure):
    run_dir = tmp_path / "laptop"
    save_figure(run_dir, "04_emma", "confusion", figure, "Fear is taken for <surprise> & the like.", order=2)
    save_figure(run_dir, "04_emma", "curves", figure, "It learns.", order=1)
    save_results(run_dir, "04_emma", "EMMA", [ROW])
    notebooks = run_dir / "notebooks"
    notebooks.mkdir()
    for name in ("04_emma.ipynb", "04_emma.html", "05_cotex.ipynb"):
        (notebooks / name).write_text("{}")
    (notebooks / "04_emma.json").write_text(json.dumps({"key": "x", "seconds": 130.0, "status": "executed"}))
    return run_dir


def read(run_dir):
    return Page(build_report(run_dir).read_text(encoding="utf-8"))


def test_the_page_is_self_contained(run_dir):
    page = read(run_dir)
    outside = [a for a in page.addresses if not a.startswith(("#", "data:image/png;base64,"))]
    assert sorted(set(outside)) == ["notebooks/04_emma.html", "notebooks/04_emma.ipynb", "notebooks/05_cotex.ipynb"]
    assert all((run_dir / address).exists() for address in outside)
    assert "script" not in page.tags and "link" not in page.tags


def test_every_anchor_leads_somewhere(run_dir):
    text = build_report(run_dir).read_text(encoding="utf-8")
    for address in Page(text).addresses:
        if address.startswith("#"):
            assert f"id='{address[1:]}'" in text


def test_results_show_interval_baseline_published_data_and_n(run_dir):
    text = read(run_dir).text
    for words in ("P_MTL", "1.234", "[1.100, 1.300]", "0.400", "1.276 (HSE-NN)", "synthetic corpus", "1,234"):
        assert words in text


def test_synthetic_results_are_called_synthetic_in_words(run_dir):
    assert "All results on this page are synthetic" in read(run_dir).text
    save_results(run_dir, "05_cotex", "CoTEX", [ROW | {"data": "LSD"}])
    assert "whose data column says “synthetic” are synthetic" in read(run_dir).text
    clear_outputs(run_dir, "04_emma")
    assert "are synthetic" not in read(run_dir).text


def test_what_comes_from_files_is_escaped(run_dir):
    save_results(run_dir, "05_cotex", "<b>CoTEX", [ROW | {"task": "<script>alert(1)</script>", "published": "<i>"}])
    page = read(run_dir)
    assert "script" not in page.tags and "i" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert "Fear is taken for <surprise> & the like." in page.text


def test_figures_come_in_the_notebooks_order(run_dir):
    text = read(run_dir).text
    assert text.index("It learns.") < text.index("Fear is taken")


def test_an_unfinished_notebook_and_a_lost_picture_are_said(run_dir):
    (run_dir / "figures" / "04_emma-curves.png").unlink()
    text = read(run_dir).text
    assert "05 cotex not finished" in text
    assert "The picture of “curves” is missing." in text
    assert "2.2 min" in text


def test_an_empty_run_gives_a_page_that_says_so(tmp_path):
    text = read(tmp_path).text
    assert "No notebook has left results yet." in text and "No notebook has been executed yet." in text


def test_headline_rows_come_first_and_the_rest_in_their_notebooks_table(run_dir):
    save_results(
        run_dir,
        "05_cotex",
        "CoTEX in full",
        [ROW | {"task": "macro F1", "headline": True}, ROW | {"task": "F1 of fear"}],
    )
    text = read(run_dir).text
    assert text.index("macro F1") < text.index("CoTEX in full") < text.index("F1 of fear")


def test_numpy_numbers_are_saved_and_not_finite_ones_are_called_undefined(run_dir):
    row = {"task": "CCC", "ours": np.float32("nan"), "interval": np.array([0.5, 0.75]), "n": np.int64(7), "data": "x"}
    path = save_results(run_dir, "04_emma", "EMMA", [row])
    saved = json.loads(path.read_text())["rows"][0]
    assert saved["ours"] is None and saved["interval"] == [0.5, 0.75] and saved["n"] == 7
    assert "undefined" in read(run_dir).text


@pytest.mark.parametrize("row", [{"task": "x", "data": "y"}, ROW | {"score": 1}])
def test_a_row_that_is_incomplete_or_misspelt_is_refused(tmp_path, row):
    with pytest.raises(AffectError, match="result row"):
        save_results(tmp_path, "04_emma", "EMMA", [row])


@pytest.mark.parametrize("name", ["04-emma", "../x", "a b", ""])
def test_names_that_do_not_make_a_file_name_are_refused(tmp_path, figure, name):
    with pytest.raises(AffectError, match="cannot name"):
        save_figure(tmp_path, name, "curves", figure, "caption")


def test_a_damaged_record_is_named(run_dir):
    (run_dir / "results" / "04_emma.json").write_text('{"title": "EMMA"')
    with pytest.raises(AffectError, match=r"results.04_emma\.json"):
        build_report(run_dir)
    (run_dir / "results" / "04_emma.json").write_text('{"title": "EMMA"}')
    with pytest.raises(AffectError, match=r"04_emma\.json must be a JSON object with title, rows"):
        build_report(run_dir)


def test_clearing_a_notebook_leaves_the_others(run_dir, figure):
    other = save_figure(run_dir, "04_emma_more", "curves", figure, "kept")
    clear_outputs(run_dir, "04_emma")
    assert [path.name for path in sorted((run_dir / "figures").glob("*.png"))] == [other.name]
