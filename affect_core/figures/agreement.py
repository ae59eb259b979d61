"""How predictions agree with labels: confusion of expressions, F1 of action units, thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from affect_core.figures.arrays import as_array
from affect_core.figures.style import (
    ACTION_UNIT_COLOURS,
    BASELINE,
    INK,
    PUBLISHED,
    SEQUENTIAL,
    action_unit_label,
    count,
    expression_colour,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)
from affect_core.labels import ACTION_UNITS, EXPRESSIONS


@figure_function
def confusion_matrix(
    counts,
    vocabulary: Sequence[str] = EXPRESSIONS,
    *,
    source: str = "",
    unit: str = "faces",
    title: str = "Confusion of expressions",
) -> Figure:
    """Rows are annotated, columns predicted; colour and large number: per cent of the row, small number: the count.

    counts      (C, C) faces, counts[i, j] annotated i and predicted j
    vocabulary  C names, in the order of `counts`
    A cell without a face is blank; so is the row of a class that nobody was annotated with. The subtitle gives accuracy
    and mean recall.

    >>> confusion_matrix(np.eye(8, dtype=int) * 20, EXPRESSIONS, source="synthetic corpus, validation")
    <Figure size ...>
    """
    counts = as_array(counts)
    if counts.shape != (len(vocabulary), len(vocabulary)):
        raise ValueError(f"counts must be {len(vocabulary)} x {len(vocabulary)} for {vocabulary}; got {counts.shape}")
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(100 * counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    recall = np.nanmean(np.diag(share)) / 100 if np.isfinite(share).any() else float("nan")
    side = 0.52 * len(vocabulary)
    figure, _ = titled_figure(
        side + 2.6,
        side + 0.95,
        title,
        subtitle_of(count(counts.sum(), unit), source, f"accuracy {accuracy:.2f}, mean recall {recall:.2f}"),
    )
    axes = figure.subplots()
    image = axes.imshow(share, cmap=SEQUENTIAL, vmin=0, vmax=100)
    for (row, column), value in np.ndenumerate(share):
        if counts[row, column] > 0:
            colour = "white" if value > 55 else INK
            axes.text(
                column,
                row - 0.08,
                f"{value:.0f}" if value >= 0.5 else "<1",
                ha="center",
                va="center",
                fontsize=9,
                color=colour,
                fontweight="bold" if row == column else "normal",
            )
            axes.text(
                column,
                row + 0.27,
                f"{int(counts[row, column]):,}",
                ha="center",
                va="center",
                fontsize=6,
                color=colour,
                alpha=0.8,
            )
    axes.set_xticks(range(len(vocabulary)), vocabulary, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(
        range(len(vocabulary)), [f"{name}  ({int(n):,})" for name, n in zip(vocabulary, total[:, 0], strict=True)]
    )
    axes.set(xlabel="predicted", ylabel=f"annotated ({unit})")
    axes.tick_params(length=0)
    for tick, name in zip(axes.get_yticklabels(), vocabulary, strict=True):
        tick.set_color(INK)
        axes.plot(
            [-0.5, -0.5],
            [vocabulary.index(name) - 0.46, vocabulary.index(name) + 0.46],
            color=expression_colour(name),
            linewidth=4,
            clip_on=False,
            solid_capstyle="butt",
        )
    axes.spines[:].set_visible(False)
    axes.set(xlim=(-0.5, len(vocabulary) - 0.5), ylim=(len(vocabulary) - 0.5, -0.5))
    figure.colorbar(image, ax=axes, shrink=0.6, aspect=24, pad=0.02, label="% of the row").outline.set_visible(False)
    return figure


@figure_function
def action_unit_bars(
    f1,
    constant,
    *,
    published=None,
    low=None,
    high=None,
    published_name: str = "published",
    n: int | None = None,
    source: str = "",
    unit: str = "faces",
    title: str = "F1 of each action unit",
) -> Figure:
    """One bar an action unit: F1 with interval, a tick where the best constant answer would be, a ring for published.

    f1, constant  (12,) in [0, 1], columns ACTION_UNITS; `constant` is the F1 of always (or never) answering "active"
    published     (12,) or None (nan where not published);  low, high (12,) interval limits or None
    n             number of faces scored, for the subtitle

    >>> action_unit_bars(np.full(12, 0.6), np.full(12, 0.3), low=np.full(12, 0.5), high=np.full(12, 0.7), n=1200)
    <Figure size ...>
    """
    f1, constant = as_array(f1), as_array(constant)
    interval = low is not None and high is not None
    figure, _ = titled_figure(
        7.2,
        3.9,
        title,
        subtitle_of(
            count(n, unit) if n is not None else "",
            source,
            f"mean {np.nanmean(f1):.3f}, best constant {np.nanmean(constant):.3f}",
        ),
    )
    axes = figure.subplots()
    rows = np.arange(len(ACTION_UNITS))
    axes.barh(rows, f1, height=0.66, color=list(ACTION_UNIT_COLOURS.values()))
    axes.vlines(constant, rows - 0.42, rows + 0.42, color="white", linewidth=4, zorder=2)
    axes.vlines(constant, rows - 0.42, rows + 0.42, color=INK, linewidth=1.8, zorder=3)
    keys = [
        Line2D(
            [],
            [],
            color=INK,
            linewidth=1.8,
            marker="|",
            markersize=10,
            linestyle="none",
            markeredgewidth=1.8,
            label="best constant answer",
        )
    ]
    if interval:
        low, high = as_array(low), as_array(high)
        axes.hlines(rows, low, high, color="white", linewidth=3.4, zorder=3)
        axes.hlines(rows, low, high, color=INK, linewidth=1.2, zorder=4)
        keys.append(Line2D([], [], color=INK, linewidth=1.2, label="95 % interval"))
    if published is not None:
        axes.scatter(as_array(published), rows, s=34, facecolor="white", edgecolor=PUBLISHED, linewidth=1.4, zorder=5)
        keys.append(
            Line2D([], [], marker="o", color=PUBLISHED, markerfacecolor="white", linestyle="none", label=published_name)
        )
    for row, value in enumerate(f1):
        axes.text(1.012, row, f"{value:.2f}", va="center", fontsize=8)
    axes.set_yticks(rows, [action_unit_label(au) for au in ACTION_UNITS])
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 1), xlabel="F1 of the active class")
    axes.invert_yaxis()
    grid_lines(axes, "x")
    axes.spines["left"].set_visible(False)
    figure.legend(handles=keys, loc="outside lower right", ncols=len(keys), handletextpad=0.4)
    return figure


@figure_function
def threshold_curves(
    thresholds,
    f1,
    chosen=None,
    *,
    validation_f1=None,
    source: str = "",
    n: int | None = None,
    unit: str = "faces",
    title: str = "F1 against the decision threshold",
) -> Figure:
    """Twelve small panels: F1 of an action unit as its probability threshold moves; a line where it was set.

    thresholds     (T,) probabilities;  f1 (12, T) on the data the thresholds are fitted on
    chosen         (12,) thresholds chosen on those, or None
    validation_f1  (12, T) the same curves on held-out data, or None: where they part, the threshold does not carry over

    >>> threshold_curves(np.linspace(0, 1, 101), f1, chosen=thresholds, source="synthetic corpus, training")
    <Figure size ...>
    """
    thresholds, f1 = as_array(thresholds), as_array(f1)
    figure, _ = titled_figure(
        9.6,
        4.6,
        title,
        subtitle_of(
            count(n, unit) if n is not None else "",
            source,
            "coloured: fitted on, grey: held out" if validation_f1 is not None else "",
            "vertical line and number: chosen threshold" if chosen is not None else "",
        ),
    )
    panels = figure.subplots(3, 4, sharex=True, sharey=True)
    for index, (axes, au) in enumerate(zip(panels.flat, ACTION_UNITS, strict=True)):
        if validation_f1 is not None:
            axes.plot(thresholds, as_array(validation_f1)[index], color=BASELINE, linewidth=2.2)
        axes.plot(thresholds, f1[index], color=ACTION_UNIT_COLOURS[au])
        if chosen is not None:
            at = float(as_array(chosen)[index])
            axes.axvline(at, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        words = f": {at:.2f}" if chosen is not None else ""  # in the title, where no curve runs
        axes.set_title(action_unit_label(au) + words, fontsize=8, fontweight="normal")
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        grid_lines(axes, "y")
    figure.supxlabel("threshold on the probability", fontsize=9)
    figure.supylabel("F1", fontsize=9)
    return figure
