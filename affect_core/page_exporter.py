"""Notebooks as HTML pages that need no network: formulas are MathML, which browsers typeset themselves; no MathJax.

This module imports nbconvert, which takes a second; import it where a page is made.
"""

from __future__ import annotations

import re
from html import escape

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

_MATHJAX = re.compile(r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->", re.DOTALL)
_FUNCTION = re.compile(r'<mi>(log|tanh|exp|sin|cos)</mi>(?!<mo stretchy="false">&#x00028;)')
_LOOK = "<style>math {font-size: 1.12em}</style></head>"
_NOT_DESCRIBED = 'alt="No description has been provided for this image"'
"""What nbconvert writes for a picture of an output."""
_EMPTY_SCRIPTS = re.compile(r'<script src="">\s*</script>')


def mathml(latex: str, display: str) -> str:
    """A formula (LaTeX, no dollars) as MathML; as code if something in it is unknown. display: "inline" or "block"."""
    try:
        converted = convert(latex.strip(), display=display).replace(r"\_", "_")
    except Exception:  # the converter has no error class of its own
        converted = "\\"
    if "\\" in converted:
        return f"<code>{escape(latex.strip())}</code>"
    return _FUNCTION.sub(r'<mspace width="0.17em"/><mi>\1</mi><mspace width="0.17em"/>', converted)


class _Renderer(IPythonRenderer):
    def inline_math(self, body: str) -> str:
        return mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return mathml(body, "block")


class PageExporter(HTMLExporter):
    """nbconvert's HTML pages in the look of JupyterLab, with everything inside that they need."""

    def __init__(self):
        super().__init__(template_name="lab", require_js_url="", mermaid_js_url="", mathjax_url="",
                         jquery_url="", jupyter_widgets_base_url="", widget_renderer_url="")  # fmt: skip

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        return MarkdownWithMath(renderer=_Renderer(escape=False, attachments=attachments)).render(source)

    def from_notebook_node(self, nb, resources=None, **options):
        body, resources = super().from_notebook_node(nb, resources, **options)
        body = _EMPTY_SCRIPTS.sub("", _MATHJAX.sub("", body))
        return _with_descriptions(body.replace("</head>", _LOOK, 1), descriptions(nb.cells)), resources


def descriptions(cells: list) -> list[str]:
    """What every shown picture says, in order: its output's metadata "alt" (`workbook` sets it), or its section."""
    words, heading = [], ""
    for cell in cells:
        if cell["cell_type"] == "markdown":
            heading = next((line.lstrip("# ") for line in cell["source"].splitlines() if line.startswith("#")), heading)
        for output in cell.get("outputs", []):
            kind = next((kind for kind in output.get("data", {}) if kind.startswith("image/")), None)
            if kind:
                words.append(output["metadata"].get(kind, {}).get("alt") or f"A figure of the section {heading!r}")
    return words


def _with_descriptions(body: str, words: list[str]) -> str:
    """The page with its pictures described, if they are as many as `words`."""
    parts = body.split(_NOT_DESCRIBED)
    if len(parts) != len(words) + 1:
        return body
    return parts[0] + "".join(f'alt="{escape(said)}"{after}' for said, after in zip(words, parts[1:], strict=True))
