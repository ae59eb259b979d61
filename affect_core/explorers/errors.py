"""The error browser: validation faces in the order of a task's error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from affect_core.errors import AffectError
from affect_core.explorers.shell import Explorer, choice, whole_slider
from affect_core.figures.faces import face_sheet
from affect_core.figures.style import subtitle_of
from affect_core.labels import ACTION_UNITS, VALENCE_RANGE, AffectLabels, AffectPrediction
from affect_core.metrics import as_array, error_of_each_face

TASKS = {
    "expression": "cross entropy, nats",
    "valence_arousal": "distance on the circumplex",
    "action_units": "mean cross entropy, nats",
}
"""Task -> what its error is."""

ANY = "any"


@dataclass(frozen=True)
class ErrorState:
    """task: one of `TASKS`; expression: only faces annotated so, or `ANY`; page counts from 1.

    worst_first  False: the best answers first
    one_a_group  at most one face of each group (video or person), or one bad video fills the page
    """

    task: str = "expression"
    expression: str = ANY
    worst_first: bool = True
    one_a_group: bool = True
    page: int = 1


def ordered_faces(state: ErrorState, error: np.ndarray, labels: AffectLabels, groups=None) -> np.ndarray:
    """Rows of the faces that `state` chooses, in its order; those without annotation are left out.

    error (N,) of the task;  groups (N,) or None. Raises AffectError if no face is left.
    """
    keep = np.isfinite(error)
    if state.expression != ANY:
        named = as_array(labels.expression) == labels.vocabulary.index(state.expression)
        keep &= named & as_array(labels.expression_valid).astype(bool)
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(-error[rows] if state.worst_first else error[rows], kind="stable")]
    if state.one_a_group and groups is not None:
        rows = rows[~pd.Series(np.asarray(groups)[rows]).duplicated().to_numpy()]
    if not len(rows):
        task = state.task.replace("_", " ")
        raise AffectError(f"No face is annotated for {task} (expression: {state.expression}).")
    return rows


def error_figure(
    state: ErrorState,
    prediction: AffectPrediction,
    labels: AffectLabels,
    images: Any,
    *,
    groups=None,
    source: str = "",
    per_page: int = 16,
) -> Figure:
    """A page of faces; below each the annotation, the answer, and the error.

    prediction, labels  of N faces, all three tasks;  images[rows] gives uint8 (n, S, S, 3), e.g. a corpus's images
    groups              (N,) video or person of each face, or None
    Raises AffectError for an unknown task or page, or if no face is annotated.

    >>> error_figure(ErrorState(task="action_units"), prediction, validation.labels, validation.images)
    <Figure size ...>
    """
    if state.task not in TASKS:
        raise AffectError(f"There is no task {state.task!r}; there are {', '.join(TASKS)}.")
    error = error_of_each_face(prediction, labels)[state.task]
    rows = ordered_faces(state, error, labels, groups)
    pages = -(-len(rows) // per_page)
    if not 1 <= state.page <= pages:
        raise AffectError(f"These {len(rows)} faces fill pages 1 to {pages}; there is no page {state.page}.")
    shown = rows[(state.page - 1) * per_page : state.page * per_page]
    captions = [f"{caption(state.task, row, prediction, labels)}\n{error[row]:.2f}" for row in shown]
    return face_sheet(
        images[shown], captions, columns=8, cell=1.15, source=subtitle_of(f"page {state.page} of {pages}", source),
        title=f"{'Worst' if state.worst_first else 'Best'} first: {state.task.replace('_', ' ')} ({TASKS[state.task]})",
    )  # fmt: skip


def caption(task: str, row: int, prediction: AffectPrediction, labels: AffectLabels) -> str:
    """Two lines: what was annotated, what was said."""
    if task == "expression":
        said = int(as_array(prediction.expression_logits)[row].argmax())
        return f"{labels.vocabulary[int(labels.expression[row])]},\nsaid {prediction.vocabulary[said]}"
    if task == "valence_arousal":
        truth = as_array(labels.valence_arousal)[row]
        said = as_array(prediction.valence_arousal)[row].clip(*VALENCE_RANGE)
        return "{:+.1f}, {:+.1f}\nsaid {:+.1f}, {:+.1f}".format(*(np.round([*truth, *said], 1) + 0.0))  # no "-0.0"
    said, truth = as_array(prediction.action_unit_logits)[row] > 0, as_array(labels.action_units)[row] > 0
    wrong = np.flatnonzero((said != truth) & as_array(labels.action_units_valid)[row].astype(bool))
    listed = " ".join(str(ACTION_UNITS[unit]) for unit in wrong[:4])
    return f"{len(wrong)} wrong: AU\n{listed or 'none'}{' ...' if len(wrong) > 4 else ''}"


def error_browser(
    prediction: AffectPrediction,
    labels: AffectLabels,
    images: Any,
    *,
    groups=None,
    source: str = "",
    per_page: int = 16,
) -> Explorer:
    """`error_figure` with a control for every field of `ErrorState`; the arguments are those of the figure."""
    start = ErrorState()
    pages = max(1, -(-len(labels) // per_page))
    controls = {
        "task": choice([(task.replace("_", " "), task) for task in TASKS], start.task, "task"),
        "expression": choice([ANY, *labels.vocabulary], start.expression, "annotated"),
        "worst_first": widgets.Checkbox(start.worst_first, description="worst first", indent=False),
        "one_a_group": widgets.Checkbox(start.one_a_group, description="one a video", indent=False),
        "page": whole_slider(1, pages, start.page, "page"),
    }
    for name in ("worst_first", "one_a_group"):
        controls[name].layout.width = "110px"

    def draw(**values) -> Figure:
        state = ErrorState(**values)
        return error_figure(state, prediction, labels, images, groups=groups, source=source, per_page=per_page)

    def back_to_first_page(change) -> None:
        controls["page"].value = 1

    for name in ("task", "expression", "worst_first", "one_a_group"):  # before the explorer's own observer, which draws
        controls[name].observe(back_to_first_page, "value")
    return Explorer(controls, draw)
