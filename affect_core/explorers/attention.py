"""The attention browser: where a layer of EMMA gathers from, beside what its answer depends on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import ipywidgets as widgets
import torch
from matplotlib.figure import Figure
from torch import Tensor

from affect_core import explain
from affect_core.augment import denormalize
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.explorers.shell import Explorer, choice, png, require_eval, whole_slider
from affect_core.figures.attention import attention_over_faces
from affect_core.labels import ACTION_UNIT_NAMES, ACTION_UNITS, EXPRESSIONS
from affect_core.vit import ViTEncoder

CAVEAT = (
    "Attention shows where a layer gathers from, not what decides the answer (Jain and Wallace 2019); covering a place "
    "shows what the answer depends on, with this window and this cover."
)
ALL_HEADS = 0
LARGER_DPI = 140
"""The sheet of maps is small on paper; on the screen it is shown larger."""

TARGETS = (*EXPRESSIONS, *(f"AU{unit}" for unit in ACTION_UNITS))
"""What the occlusion map asks about: an expression or an action unit."""


@dataclass(frozen=True)
class AttentionState:
    """face: row of the images; layer and head count from 1, head 0 is the mean over heads.

    rollout  attention followed through layers 1 to `layer`, heads averaged (`head` is then not used)
    target   one of `TARGETS`: whose log-odds are watched while a place is covered
    """

    face: int = 0
    layer: int = 1
    head: int = ALL_HEADS
    rollout: bool = False
    target: str = "happiness"


def attention_map(
    state: AttentionState, attention: Tensor, readout: str, encoder: ViTEncoder | None = None
) -> tuple[Tensor, str]:
    """One map (g, g), summing to 1, and its name, of attention (depth, heads, T, T).

    readout, encoder: see `explain.readout_maps`. Raises AffectError for a layer or head that is not there.
    """
    depth, heads = attention.shape[:2]
    if not 1 <= state.layer <= depth or not 0 <= state.head <= heads:
        raise AffectError(f"This ViT has layers 1 to {depth} with heads 1 to {heads}.")
    if state.rollout:
        rolled = explain.attention_rollout(attention[None])[0, state.layer - 1]
        return explain.readout_maps(rolled, readout, encoder), f"rollout\nto layer {state.layer}"
    maps = explain.readout_maps(attention[state.layer - 1], readout, encoder)  # (heads, g, g)
    if state.head == ALL_HEADS:
        return maps.mean(0), f"layer {state.layer},\nall heads"
    return maps[state.head - 1], f"layer {state.layer},\nhead {state.head}"


def target_probability(emma: EMMA, images: Tensor, target: str) -> Tensor:
    """Probability (N,) of one of `TARGETS`. Raises AffectError for another word."""
    if target not in TARGETS:
        raise AffectError(f"{target!r} is neither an expression nor one of the twelve action units.")
    answer = emma(images)
    if target in EXPRESSIONS:
        return answer.expression_logits.softmax(1)[:, EXPRESSIONS.index(target)]
    return answer.action_unit_logits.sigmoid()[:, ACTION_UNITS.index(int(target[2:]))]


def target_log_odds(emma: EMMA, images: Tensor, target: str) -> Tensor:
    """log P / (1 - P) (N,) of one of `TARGETS`: of an action unit its logit."""
    if target in EXPRESSIONS:
        return explain.expression_log_odds(emma(images).expression_logits, EXPRESSIONS.index(target))
    return explain.action_unit_score(emma, int(target[2:]))(images)


def occlusion_map(emma: EMMA, image: Tensor, target: str) -> tuple[Tensor, float]:
    """Drop of the log-odds of `target` where a quarter-wide square covers the face (H, W), and P(target) of the whole.

    Log-odds, because a probability near 0 or 1 hardly moves, whatever is covered.
    """
    size = image.shape[-1]
    drops = explain.occlusion_sensitivity(
        lambda faces: target_log_odds(emma, faces, target), image, window=size // 4, stride=size // 8
    )
    with torch.no_grad():
        return drops[0], float(target_probability(emma, image, target)[0])


def attention_figure(
    state: AttentionState,
    emma: EMMA,
    images: Tensor,
    *,
    source: str = "",
    attention: Tensor | None = None,
    occlusion: tuple[Tensor, float] | None = None,
) -> Figure:
    """The face, one attention map, and the occlusion map in its two signs on one range, with `CAVEAT` below.

    emma       in eval mode;  images (N, 3, H, W), normalised, on the model's device
    attention  (depth, heads, T, T) of this face, occlusion as `occlusion_map` gives it, if they are known already
    Raises AffectError for a face, layer, head or target that is not there.

    >>> attention_figure(AttentionState(layer=2, target="AU12"), emma, images, source="synthetic")
    <Figure size ...>
    """
    require_eval(emma)
    if not 0 <= state.face < len(images):
        raise AffectError(f"There are {len(images)} faces, counted from 0; there is no face {state.face}.")
    image = images[state.face : state.face + 1]
    attention = explain.attention_matrices(emma, image)[0] if attention is None else attention
    drops, probability = occlusion_map(emma, image, state.target) if occlusion is None else occlusion
    gathered, name = attention_map(state, attention, emma.config.vit.readout, emma.vit)
    maps = [gathered, drops.clamp_min(0), (-drops).clamp_min(0)]
    stack = torch.stack([explain.resize_maps(part, image.shape[-1]) for part in maps])[None]
    most, least = float(drops.max().clamp_min(0)), float((-drops).max().clamp_min(0))
    return attention_over_faces(
        denormalize(image).cpu().permute(0, 2, 3, 1), stack.cpu(),
        [name, f"speaks for it:\nlog-odds −{most:.2f}", f"against it:\nlog-odds +{least:.2f}"],
        together=(1, 2), cell=1.35,
        title=f"EMMA says P({words(state.target)}) = {probability:.2f}", source=source, note=CAVEAT,
    )  # fmt: skip


def words(target: str) -> str:
    """'AU12 lip corner puller' for 'AU12'; expressions stay as they are."""
    return target if target in EXPRESSIONS else f"{target} {ACTION_UNIT_NAMES[int(target[2:])]}"


def attention_browser(emma: EMMA, images: Tensor, *, source: str = "") -> Explorer:
    """`attention_figure` with a control for every field of `AttentionState`; the arguments are those of the figure."""
    depth, heads = emma.config.vit.depth, emma.config.vit.heads
    start = AttentionState(layer=depth)
    numbered = [("all heads", ALL_HEADS), *((f"head {head}", head) for head in range(1, heads + 1))]
    controls = {
        "face": whole_slider(0, len(images) - 1, start.face, "face"),
        "layer": whole_slider(1, depth, start.layer, "layer"),
        "head": choice(numbered, start.head, "head"),
        "rollout": widgets.Checkbox(start.rollout, description="rollout", indent=False, layout={"width": "100px"}),
        "target": choice([(words(target), target) for target in TARGETS], start.target, "class or action unit"),
    }
    attention_of = lru_cache(maxsize=16)(lambda face: explain.attention_matrices(emma, images[face : face + 1])[0])
    occlusion_of = lru_cache(maxsize=64)(lambda face, target: occlusion_map(emma, images[face : face + 1], target))

    def draw(**values) -> bytes:
        state = AttentionState(**values)
        figure = attention_figure(
            state, emma, images, source=source, attention=attention_of(state.face),
            occlusion=occlusion_of(state.face, state.target),
        )  # fmt: skip
        return png(figure, LARGER_DPI)

    return Explorer(controls, draw)
