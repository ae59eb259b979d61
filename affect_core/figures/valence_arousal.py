"""Predicted beside annotated valence and arousal."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from affect_core.figures.arrays import as_array
from affect_core.figures.circumplex import HALO, draw_circumplex
from affect_core.figures.style import (
    INK,
    MUTED,
    OURS,
    SEQUENTIAL,
    count,
    count_bar,
    figure_function,
    subtitle_of,
    titled_figure,
)
from affect_core.metrics import ccc

MANY = 600
"""From this many points on, densities replace dots."""


def _paired(prediction, target, valid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays (N, 2), (N, 2) and the mask (N, 2) of entries that are annotated and finite on both sides."""
    prediction, target = as_array(prediction), as_array(target)
    valid = np.ones(target.shape, bool) if valid is None else as_array(valid) > 0.5
    return prediction, target, valid & np.isfinite(prediction) & np.isfinite(target)


@figure_function
def valence_arousal_scatter(
    prediction,
    target,
    valid=None,
    *,
    unit: str = "faces",
    source: str = "",
    title: str = "Predicted against annotated valence and arousal",
) -> Figure:
    """Two panels, valence and arousal: annotated across, predicted up; the diagonal is agreement, CCC in the head.

    prediction, target  (N, 2) columns valence, arousal; target in [-1, 1]
    valid               (N, 2) bool, or None for all
    Above 600 points the dots become a density (log colour). Predictions beyond -1..1 are drawn on the border and
    counted. The dashed line is the mean prediction in steps of 0.2 of the annotation: flat is regression to the mean.

    >>> valence_arousal_scatter(prediction.valence_arousal, labels.valence_arousal, labels.valence_arousal_valid)
    <Figure size ...>
    """
    prediction, target, valid = _paired(prediction, target, valid)
    outside = int((valid & (np.abs(prediction) > 1)).sum())
    figure, _ = titled_figure(
        7.6,
        3.2,
        title,
        subtitle_of(
            count(valid.any(axis=1).sum(), unit),
            source,
            "dashed: mean prediction",
            f"{outside:,} beyond ±1, on the border" if outside else "",
        ),
    )
    for column, (axes, name) in enumerate(zip(figure.subplots(1, 2), ("valence", "arousal"), strict=True)):
        x, y = target[valid[:, column], column], prediction[valid[:, column], column]
        axes.plot([-1, 1], [-1, 1], color=MUTED, linewidth=1, zorder=3)
        shown = np.clip(y, -1, 1)
        if len(x) > MANY:
            cells = axes.hexbin(
                x,
                shown,
                gridsize=34,
                extent=(-1, 1, -1, 1),
                cmap=SEQUENTIAL,
                mincnt=1,
                norm=LogNorm(vmin=0.6),
                linewidths=0.1,
            )
            count_bar(figure, cells, axes, f"{unit} a cell", shrink=0.75, aspect=28, pad=0.02)
        else:
            axes.scatter(x, shown, s=14, color=OURS, alpha=0.5, linewidths=0)
        edges = np.linspace(-1, 1, 11)
        cell = np.digitize(x, edges[1:-1])
        seen = [index for index in range(10) if (cell == index).sum() >= 5]
        axes.plot(
            [x[cell == index].mean() for index in seen],
            [y[cell == index].mean() for index in seen],
            color="#c2410c",
            linewidth=1.6,
            linestyle=(0, (4, 2)),
            zorder=4,
        )
        axes.set(
            xlim=(-1.04, 1.04),
            ylim=(-1.04, 1.04),
            aspect="equal",
            xlabel=f"annotated {name}",
            ylabel=f"predicted {name}",
            xticks=[-1, -0.5, 0, 0.5, 1],
            yticks=[-1, -0.5, 0, 0.5, 1],
        )
        axes.set_title(f"{name}: {_ccc_text(y, x)}, n = {len(x):,}")
    return figure


def _ccc_text(prediction: np.ndarray, target: np.ndarray) -> str:
    return f"CCC {ccc(prediction, target):.2f}" if len(target) >= 2 else "CCC undefined"


STEP = 0.1
"""Side of a cell of the densities."""


@figure_function
def valence_arousal_plane(
    prediction,
    target,
    valid=None,
    *,
    unit: str = "faces",
    source: str = "",
    title: str = "Where predictions fall on the circumplex",
) -> Figure:
    """Three circumplexes: where annotations lie, where predictions lie, and how far one must move to get the other.

    prediction, target  (N, 2) columns valence, arousal; valid (N, 2) bool or None (rows valid in both are used)
    Densities are counts in cells of 0.1 x 0.1 on one logarithmic colour range; white: none. The arrows go from the mean
    annotation to the mean prediction of each cell of a 8 x 8 grid that holds at least three faces, the number beside
    the dot is how many; arrows towards the centre are regression to the mean.

    >>> valence_arousal_plane(prediction.valence_arousal, labels.valence_arousal, source="synthetic corpus")
    <Figure size ...>
    """
    prediction, target, valid = _paired(prediction, target, valid)
    rows = valid.all(axis=1)
    prediction, target = np.clip(prediction[rows], -1, 1), target[rows]
    figure, _ = titled_figure(
        12.0, 3.9, title,
        subtitle_of(count(len(target), unit), source, f"cells of {STEP} x {STEP}", f"number at an arrow: {unit}"),
    )  # fmt: skip
    panels = figure.subplots(1, 3)
    counts = [np.histogram2d(*points.T, bins=round(2 / STEP), range=[[-1, 1], [-1, 1]])[0].T
              for points in (target, prediction)]  # fmt: skip
    norm = LogNorm(0.5, max(1.0, *(grid.max() for grid in counts)))
    for axes, grid, name in zip(panels, counts, ("annotated", "predicted"), strict=False):
        draw_circumplex(axes)
        image = axes.imshow(np.where(grid > 0, grid, np.nan), origin="lower", extent=(-1, 1, -1, 1), cmap=SEQUENTIAL,
                            norm=norm, zorder=0.4)  # fmt: skip
        axes.set(xlim=(-1.04, 1.04), ylim=(-1.04, 1.04))
        axes.set_title(f"{name}: density")
    count_bar(figure, image, panels[1], unit, shrink=0.85)
    draw_circumplex(panels[2])
    _arrows(panels[2], prediction, target)
    panels[2].set_title("annotated (dot) to predicted (arrow)")
    for axes in panels[1:]:
        axes.set_ylabel("")
    return figure


def _arrows(axes: Axes, prediction: np.ndarray, target: np.ndarray) -> None:
    """From the mean annotation to the mean prediction of each cell of a 8 x 8 grid with three faces or more."""
    cell = np.digitize(target, np.linspace(-1, 1, 9)[1:-1]) @ np.array([8, 1])
    look = {"arrowstyle": "->", "color": OURS, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    for index in np.unique(cell):
        inside = cell == index
        if inside.sum() >= 3:
            start, end = target[inside].mean(axis=0), prediction[inside].mean(axis=0)
            axes.annotate("", end, start, arrowprops=look)
            axes.plot(*start, marker="o", markersize=2.6, color=INK)
            away = np.where(end > start, -1, 1)  # the number stands where the arrow does not go
            axes.annotate(f"{inside.sum():,}", start, 3 * away, textcoords="offset points", fontsize=6.5, color=INK,
                          ha="left" if away[0] > 0 else "right", va="bottom" if away[1] > 0 else "top",
                          path_effects=HALO)  # fmt: skip


@figure_function
def concordance_examples(
    n: int = 40, *, source: str = "arithmetic, no data", title: str = "What the CCC asks for"
) -> Figure:
    """Three predictors of one annotation: perfect (CCC 1), shifted (4/7), half as wide (4/5); all have correlation 1.

    n  made-up faces, whose annotations lie evenly, with mean 0 and standard deviation s = 0.35. The shift is
       s * sqrt(3/2): with equal spreads CCC = 2 s^2 / (2 s^2 + shift^2). Half as wide: 2 s (s/2) / (s^2 + s^2/4).

    >>> concordance_examples()
    <Figure size ...>
    """
    spread = 0.35
    annotated = np.linspace(-1, 1, n)
    annotated = spread * annotated / annotated.std()
    answers = {
        "perfect": annotated,
        "shifted": annotated + spread * np.sqrt(1.5),
        "half as wide": annotated / 2,
    }
    figure, _ = titled_figure(
        8.6, 2.9, title, subtitle_of(count(n, "made-up faces"), source, "grey: agreement", "correlation 1 in all three")
    )
    for axes, (name, answer) in zip(figure.subplots(1, 3, sharey=True), answers.items(), strict=True):
        axes.plot([-1, 1], [-1, 1], color="#c3c9d0", linewidth=3, zorder=1)
        axes.plot(annotated, answer, "o", markersize=3, color=OURS, zorder=3)
        axes.vlines(annotated[::3], annotated[::3], answer[::3], color=MUTED, linewidth=0.8, zorder=2)
        axes.set(xlim=(-1.04, 1.04), ylim=(-1.04, 1.04), aspect="equal", xlabel="annotated valence",
                 xticks=[-1, 0, 1], yticks=[-1, 0, 1])  # fmt: skip
        axes.set_title(f"{name}: CCC {ccc(answer, annotated):.2f}")
    figure.axes[0].set_ylabel("predicted valence")
    return figure
