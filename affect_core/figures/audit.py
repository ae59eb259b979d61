"""What an audit of a corpus shows: where its annotations lie, and how large its image files are."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from affect_core.figures.arrays import as_array
from affect_core.figures.circumplex import draw_circumplex
from affect_core.figures.style import (
    OURS,
    SEQUENTIAL,
    count,
    count_bar,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)

STEP = 0.1
"""Side of a cell of the circumplex histogram."""


@figure_function
def circumplex_histogram(
    valence_arousal,
    valid=None,
    *,
    unit: str = "faces",
    source: str = "",
    title: str = "Where the annotations lie on the circumplex",
) -> Figure:
    """Faces in each 0.1 x 0.1 cell of the circumplex (log colour); cells without a face are white.

    valence_arousal  (N, 2) in [-1, 1];  valid (N, 2) bool or None (faces with both are drawn)

    >>> circumplex_histogram(labels.valence_arousal, labels.valence_arousal_valid, source="synthetic corpus")
    <Figure size ...>
    """
    points = as_array(valence_arousal)
    points = points if valid is None else points[as_array(valid).astype(bool).all(axis=1)]
    cells = round(2 / STEP)
    numbers, _, _ = np.histogram2d(*points.T, bins=cells, range=[[-1, 1], [-1, 1]])
    figure, _ = titled_figure(
        5.4, 4.3, title, subtitle_of(count(len(points), unit), source, f"cells of {STEP} x {STEP}")
    )
    axes = figure.subplots()
    draw_circumplex(axes)
    image = axes.imshow(
        np.where(numbers > 0, numbers, np.nan).T, origin="lower", extent=(-1, 1, -1, 1), cmap=SEQUENTIAL,
        norm=LogNorm(0.5, max(numbers.max(), 1)), zorder=0.4,
    )  # fmt: skip
    axes.set(xlim=(-1.04, 1.04), ylim=(-1.04, 1.04))
    count_bar(figure, image, axes, unit, shrink=0.85)
    return figure


@figure_function
def image_sizes(
    width, height, images, *, unit: str = "files", source: str = "", title: str = "How large the image files are"
) -> Figure:
    """Files by the length of their shorter side in pixels: at most 40 bars of equal width on a logarithmic axis.

    width, height, images  (K,) pixels, pixels, and how many files have that size

    >>> image_sizes([112, 224], [112, 200], [90, 10], source="synthetic corpus")
    <Figure size ...>
    """
    side, weight = np.minimum(as_array(width), as_array(height)), as_array(images)
    figure, _ = titled_figure(5.4, 2.6, title, subtitle_of(count(weight.sum(), unit), source))
    axes = figure.subplots()
    edges = np.geomspace(side.min() / 1.05, side.max() * 1.05, min(40, 2 * len(np.unique(side)) + 1) + 1)
    axes.hist(side, bins=edges, weights=weight, color=OURS)
    axes.set_xscale("log")
    ticks = np.unique(np.round(np.geomspace(side.min(), side.max(), 5)))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="shorter side in pixels", ylabel=unit)
    grid_lines(axes, "y")
    return figure
