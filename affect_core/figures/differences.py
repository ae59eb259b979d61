"""One setting against another: the two scores joined, and beside them the paired difference with its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affect_core.figures.style import (
    INK,
    MUTED,
    OURS,
    figure_function,
    grid_lines,
    quantity_name,
    subtitle_of,
    titled_figure,
)

COLUMNS = ("idea", "pair", "metric", "first", "second", "difference", "low", "high", "significant", "same_sign")


@figure_function
def paired_differences(
    table: pd.DataFrame, *, note: str = "", source: str = "", title: str = "One setting against another"
) -> Figure:
    """One row a comparison of two settings, one panel an idea: left both scores, right the paired difference.

    table  columns idea, pair (in words, "MAE against random"), metric, first, second (mean scores), difference (first
           minus second, paired by seed), low, high (its 95 % interval), significant, same_sign (e.g. "4 of 5" seeds)
    The scores carry no intervals: whether two settings differ is what the paired difference says, and that alone.
    Ideas of one metric share their axes. Raises ValueError if a column is missing.

    >>> paired_differences(pd.DataFrame({"idea": ["JS weight"], "pair": ["10 against 0"], "metric": ["expression_f1"],
    ...     "first": [.333], "second": [.345], "difference": [-.012], "low": [-.04], "high": [.02],
    ...     "significant": [False], "same_sign": ["2 of 3"]}), source="synthetic corpus")
    <Figure size ...>
    """
    if missing := set(COLUMNS) - set(table.columns):
        raise ValueError(f"the table of differences lacks the columns {sorted(missing)}")
    ideas = list(dict.fromkeys(zip(table["metric"], table["idea"], strict=True)))
    ideas.sort(key=lambda idea: list(dict.fromkeys(table["metric"])).index(idea[0]))  # one metric after the other
    parts = [table[(table["metric"] == metric) & (table["idea"] == idea)] for metric, idea in ideas]
    heights = [len(part) + 0.9 for part in parts]
    figure, _ = titled_figure(
        9.6,
        0.27 * sum(heights) + 0.5 * table["metric"].nunique(),
        title,
        subtitle_of(
            source, "left: dot the first, square what it is compared with",
            "right: first − second, paired by seed, 95 % interval", "filled: p < 0.05 after Holm's correction",
        ),
        note=note,
    )  # fmt: skip
    grid = figure.subplots(len(ideas), 2, squeeze=False, height_ratios=heights, width_ratios=(1, 1))
    for position, ((left, right), (metric, idea), part) in enumerate(zip(grid, ideas, parts, strict=True)):
        alike = table[table["metric"] == metric]
        _scores(left, part)
        _differences(right, part)
        left.set_title(str(idea))
        left.set_yticks(range(len(part)), [str(pair) for pair in part["pair"]])
        left.set_xlim(*_limits(alike[["first", "second"]].to_numpy(float)))
        right.set_xlim(*_limits(np.append(alike[["difference", "low", "high"]].to_numpy(float), 0.0)))
        last = position + 1 == len(ideas) or ideas[position + 1][0] != metric
        for axes, words in ((left, quantity_name(str(metric))), (right, "difference: first − second")):
            axes.set_ylim(len(part) - 0.45, -0.55)
            axes.tick_params(axis="y", length=0)
            axes.tick_params(axis="x", labelbottom=last)
            axes.set_xlabel(words if last else "")
            axes.spines["left"].set_visible(False)
            grid_lines(axes, "x")
    return figure


def _scores(axes: Axes, part: pd.DataFrame) -> None:
    rows = np.arange(len(part))
    axes.hlines(rows, part["first"], part["second"], color="#c3c9d0", linewidth=1.6, zorder=1.5)
    axes.plot(part["second"], rows, "s", markersize=6, color="white", markeredgecolor=MUTED, markeredgewidth=1.4)
    axes.plot(part["first"], rows, "o", markersize=6.5, color=OURS, markeredgecolor="white", markeredgewidth=0.6)


def _differences(axes: Axes, part: pd.DataFrame) -> None:
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    for place, row in enumerate(part.itertuples()):
        axes.hlines(place, row.low, row.high, color=OURS, linewidth=2.2, alpha=0.5)
        axes.plot(row.difference, place, "o", markersize=6.5, color=OURS, markeredgewidth=1.4, markeredgecolor=OURS,
                  markerfacecolor=OURS if row.significant else "white", zorder=4)  # fmt: skip
        words = f"{row.difference:+.3f}, sign in {row.same_sign} seeds".replace("-", "−")
        axes.text(1.01, place, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks([])


def _limits(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return -1.0, 1.0
    margin = 0.08 * max(values.max() - values.min(), 0.02)
    return values.min() - margin, values.max() + margin
