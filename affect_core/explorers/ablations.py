"""The ablation browser: choose questions of the stored ablations and see their settings with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import ipywidgets as widgets
import pandas as pd
from matplotlib.figure import Figure

from affect_core.errors import AffectError
from affect_core.explorers.shell import Explorer, choice
from affect_core.figures.comparison import ablation_plot
from affect_core.figures.style import quantity_name

COLUMNS = ("claim", "question", "setting", "is_paper", "metric", "seeds", "score", "low", "high")
"""What the table of settings needs; `evidence_tables.write_tables` writes it."""

EVERYTHING = "all"
ORDERS = ("as stored", "by score")


@dataclass(frozen=True)
class AblationState:
    """claim, metric: one of the table's, or `EVERYTHING`; questions: those of the claim to show, () for all.

    order  of the settings within a question, one of `ORDERS`
    """

    claim: str = EVERYTHING
    questions: tuple[str, ...] = ()
    metric: str = EVERYTHING
    order: str = "as stored"


def chosen_settings(state: AblationState, settings: pd.DataFrame) -> pd.DataFrame:
    """The rows of `settings` that `state` chooses. Raises AffectError if columns are missing or no row is left."""
    missing = [name for name in COLUMNS if name not in settings]
    if missing:
        raise AffectError(f"The table of settings lacks the columns {', '.join(missing)}; `make results` writes it.")
    rows = settings
    if state.claim != EVERYTHING:
        rows = rows[rows["claim"] == state.claim]
    if state.metric != EVERYTHING:
        rows = rows[rows["metric"] == state.metric]
    if state.questions:
        rows = rows[rows["question"].isin(state.questions)]
    if rows.empty:
        raise AffectError("No stored setting answers to this choice; choose another metric or question.")
    return rows.sort_values("score", ascending=False, kind="stable") if state.order == "by score" else rows


def ablation_figure(state: AblationState, settings: pd.DataFrame, *, source: str = "synthetic") -> Figure:
    """The chosen settings as dots with their 95 % intervals, a panel for each question.

    settings  columns `COLUMNS`, one row a setting of a question
    Raises AffectError as `chosen_settings` does.

    >>> ablation_figure(AblationState(claim="4 mask ratio"), pd.read_csv("results/settings.csv"))
    <Figure size ...>
    """
    rows = chosen_settings(state, settings)
    fewest, most = rows["seeds"].min(), rows["seeds"].max()
    seeds = f"{fewest} to {most} seeds" if fewest != most else f"{most} seed{'s' if most > 1 else ''}"
    claims = rows["claim"].unique()
    title = f"Idea {claims[0]}" if len(claims) == 1 else f"{len(claims)} ideas"
    table = rows.rename(columns={"question": "idea"}).drop(columns="seeds")
    return ablation_plot(table, source=f"{source}, {seeds}", title=title)


def ablation_browser(settings: pd.DataFrame, *, source: str = "synthetic") -> Explorer:
    """`ablation_figure` with a control for every field of `AblationState`; the arguments are those of the figure.

    Raises AffectError if columns are missing or the table is empty.
    """
    chosen_settings(AblationState(), settings)
    claims, metrics = (list(settings[column].unique()) for column in ("claim", "metric"))
    scores = [(EVERYTHING, EVERYTHING), *((quantity_name(name), name) for name in metrics)]
    controls = {
        "claim": choice([EVERYTHING, *claims], claims[0], "idea"),
        "questions": widgets.SelectMultiple(
            options=_questions(settings, claims[0]), description="questions (none: all)", rows=3,
            style={"description_width": "initial"}, layout={"width": "max-content"},
        ),
        "metric": choice(scores, EVERYTHING, "score"),
        "order": choice(ORDERS, ORDERS[0], "order"),
    }  # fmt: skip

    def other_questions(change) -> None:
        controls["questions"].options = _questions(settings, change["new"])

    controls["claim"].observe(other_questions, "value")  # before the explorer's own observer, which draws
    return Explorer(controls, lambda **values: ablation_figure(AblationState(**values), settings, source=source))


def _questions(settings: pd.DataFrame, claim: str) -> list[str]:
    rows = settings if claim == EVERYTHING else settings[settings["claim"] == claim]
    return list(rows["question"].unique())
