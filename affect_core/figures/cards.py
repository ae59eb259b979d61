"""What a model says about one face, or about one video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from affect_core.figures.circumplex import draw_circumplex
from affect_core.figures.style import (
    ACTION_UNIT_COLOURS,
    AROUSAL_COLOUR,
    INK,
    MUTED,
    OURS,
    SEQUENTIAL,
    VALENCE_COLOUR,
    action_unit_label,
    as_array,
    as_images,
    count,
    expression_colour,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)
from affect_core.labels import ACTION_UNITS, EXPRESSIONS, VALENCE_RANGE

UNKNOWN = "#d3d7dc"
"""Colour of moments about which nothing is known; white is a known 0."""


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
    valence_arousal            (2,), clipped to [-1, 1] in what is drawn and written
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
    point = point.clip(*VALENCE_RANGE)  # what is reported, as in `export.tables.prediction_table`
    known = [part for part in (expression, action_units, target_valence_arousal) if part is not None]
    figure, _ = titled_figure(11.0, 2.95, title, subtitle_of(source, "annotated: bold, ring, cross" if known else ""))
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
    draw_circumplex(right)
    if target_valence_arousal is not None:
        right.plot(*as_array(target_valence_arousal), marker="x", markersize=8, markeredgewidth=2, color=INK)
    right.plot(*point, marker="o", markersize=9, color=OURS, markeredgecolor="white", zorder=5)
    right.set_title(f"valence {point[0]:+.2f}, arousal {point[1]:+.2f}")
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


@figure_function
def intensity_timeline(
    times,
    action_units,
    valence_arousal,
    *,
    expression=None,
    vocabulary: Sequence[str] = EXPRESSIONS,
    images=None,
    image_times=None,
    cuts: Sequence[float] = (),
    target_valence_arousal=None,
    value_name: str = "probability",
    source: str = "",
    title: str = "A face over time",
) -> Figure:
    """A video in strips: thumbnails, expression, the twelve action units as a heat map, valence and arousal as lines.

    times            (T,) seconds, ascending
    action_units     (T, 12) intensity or probability in [0, 1] (`value_name` says which); nan, not annotated, is grey
    valence_arousal  (T, 2), clipped to [-1, 1]; nan leaves a gap (no face found).  target_valence_arousal (T, 2) drawn
                     thin, or None
    expression       (T,) index into `vocabulary` (negative: none, grey), or None
    images           (K, H, W, 3) thumbnails at image_times (K,) (default: spread evenly)
    cuts             seconds at which the shot changes

    >>> intensity_timeline(np.arange(90) / 30, units, va, images=frames[::15], source="synthetic video")
    <Figure size ...>
    """
    times, units, plane = as_array(times), as_array(action_units), as_array(valence_arousal).clip(*VALENCE_RANGE)
    heights = ([0.75] if images is not None else []) + ([0.2] if expression is not None else []) + [2.0, 1.25]
    figure, _ = titled_figure(9.2, sum(heights) + 0.75, title, subtitle_of(count(len(times), "frames"), source))
    panels = list(np.atleast_1d(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)))
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    span = (times[0] - step / 2, times[-1] + step / 2)
    if images is not None:
        _thumbnails(panels.pop(0), as_images(images), image_times, span)
    edges = np.concatenate([[span[0]], (times[1:] + times[:-1]) / 2, [span[1]]])
    for cut in cuts:
        edges[np.searchsorted(times, cut - 1e-9)] = cut
    if expression is not None:
        _expression_strip(panels.pop(0), edges, as_array(expression, int), vocabulary)
    heat, lines = panels
    mesh = heat.pcolormesh(edges, np.arange(13) - 0.5, units.T, cmap=SEQUENTIAL, vmin=0, vmax=1, rasterized=True)
    heat.set_facecolor(UNKNOWN)  # shows where a cell is nan
    heat.set_yticks(range(12), [action_unit_label(au) for au in ACTION_UNITS], fontsize=7)
    heat.invert_yaxis()
    heat.tick_params(axis="y", length=0)
    figure.colorbar(mesh, cax=heat.inset_axes((1.012, 0.0, 0.014, 1.0)), label=value_name).outline.set_visible(False)
    for column, (name, colour) in enumerate((("valence", VALENCE_COLOUR), ("arousal", AROUSAL_COLOUR))):
        lines.plot(*_broken(times, plane[:, column], cuts), color=colour, label=name)
        if target_valence_arousal is not None:
            lines.plot(
                times, as_array(target_valence_arousal)[:, column], color=colour, linewidth=1, linestyle=(0, (4, 2))
            )
    lines.axhline(0, color="#c3c9d0", linewidth=0.8)
    lines.set(ylim=(-1.04, 1.04), yticks=[-1, 0, 1], xlim=span, xlabel="time (s)")
    if target_valence_arousal is not None:
        lines.plot([], [], color=MUTED, linewidth=1, linestyle=(0, (4, 2)), label="annotated")
    lines.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), borderaxespad=0.2, handlelength=1.4)
    grid_lines(lines, "y")
    for axes in (heat, lines):
        for cut in cuts:
            axes.axvline(cut, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    return figure


def _thumbnails(axes, images: np.ndarray, times, span: tuple[float, float]) -> None:
    """At most ten thumbnails, centred at their times."""
    times = np.linspace(*span, 2 * len(images) + 1)[1::2] if times is None else as_array(times)
    few = np.unique(np.linspace(0, len(images) - 1, min(len(images), 10)).round().astype(int))
    images, times = images[few], times[few]
    axes.set(ylim=(0, 1), xlim=span)
    axes.set_axis_off()
    for image, time in zip(images, times, strict=True):
        inset = axes.inset_axes(((time - span[0]) / (span[1] - span[0]) - 0.05, 0.0, 0.1, 1.0))
        inset.imshow(image)
        inset.set_axis_off()


def _broken(times: np.ndarray, values: np.ndarray, cuts: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A line with a gap at every cut: what lies on both sides of one is not connected."""
    places = np.searchsorted(times, np.asarray(cuts, float) - 1e-9)
    return np.insert(times, places, cuts), np.insert(values, places, np.nan)


def _expression_strip(axes, edges: np.ndarray, expression: np.ndarray, vocabulary: Sequence[str]) -> None:
    """A coloured band of the T expressions named between `edges` (T + 1,); runs that are long enough carry a name."""
    starts = np.flatnonzero(np.concatenate([[True], np.diff(expression) != 0]))
    ends = np.concatenate([starts[1:], [len(expression)]])
    whole = edges[-1] - edges[0]
    axes.set_facecolor(UNKNOWN)
    for first, last in zip(starts, ends, strict=True):
        if expression[first] >= 0:
            name = vocabulary[expression[first]]
            left, right = edges[first], edges[last]
            axes.barh(0, right - left, left=left, height=1, color=expression_colour(name))
            if (right - left) / whole > 0.013 * len(name):
                light = name in {"happiness", "surprise", "contempt"}
                axes.text(
                    (left + right) / 2, 0, name, ha="center", va="center", fontsize=7, color=INK if light else "white"
                )
    axes.set_ylim(-0.5, 0.5)
    axes.set_yticks([0], ["expression"], fontsize=7)
    axes.tick_params(axis="both", length=0, labelbottom=False)
    axes.spines[:].set_visible(False)
