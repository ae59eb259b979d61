"""What a corpus holds: label counts and which action units occur together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from affect_core.figures.arrays import as_array
from affect_core.figures.style import (
    ACTION_UNIT_COLOURS,
    INK,
    MUTED,
    SEQUENTIAL,
    action_unit_label,
    count,
    expression_colour,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)
from affect_core.labels import ACTION_UNITS, AffectLabels


@figure_function
def label_counts(
    splits: Mapping[str, AffectLabels], *, source: str = "", unit: str = "faces", title: str = "What is annotated"
) -> Figure:
    """Up to three panels: share of each expression, rate of each action unit, share of annotated faces per task.

    splits  name -> labels (numpy), e.g. {"training": ..., "validation": ...}; the first is drawn solid, others lighter.
            Shares are of the annotated faces; the counts of all splits stand beside the bars, in order. What no split
            has annotated has no panel.

    >>> label_counts({"training": corpus.split("training").labels, "validation": corpus.split("validation").labels})
    <Figure size ...>
    """
    names, labels = list(splits), [part.numpy() for part in splits.values()]
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in zip(names, labels, strict=True))
    strength = "; ".join(f"{name}: {word}" for name, word in zip(names, ("solid", "light", "lighter"), strict=False))
    expressions = any(part.expression_valid.any() for part in labels)
    units = any(part.action_units_valid.any() for part in labels)
    widths = [*([1.0] if expressions else []), *([1.25] if units else []), 0.75]
    numbers = f"numbers: {unit} of {' / '.join(names)}" if len(names) > 1 else f"numbers: {unit}"
    figure, _ = titled_figure(
        3.4 * sum(widths) + 0.2, 3.5, title,
        subtitle_of(f"n = {sizes} {unit}", source, strength if len(names) > 1 else "", numbers),
    )  # fmt: skip
    panels = list(figure.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0])
    if expressions:
        axes, vocabulary = panels.pop(0), labels[0].vocabulary
        found = [np.bincount(part.expression[part.expression_valid], minlength=len(vocabulary)) for part in labels]
        known = [max(part.expression_valid.sum(), 1) for part in labels]
        _grouped(axes, found, known, list(vocabulary), [expression_colour(name) for name in vocabulary])
        axes.set_title("expressions")
        axes.set_xlabel(f"% of {unit} with an expression")
    if units:
        axes = panels.pop(0)
        positive = [((part.action_units > 0.5) & part.action_units_valid).sum(axis=0) for part in labels]
        known = [np.maximum(part.action_units_valid.sum(axis=0), 1) for part in labels]
        _grouped(
            axes, positive, known, [action_unit_label(au) for au in ACTION_UNITS], list(ACTION_UNIT_COLOURS.values())
        )
        axes.set_title("action units that are active")
        axes.set_xlabel(f"% of {unit} with that unit annotated")
    annotated = [
        np.array([part.valence_arousal_valid.all(axis=1).sum(), part.expression_valid.sum(),
                  part.action_units_valid.any(axis=1).sum()])
        for part in labels
    ]  # fmt: skip
    words = ["valence,\narousal", "expression", "action\nunits"]
    _grouped(panels[0], annotated, [max(len(part), 1) for part in labels], words, [MUTED] * 3)
    panels[0].set_title("annotated at all")
    panels[0].set_xlabel(f"% of {unit}")
    return figure


def _grouped(axes, counts, totals, rows, colours) -> None:
    """Horizontal bars in per cent, one thin bar a split; the counts of all splits as text."""
    thickness = 0.78 / len(counts)
    place = np.arange(len(rows))
    longest = max(float(np.max(100 * part / total, initial=0)) for part, total in zip(counts, totals, strict=True))
    for index, (part, total) in enumerate(zip(counts, totals, strict=True)):
        y = place - 0.39 + (index + 0.5) * thickness
        axes.barh(
            y, 100 * part / total, height=thickness * 0.92, color=colours, alpha=1.0 if index == 0 else 0.45 / index
        )
    ends = np.max([100 * part / total for part, total in zip(counts, totals, strict=True)], axis=0)
    for row, end in enumerate(ends):
        words = " / ".join(f"{int(part[row]):,}" for part in counts)
        axes.annotate(words, (end, row), (4, 0), textcoords="offset points", va="center", fontsize=7.5)
    axes.set_yticks(place, rows)
    axes.set_xlim(0, max(longest * (1.2 + 0.22 * (len(counts) - 1)), 1.0))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    grid_lines(axes, "x")


@figure_function
def action_unit_cooccurrence(
    action_units, valid=None, *, source: str = "", unit: str = "faces", title: str = "Which action units come together"
) -> Figure:
    """How often the column's unit is active among faces on which the row's unit is: P(column | row), in per cent.

    action_units  (N, 12) 1 active, 0 inactive, columns ACTION_UNITS;  valid (N, 12) bool or None
    The separate row at the bottom is the base rate P(column's unit), which each column is to be compared with. Where
    two units never come together, and in rows seen active on no face, cells are blank.

    >>> action_unit_cooccurrence(labels.action_units, labels.action_units_valid, source="synthetic corpus")
    <Figure size ...>
    """
    active = as_array(action_units) > 0.5
    valid = np.ones(active.shape, bool) if valid is None else as_array(valid) > 0.5
    on, known = (active & valid).astype(float), valid.astype(float)
    both, asked = on.T @ on, on.T @ known
    share = np.divide(100 * both, asked, out=np.full_like(both, np.nan), where=asked > 0)
    np.fill_diagonal(share, np.nan)
    base = 100 * on.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    figure, _ = titled_figure(
        7.4,
        5.1,
        title,
        subtitle_of(count(valid.any(axis=1).sum(), unit), source, f"per cent of {unit} with the row's unit"),
    )
    matrix, below = figure.subplots(2, 1, height_ratios=(12, 1.0))
    for axes, values in ((matrix, share), (below, base[None, :])):
        axes.imshow(values, cmap=SEQUENTIAL, vmin=0, vmax=100, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value) and (value > 0 or axes is below):
                words = f"{value:.0f}" if value >= 0.5 or value == 0 else "<1"
                colour = "white" if value > 55 else INK
                axes.text(column, row, words, ha="center", va="center", fontsize=7.5, color=colour)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xticks(range(12), [action_unit_label(au, name=False) for au in ACTION_UNITS], fontsize=7.5)
    matrix.set_yticks(range(12), [action_unit_label(au) for au in ACTION_UNITS])
    matrix.set_ylabel("given that this unit is active")
    matrix.tick_params(axis="x", labelbottom=False, labeltop=True)
    below.set_yticks([0], ["whatever else is active"], fontweight="bold")
    below.set_xlabel("this unit is active too; to compare: the same column's number in the bottom row")
    return figure
