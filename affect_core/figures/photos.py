"""Photographs with the faces that were found in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from affect_core.figures.arrays import as_images
from affect_core.figures.style import expression_colour, figure_function, printable, subtitle_of, titled_figure

_HALO = "#ffffff"


@figure_function
def photo_with_faces(
    pixels, boxes, points=None, names: Sequence[str] | None = None, *, chosen: int | None = None,
    title: str = "Faces found", source: str = "", width: float = 8.0,
) -> Figure:  # fmt: skip
    """A photo with a numbered box around every face, in the colour of its expression, and the five points of alignment.

    pixels  (H, W, 3) uint8 or float in [0, 1]
    boxes   (N, 4) left, top, width, height, and points (N, 5, 2), both in pixels of the photo
    names   N words; one that starts with an expression's name gets that expression's colour
    chosen  the face, from 0, whose box is drawn bold.   width: of the figure, inches

    >>> photo_with_faces(photo, [[40, 30, 80, 100]], names=["happiness 91 %"], source="synthetic")
    <Figure size ...>
    """
    pixels = as_images(np.asarray(pixels)[None])[0]
    height = min(width * pixels.shape[0] / pixels.shape[1], 6.5)
    count = f"{len(boxes)} face{'' if len(boxes) == 1 else 's'}"
    figure, below = titled_figure(width, height, title, subtitle_of(count, source), layout=None)
    axes = figure.add_axes((0.1 / width, 0.01, 1 - 0.2 / width, below - 0.02))
    draw_faces(axes, pixels, boxes, points, names, chosen)
    return figure


def draw_faces(axes: Axes, pixels: np.ndarray, boxes, points=None, names=None, chosen: int | None = None) -> None:
    """The photo and its boxes on axes of one's own; the arguments are those of `photo_with_faces`."""
    axes.imshow(pixels)
    axes.set_axis_off()
    for number, (left, top, wide, high) in enumerate(np.asarray(boxes, float).reshape(-1, 4)):
        name = names[number].strip() if names is not None else ""
        colour = expression_colour(name.split()[0]) if name else "#1769b5"
        bold = number == chosen
        for line, edge in ((4.2 if bold else 2.6, _HALO), (3.0 if bold else 1.6, colour)):
            axes.add_patch(Rectangle((left, top), wide, high, fill=False, edgecolor=edge, linewidth=line))
        words = printable(f"{number + 1}  {name}").rstrip()
        plate = {"boxstyle": "square,pad=0.25", "facecolor": colour, "edgecolor": _HALO, "linewidth": 0.8}
        axes.annotate(words, (left, top), (0, 3), textcoords="offset points", fontsize=7.5, va="bottom", ha="left",
                      color="white", fontweight="bold", annotation_clip=False, bbox=plate,
                      parse_math=False)  # fmt: skip
    if points is not None:
        marks = np.asarray(points, float).reshape(-1, 2)
        axes.scatter(*marks.T, s=11, color=_HALO, edgecolor="#1f2630", linewidth=0.7, zorder=4)
