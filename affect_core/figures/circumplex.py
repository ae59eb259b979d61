"""Valence and arousal on Russell's circumplex (Russell 1980): axes from -1 to 1, equal aspect, the unit circle."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from affect_core.figures.arrays import as_array
from affect_core.figures.style import (
    EXPRESSION_MARKERS,
    MUTED,
    RULE,
    count,
    expression_colour,
    figure_function,
    subtitle_of,
    titled_figure,
)
from affect_core.labels import EXPRESSIONS

QUADRANTS = {(1, 1): "excited", (-1, 1): "distressed", (-1, -1): "depressed", (1, -1): "relaxed"}
"""Russell's words for the quadrants, by the signs of (valence, arousal)."""
HALO = [patheffects.withStroke(linewidth=2.5, foreground="white")]


def draw_circumplex(axes: Axes, *, quadrants: bool = True, keep_free: Sequence = ()) -> None:
    """Prepare `axes` for (valence, arousal) points: -1..1, equal aspect, unit circle, cross, quadrant names.

    keep_free: (valence, arousal) points; a name that would stand under one of them steps towards the middle.
    """
    axes.set(
        xlim=(-1.04, 1.04),
        ylim=(-1.04, 1.04),
        aspect="equal",
        xlabel="valence",
        ylabel="arousal",
        xticks=[-1, -0.5, 0, 0.5, 1],
        yticks=[-1, -0.5, 0, 0.5, 1],
    )
    axes.axhline(0, color=RULE, linewidth=1, zorder=0.5)
    axes.axvline(0, color=RULE, linewidth=1, zorder=0.5)
    axes.add_patch(plt.Circle((0, 0), 1, fill=False, color="#c3c9d0", linewidth=1, zorder=0.6))
    if quadrants:
        for (right, up), word in QUADRANTS.items():
            covered = any(x * right > 0.35 and y * up > 0.82 for x, y in keep_free)
            axes.text(
                1.0 * right,
                (0.8 if covered else 1.0) * up,
                word,
                ha="right" if right > 0 else "left",
                va="top" if up > 0 else "bottom",
                fontsize=7.5,
                color=MUTED,
                style="italic",
                path_effects=HALO,
                zorder=4,
            )


@figure_function
def circumplex_density(
    valence_arousal,
    expression,
    vocabulary: Sequence[str] = EXPRESSIONS,
    *,
    valid=None,
    unit: str = "faces",
    source: str = "",
    title: str = "Expressions on the circumplex",
) -> Figure:
    """Faces on the circumplex by expression: dots (at most 250 a class), the contour holding half of a class, its name.

    valence_arousal  (N, 2) in [-1, 1];  expression (N,) index into `vocabulary`;  valid (N,) bool or None

    >>> circumplex_density(labels.valence_arousal, labels.expression, labels.vocabulary, source="synthetic corpus")
    <Figure size ...>
    """
    points, expression = as_array(valence_arousal), as_array(expression, int)
    keep = np.isfinite(points).all(axis=1) & (True if valid is None else as_array(valid) > 0.5)
    points, expression = points[keep], expression[keep]
    figure, _ = titled_figure(
        7.2, 5.2, title, subtitle_of(count(len(points), unit), source, "line: densest region with half of a class")
    )
    axes = figure.subplots()
    draw_circumplex(axes)
    order = np.random.default_rng(0)
    for index, name in enumerate(vocabulary):
        members = points[expression == index]
        if not len(members):
            continue
        colour, marker = expression_colour(name), EXPRESSION_MARKERS.get(name, "o")
        few = members[order.permutation(len(members))[:250]]
        axes.scatter(few[:, 0], few[:, 1], s=9, color=colour, marker=marker, alpha=0.35, linewidths=0, zorder=1)
        if len(members) >= 30:
            _half_mass_contour(axes, members, colour)
        centre = np.median(members, axis=0)
        axes.plot(
            *centre,
            marker=marker,
            markersize=12 if marker == "*" else 8,
            color=colour,
            markeredgecolor="white",
            zorder=5,
            linestyle="none",
            label=f"{name} ({len(members):,})",
        )
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        title=f"median of a class ({unit})",
        alignment="left",
        labelspacing=0.8,
    )
    return figure


def _half_mass_contour(axes: Axes, members: np.ndarray, colour: str) -> None:
    """Contour of the smallest region of the smoothed histogram that holds half of the points."""
    grid, edges, _ = np.histogram2d(members[:, 0], members[:, 1], bins=80, range=[[-1.1, 1.1], [-1.1, 1.1]])
    grid = gaussian_filter(grid.T, 3.0)
    falling = np.sort(grid.ravel())[::-1]
    level = falling[np.searchsorted(np.cumsum(falling), 0.5 * falling.sum())]
    middle = (edges[1:] + edges[:-1]) / 2
    axes.contour(middle, middle, grid, levels=[level], colors=[colour], linewidths=1.6, zorder=3)
