"""Many small pictures on one canvas, measured in cells: the ground of every figure that shows faces."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from affect_core.figures.style import INK, MUTED, printable, titled_figure


class Mosaic:
    """A rows x columns grid of square pictures with room for words around it.

    cell        side of a picture, inches
    caption     room below every picture, inches (for `caption`)
    head, left  room above the grid and left of it, inches (for `column_heads`, `row_heads`)
    breaks      columns before which a wider gap is left, to part groups
    note        a sentence or two under the grid
    One matplotlib axes in units of cells holds it all: hundreds of pictures draw fast. `axes` is there for additions.
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        *,
        title: str,
        subtitle: str = "",
        cell: float = 1.0,
        caption: float = 0.0,
        head: float = 0.0,
        left: float = 0.0,
        right: float = 0.0,
        breaks: Sequence[int] = (),
        least_width: float = 5.2,
        note: str = "",
    ):
        gap, wide = 0.05, 0.16
        self.cell = cell
        widths = np.array([wide if column in breaks else gap for column in range(1, columns)]) / cell
        self._x = np.concatenate([[0.0], np.cumsum(1.0 + widths)])
        self._pitch = 1.0 + (caption + gap) / cell
        grid_width = (self._x[-1] + 1.0) * cell
        width = max(grid_width + left + right + 0.2, least_width)
        lines = textwrap.wrap(printable(note), max(30, int(width * 16.5)), break_on_hyphens=False)
        height = rows * self._pitch * cell + head + 0.06 + (0.1 + 0.155 * len(lines) if lines else 0.0)
        self.figure, below = titled_figure(width, height, title, subtitle, layout=None)
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, below))
        self.axes.set(
            xlim=((-left - 0.1) / cell, (width - left - 0.1) / cell), ylim=((height - head) / cell, -head / cell)
        )
        self.axes.set_axis_off()
        if lines:
            place = {"x": 0.1 / width, "y": 0.06 / self.figure.get_size_inches()[1]}
            self.figure.text(**place, s="\n".join(lines), fontsize=8, color=MUTED, va="bottom", linespacing=1.25)

    def corner(self, row: int, column: int) -> tuple[float, float]:
        """Upper left corner (x, y) of a cell, in cells; y grows downwards."""
        return self._x[column], row * self._pitch

    def show(self, row: int, column: int, picture, **options):
        """Draw `picture` (H, W) or (H, W, 3) in a cell; `options` go to imshow. Returns the AxesImage."""
        x, y = self.corner(row, column)
        limits = self.axes.axis()
        image = self.axes.imshow(picture, extent=(x, x + 1, y + 1, y), aspect="auto", **options)
        self.axes.axis(limits)
        return image

    def frame(self, row: int, column: int, colour: str, width: float = 2.0) -> None:
        """Outline a cell."""
        x, y = self.corner(row, column)
        inset = width / 144 / self.cell
        self.axes.add_patch(_rectangle(x + inset, y + inset, 1 - 2 * inset, 1 - 2 * inset, colour, width))

    def caption(
        self, row: int, column: int, text: str, *, colour: str = INK, size: float = 7.5, swatch: str | None = None
    ) -> None:
        """Words below a picture, centred; `swatch` draws a coloured rule between picture and words."""
        x, y = self.corner(row, column)
        if swatch is not None:
            self.axes.plot(
                [x + 0.005, x + 0.995],
                [y + 1 + 0.018 / self.cell] * 2,
                color=swatch,
                linewidth=2.6,
                solid_capstyle="butt",
            )
        lines = printable(text).split("\n")
        for line, words in enumerate(lines, start=1):  # by baselines: "anger" and "fear" stay level
            self.axes.text(
                x + 0.5,
                y + 1 + (0.035 + 0.0165 * size * line) / self.cell,
                words,
                ha="center",
                va="baseline",
                fontsize=size,
                color=colour,
            )

    def column_head(
        self, column: int, text: str, *, span: int = 1, height: float = 0.07, bold: bool = False, size: float = 8.0,
        colour: str = INK,
    ) -> None:  # fmt: skip
        """Words above a column (or above `span` columns), `height` inches over the grid."""
        x = (self._x[column] + self._x[column + span - 1] + 1.0) / 2
        self.axes.text(
            x,
            -height / self.cell,
            printable(text),
            ha="center",
            va="baseline",
            fontsize=size,
            fontweight="bold" if bold else "normal",
            color=colour,
        )

    def row_head(self, row: int, text: str, *, colour: str = MUTED, size: float = 8.0) -> None:
        """Words left of a row."""
        self.axes.text(
            -0.08 / self.cell,
            row * self._pitch + 0.5,
            printable(text),
            ha="right",
            va="center",
            fontsize=size,
            color=colour,
            linespacing=1.2,
        )


def _rectangle(x: float, y: float, width: float, height: float, colour: str, line: float):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=line, joinstyle="miter")
