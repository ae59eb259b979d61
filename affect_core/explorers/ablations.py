"""The ablation browser: choose questions and an axis of the stored ablations, see their settings with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from affect_core.errors import AffectError
from affect_core.explorers.ablation_axes import AXES, SETTINGS, USUAL, WORDS, placed, placed_differences, seeds_of
from affect_core.explorers.shell import Explorer, choice
from affect_core.figures.ablation_curves import ablation_curves
from affect_core.figures.comparison import ablation_plot
from affect_core.figures.style import quantity_name, subtitle_of

COLUMNS = ("claim", "question", "setting", "is_reference", "metric", "seeds", "score", "low", "high")
"""What the table of settings needs; `evidence_tables.write_tables` writes it."""

EVERYTHING = "all"
ORDERS = ("as stored", "by score")
EACH = "each setting"
SHOWN = ("means", "means and paired differences")
DIFFERENCE_COLUMNS = ("question", "metric", "reference", "alternative", "seeds", "difference", "low", "high",
                      "p_corrected", "same_sign")  # fmt: skip
"""What the table of differences needs; `evidence_tables.write_tables` writes it too."""


@dataclass(frozen=True)
class AblationState:
    """claim, metric: one of the table's, or `EVERYTHING`; questions: those of the claim to show, () for all.

    order  of the settings within a question, one of `ORDERS`; along an axis the axis orders them
    axis   what lies along x: one of `ablation_axes.AXES`, or `EACH`: every setting is a row
    show   one of `SHOWN`
    """

    claim: str = EVERYTHING
    questions: tuple[str, ...] = ()
    metric: str = EVERYTHING
    order: str = "as stored"
    axis: str = EACH
    show: str = SHOWN[0]


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


def ablation_figure(
    state: AblationState, settings: pd.DataFrame, differences: pd.DataFrame | None = None,
    cells: pd.DataFrame | None = None, *, source: str = "synthetic",
) -> Figure:  # fmt: skip
    """The chosen settings with their 95 % intervals: each a row, a panel a question; or along an axis, a line a series.

    settings     columns `COLUMNS`, one row a setting of a question
    differences  columns `DIFFERENCE_COLUMNS`, one row a pair; needed if the state shows them
    cells        one row a training, as in `results/cells.csv`: along an axis every seed is a dot; or None
    Raises AffectError as `chosen_settings` and `ablation_axes.placed` do, and without the differences.

    >>> ablation_figure(AblationState(axis="mask_ratio"), pd.read_csv("results/settings.csv"))
    <Figure size ...>
    """
    rows = chosen_settings(state, settings)
    pairs = None if state.show == SHOWN[0] else _chosen_differences(rows, differences)
    claims = rows["claim"].unique()
    if state.axis == EACH:
        note = ""
        if pairs is not None and pairs.empty:
            pairs, note = None, "No pair of these settings is stored."
        elif pairs is not None:
            pairs = pairs.rename(columns={"question": "idea", "alternative": "setting"})
            turned = pairs[pairs["means_differ_in_sign"]]
            note = _note([f"{row.idea.split(':')[0].split('?')[0]}: {row.reference} against {row.setting}"
                          for row in turned.itertuples()])  # fmt: skip
        return ablation_plot(
            rows.rename(columns={"question": "idea"}).drop(columns="seeds"), differences=pairs, note=note,
            source=f"{source}, {_seeds(rows)}",
            title=f"Idea {claims[0]}" if len(claims) == 1 else f"{len(claims)} ideas",
        )  # fmt: skip
    table, axis, note = placed(rows, state.axis), AXES[state.axis], ""
    if pairs is not None:
        pairs = placed_differences(table, pairs, state.axis)
        turned = pairs[pairs["means_differ_in_sign"]]
        note = _note([f"{row.panel}, {row.relation} at {axis.tick(row.x)}" for row in turned.itertuples()])
        if pairs.empty:
            pairs, note = None, "No stored pair differs along this axis alone."
    along = f"cores along the {axis.words}"
    usual = [WORDS[name](value) for name, value in USUAL.items() if name != state.axis]
    shares = {SETTINGS[pair].labels for pair in zip(table["question"], table["setting"], strict=True)}
    usual += [WORDS["labels"](shares.pop())] if len(shares) == 1 else []
    return ablation_curves(
        table, x_name=axis.words, scale=axis.scale, tick=axis.tick, note=note, differences=pairs,
        seeds=None if cells is None else seeds_of(table, cells),
        source=subtitle_of(f"{source}, {_seeds(table)}", f"unless named: {', '.join(usual)}"),
        title=f"S{along}" if state.claim == EVERYTHING else f"Idea {state.claim}: s{along}",
    )  # fmt: skip


def _seeds(rows: pd.DataFrame) -> str:
    fewest, most = rows["seeds"].min(), rows["seeds"].max()
    return f"{fewest} to {most} seeds" if fewest != most else f"{most} seed{'s' if most > 1 else ''}"


def _chosen_differences(rows: pd.DataFrame, differences: pd.DataFrame | None) -> pd.DataFrame:
    """The differences between the chosen settings. Raises AffectError if there is no table, or columns are missing."""
    missing = [name for name in DIFFERENCE_COLUMNS if differences is None or name not in differences]
    if missing:
        raise AffectError(f"The paired differences need a table with the columns {', '.join(missing)}: "
                          "results/differences.csv, which `make results` writes.")  # fmt: skip
    means = rows.drop_duplicates(["question", "setting"]).set_index(["question", "setting"])["score"].to_dict()
    gaps = np.array([
        means.get((row.question, row.reference), np.nan) - means.get((row.question, row.alternative), np.nan)
        for row in differences.itertuples()
    ], float)  # fmt: skip
    return differences.assign(
        significant=differences["p_corrected"] < 0.05, means_differ_in_sign=differences["difference"] * gaps < 0
    )[np.isfinite(gaps)]


def _note(turned: list[str]) -> str:
    """Why a difference is not that of the means beside it, and for which pairs even the sign is another."""
    more = f" and {len(turned) - 4} more" if len(turned) > 4 else ""
    here = f" Here it has: {'; '.join(turned[:4])}{more}." if turned else ""
    return (
        "Means are over all seeds of a setting, a paired difference is over the seeds that both settings have: it need "
        "not be the difference of the means, and may have the other sign." + here
    )


def ablation_browser(
    settings: pd.DataFrame, differences: pd.DataFrame | None = None, cells: pd.DataFrame | None = None, *,
    source: str = "synthetic",
) -> Explorer:  # fmt: skip
    """`ablation_figure` with a control for every field of `AblationState`; the arguments are those of the figure.

    Without `differences` there is no choice of what to show. Raises AffectError if columns are missing or the table of
    settings is empty.
    """
    chosen_settings(AblationState(), settings)
    claims, metrics = (list(settings[column].unique()) for column in ("claim", "metric"))
    scores = [(EVERYTHING, EVERYTHING), *((quantity_name(name), name) for name in metrics)]
    axes = [(EACH, EACH), *((axis.words, name) for name, axis in AXES.items())]
    controls = {
        "claim": choice([EVERYTHING, *claims], claims[0], "idea"),
        "questions": widgets.SelectMultiple(
            options=_questions(settings, claims[0]), description="questions (none: all)", rows=3,
            style={"description_width": "initial"}, layout={"width": "max-content"},
        ),
        "metric": choice(scores, EVERYTHING, "score"),
        "axis": choice(axes, EACH, "x axis"),
        "show": choice(SHOWN if differences is not None else SHOWN[:1], SHOWN[0], "show"),
        "order": choice(ORDERS, ORDERS[0], "order"),
    }  # fmt: skip

    def other_questions(change) -> None:
        controls["questions"].options = _questions(settings, change["new"])

    controls["claim"].observe(other_questions, "value")  # before the explorer's own observer, which draws
    return Explorer(
        controls, lambda **values: ablation_figure(AblationState(**values), settings, differences, cells, source=source)
    )


def _questions(settings: pd.DataFrame, claim: str) -> list[str]:
    rows = settings if claim == EVERYTHING else settings[settings["claim"] == claim]
    return list(rows["question"].unique())
