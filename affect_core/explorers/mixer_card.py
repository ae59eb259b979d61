"""The figure of the action-unit mixer: a face, what was put into it, and what EMMA reads from it.

Words, axes and ticks are drawn once; afterwards only what moves (face, bars, marks) is drawn again, which is what makes
a slider follow the hand.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from affect_core.augment import prepare
from affect_core.emma import EMMA
from affect_core.explorers.mixer_face import NAMES, FaceState, render_face
from affect_core.explorers.shell import DPI, encode_png, panel, require_eval
from affect_core.figures.circumplex import draw_circumplex
from affect_core.figures.style import (
    ACTION_UNIT_COLOURS,
    INK,
    MUTED,
    OURS,
    expression_colour,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)
from affect_core.labels import ACTION_UNITS, EXPRESSIONS, VALENCE_RANGE
from affect_core.synthetic.expressions import RENDERED_ACTION_UNITS

BODY = 3.3
"""Height below the header, inches."""


class MixerCard:
    """A `FaceState` as a figure that is cheap to change.

    emma  whose answers are shown, in eval mode (AffectError if not); None shows what was put in, and the valence and
          arousal that the embedded corpus would annotate
    size  pixels at which the face is rendered
    """

    def __init__(self, emma: EMMA | None = None, *, size: int = 128):
        if emma is not None:
            require_eval(emma)
        self.emma, self.size = emma, size
        self.units = RENDERED_ACTION_UNITS if emma is None else ACTION_UNITS
        self._still = None
        self.figure = self._build()

    def show(self, state: FaceState) -> Figure:
        """The card's figure, changed to `state`."""
        face = render_face(state, self.size)
        self._face.set_data(face)
        given = [state.shown.get(unit, 0.0) for unit in self.units]
        truth = state.valence_arousal
        self._truth.set_data([truth[0]], [truth[1]])
        words = f"put in: valence {truth[0]:+.2f}, arousal {truth[1]:+.2f}"
        if self.emma is None:
            _stretch(self._unit_bars, given, np.array(given) > 0)
        else:
            expressions, units, point = self._read(face)
            _stretch(self._expression_bars, expressions, expressions == expressions.max())
            _stretch(self._unit_bars, units, units >= 0.5)
            self._given.set_xdata(given)
            self._point.set_data(*point[:, None])
            words = f"EMMA: valence {point[0]:+.2f}, arousal {point[1]:+.2f}\n{words}"
        self._words.set_text(words)
        return self.figure

    def png(self) -> bytes:
        """The figure as it is now, as PNG; only what moves is drawn again."""
        if self._still is None:
            self.figure.set_dpi(DPI)
            self._canvas = FigureCanvasAgg(self.figure)
            for artist in self._moving:
                artist.set_animated(True)
            self._canvas.draw()
            self._still = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._still)
        for artist in self._moving:
            artist.axes.draw_artist(artist)
        return encode_png(self._canvas)

    @property
    def _moving(self) -> list[Artist]:
        """What depends on the state, from back to front."""
        moving = [self._face, *self._unit_bars, self._truth, self._words]
        return moving if self.emma is None else [*moving, *self._expression_bars, self._given, self._point]

    @torch.no_grad()
    def _read(self, face: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probabilities of expressions (8,) and action units (12,), and (valence, arousal) clipped to [-1, 1]."""
        device = next(self.emma.parameters()).device
        images = prepare(torch.from_numpy(face)[None].to(device), self.emma.config.vit.image_size)
        answer = self.emma(images).numpy()
        expressions = np.exp(answer.expression_logits[0] - answer.expression_logits[0].max())
        units = 1 / (1 + np.exp(-answer.action_unit_logits[0].astype(float)))
        return expressions / expressions.sum(), units, answer.valence_arousal[0].clip(*VALENCE_RANGE)

    @figure_function
    def _build(self) -> Figure:
        title, marks = "A face, and the muscles that move it", "cross: what the generator would annotate"
        if self.emma is not None:
            title, marks = "A face, and what EMMA reads from it", "diamond and cross: what was put in"
        width = 11.2 if self.emma is not None else 9.4
        figure, _ = titled_figure(width, BODY, title, subtitle_of("synthetic face", marks), layout=None)
        face = panel(figure, 0.12, 0.12, 3.1, 3.1)
        face.set_axis_off()
        self._face = face.imshow(np.zeros((self.size, self.size, 3), np.uint8))
        edge = 3.4
        if self.emma is not None:
            axes = panel(figure, edge + 0.75, 0.45, 1.05, 2.55)
            self._expression_bars = _bars(axes, EXPRESSIONS, [expression_colour(name) for name in EXPRESSIONS])
            axes.set_title("expression")
            axes.set_xlabel("probability")
            edge += 1.9
        axes = panel(figure, edge + 1.55, 0.45, 1.15, 2.55)
        names = [f"AU{unit} {NAMES[unit]}" for unit in self.units]
        self._unit_bars = _bars(axes, names, [ACTION_UNIT_COLOURS.get(unit, MUTED) for unit in self.units])
        axes.set_title("action units")
        axes.set_xlabel("intensity put in" if self.emma is None else "probability")
        (self._given,) = axes.plot(
            np.zeros(len(names)), range(len(names)), "D", markersize=4, color=INK, markeredgecolor="white", zorder=5,
            clip_on=False, visible=self.emma is not None,
        )  # fmt: skip
        plane = panel(figure, width - 2.6, 0.45, 2.5, 2.5)
        draw_circumplex(plane)
        (self._point,) = plane.plot([0], [0], "o", markersize=9, color=OURS, markeredgecolor="white", zorder=5)
        self._point.set_visible(self.emma is not None)
        (self._truth,) = plane.plot([0], [0], "x", markersize=8, markeredgewidth=2, color=INK, zorder=6)
        self._words = plane.text(-1.04, 1.08, "", fontsize=8, va="bottom", linespacing=1.25)
        return figure


def mixer_figure(state: FaceState, emma: EMMA | None = None, *, size: int = 128) -> Figure:
    """The face of `state`; with `emma` what it reads from it, else what was put in. See `MixerCard`.

    >>> mixer_figure(preset("happiness"), emma)
    <Figure size ...>
    """
    return MixerCard(emma, size=size).show(state)


def _bars(axes: Axes, names, colours) -> list[Artist]:
    """Bars from 0 to 1, one a name, from the top."""
    bars = axes.barh(range(len(names)), np.zeros(len(names)), height=0.72, color=colours)
    axes.set_yticks(range(len(names)), names, fontsize=8 if len(names) < 10 else 7 if len(names) < 15 else 6)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    grid_lines(axes, "x")
    return list(bars)


def _stretch(bars: list[Artist], values, strong) -> None:
    for bar, value, full in zip(bars, values, strong, strict=True):
        bar.set_width(float(value))
        bar.set_alpha(1.0 if full else 0.45)
