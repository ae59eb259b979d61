"""Two views: what each view of CoTEX sees, what it says, and how far apart the views are while more is hidden."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from affect_core.augment import denormalize
from affect_core.cotex import CoTEX
from affect_core.errors import AffectError
from affect_core.explorers.shell import Explorer, panel, require_eval, slider, whole_slider
from affect_core.figures.faces import hide
from affect_core.figures.style import (
    INK,
    MUTED,
    OURS,
    expression_colour,
    figure_function,
    grid_lines,
    subtitle_of,
    titled_figure,
)
from affect_core.interventions import logits_from_parts
from affect_core.losses import generalized_js

RATIOS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.85, 0.95)
"""Mask ratios of the curve."""


@dataclass(frozen=True)
class ViewsState:
    """image: row of the images; mask_ratio in [0, 1); seed of the masks, which keep their order as the ratio moves."""

    image: int = 0
    mask_ratio: float = 0.5
    seed: int = 0


@torch.no_grad()
def answers(state: ViewsState, cotex: CoTEX, images: Tensor) -> tuple[np.ndarray, np.ndarray, float]:
    """Probabilities of each view (V, C), masks (V, L) with 1 hidden, and their JS divergence in nats.

    images (N, 3, H, W), normalised, on the model's device. Raises AffectError if there is no such image, if CoTEX has a
    single view or is in training mode.
    """
    require_eval(cotex)
    if len(cotex.views) < 2:
        raise AffectError("This CoTEX has one view; a divergence needs two.")
    if not 0 <= state.image < len(images):
        raise AffectError(f"There are {len(images)} images, counted from 0; there is no image {state.image}.")
    generator = torch.Generator().manual_seed(state.seed)
    logits, masks = logits_from_parts(cotex, images[state.image : state.image + 1], state.mask_ratio, generator)
    divergence = float(generalized_js(logits, per="image"))
    return logits[:, 0].float().softmax(-1).cpu().numpy(), masks[:, 0].cpu().numpy(), divergence


def divergence_curve(state: ViewsState, cotex: CoTEX, images: Tensor) -> list[float]:
    """JS divergence at each of `RATIOS`, the image and seed of `state` held."""
    return [answers(replace(state, mask_ratio=ratio), cotex, images)[2] for ratio in RATIOS]


@figure_function
def views_figure(
    state: ViewsState, cotex: CoTEX, images: Tensor, *, labels: Sequence[str] | None = None, source: str = "",
    curve: list[float] | None = None,
) -> Figure:  # fmt: skip
    """The whole face with its label, what each view sees and says, and the JS divergence over mask ratios.

    images  (N, 3, H, W), normalised, on the model's device
    labels  the N annotated expressions, if they are known
    curve   `divergence_curve(...)` if it is known already
    Raises AffectError as `answers` does.

    >>> views_figure(ViewsState(mask_ratio=0.75), cotex, images, source="synthetic")
    <Figure size ...>
    """
    probabilities, masks, divergence = answers(state, cotex, images)
    curve = divergence_curve(state, cotex, images) if curve is None else curve
    views, vocabulary = len(masks), cotex.config.vocabulary
    figure, _ = titled_figure(
        6.4 + 2.1 * views, 3.6, f"{masks.mean():.0%} hidden: the views are {divergence:.3f} nats apart",
        subtitle_of("n = 1 face", source, f"JS divergence, at most log {views} = {math.log(views):.3f} nats"),
        layout=None,
    )  # fmt: skip
    picture = denormalize(images[state.image : state.image + 1])[0].permute(1, 2, 0).cpu().numpy()
    whole = panel(figure, 0.1, 1.5, 1.85, 1.85)
    whole.imshow(picture)
    whole.set_axis_off()
    whole.set_title("whole face" if labels is None else f"annotated: {labels[state.image]}")
    for view in range(views):
        left = 2.85 + 2.1 * view
        seen = panel(figure, left, 1.5, 1.85, 1.85)
        seen.imshow(hide(picture[None], masks[view : view + 1])[0])
        seen.set_axis_off()
        seen.set_title(f"view {view + 1} sees")
        says = panel(figure, left, 0.25, 1.85, 0.95)
        _bars(says, probabilities[view], vocabulary, named=view == 0)
        best = int(probabilities[view].argmax())
        says.set_title(f"{vocabulary[best]} {probabilities[view, best]:.0%}")
    axes = panel(figure, 3.3 + 2.1 * views, 0.45, 2.95, 2.9)
    axes.axhline(math.log(views), color=MUTED, linewidth=1, linestyle=(0, (4, 2)))
    axes.plot(RATIOS, curve, color=OURS)
    axes.plot(state.mask_ratio, divergence, "o", markersize=8, color=OURS, markeredgecolor="white", zorder=5)
    axes.vlines(state.mask_ratio, 0, divergence, color=INK, linewidth=0.8)
    axes.set(xlim=(-0.02, 1), ylim=(0, 1.08 * math.log(views)), xlabel="share of hidden patches")
    axes.set_title("JS divergence (nats)")
    grid_lines(axes, "y")
    return figure


def _bars(axes: Axes, probabilities: np.ndarray, vocabulary: tuple[str, ...], *, named: bool) -> None:
    colours = [expression_colour(name) for name in vocabulary]
    axes.barh(range(len(vocabulary)), probabilities, height=0.72, color=colours)
    axes.set_yticks(range(len(vocabulary)), vocabulary if named else [""] * len(vocabulary), fontsize=7.5)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set(xlim=(0, 1))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    grid_lines(axes, "x")


def two_views(cotex: CoTEX, images: Tensor, *, labels: Sequence[str] | None = None, source: str = "") -> Explorer:
    """`views_figure` with a control for every field of `ViewsState`; the arguments are those of the figure."""
    start = ViewsState()
    controls = {
        "image": whole_slider(0, len(images) - 1, start.image, "image"),
        "mask_ratio": slider(0, 0.95, start.mask_ratio, 0.05, "mask ratio"),
        "seed": whole_slider(0, 20, start.seed, "seed"),
    }
    curve_of = lru_cache(maxsize=64)(lambda image, seed: divergence_curve(ViewsState(image, 0.0, seed), cotex, images))

    def draw(**values) -> Figure:
        state = ViewsState(**values)
        return views_figure(state, cotex, images, labels=labels, source=source, curve=curve_of(state.image, state.seed))

    return Explorer(controls, draw)
