"""What a model says about one face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from affect_core.figures.arrays import as_array, as_images
from affect_core.figures.circumplex import draw_circumplex
from affect_core.figures.style import (
    ACTION_UNIT_COLOURS,
    INK,
    OURS,
    action_unit_label,
    expression_colour,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)
from affect_core.labels import ACTION_UNITS, EXPRESSIONS, VALENCE_RANGE


@figure_function
def prediction_card(
    image,
    expression_probabilities,
    action_unit_probabilities,
    valence_arousal,
    *,
    vocabulary: Sequence[str] = EXPRESSIONS,
    thresholds=None,
    expression: str | None = None,
    action_units=None,
    target_valence_arousal=None,
    source: str = "",
    title: str = "What the model reads from this face",
) -> Figure:
    """A face, the probability of each expression and action unit, and its point on the circumplex.

    image                      (H, W, 3) uint8 or float in [0, 1]
    expression_probabilities   (C,) softmax;  action_unit_probabilities (12,) sigmoid
    valence_arousal            (2,), clipped to [-1, 1] in what is drawn and written; then an arrow on the border
    thresholds                 (12,) probabilities from which a unit counts as active (default 0.5); paler below
    expression, action_units (12,), target_valence_arousal (2,)   annotations if known: ringed, ticked, a cross

    >>> prediction_card(image, softmax, sigmoid, (0.6, 0.2), expression="happiness", source="synthetic face")
    <Figure size ...>
    """
    image = as_images(np.asarray(image)[None])[0]
    expressions, units, point = (
        as_array(values) for values in (expression_probabilities, action_unit_probabilities, valence_arousal)
    )
    thresholds = np.full(len(ACTION_UNITS), 0.5) if thresholds is None else as_array(thresholds)
    beyond = np.sign(point) * (np.abs(point) > VALENCE_RANGE[1])  # (2,) to which side it leaves the plane, or 0
    point = point.clip(*VALENCE_RANGE)  # what is reported, as in `export.tables.prediction_table`
    known = [part for part in (expression, action_units, target_valence_arousal) if part is not None]
    figure, _ = titled_figure(11.0, 2.95, title, subtitle_of(
        source, "annotated: bold, ring, cross" if known else "",
        "arrow on the border: the point lies beyond the plane and is reported there" if beyond.any() else "",
    ))  # fmt: skip
    face, left, middle, right = figure.subplots(1, 4, width_ratios=(0.95, 0.9, 0.95, 1.25))
    face.imshow(image)
    face.set_axis_off()
    _bars(
        left,
        expressions,
        list(vocabulary),
        [expression_colour(name) for name in vocabulary],
        [1.0 if value == expressions.max() else 0.5 for value in expressions],
        [name == expression for name in vocabulary],
    )
    left.set_title("expression")
    _bars(
        middle,
        units,
        [action_unit_label(au) for au in ACTION_UNITS],
        list(ACTION_UNIT_COLOURS.values()),
        [1.0 if value >= threshold else 0.4 for value, threshold in zip(units, thresholds, strict=True)],
        [False] * 12 if action_units is None else [bool(value > 0.5) for value in as_array(action_units)],
    )
    rows = np.arange(len(ACTION_UNITS))
    middle.vlines(thresholds, rows - 0.42, rows + 0.42, color=INK, linewidth=1)
    middle.set_title("action units (tick: threshold)")
    target = None if target_valence_arousal is None else as_array(target_valence_arousal)
    draw_circumplex(right, keep_free=[point] if target is None else [point, target])
    if target is not None:
        right.plot(*target, marker="x", markersize=8, markeredgewidth=2, color=INK)
    turn = float(np.degrees(np.arctan2(-beyond[0], beyond[1])))  # of a triangle that points up
    right.plot(*point, marker=(3, 0, turn) if beyond.any() else "o", markersize=12 if beyond.any() else 9, color=OURS,
               markeredgecolor="white", zorder=5, clip_on=False)  # fmt: skip
    sides = {-1: "below ", 0: "", 1: "above "}  # of the plane
    valence, arousal = (f"{sides[int(side)]}{value:+.2f}" for side, value in zip(beyond, point, strict=True))
    right.set_title(f"valence {valence}, arousal {arousal}")
    return figure


def _bars(axes, values, names, colours, alphas, ringed) -> None:
    """Probability bars from 0 to 1 with names; `ringed` rows are annotated: bold, with a ring at the right."""
    rows = np.arange(len(values))
    for row, value, colour, alpha in zip(rows, values, colours, alphas, strict=True):
        axes.barh(row, value, height=0.72, color=colour, alpha=alpha)
    axes.scatter(
        np.full(sum(ringed), 0.96),
        rows[np.array(ringed)],
        s=26,
        facecolor="white",
        edgecolor=INK,
        linewidth=1.4,
        zorder=4,
    )
    axes.set_yticks(rows, names, fontsize=8 if len(values) < 10 else 7)
    for tick, annotated in zip(axes.get_yticklabels(), ringed, strict=True):
        tick.set_fontweight("bold" if annotated else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xlabel="probability")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.invert_yaxis()
    grid_lines(axes, "x")
