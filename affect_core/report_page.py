"""The HTML of the report: one page, styles and pictures inside it, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote


@dataclass(frozen=True)
class FigureEntry:
    """A figure of a notebook; `png` is None where the picture is missing."""

    notebook: str
    name: str
    caption: str
    order: int
    png: bytes | None


@dataclass(frozen=True)
class NotebookEntry:
    """An executed notebook: status in a word, seconds, and links {"html": ..., "ipynb": ...} relative to the page."""

    name: str
    status: str
    seconds: float | None
    links: dict[str, str]

    @property
    def title(self) -> str:
        """'04_emma' as '04 emma'."""
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class ResultTable:
    """Result rows of a notebook, see `report`."""

    notebook: str
    title: str
    rows: list[dict]


STYLE = """
:root { --ink:#1f2630; --muted:#69727d; --rule:#e3e6ea; --accent:#1769b5; --warn:#8a3b00; --warnbg:#fff4e8 }
* { box-sizing:border-box }
body { margin:0; color:var(--ink); background:#fff;
  font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif }
main, header, footer { max-width:64rem; margin:0 auto; padding:0 1.5rem }
header { padding-top:2.6rem } h1 { font-size:1.9rem; line-height:1.2; margin:0 0 .3rem; letter-spacing:-.01em }
h2 { font-size:1.3rem; margin:3rem 0 .8rem; padding-top:1.2rem; border-top:1px solid var(--rule) }
h3 { font-size:1.02rem; margin:1.8rem 0 .5rem } p { max-width:44rem } a { color:var(--accent) }
.sub, .small, figcaption { color:var(--muted) } .small { font-size:.85rem }
.note { background:var(--warnbg); border-left:4px solid #e08a2e; padding:.7rem 1rem; max-width:none }
.scroll { overflow-x:auto }
table { border-collapse:collapse; width:100%; font-size:.92rem; font-variant-numeric:tabular-nums }
th { text-align:left; font-weight:600; border-bottom:2px solid var(--ink);
  padding:.4rem 1.1rem .4rem 0; vertical-align:bottom }
td { border-bottom:1px solid var(--rule); padding:.4rem 1.1rem .4rem 0; vertical-align:top } .num { text-align:right }
td.ours { font-weight:700 } .interval { font-weight:400; color:var(--muted); white-space:nowrap }
.absent { color:var(--muted); font-style:italic } .failed { color:var(--warn); font-weight:600 }
figure { margin:1.6rem 0 2.2rem }
figure img { max-width:100%; height:auto; display:block;
  border:1px solid var(--rule); border-radius:6px; padding:.4rem }
figcaption { font-size:.92rem; margin-top:.5rem; max-width:48rem }
nav ol { list-style:none; display:flex; flex-wrap:wrap; gap:.3rem 1.2rem; padding:0; margin:1rem 0 }
footer { padding-bottom:3rem; margin-top:3rem }
@media print { figure { break-inside:avoid } nav { display:none } }
"""


def page(
    title: str,
    run_name: str,
    notebooks: Sequence[NotebookEntry],
    results: Sequence[ResultTable],
    figures: Sequence[FigureEntry],
) -> str:
    """The whole page as HTML text; everything that comes from files is escaped."""
    everything = [row for table in results for row in table.rows]
    headline = [row for row in everything if row.get("headline")] or everything
    with_figures = {figure.notebook for figure in figures}
    shown = [notebook for notebook in notebooks if notebook.name in with_figures]
    parts = [
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}: {escape(run_name)}</title><style>{STYLE}</style></head><body>",
        f"<header><h1>{escape(title)}</h1><p class='sub'>Run <b>{escape(run_name)}</b></p>",
        f"{_navigation(shown)}</header><main>",
        "<h2 id='results'>Results</h2>",
        _provenance(everything),
        _result_table(headline),
        *(_own_table(table) for table in results if any(row not in headline for row in table.rows)),
        "<h2 id='notebooks'>Notebooks</h2>",
        _notebook_table(notebooks, shown),
        *(_section(notebook, figures) for notebook in shown),
        "</main><footer class='small'>Built from <code>figures/</code>, <code>results/</code> and "
        "<code>notebooks/</code> of this folder. This page needs no network.</footer></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _navigation(notebooks: Sequence[NotebookEntry]) -> str:
    items = [("results", "Results"), ("notebooks", "Notebooks"), *((entry.name, entry.title) for entry in notebooks)]
    return (
        "<nav><ol>"
        + "".join(f"<li><a href='#{escape(anchor)}'>{escape(text)}</a></li>" for anchor, text in items)
        + "</ol></nav>"
    )


def _provenance(rows: Sequence[dict]) -> str:
    """In words: which results are on rendered faces, and how to read the columns."""
    if not rows:
        return "<p class='absent'>No notebook has left results yet.</p>"
    synthetic = ["synthetic" in str(row.get("data", "")).lower() for row in rows]
    note = ""
    if any(synthetic):
        which = "All results on this page" if all(synthetic) else "The results whose data column says “synthetic”"
        note = (
            f"<p class='note'><b>{which} are synthetic:</b> the faces were rendered by this project, for training as "
            "for validation. They show that the method works as described; they say nothing about how well it reads "
            "real people, and are not comparable with published numbers, which are on real corpora.</p>"
        )
    return note + (
        "<p class='small'>Ours: score on the validation split, in brackets its 95 % interval where one was computed. "
        "Best constant: the best score that one fixed answer for every face could reach. Published: other people’s "
        "numbers on the real corpus; “not verified” where nobody here has seen the number in print.</p>"
    )


def _result_table(rows: Sequence[dict]) -> str:
    if not rows:
        return ""
    head = "".join(
        f"<th{kind}>{name}</th>"
        for name, kind in (
            ("task", ""),
            ("ours", " class='num'"),
            ("best constant", " class='num'"),
            ("published", ""),
            ("data", ""),
            ("n", " class='num'"),
            ("seed", " class='num'"),
        )
    )
    body = "".join(
        f"<tr><td>{escape(str(row['task']))}</td>"
        f"<td class='num ours'>{_number(row['ours'])}{_interval(row.get('interval'))}</td>"
        f"<td class='num'>{_number(row.get('baseline'), '–')}</td><td>{_published(row.get('published'))}</td>"
        f"<td>{escape(str(row.get('data', '')))}</td><td class='num'>{_count(row.get('n'))}</td>"
        f"<td class='num'>{escape(str(row.get('seed', '–')))}</td></tr>"
        for row in rows
    )
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _own_table(table: ResultTable) -> str:
    head = f"<h3>{escape(table.title)} <span class='small'>({escape(table.notebook)})</span></h3>"
    return head + _result_table(table.rows)


def _notebook_table(notebooks: Sequence[NotebookEntry], shown: Sequence[NotebookEntry]) -> str:
    if not notebooks:
        return "<p class='absent'>No notebook has been executed yet.</p>"
    rows = []
    for entry in notebooks:
        name = escape(entry.title)
        if entry in shown:
            name = f"<a href='#{escape(entry.name)}'>{name}</a>"
        good = entry.status in ("executed", "unchanged")
        links = ", ".join(
            f"<a href='{quote(link)}'>{words}</a>"
            for kind, words in (("html", "read"), ("ipynb", "notebook"))
            if (link := entry.links.get(kind))
        )
        rows.append(
            f"<tr><td>{name}</td>"
            f"<td{'' if good else ' class=failed'}>{escape(entry.status)}</td>"
            f"<td class='num'>{_seconds(entry.seconds)}</td><td>{links or '–'}</td></tr>"
        )
    head = "<tr><th>notebook</th><th>status</th><th class='num'>took</th><th>open</th></tr>"
    return f"<div class='scroll'><table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"


def _section(notebook: NotebookEntry, figures: Sequence[FigureEntry]) -> str:
    own = [figure for figure in figures if figure.notebook == notebook.name]
    link = notebook.links.get("html") or notebook.links.get("ipynb")
    read = f"<p class='small'><a href='{quote(link)}'>Read the executed notebook</a></p>" if link else ""
    body = "".join(_figure(figure) for figure in own)
    return f"<h2 id='{escape(notebook.name)}'>{escape(notebook.title)}</h2>{read}{body}"


def _figure(figure: FigureEntry) -> str:
    caption = f"<figcaption>{escape(figure.caption)}</figcaption>"
    if figure.png is None:
        return f"<figure><p class='absent'>The picture of “{escape(figure.name)}” is missing.</p>{caption}</figure>"
    data = base64.b64encode(figure.png).decode("ascii")
    return f"<figure><img alt='{escape(figure.caption)}' src='data:image/png;base64,{data}'>{caption}</figure>"


def _number(value, absent: str = "<span class='absent'>undefined</span>") -> str:
    if value is None:
        return absent
    return f"{value:.3f}" if isinstance(value, float) else escape(str(value))


def _interval(interval) -> str:
    if not interval or None in interval:
        return ""
    return f" <span class='interval'>[{interval[0]:.3f}, {interval[1]:.3f}]</span>"


def _published(value) -> str:
    text = escape(str(value)) if value is not None else "–"
    return f"<span class='absent'>{text}</span>" if text == "not verified" else text


def _count(value) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else escape(str(value))


def _seconds(value) -> str:
    if value is None:
        return "–"
    return f"{value:.0f} s" if value < 90 else f"{value / 60:.1f} min"
