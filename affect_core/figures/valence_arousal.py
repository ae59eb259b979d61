"""Predicted beside annotated valence and arousal."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from affect_core.figures.circumplex import draw_circumplex
from affect_core.figures.style import (
    INK,
    MUTED,
    OURS,
    SEQUENTIAL,
    as_array,
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


def _density(axes: Axes, points: np.ndarray, *, vmax: float | None = None):
    """Smoothed share of points per cell on a 64 x 64 grid; returns the image and its grid."""
    grid, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=64, range=[[-1, 1], [-1, 1]])
    grid = gaussian_filter(grid.T, 1.6)
    grid /= max(grid.max(), 1e-12) if vmax is None else vmax
    return axes.imshow(
        grid, origin="lower", extent=(-1, 1, -1, 1), cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="bilinear", zorder=0
    )


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
    The arrows go from the mean annotation to the mean prediction of each cell of a 8 x 8 grid that holds at least
    three faces; arrows towards the centre are regression to the mean.

    >>> valence_arousal_plane(prediction.valence_arousal, labels.valence_arousal, source="synthetic corpus")
    <Figure size ...>
    """
    prediction, target, valid = _paired(prediction, target, valid)
    rows = valid.all(axis=1)
    prediction, target = prediction[rows], target[rows]
    figure, _ = titled_figure(9.8, 3.45, title, subtitle_of(count(len(target), unit), source))
    panels = figure.subplots(1, 3)
    for axes, points, name in zip(
        panels, (target, np.clip(prediction, -1, 1)), ("annotated", "predicted"), strict=False
    ):
        draw_circumplex(axes)
        _density(axes, points)
        axes.set_title(f"{name}: density")
    axes = panels[2]
    draw_circumplex(axes)
    edges = np.linspace(-1, 1, 9)
    cell = np.digitize(target, edges[1:-1]) @ np.array([8, 1])
    for index in np.unique(cell):
        inside = cell == index
        if inside.sum() >= 3:
            start, end = target[inside].mean(axis=0), np.clip(prediction[inside].mean(axis=0), -1, 1)
            axes.annotate(
                "",
                end,
                start,
                arrowprops={
                    "arrowstyle": "->",
                    "color": OURS,
                    "linewidth": 1.1,
                    "shrinkA": 0,
                    "shrinkB": 0,
                    "mutation_scale": 7,
                },
            )
            axes.plot(*start, marker="o", markersize=2.4, color=INK)
    axes.set_title("annotated (dot) to predicted (arrow)")
    for axes in panels[1:]:
        axes.set_ylabel("")
    return figure
