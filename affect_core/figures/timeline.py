"""One video in strips: what is seen, named, moved and felt along its seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from affect_core.figures.arrays import as_array, as_images
from affect_core.figures.style import (
    AROUSAL_COLOUR,
    INK,
    MUTED,
    SEQUENTIAL,
    VALENCE_COLOUR,
    action_unit_label,
    count,
    expression_colour,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)
from affect_core.labels import ACTION_UNITS, EXPRESSIONS, VALENCE_RANGE

UNKNOWN, HATCH = "#eceef1", "#aab2bb"
"""Ground and hatching of moments about which nothing is known; white is a known 0."""


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
    target_expression=None,
    value_name: str = "probability",
    missing_name: str = "nothing known",
    source: str = "",
    title: str = "A face over time",
) -> Figure:
    """A video in strips: thumbnails, expression, the twelve action units as a heat map, valence and arousal as lines.

    times            (T,) seconds, ascending
    action_units     (T, 12) intensity or probability in [0, 1] (`value_name` says which); nan, not known, is hatched
    valence_arousal  (T, 2), clipped to [-1, 1]; nan leaves a gap (no face found).  target_valence_arousal (T, 2), drawn
                     thin, or None
    expression       (T,) index into `vocabulary` (negative: none, hatched), or None
    target_expression  (T,) the same of the truth, a second strip: annotated under predicted; or None
    images           (K, H, W, 3) thumbnails at image_times (K,) (default: spread evenly)
    cuts             seconds at which the shot changes
    missing_name     what hatching means: "not annotated", "no face found"

    >>> intensity_timeline(np.arange(90) / 30, units, va, images=frames[::15], source="synthetic video")
    <Figure size ...>
    """
    times, units, plane = as_array(times), as_array(action_units), as_array(valence_arousal).clip(*VALENCE_RANGE)
    both = expression is not None and target_expression is not None
    strips = {"predicted" if both else "expression": expression, "annotated": target_expression}
    strips = {name: as_array(values, int) for name, values in strips.items() if values is not None}
    heights = ([0.75] if images is not None else []) + [0.2] * len(strips) + [2.0, 1.25]
    figure, _ = titled_figure(9.2, sum(heights) + 1.05, title, subtitle_of(count(len(times), "frames"), source))
    panels = list(np.atleast_1d(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)))
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    span = (times[0], times[-1]) if len(times) > 1 else (times[0] - step / 2, times[0] + step / 2)
    if images is not None:
        _thumbnails(panels.pop(0), as_images(images), image_times, span)
    edges = np.concatenate([[span[0]], (times[1:] + times[:-1]) / 2, [span[1]]])
    for cut in cuts:
        edges[np.searchsorted(times, cut - 1e-9)] = cut
    for name, values in strips.items():
        _expression_strip(panels.pop(0), edges, values, vocabulary, name)
    heat, lines = panels
    mesh = heat.pcolormesh(edges, np.arange(13) - 0.5, units.T, cmap=SEQUENTIAL, vmin=0, vmax=1, rasterized=True)
    _hatch(heat)  # shows where a cell is nan
    heat.set_yticks(range(12), [action_unit_label(au) for au in ACTION_UNITS], fontsize=7)
    heat.invert_yaxis()
    heat.tick_params(axis="y", length=0)
    figure.colorbar(mesh, cax=heat.inset_axes((1.012, 0.0, 0.014, 1.0)), label=value_name).outline.set_visible(False)
    for column, (name, colour) in enumerate((("valence", VALENCE_COLOUR), ("arousal", AROUSAL_COLOUR))):
        lines.plot(*_broken(times, plane[:, column], cuts), color=colour, label=name)
        if target_valence_arousal is not None:
            truth = as_array(target_valence_arousal)[:, column]
            lines.plot(*_broken(times, truth, cuts), color=colour, linewidth=1, linestyle=(0, (4, 2)))
    lines.axhline(0, color="#c3c9d0", linewidth=0.8)
    lines.set(ylim=(-1.04, 1.04), yticks=[-1, 0, 1], xlim=span, xlabel="time (s)")
    if target_valence_arousal is not None:
        lines.plot([], [], color=MUTED, linewidth=1, linestyle=(0, (4, 2)), label="annotated")
    lines.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), borderaxespad=0.2, handlelength=1.4)
    grid_lines(lines, "y")
    for axes in (heat, lines):
        for cut in cuts:
            axes.axvline(cut, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    missing = np.isnan(units).any() or any((values < 0).any() for values in strips.values())
    keys = _keys(strips, vocabulary, missing_name if missing else "")
    if keys:
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), handlelength=1.0, columnspacing=1.2)
    return figure


def _keys(strips: Mapping[str, np.ndarray], vocabulary: Sequence[str], missing_name: str) -> list[Patch]:
    """A key for every expression that a strip shows, however short, and for what is missing."""
    seen = sorted({int(index) for values in strips.values() for index in values if index >= 0})
    keys = [Patch(color=expression_colour(vocabulary[index]), label=vocabulary[index]) for index in seen]
    unknown = [Patch(facecolor=UNKNOWN, edgecolor=HATCH, hatch="//////", linewidth=0, label=missing_name)]
    return keys + (unknown if missing_name else [])


def _hatch(axes: Axes) -> None:
    """The ground of what is not known: pale and hatched, so that no grey of a class is like it."""
    axes.set_facecolor(UNKNOWN)
    axes.patch.set(hatch="//////", edgecolor=HATCH)


def _thumbnails(axes: Axes, images: np.ndarray, times, span: tuple[float, float]) -> None:
    """At most ten thumbnails side by side: in each part of the strip the image nearest to its middle, once."""
    times = np.linspace(*span, 2 * len(images) + 1)[1::2] if times is None else as_array(times)
    middles = (np.arange(min(len(images), 10)) + 0.5) / min(len(images), 10)
    nearest = np.abs((times - span[0]) / (span[1] - span[0]) - middles[:, None]).argmin(axis=1)
    axes.set(ylim=(0, 1), xlim=span)
    axes.set_axis_off()
    for part in np.unique(nearest, return_index=True)[1]:
        inset = axes.inset_axes((middles[part] - 0.05, 0.0, 0.1, 1.0))
        inset.imshow(images[nearest[part]])
        inset.set_axis_off()


def _broken(times: np.ndarray, values: np.ndarray, cuts: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A line with a gap at every cut: what lies on both sides of one is not connected."""
    places = np.searchsorted(times, np.asarray(cuts, float) - 1e-9)
    return np.insert(times, places, cuts), np.insert(values, places, np.nan)


def _expression_strip(
    axes: Axes, edges: np.ndarray, expression: np.ndarray, vocabulary: Sequence[str], name_of_strip: str
) -> None:
    """A coloured band of the T expressions named between `edges` (T + 1,); runs that are long enough carry a name."""
    starts = np.flatnonzero(np.concatenate([[True], np.diff(expression) != 0]))
    ends = np.concatenate([starts[1:], [len(expression)]])
    whole = edges[-1] - edges[0]
    _hatch(axes)
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
    axes.set_yticks([0], [name_of_strip], fontsize=7)
    axes.tick_params(axis="both", length=0, labelbottom=False)
    axes.spines[:].set_visible(False)
