"""Executed notebooks as web pages that are kept in the repository, each stamped with the source it was made from.

    python -m affect_core.lesson_pages runs/laptop      docs/notebooks/*.html from a finished run; executes nothing
    python -m affect_core.lesson_pages --check          says which pages do not match notebooks/*.ipynb

A page carries `<meta name="affect-core-source" content="sha256:...">`, the digest of its notebook's cells. It opens
without a network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from html import escape
from pathlib import Path

from affect_core.errors import AffectError
from affect_core.storage import read_json, write_text

MOST_BYTES = 15_000_000
"""All pages together, at most."""
_STAMP = "affect-core-source"
_INJECTED = "injected-parameters"
_SHOWN = ("profile", "seed", "weights")
_OUTPUT_TAGS = ("table", "thead", "tbody", "tr", "th", "td", "caption", "div", "p", "br", "b", "strong", "i", "em",
                "code", "pre", "ul", "ol", "li", "sub", "sup")  # fmt: skip
_STYLES_AND_SCRIPTS = re.compile(r"<(style|script)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_PATH = re.compile(r"(?:/(?:home|root|tmp|Users|private|var|mnt|work|opt)/|[A-Z]:\\\\Users\\\\)[^\s\"'<>]*")


def source_digest(notebook: dict) -> str:
    """SHA-256 of type and source of a notebook's cells; outputs, ids and cells put in by papermill do not count."""
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in notebook["cells"] if not _injected(cell)]
    return hashlib.sha256(json.dumps(cells, ensure_ascii=False).encode()).hexdigest()


def page_digest(page: Path) -> str:
    """The digest with which a page is stamped; "" if it has none."""
    head = Path(page).read_text(encoding="utf-8")[:4000]
    found = re.search(rf'<meta name="{_STAMP}" content="sha256:([0-9a-f]{{64}})"', head)
    return found.group(1) if found else ""


def stale_pages(notebooks: Path, pages: Path) -> list[str]:
    """Names of notebooks whose page is missing or made from another source."""
    stale = []
    for path in sorted(Path(notebooks).glob("*.ipynb")):
        page = Path(pages) / f"{path.stem}.html"
        if not page.exists() or page_digest(page) != source_digest(read_json(path)):
            stale.append(path.stem)
    return stale


def write_pages(run_dir: Path, notebooks: Path, pages: Path) -> list[Path]:
    """Write a page for every notebook of `notebooks` from its executed copy in `run_dir/notebooks`, and an index.

    All or nothing. Raises AffectError, naming the notebook, if one was not executed to its end in this run or was
    executed from another source; or if the pages together are larger than `MOST_BYTES`.
    """
    made = {}
    for path in sorted(Path(notebooks).glob("*.ipynb")):
        source, executed = read_json(path), Path(run_dir) / "notebooks" / path.name
        if not executed.exists() or not executed.with_suffix(".json").exists():
            raise AffectError(f"{executed} is not there or not finished; `make run` executes the notebooks.")
        copy = read_json(executed)
        if source_digest(copy) != source_digest(source):
            raise AffectError(f"{executed} was executed from another version of {path.name}; `make run` again.")
        made[path.stem] = lesson_page(copy, path.stem, run_dir)
    if not made:
        raise AffectError(f"{notebooks} holds no notebooks.")
    total = sum(len(page.encode()) for page in made.values())
    if total > MOST_BYTES:
        raise AffectError(f"the pages are {total / 1e6:.1f} MB together, more than {MOST_BYTES / 1e6:.0f} MB.")
    titles = {name: _title(read_json(Path(notebooks) / f"{name}.ipynb"), name) for name in made}
    made["index"] = _index(titles)
    for name, page in made.items():
        write_text(Path(pages) / f"{name}.html", page)
    return [Path(pages) / f"{name}.html" for name in made]


def lesson_page(executed: dict, name: str, run_dir: Path) -> str:
    """One executed notebook (nbformat 4, as JSON) as a stamped HTML page.

    Of papermill's parameters the page shows profile, seed and weights. HTML in outputs is reduced to text, tables and
    pictures (no scripts, no styles), and folders of this machine are cut out of outputs: the run's folder becomes
    runs/<name>, any other absolute path "...". Prose is shown as it stands in the source.
    """
    import nbformat
    from nbconvert.preprocessors.sanitize import SanitizeHTML

    from affect_core.page_exporter import PageExporter

    cells = [_tidied(_with_shown_parameters(cell), Path(run_dir)) for cell in executed["cells"]]
    public = {**executed, "cells": cells, "metadata": _public(executed["metadata"])}
    notebook = nbformat.reads(json.dumps(public), as_version=4)
    cleaner = SanitizeHTML(tags=list(_OUTPUT_TAGS), attributes={"*": ["class", "colspan", "rowspan"]}, strip=True)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = cleaner.sanitize_code_outputs(cell.outputs)
    body, _ = PageExporter().from_notebook_node(notebook, resources={"metadata": {"name": name}})
    return body.replace("<head>", f'<head><meta name="{_STAMP}" content="sha256:{source_digest(executed)}"/>', 1)


def _injected(cell: dict) -> bool:
    return _INJECTED in cell["metadata"].get("tags", [])


def _with_shown_parameters(cell: dict) -> dict:
    if not _injected(cell):
        return cell
    shown = [line for line in "".join(cell["source"]).splitlines() if line.split(" = ")[0] in _SHOWN]
    return cell | {"source": _PATH.sub("...", "\n".join(["# The parameters of this execution", *shown]))}


def _public(metadata: dict) -> dict:
    return {key: value for key, value in metadata.items() if key in ("kernelspec", "language_info")}


def _tidied(cell: dict, run_dir: Path) -> dict:
    tidy = {key: value for key, value in cell.items() if key not in ("outputs", "metadata")}
    tidy["metadata"] = {key: value for key, value in cell["metadata"].items() if key == "tags"}
    if "outputs" in cell:
        tidy["outputs"] = [_plain(_without_paths(output, run_dir)) for output in cell["outputs"]]
    return tidy


def _plain(output: dict) -> dict:
    """The output, its HTML without style sheets and scripts: a sanitiser would leave their text."""
    data = dict(output.get("data", {}))
    if "text/html" in data:
        data["text/html"] = _STYLES_AND_SCRIPTS.sub("", "".join(data["text/html"]))
    return {**output, "data": data} if data else output


def _without_paths(value, run_dir: Path):
    """The same JSON value, folders of this machine cut out of its text; pictures (base64) stay as they are."""
    if isinstance(value, dict):
        return {key: part if key.startswith("image/") else _without_paths(part, run_dir) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_paths(part, run_dir) for part in value]
    if not isinstance(value, str):
        return value
    for known in {str(run_dir.resolve()), str(run_dir.absolute())}:
        value = value.replace(known, f"runs/{run_dir.name}")
    return _PATH.sub("...", value)


def _title(notebook: dict, name: str) -> str:
    first = "".join(notebook["cells"][0]["source"]).splitlines() if notebook["cells"] else []
    return first[0].removeprefix("# ") if first and first[0].startswith("# ") else name


def _index(titles: dict[str, str]) -> str:
    rows = "\n".join(f'<li><a href="{name}.html">{escape(title)}</a></li>' for name, title in titles.items())
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>affect_core: the notebooks</title>'
        "<style>body{font:17px/1.7 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#1f2630}"
        "a{color:#1769b5}</style></head>\n<body><h1>The notebooks, executed</h1><p>Made by <code>make docs</code> from "
        "a finished run. The faces are rendered; the sources are in <code>notebooks/</code>.</p>\n"
        f"<ul>\n{rows}\n</ul></body></html>\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line of `make docs`; returns the exit status: 0, or 1 after an error or with a stale page."""
    from affect_core.project_folders import project_root

    parser = argparse.ArgumentParser(prog="affect_core.lesson_pages", description="Executed notebooks as web pages.")
    parser.add_argument("run_dir", nargs="?", default="runs/laptop", help="folder of a finished run")
    parser.add_argument("--check", action="store_true", help="write nothing, name the pages that do not match")
    options = parser.parse_args(arguments)
    root = project_root()
    notebooks, pages = root / "notebooks", root / "docs" / "notebooks"
    if options.check:
        stale = stale_pages(notebooks, pages)
        sys.stdout.write(f"not up to date: {', '.join(stale)}\n" if stale else "all pages match their notebooks\n")
        return 1 if stale else 0
    try:
        written = write_pages(root / options.run_dir, notebooks, pages)
    except AffectError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    total = sum(path.stat().st_size for path in written) / 1e6
    sys.stdout.write(f"{len(written)} pages, {total:.1f} MB, in {pages.relative_to(root)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
