"""How often each word is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from affect_core.figures.arrays import as_array
from affect_core.figures.style import (
    INK,
    counts_of,
    expression_colour,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)


@figure_function
def answer_histograms(
    shares: Mapping[str, np.ndarray],
    vocabulary: Sequence[str],
    *,
    truth=None,
    n: int | None = None,
    unit: str = "faces",
    source: str = "",
    title: str = "What is answered, and how often",
) -> Figure:
    """One panel a setting, one bar an expression: the share of faces so called; dots the seeds, a tick the annotations.

    shares      setting -> (seeds, C) or (C,) shares of the answers, summing to 1 (`ablation_readings.answer_table`)
    vocabulary  C names
    truth       (C,) shares of the annotations, or None
    A bar of one word that towers over its tick is a collapse: the model has one answer for nearly everybody.

    >>> answer_histograms({"weight 0": [.2, .3, .1, .2, .1, .1], "weight 100": [0, 0, 0, .2, .8, 0]}, LSD_EXPRESSIONS,
    ...                   truth=np.full(6, 1 / 6), n=800, source="synthetic corpus")
    <Figure size ...>
    """
    rows = np.arange(len(vocabulary))
    figure, _ = titled_figure(
        2.5 * len(shares) + 1.0,
        0.3 * len(vocabulary) + 0.8,
        title,
        subtitle_of(
            counts_of(n, unit), source, "bar: mean over seeds, dot: a seed", "tick: annotated" * (truth is not None)
        ),
    )  # fmt: skip
    panels = figure.subplots(1, len(shares), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, values) in zip(panels, shares.items(), strict=True):
        values = 100 * np.atleast_2d(as_array(values))  # (seeds, C)
        axes.barh(rows, values.mean(axis=0), height=0.68, color=[expression_colour(word) for word in vocabulary])
        for seed in values:
            axes.plot(seed, rows, "o", markersize=3.6, color="white", markeredgecolor=INK, markeredgewidth=0.8)
        if truth is not None:
            axes.vlines(100 * as_array(truth), rows - 0.42, rows + 0.42, color=INK, linewidth=1.8, zorder=4)
        axes.set_title(f"{name} ({len(values)} seed{'s' if len(values) > 1 else ''})")
        axes.set(xlabel=f"% of {unit}", xlim=(0, 100), yticks=rows)
        axes.tick_params(axis="y", length=0)
        grid_lines(axes, "x")
    panels[0].set_yticks(rows, list(vocabulary))
    panels[0].invert_yaxis()
    return figure
