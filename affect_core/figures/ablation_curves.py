"""Ablations along what was varied: points with intervals over an ordered axis, paired differences below them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Transform, offset_copy

from affect_core.figures.style import (
    INK,
    MUTED,
    SERIES_COLOURS,
    SERIES_MARKERS,
    figure_function,
    grid_lines,
    quantity_name,
    subtitle_of,
    titled_figure,
)

DODGE = 4.0
"""Points by which series step aside, so that intervals at one place can be told apart; seeds stand half as far."""


@figure_function
def ablation_curves(
    table: pd.DataFrame,
    *,
    x_name: str,
    scale: str = "linear",
    tick: Callable[[float], str] = "{:g}".format,
    seeds: pd.DataFrame | None = None,
    differences: pd.DataFrame | None = None,
    note: str = "",
    source: str = "",
    title: str = "What each idea is worth, step by step",
) -> Figure:
    """Scores with intervals over what was varied, one line a series, one panel a model and metric.

    table        tidy: columns panel, metric, series, x, score, low, high (95 % interval); optional is_reference: ringed
    scale        of the x axis: "linear", "log", or "symlog" (linear up to the smallest value above 0)
    tick         a value of x in words
    seeds        columns panel, metric, series, x, score: one row a seed, a small dot each; or None
    differences  a row of panels below: columns panel, metric, series, relation (who is compared with whom), x, origin
                 (x of what the others of the series are compared with, or nan), score, low, high, significant; or None
    note         a sentence or two under the figure

    >>> ablation_curves(pd.DataFrame({"panel": "CoTEX", "metric": "expression_f1", "series": "two views",
    ...     "x": [0, 0.5, 0.9], "score": [.39, .33, .08], "low": [.36, .30, .07], "high": [.42, .36, .10]}),
    ...     x_name="share of patches hidden", source="synthetic corpus")
    <Figure size ...>
    """
    missing = {"panel", "metric", "series", "x", "score", "low", "high"} - set(table.columns)
    if missing:
        raise ValueError(f"the ablation table lacks the columns {sorted(missing)}")
    looks = _looks(list(dict.fromkeys(table["series"])))
    panels = list(dict.fromkeys(zip(table["panel"], table["metric"], strict=True)))
    rows = 1 if differences is None else 2
    names = [*table["series"], *([] if differences is None else differences["relation"])]
    room = 0.45 + 0.064 * max(len(str(name)) for name in names)
    figure, _ = titled_figure(
        3.7 * len(panels) + room,
        2.75 * rows,
        title,
        subtitle_of(
            source,
            "line through: 95 % interval",
            "small dots: seeds" if seeds is not None else "",
            "ringed: what others are compared with" if "is_reference" in table else "",
            "filled: p < 0.05 after Holm's correction" if differences is not None else "",
        ),
        note=note,
    )
    grid = figure.subplots(rows, len(panels), squeeze=False, sharex=True)
    for column, panel in enumerate(panels):
        _scores(grid[0, column], _of(table, panel), looks, _of(seeds, panel))
        grid[0, column].set_title(f"{panel[0]}: {quantity_name(panel[1])}")
        if differences is not None:
            _differences(grid[1, column], _of(differences, panel), looks)
            grid[1, column].set_title("paired differences")
        _lay_out(grid[-1, column], table["x"].unique(), scale, tick, DODGE * (len(looks) - 1) / 2)
        grid[-1, column].set_xlabel(x_name)
    grid[0, 0].set_ylabel("score, mean over seeds")
    _legend(figure, grid[0])
    if differences is not None:
        grid[1, 0].set_ylabel("first − second, paired by seed")
        _legend(figure, grid[1])
    return figure


def _of(table: pd.DataFrame | None, panel: tuple[str, str]) -> pd.DataFrame | None:
    """The rows of a panel."""
    return None if table is None else table[(table["panel"] == panel[0]) & (table["metric"] == panel[1])]


def _looks(series: Sequence[str]) -> dict[str, dict]:
    """Colour, marker and step aside of each series; beyond seven they repeat."""
    number = len(series)
    return {
        name: {
            "color": SERIES_COLOURS[place % len(SERIES_COLOURS)],
            "marker": SERIES_MARKERS[place % len(SERIES_MARKERS)],
            "aside": DODGE * (place - (number - 1) / 2),
        }
        for place, name in enumerate(series)
    }


def _aside(axes: Axes, points: float) -> Transform:
    return offset_copy(axes.transData, axes.figure, x=points, units="points")


def _scores(axes: Axes, table: pd.DataFrame, looks: Mapping[str, dict], seeds: pd.DataFrame | None) -> None:
    for name, rows in table.groupby("series", sort=False):
        rows, look = rows.sort_values("x"), looks[name]
        place = _aside(axes, look["aside"])
        if seeds is not None:
            dots = seeds[seeds["series"] == name]
            axes.plot(dots["x"], dots["score"], ".", markersize=4.5, color=look["color"], alpha=0.6, markeredgewidth=0,
                      transform=_aside(axes, look["aside"] + DODGE / 2), zorder=2)  # fmt: skip
        _line(axes, rows, look, place, name, np.ones(len(rows), bool))
        if "is_reference" in rows:
            ringed = rows[rows["is_reference"].astype(bool)]
            axes.plot(ringed["x"], ringed["score"], "o", markersize=12, markerfacecolor="none", markeredgecolor=INK,
                      markeredgewidth=1, transform=place, zorder=5)  # fmt: skip
    values = np.concatenate([table[["score", "low", "high"]].to_numpy(float).ravel(), [] if seeds is None else
                             seeds["score"].to_numpy(float)])  # fmt: skip
    axes.set_ylim(*_limits(values))


def _differences(axes: Axes, table: pd.DataFrame, looks: Mapping[str, dict]) -> None:
    axes.axhline(0, color=MUTED, linewidth=1)
    free = [marker for marker in SERIES_MARKERS if marker not in {look["marker"] for look in looks.values()}]
    used = set()
    for relation, rows in table.groupby("relation", sort=False):
        rows = rows.sort_values("x")
        look = looks[rows["series"].iloc[0]]
        if (look["color"], look["marker"]) in used and free:  # a second difference of this series
            look = look | {"marker": free.pop(0), "aside": look["aside"] + DODGE / 2}
        used.add((look["color"], look["marker"]))
        place = _aside(axes, look["aside"])
        origin = rows["origin"].dropna().unique()
        _line(axes, rows, look, place, relation, rows["significant"].to_numpy(bool), through=origin)
        axes.plot(origin, np.zeros(len(origin)), "|", markersize=11, markeredgewidth=1.6, color=look["color"],
                  transform=place, zorder=4)  # fmt: skip
    axes.set_ylim(*_limits(np.append(table[["score", "low", "high"]].to_numpy(float).ravel(), 0.0)))


def _line(
    axes: Axes, rows: pd.DataFrame, look: dict, place: Transform, name: str, filled: np.ndarray, through=()
) -> None:  # fmt: skip
    """Points joined by a line, with intervals; those that are not `filled` are hollow. `through`: x where it is 0."""
    colour = look["color"]
    axes.vlines(rows["x"], rows["low"], rows["high"], color=colour, linewidth=1.4, alpha=0.7, transform=place, zorder=3)
    joined = sorted([*zip(rows["x"], rows["score"], strict=True), *((x, 0.0) for x in through)])
    axes.plot(*zip(*joined, strict=True), color=colour, linewidth=1.6, transform=place, zorder=3)
    for chosen, face in ((filled, colour), (~filled, "white")):
        axes.plot(rows["x"][chosen], rows["score"][chosen], look["marker"], markersize=6, color=colour,
                  markerfacecolor=face, markeredgecolor=colour if face == "white" else "white",
                  markeredgewidth=1.4 if face == "white" else 0.8, transform=place, zorder=4)  # fmt: skip
    axes.plot([], [], color=colour, linewidth=1.6, marker=look["marker"], markersize=6, label=str(name))


def _limits(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return -1.0, 1.0
    margin = max(0.08 * (values.max() - values.min()), 0.005)
    return values.min() - margin, values.max() + margin


def _lay_out(axes: Axes, values: np.ndarray, scale: str, tick: Callable[[float], str], aside: float) -> None:
    """Scale, limits and ticks of the x axis: a tick at every value that was tried, room for steps aside in points."""
    values = np.unique(np.asarray(values, float))
    options = {"linthresh": values[values > 0].min(), "linscale": 0.6} if scale == "symlog" else {}
    axes.set_xscale(scale, **options)
    axes.set_xticks(values, [tick(value) for value in values])
    axes.minorticks_off()
    forward, back = axes.transScale.transform, axes.transScale.inverted().transform
    ends = forward([(values[0], 0.0), (values[-1], 0.0)])[:, 0]
    margin = (0.06 + aside / 200) * (ends[1] - ends[0]) or 0.5
    axes.set_xlim(back([(ends[0] - margin, 0.0), (ends[1] + margin, 0.0)])[:, 0])


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """The names of all lines of a row of panels, once each, right of the row."""
    handles = {}
    for axes in panels:
        grid_lines(axes, "y")
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    panels[-1].legend(handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1.01, 0.5), labelspacing=0.8)
