"""One thing changed, the answer watched: hidden parts, nudged scores, an action unit turned up."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from affect_core.figures.arrays import as_array
from affect_core.figures.circumplex import HALO, draw_circumplex
from affect_core.figures.style import (
    ACTION_UNIT_COLOURS,
    BASELINE,
    INK,
    MUTED,
    OURS,
    counts_of,
    expression_colour,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)


@figure_function
def masking_curve(
    mask_ratios,
    scores: Mapping[str, np.ndarray],
    *,
    intervals: Mapping[str, np.ndarray] | None = None,
    trained_at: float | None = None,
    constant: float | None = None,
    score_name: str = "macro F1",
    n: int | None = None,
    unit: str = "faces",
    source: str = "",
    title: str = "How much of a face must be seen",
) -> Figure:
    """A score as more and more of each face is hidden at test time.

    mask_ratios  (R,) shares of hidden patches, in [0, 1)
    scores       name -> (R,), e.g. {"both views": ..., "view 1": ...}; the first is drawn bold
    intervals    name -> (R, 2) 95 % limits, a band (of `interventions.masking_effects`: over faces and masks); or None
    trained_at   the mask ratio of training, a vertical line;  constant  the best constant answer, a horizontal one

    >>> masking_curve([0, 0.5, 0.9], {"both views": [0.5, 0.48, 0.3]}, trained_at=0.5, constant=0.05, n=900)
    <Figure size ...>
    """
    bands = "band: 95 % interval" if intervals else ""
    figure, _ = titled_figure(6.4, 3.0, title, subtitle_of(counts_of(n, unit), source, bands))
    axes = figure.subplots()
    if constant is not None:
        axes.axhline(constant, color=BASELINE, linewidth=1.6, label="best constant answer")
    if trained_at is not None:
        axes.axvline(trained_at, color=INK, linewidth=1, linestyle=(0, (3, 2)), label="hidden in training")
    for index, (name, values) in enumerate(scores.items()):
        look = {"color": OURS, "linewidth": 2.2} if index == 0 else {"color": MUTED, "linewidth": 1.1}
        if intervals and name in intervals:
            axes.fill_between(mask_ratios, *as_array(intervals[name]).T, color=look["color"], alpha=0.18, linewidth=0)
        axes.plot(mask_ratios, as_array(values), marker="osD^v"[index % 5], markersize=4, label=name, **look)
    axes.set(xlabel="patches hidden at test time", ylabel=score_name, xlim=(-0.02, 1.0), ylim=(0, None))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    grid_lines(axes, "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


@figure_function
def influence_bars(
    influence: pd.DataFrame,
    *,
    expected: Mapping[str, Mapping[str, int]] | None = None,
    n: int | None = None,
    unit: str = "faces",
    source: str = "",
    title: str = "What each score adds to valence and arousal",
) -> Figure:
    """Signed bars, one row a score, one panel for valence and one for arousal.

    influence  table of `interventions.score_influence`: index (network, score), columns valence and arousal
    expected   {"valence": {"AU12": 1, ...}, ...}: the sign one would expect, an arrowhead beside the bar; or None

    >>> influence_bars(score_influence(model, images), expected={"valence": {"AU12": 1}}, n=200, source="synthetic")
    <Figure size ...>
    """
    figure, _ = titled_figure(
        8.6,
        0.165 * len(influence) + 0.8,
        title,
        subtitle_of(
            counts_of(n, unit),
            source,
            "change when a score rises by one standard deviation, the others held",
            "arrowhead: expected direction" if expected else "",
        ),
    )
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    rows = np.arange(len(influence))
    for axes, name in zip(panels, ("valence", "arousal"), strict=True):
        axes.barh(rows, influence[name], height=0.72, color=[_score_colour(score) for _, score in influence.index])
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_title(name)
        axes.set_xlabel(f"change of {name}")
        grid_lines(axes, "x")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    reach = 1.25 * max(float(influence[["valence", "arousal"]].abs().max().max()), 1e-6)
    panels[0].set(xlim=(-reach, reach), ylim=(len(rows) - 0.4, -0.6))
    panels[0].set_yticks(rows, [f"{network}  {score}" for network, score in influence.index], fontsize=7.5)
    for axes, name in zip(panels, ("valence", "arousal"), strict=True):
        for row, (_, score) in enumerate(influence.index):
            if sign := (expected or {}).get(name, {}).get(score):
                axes.plot(sign * 0.94 * reach, row, marker=">" if sign > 0 else "<", color=INK, markersize=4.5)
        for border in np.flatnonzero(_group_starts(influence.index)):
            axes.axhline(border - 0.5, color="#c3c9d0", linewidth=0.8)
    return figure


@figure_function
def circumplex_paths(
    paths: Mapping[str, np.ndarray],
    *,
    references: Mapping[str, np.ndarray] | None = None,
    reference_name: str = "reference",
    n: int | None = None,
    unit: str = "faces",
    source: str = "",
    title: str = "From here to there on the circumplex",
) -> Figure:
    """Ways across the circumplex: from a hollow dot to a filled one, named at its end.

    paths       name -> (K, 2) points (valence, arousal) in order, or (P, K, 2) one path a person: thin, the mean bold.
                A name that starts with an expression or with "AU12" gets that colour.
    references  name -> (K, 2), drawn dashed in the colour of the same name, or None

    >>> circumplex_paths({"AU12": [[0, 0], [0.3, 0.1]]}, references={"AU12": [[0, 0], [0.5, 0.3]]}, source="synthetic")
    <Figure size ...>
    """
    figure, _ = titled_figure(
        6.4,
        5.0,
        title,
        subtitle_of(counts_of(n, unit), source, f"dashed: {reference_name}" if references else ""),
    )
    axes = figure.subplots()
    draw_circumplex(axes)
    for name, points in paths.items():
        points, colour = np.clip(as_array(points), -1, 1), _score_colour(name)
        if points.ndim == 3:
            for one in points:
                axes.plot(*one.T, color=colour, linewidth=0.8, alpha=0.35, zorder=2)
            points = points.mean(axis=0)
        if references and name in references:
            axes.plot(*as_array(references[name]).T, color=colour, linewidth=1.4, linestyle=(0, (4, 2)), zorder=3)
        _path(axes, points, colour, name)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), labelspacing=0.7)
    return figure


def _path(axes: Axes, points: np.ndarray, colour: str, name: str) -> None:
    axes.plot(*points.T, color=colour, linewidth=2.2, zorder=4, path_effects=HALO)
    axes.plot(*points[0], marker="o", markersize=6, color=colour, markerfacecolor="white", zorder=5)
    axes.plot(*points[-1], marker="o", markersize=7.5, color=colour, markeredgecolor="white", zorder=6,
              linestyle="none", label=name)  # fmt: skip


@figure_function
def attention_distances(
    distances: Mapping[str, np.ndarray],
    *,
    uniform: float | None = None,
    n: int | Mapping[str, int] | None = None,
    unit: str = "faces",
    source: str = "",
    title: str = "How far each head looks",
) -> Figure:
    """Mean distance between a patch and what it gathers from, every head a dot, the line their mean.

    distances  name -> (depth, heads) in patches, of `explain.attention_distance`; one panel a name
    uniform    the distance if every patch looked at all patches alike, a horizontal line
    n          over how many faces the distances are means, of all or by name

    >>> attention_distances({"EMMA": attention_distance(attention)}, uniform=3.6, source="synthetic corpus")
    <Figure size ...>
    """
    figure, _ = titled_figure(
        3.1 * len(distances) + 0.6, 2.7, title,
        subtitle_of(counts_of(n, unit), source, "dot: a head, blue line: mean of a layer",
                    "grey line: looking everywhere alike" if uniform is not None else ""),
    )  # fmt: skip
    panels = figure.subplots(1, len(distances), squeeze=False, sharey=True)[0]
    for axes, (name, values) in zip(panels, distances.items(), strict=True):
        values = as_array(values)
        layers = np.arange(1, len(values) + 1)
        axes.scatter(np.repeat(layers, values.shape[1]), values.ravel(), s=22, color=OURS, alpha=0.55, linewidths=0)
        axes.plot(layers, values.mean(axis=1), color=OURS)
        if uniform is not None:
            axes.axhline(uniform, color=BASELINE, linewidth=1.6)
        axes.set(xlabel="layer", ylim=(0, None), xticks=layers)
        axes.set_title(name)
        grid_lines(axes, "y")
    panels[0].set_ylabel("distance (patches)")
    return figure


def _score_colour(name: str) -> str:
    """The colour of an expression or of an action unit, by the first word of `name`."""
    word = (str(name).replace(",", " ").split() or [""])[0]
    if word.startswith("AU") and word[2:].isdigit():
        return ACTION_UNIT_COLOURS.get(int(word[2:]), MUTED)
    return expression_colour(word.lower())


def _group_starts(index: pd.MultiIndex) -> np.ndarray:
    """True where a new network, or the first action unit of one, begins; never for the first row."""
    kinds = [(network, score.startswith("AU")) for network, score in index]
    return np.array([False] + [here != before for before, here in pairwise(kinds)])
