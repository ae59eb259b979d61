"""Scores beside scores: the parts of P_MTL, ablations with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from affect_core.figures.style import (
    INK,
    MUTED,
    OURS,
    PUBLISHED,
    TASK_COLOURS,
    counts_of,
    figure_function,
    grid_lines,
    quantity_name,
    subtitle_of,
    titled_figure,
)


@figure_function
def score_bars(
    scores: Mapping[str, Mapping],
    *,
    published: Sequence[str] = (),
    n: int | None = None,
    unit: str = "faces",
    source: str = "",
    title: str = "P_MTL and its three parts",
) -> Figure:
    """Stacked bars: mean CCC of valence and arousal + mean F1 of 8 expressions + mean F1 of 12 action units = P_MTL.

    scores     name -> {"valence_arousal_ccc", "expression_f1", "action_unit_f1"} as `metrics.mtl_score` returns them
               (other keys are ignored), or {"p_mtl"} where only the sum is known; optional "low" and "high": limits
               of the sum's interval. A negative CCC is drawn to the left of zero.
    published  which names are other people's results on the real corpus: words under the figure, never bars beside ours
    n, source  of the results that are not published

    >>> score_bars({"EMMA": mtl_score(prediction, labels) | {"low": 1.2, "high": 1.4},
    ...             "best constant": best_constant_prediction(labels)}, n=900, source="synthetic corpus")
    <Figure size ...>
    """
    names = [name for name in scores if name not in published]
    elsewhere = [f"{name} {_total(scores[name]):.2f}" for name in scores if name in published]
    figure, _ = titled_figure(
        8.0,
        0.42 * len(names) + 1.15,
        title,
        subtitle_of(
            counts_of(n, unit),
            source,
            "line: 95 % interval of the sum" if any("low" in scores[name] for name in names) else "",
        ),
        note=f"Published, on the real s-Aff-Wild2, not comparable: {', '.join(elsewhere)}." if elsewhere else "",
    )
    axes = figure.subplots()
    ours = [scores[name] for name in names]
    reach = [value for parts in ours for value in (_total(parts), parts.get("high", 0.0)) if np.isfinite(value)]
    negative = [parts.get("valence_arousal_ccc", 0.0) for parts in ours]
    axes.set_xlim(1.15 * np.nanmin([0.0, *negative]), 1.1 * max(reach, default=1.0))
    for place, parts in enumerate(ours):
        _score_bar(axes, place, parts)
    axes.axvline(0, color="#aab2bb", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("P_MTL, at most 3")
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    grid_lines(axes, "x")
    keys = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in TASK_COLOURS.values()]
    axes.legend(keys, [quantity_name(task) for task in TASK_COLOURS], loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return figure


def _score_bar(axes: Axes, place: float, parts: Mapping) -> None:
    """One stacked bar with the numbers of its parts, the sum's interval and the sum."""
    look = {"height": 0.62, "edgecolor": "white", "linewidth": 0.8}
    room = axes.get_xlim()[1]
    known = {task: float(parts[task]) for task in TASK_COLOURS if np.isfinite(parts.get(task, np.nan))}
    end = 0.0
    for task, width in known.items():
        start = end if width >= 0 else 0.0
        axes.barh(place, width, left=start, color=TASK_COLOURS[task], **look)
        end = max(end, start + width)
        if width > 0.055 * room:
            colour = INK if task == "expression_f1" else "white"
            axes.text(start + width / 2, place, f"{width:.2f}", ha="center", va="center", fontsize=8, color=colour)
    total = _total(parts)
    if not known and np.isfinite(total):
        axes.barh(place, total, color="#cfd4da", **look)
    end = np.nanmax([end, total])
    if np.isfinite([total, parts.get("low", np.nan), parts.get("high", np.nan)]).all():
        middle, half = (parts["low"] + parts["high"]) / 2, (parts["high"] - parts["low"]) / 2
        axes.errorbar(middle, place, xerr=half, fmt="none", color=INK, linewidth=1.4, capsize=3)
        end = max(end, parts["high"])
    words = f"{total:.2f}" if np.isfinite(total) else "sum undefined"
    axes.text(end + 0.012 * room, place, words, va="center", fontweight="bold")


def _total(parts: Mapping) -> float:
    return float(parts["p_mtl"] if "p_mtl" in parts else sum(parts[task] for task in TASK_COLOURS))


@figure_function
def ablation_plot(
    table: pd.DataFrame,
    *,
    differences: pd.DataFrame | None = None,
    score_name: str = "score",
    signed: bool = False,
    note: str = "",
    source: str = "",
    title: str = "What each idea is worth",
) -> Figure:
    """One panel an idea, one row a setting: every seed a dot, their mean a bar, its interval a line.

    table       tidy: columns idea, setting, score; optional seed, low, high (interval limits of that row's score).
                Settings keep the table's order; rows with the same idea and setting are seeds of one setting.
                An optional column `metric` names what an idea is scored by; only ideas of one metric share an axis.
    differences  drawn beside the scores: columns idea, setting (the one compared), difference (first minus this one),
                low, high, significant, same_sign (in words, e.g. "4 of 5"); or None
    score_name  what the score is where there is no column `metric`, e.g. "P_MTL";  note  stands under the figure
    signed      the scores are changes: every number has its sign, and a line marks zero
    An optional boolean column `is_reference` marks what the others are compared with: printed bold, drawn blue.
    With several seeds the line is the range of the seeds; with one, or without the column, it is low..high (e.g. a
    bootstrap over videos).

    >>> ablation_plot(pd.DataFrame({"idea": "JS", "setting": ["weight 0", "weight 100"], "score": [.41, .47]}))
    <Figure size ...>
    """
    missing = {"idea", "setting", "score"} - set(table.columns)
    if missing:
        raise ValueError(f"the ablation table lacks the columns {sorted(missing)}")
    ideas = list(dict.fromkeys(table["idea"]))
    settings = {idea: list(dict.fromkeys(table.loc[table["idea"] == idea, "setting"])) for idea in ideas}
    seeds = table["seed"].nunique() if "seed" in table else 1
    bounds = {"low", "high"} <= set(table.columns)
    heights = [len(settings[idea]) + 0.9 for idea in ideas]
    axes_named = table["metric"].nunique() if "metric" in table else 1
    line = "line: range over seeds" if seeds > 1 else "line: 95 % interval" if bounds else ""
    figure, _ = titled_figure(
        7.2 if differences is None else 11.0,
        0.29 * sum(heights) + 0.55 * axes_named,
        title,
        subtitle_of(
            f"{seeds} seed{'s' if seeds > 1 else ''}" if "seed" in table else "",
            source,
            line,
            "bold: what the others are compared with" if "is_reference" in table else "",
            "filled: p < 0.05 after Holm's correction" if differences is not None else "",
        ),
        note=note,
    )
    columns = 1 if differences is None else 2
    grid = figure.subplots(len(ideas), columns, squeeze=False, height_ratios=heights, width_ratios=(1.2, 1)[:columns])
    panels = grid[:, 0]
    metric = {
        idea: table.loc[table["idea"] == idea, "metric"].iloc[0] if "metric" in table else score_name for idea in ideas
    }
    for position, (axes, idea) in enumerate(zip(panels, ideas, strict=True)):
        bold = []
        for row, setting in enumerate(settings[idea]):
            chosen = table[(table["idea"] == idea) & (table["setting"] == setting)]
            is_reference = bool(chosen["is_reference"].iloc[0]) if "is_reference" in table else False
            _ablation_row(
                axes, row, chosen, OURS if is_reference or "is_reference" not in table else MUTED, bounds, signed
            )
            bold.append(is_reference)
        axes.set_yticks(range(len(settings[idea])), [str(setting) for setting in settings[idea]])
        for tick, is_reference in zip(axes.get_yticklabels(), bold, strict=True):
            tick.set_fontweight("bold" if is_reference else "normal")
        axes.set_title(str(idea))
        if signed:
            axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
        axes.set_xlim(_reach(table[[metric[other] == metric[idea] for other in table["idea"]]], bounds))
        axes.set_ylim(len(settings[idea]) - 0.45, -0.55)
        axes.tick_params(axis="y", length=0)
        grid_lines(axes, "x")
        axes.spines["left"].set_visible(False)
        last = position + 1 == len(ideas) or metric[ideas[position + 1]] != metric[idea]
        axes.tick_params(axis="x", labelbottom=last)
        axes.set_xlabel(quantity_name(str(metric[idea])) if last else "")
        if differences is not None:
            alike = differences[differences["idea"].map(metric) == metric[idea]]
            beside = grid[position, 1]
            _difference_rows(beside, settings[idea], alike[alike["idea"] == idea])
            beside.set(ylim=axes.get_ylim(), xlim=_difference_reach(alike))
            beside.tick_params(axis="x", labelbottom=last)
            beside.set_xlabel("difference: bold − this, paired by seed" if last else "")
    return figure


def _difference_rows(axes: Axes, settings: Sequence, differences: pd.DataFrame) -> None:
    """The paired differences of an idea in the rows of its settings; the reference's own row stays empty."""
    axes.axvline(0, color=MUTED, linewidth=1)
    for row in differences.itertuples():
        place = settings.index(row.setting)
        axes.hlines(place, row.low, row.high, color=OURS, linewidth=2.2, alpha=0.5)
        axes.plot(row.difference, place, "o", markersize=6, color=OURS, markeredgewidth=1.4, markeredgecolor=OURS,
                  markerfacecolor=OURS if row.significant else "white", zorder=4)  # fmt: skip
        words = f"{row.difference:+.3f}, sign in {row.same_sign}".replace("-", "−")
        axes.text(0.99, place, words, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    grid_lines(axes, "x")


def _difference_reach(differences: pd.DataFrame) -> tuple[float, float]:
    """Limits of an axis that holds zero and every interval, with room for words at the right."""
    values = np.append(differences[["difference", "low", "high"]].to_numpy(float).ravel(), 0.0)
    values = values[np.isfinite(values)]
    span = max(values.max() - values.min(), 0.02)
    return values.min() - 0.08 * span, values.max() + 0.62 * span


def _reach(table: pd.DataFrame, bounds: bool) -> tuple[float, float]:
    """Limits of an axis that holds every score and interval of `table`, with room for a number at the right."""
    limits = [table["low"].dropna(), table["high"].dropna()] if bounds else []
    values = np.concatenate([table["score"], *limits]).astype(float)
    values = values[np.isfinite(values)]
    if not len(values):  # every score undefined
        return 0.0, 1.0
    margin = max(0.12 * (values.max() - values.min()), 0.01)
    return values.min() - margin, values.max() + 2.2 * margin


def _ablation_row(axes, row: int, chosen: pd.DataFrame, colour: str, bounds: bool, signed: bool) -> None:
    scores = chosen["score"].to_numpy(float)
    mean = scores.mean()
    low, high = scores.min(), scores.max()
    if len(scores) == 1 and bounds and np.isfinite([chosen["low"].iloc[0], chosen["high"].iloc[0]]).all():
        low, high = float(chosen["low"].iloc[0]), float(chosen["high"].iloc[0])
    axes.hlines(row, low, high, color=colour, linewidth=2.2, alpha=0.5)
    axes.scatter(scores, np.full(len(scores), row), s=16, color=colour, alpha=0.6, linewidths=0, zorder=3)
    axes.scatter(mean, row, s=70, marker="|", color=colour, linewidths=2.4, zorder=4)
    axes.annotate(
        f"{mean:+.3f}".replace("-", "−") if signed else f"{mean:.3f}",
        (max(high, mean), row),
        xytext=(7, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=PUBLISHED if colour == MUTED else INK,
    )
