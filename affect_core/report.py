"""What the notebooks leave behind, and the one page made of it.

Every notebook saves its main figures and its results with `save_figure` and `save_results`; `build_report` reads only
those files and the records of the executed notebooks, and writes `run_dir/index.html`:

    figures/<notebook>-<name>.png, .json     picture; {"caption": str, "order": int}
    results/<notebook>.json                  {"title": str, "rows": [row, ...]}
    notebooks/<notebook>.html, .ipynb        executed notebook
    notebooks/<notebook>.json                {"seconds": float, "status": "executed" | "unchanged" | "failed"}

A row: task, ours, and optionally interval [low, high] or None, baseline (best constant prediction), published (a
number with its source in words, or "not verified"), data (which corpus), seed, n, headline (True: in the first table).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from affect_core.errors import AffectError
from affect_core.report_page import FigureEntry, NotebookEntry, ResultTable, page
from affect_core.storage import read_json, write_figure, write_json, write_text

ROW_KEYS = ("task", "ours", "interval", "baseline", "published", "data", "seed", "n", "headline")
DPI = 144


def save_figure(run_dir: Path, notebook: str, name: str, figure: Figure, caption: str, order: int = 0) -> Path:
    """Save a figure for the report; the same notebook and name replace the earlier one. Returns the PNG's path.

    notebook  e.g. "04_emma";  name  e.g. "confusion" (letters, digits, underscores)
    caption   one or two sentences that read the figure out;  order  place among the notebook's figures
    """
    _check_name(notebook)
    _check_name(name)
    path = Path(run_dir) / "figures" / f"{notebook}-{name}.png"
    write_figure(path, figure, dpi=DPI, metadata={"Software": None})
    write_json(path.with_suffix(".json"), {"caption": str(caption), "order": int(order)})
    return path


def save_results(run_dir: Path, notebook: str, title: str, rows: Iterable[Mapping]) -> Path:
    """Save a notebook's result rows (see the head of this module) for the report. Returns the JSON's path.

    numpy scalars become numbers; numbers that are not finite become None, which the page shows as "undefined".
    Raises AffectError for a row without task, ours or data, or with an unknown key.
    """
    _check_name(notebook)
    plain = [{key: _plain(value) for key, value in row.items()} for row in rows]
    for row in plain:
        missing, unknown = [key for key in ("task", "ours", "data") if key not in row], sorted(set(row) - set(ROW_KEYS))
        if missing or unknown:
            raise AffectError(f"A result row of {notebook} lacks {missing} or has the unknown keys {unknown}: {row}.")
    path = Path(run_dir) / "results" / f"{notebook}.json"
    write_json(path, {"title": str(title), "rows": plain})
    return path


def clear_outputs(run_dir: Path, notebook: str) -> None:
    """Remove the figures and results that an earlier execution of `notebook` left, so that none goes stale."""
    _check_name(notebook)
    run_dir = Path(run_dir)
    for path in [*(run_dir / "figures").glob(f"{notebook}-*"), run_dir / "results" / f"{notebook}.json"]:
        path.unlink(missing_ok=True)


class NotebookReport:
    """What one notebook adds to the report; opening it removes what an earlier execution of that notebook left."""

    def __init__(self, run_dir: Path, notebook: str):
        self.run_dir, self.notebook, self._order = run_dir, notebook, 0
        clear_outputs(run_dir, notebook)

    def figure(self, name: str, figure: Figure, caption: str) -> Figure:
        """Keep `figure` for the report, in the order of the calls, and return it for display."""
        self._order += 1
        save_figure(self.run_dir, self.notebook, name, figure, caption, self._order)
        figure.affect_caption = str(caption)  # read by `figures.alt_text` where the notebook shows it
        return figure

    def results(self, title: str, rows: Iterable[Mapping]) -> pd.DataFrame:
        """Keep result rows (see the head of this module) for the report and return them as a table for display."""
        rows = list(rows)
        save_results(self.run_dir, self.notebook, title, rows)
        return pd.DataFrame(rows).drop(columns="headline", errors="ignore").set_index("task")


def build_report(run_dir: Path, title: str = "Affect from faces: the workbook") -> Path:
    """Write `run_dir/index.html`, one page that opens without a network, and return its path.

    Figures are inlined; executed notebooks are linked relatively. What is missing (a notebook that failed, a figure
    whose picture is gone) is said on the page. Raises AffectError, naming the file, for a record that is not JSON or
    lacks its fields.
    """
    run_dir = Path(run_dir)
    figures = [_figure(path) for path in sorted((run_dir / "figures").glob("*-*.json"))]
    results = [_results(path) for path in sorted((run_dir / "results").glob("*.json"))]
    names = {path.stem for pattern in ("*.ipynb", "*.html", "*.json") for path in (run_dir / "notebooks").glob(pattern)}
    notebooks = [_notebook(run_dir, name) for name in sorted(names)]
    known = {notebook.name for notebook in notebooks}
    for name in sorted({entry.notebook for entry in [*figures, *results]} - known):
        notebooks.append(NotebookEntry(name, "not recorded", None, {}))
    notebooks.sort(key=lambda notebook: notebook.name)
    figures.sort(key=lambda figure: (figure.notebook, figure.order, figure.name))
    path = run_dir / "index.html"
    write_text(path, page(title, run_dir.resolve().name, notebooks, results, figures))
    return path


def _figure(path: Path) -> FigureEntry:
    record = _record(path, ("caption", "order"))
    if record["order"] is None or not _is_number(record["order"]):
        raise AffectError(f"{path} has an order that is no number: {record['order']!r}.")
    notebook, _, name = path.stem.partition("-")
    picture = path.with_suffix(".png")
    return FigureEntry(
        notebook, name, str(record["caption"]), record["order"], picture.read_bytes() if picture.exists() else None
    )


def _results(path: Path) -> ResultTable:
    record = _record(path, ("title", "rows"))
    if not isinstance(record["rows"], list):
        raise AffectError(f"{path} must hold a list of rows.")
    for row in record["rows"]:
        if not isinstance(row, dict) or "task" not in row or "ours" not in row:
            raise AffectError(f"{path} has a result row without task or ours: {row}.")
        interval = row.get("interval") or [0, 0]
        if not isinstance(interval, list) or len(interval) != 2 or not all(map(_is_number, interval)):
            raise AffectError(f"{path} has an interval that is not two numbers: {interval!r}.")
    return ResultTable(path.stem, str(record["title"]), record["rows"])


def _notebook(run_dir: Path, name: str) -> NotebookEntry:
    folder = run_dir / "notebooks"
    links = {kind: f"notebooks/{name}.{kind}" for kind in ("html", "ipynb") if (folder / f"{name}.{kind}").exists()}
    record = folder / f"{name}.json"
    if not record.exists():
        return NotebookEntry(name, "not finished", None, links)
    values = _record(record, ("status",))
    if not _is_number(values.get("seconds")):
        raise AffectError(f"{record} has seconds that are no number: {values['seconds']!r}.")
    return NotebookEntry(name, str(values["status"]), values.get("seconds"), links)


def _record(path: Path, keys: tuple[str, ...]) -> dict:
    record = read_json(path)
    if not isinstance(record, dict) or any(key not in record for key in keys):
        raise AffectError(f"{path} must be a JSON object with {', '.join(keys)}.")
    return record


def _is_number(value) -> bool:
    """Whether this is a number or None, what a record has where there is no number."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _plain(value):
    """numpy scalars and sequences as JSON values; not finite as None."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple) or hasattr(value, "tolist"):
        return [_plain(part) for part in value]
    return value


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise AffectError(f"{name!r} cannot name a notebook or figure; use letters, digits and underscores.")
