"""What every explorer has in common: controls, one picture drawn from their values, one sentence when that fails."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import numpy as np
from IPython import get_ipython
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from affect_core.errors import AffectError
from affect_core.figures.style import DRAWING

DPI = 88
"""Resolution of pictures on the screen, dots per inch of the figure."""


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as PNG, drawn at `dpi`; fast rather than small."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return encode_png(canvas)


def encode_png(canvas: FigureCanvasAgg) -> bytes:
    """What is drawn on a canvas, as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def panel(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the lower left corner; a fixed place draws several times faster than a layout."""
    whole_width, whole_height = figure.get_size_inches()
    return figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))


class Explorer(widgets.VBox):
    """Controls above a picture that is drawn again whenever one of them moves.

    controls  name -> widget with a `value`
    draw      called with those values by name; returns a Figure, or PNG bytes
    rows      what stands above the picture, row by row (rows wrap); by default all controls in one row

    `picture` is the widgets.Image, `message` the sentence (HTML) about what went wrong, empty if nothing did. An
    AffectError appears in `message`; any other error appears there and is raised too. Either way the picture is
    hidden, so that no old picture stands beside new controls.
    """

    def __init__(
        self,
        controls: Mapping[str, widgets.Widget],
        draw: Callable[..., Figure | bytes],
        rows: Sequence[Sequence[widgets.Widget]] | None = None,
    ):
        self.controls = dict(controls)
        self.picture = widgets.Image(format="png", layout={"max_width": "100%", "align_self": "flex-start"})
        self.message = widgets.HTML()
        self._draw, self._waiting = draw, False
        wrapped = {"flex_flow": "row wrap", "align_items": "center", "grid_gap": "2px 14px"}
        boxes = [widgets.HBox(row, layout=wrapped) for row in rows or [list(self.controls.values())]]
        super().__init__([*boxes, self.message, self.picture])
        for control in self.controls.values():
            control.observe(self._changed, "value")
        self.redraw()

    @contextmanager
    def one_redraw(self):
        """Set several controls inside; the picture is drawn once, at the end."""
        self._waiting = True
        try:
            yield
        finally:
            self._waiting = False
        self.redraw()

    def redraw(self) -> None:
        """Draw the picture of the controls' present values, one after the other if several threads ask."""
        with DRAWING:
            self._redraw()

    def _redraw(self) -> None:
        try:
            drawn = self._draw(**self._values())
        except AffectError as error:
            self._say(str(error))
        except Exception as error:
            self._say(f"This could not be drawn ({type(error).__name__}): {error}")
            raise
        else:
            self.message.value, self.picture.layout.visibility = "", "visible"
            self.picture.value = drawn if isinstance(drawn, bytes) else png(drawn)

    def _values(self) -> dict[str, Any]:
        return {name: control.value for name, control in self.controls.items()}

    def _changed(self, change) -> None:
        if not self._waiting:
            self.redraw()

    def _say(self, sentence: str) -> None:
        self.message.value = f'<b style="color: #a83d00">{html.escape(sentence)}</b>'
        self.picture.layout.visibility = "hidden"


def play(explorer: Callable[..., widgets.Widget], *arguments, **options):
    """`explorer(*arguments, **options)` where somebody can use it; in a headless run, one sentence in its place.

    A widget would leave its whole state in a notebook that papermill executes, and nothing to click on.
    """
    if has_reader():
        return explorer(*arguments, **options)
    return Markdown(f"*In JupyterLab, `{explorer.__name__}` is here; the figure above shows one of its states.*")


def has_reader() -> bool:
    """Whether this is a notebook with somebody in front of it.

    Jupyter's protocol says so with every execution: front ends allow input (`allow_stdin`), papermill does not.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))


def require_eval(model: nn.Module) -> None:
    """Raise AffectError if `model` is in training mode, where dropout and batch statistics would colour its answers."""
    if model.training:
        raise AffectError(f"{type(model).__name__} is in training mode; call its eval() before you explore it.")


def slider(
    low: float, high: float, value: float, step: float, description: str, *, words: int = 115, digits: int = 2
) -> widgets.FloatSlider:
    """A slider with `words` pixels for its description, so that tracks below each other line up."""
    return widgets.FloatSlider(
        value, min=low, max=high, step=step, description=description, readout_format=f".{digits}f",
        style={"description_width": f"{words}px"}, layout={"width": f"{words + 195}px"},
    )  # fmt: skip


def whole_slider(low: int, high: int, value: int, description: str) -> widgets.IntSlider:
    """The same for whole numbers, with a short description."""
    style, layout = {"description_width": "70px"}, {"width": "265px"}
    return widgets.IntSlider(value, min=low, max=max(low, high), description=description, style=style, layout=layout)


def choice(options: Sequence, value, description: str) -> widgets.Dropdown:
    """A list to choose one thing from; `options` are values or (words, value) pairs."""
    layout, style = {"width": "max-content"}, {"description_width": "initial"}
    return widgets.Dropdown(options=options, value=value, description=description, layout=layout, style=style)
