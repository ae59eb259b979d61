"""Where the stored settings of the ablations lie along what was varied: labels, masks, weights, schedule, pretraining.

A table of settings names its settings in words; `experiments.COMPARISONS` says what each of them is. Settings that are
alike in everything but the axis form a series.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from affect_core.errors import AffectError
from affect_core.experiments import COMPARISONS, STARTS, Setting

PROFILE_RATIO = 0.75
"""What the pretraining of every profile hides."""


def _schedule(times: float) -> str:
    return f"{times:g}x schedule"


@dataclass(frozen=True)
class Axis:
    """words: what the axis says.   scale: "linear", "log", or "symlog" (linear up to the smallest value above 0).

    tick  a value in words, as short as an axis needs
    """

    words: str
    scale: str
    tick: Callable[[float], str]


AXES = {
    "labels": Axis("share of the labels (as many images seen)", "log", "{:.0%}".format),
    "mask_ratio": Axis("share of patches that each view hides", "linear", "{:g}".format),
    "js_weight": Axis("weight of the JS divergence", "symlog", "{:g}".format),
    "views": Axis("number of views", "linear", "{:g}".format),
    "schedule": Axis("length of the schedule", "log", "{:g}x".format),
    "pretraining_faces": Axis("share of the faces in the pretraining (0%: random weights)", "symlog", "{:.0%}".format),
    "pretraining_ratio": Axis("share of patches that the pretraining hides", "linear", "{:g}".format),
}
"""What can be laid along the x axis, by the factor of a setting that it is; see `factors`."""

WORDS = {
    "views": lambda views: f"{views:g} view{'s' if views > 1 else ''}",
    "mask_ratio": lambda ratio: f"{ratio:.0%} hidden" if ratio else "nothing hidden",
    "js_weight": lambda weight: f"JS weight {weight:g}" if weight else "no JS",
    "batch": lambda enlarged: "batch enlarged" if enlarged else "batch fixed",
    "va_source": lambda source: str(source).replace("_", " "),
    "schedule": _schedule,
    "pretraining_faces": lambda share: {0.0: "random weights", 1.0: "MAE"}.get(share, f"MAE, {share:.0%} of the faces"),
    "pretraining_ratio": lambda ratio: f"MAE hides {ratio:.0%}",
    "labels": lambda share: f"{share:.0%} of the labels",
}
"""A factor's value in words, for the name of a series; in this order."""


USUAL = {"mask_ratio": 0.5, "js_weight": 10.0, "batch": False, "schedule": 1.0, "pretraining_faces": 1.0}
"""What goes without saying in the name of a series that says something else: what the laptop profile does."""


def factors(setting: Setting) -> dict[str, object]:
    """What a setting is made of: the keys of `WORDS`, and `model`. EMMA has no views, masks or divergence: None."""
    changes = dict(setting.changes)
    pretraining = {"faces": 0.0} if setting.start == "random" else STARTS[setting.start]
    return {
        "model": {"emma": "EMMA", "cotex": "CoTEX"}[setting.stage],
        **{name: changes.get(name) for name in ("views", "mask_ratio", "js_weight")},
        "va_source": changes.get("va_source", "both_scores") if setting.stage == "emma" else None,
        "batch": setting.batch > 1,
        "schedule": float(setting.longer),
        "pretraining_faces": float(pretraining.get("faces", 1.0)),
        "pretraining_ratio": float(pretraining.get("mask_ratio", PROFILE_RATIO)),
        "labels": setting.labels,
    }


SETTINGS = {
    (comparison.question, name): setting
    for comparison in COMPARISONS
    for name, setting in comparison.settings.items()
}
"""(question, setting) in a table's words -> what it is."""


def placed(settings: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The rows of `settings` that form series along `axis`, with columns added: panel, series, x, slug.

    Settings stored under several questions appear once, with the most seeds. A series has at least two values of x;
    its name says in what the series of its panel (model and metric) differ.
    Raises AffectError for an unknown axis, and if there is no series.
    """
    if axis not in AXES:
        raise AffectError(f"There is no axis {axis!r}; there are {', '.join(AXES)}.")
    rows = settings[[pair in SETTINGS for pair in zip(settings["question"], settings["setting"], strict=True)]]
    rows = rows.assign(slug=[SETTINGS[pair].slug for pair in zip(rows["question"], rows["setting"], strict=True)])
    rows = rows.assign(is_reference=rows.groupby(["metric", "slug"])["is_reference"].transform("any"))
    rows = rows.sort_values("seeds", ascending=False, kind="stable").drop_duplicates(["metric", "slug"])
    made_of = [factors(SETTINGS[pair]) for pair in zip(rows["question"], rows["setting"], strict=True)]
    rows = rows.assign(
        x=[one.pop(axis) for one in made_of], key=[tuple(one.items()) for one in made_of],
        panel=[one["model"] for one in made_of],
    )  # fmt: skip
    rows = rows[rows["x"].notna()]
    rows = rows[rows.groupby(["metric", "key"])["x"].transform("nunique") > 1]
    if rows.empty:
        raise AffectError(f"No chosen settings differ in {AXES[axis].words} alone; choose another axis, or idea: all.")
    names = {}
    for _, group in rows.groupby(["panel", "metric"]):
        names |= _names(list(dict.fromkeys(group["key"])), axis)
    return rows.assign(series=rows["key"].map(names)).sort_values(["panel", "metric", "series", "x"], kind="stable")


def _names(keys: list[tuple], axis: str) -> dict[tuple, str]:
    """A name for each series: the words of the factors in which they differ, or the model if there is one series."""
    made_of = [dict(key) for key in keys]
    differing = [name for name in WORDS if name != axis and len({one[name] for one in made_of}) > 1]
    names = {}
    for key, one in zip(keys, made_of, strict=True):
        told = [name for name in differing if one[name] is not None and not (name == "js_weight" and one["views"] == 1)]
        told = [name for name in told if one[name] != USUAL.get(name, ...)] or told
        names[key] = ", ".join(WORDS[name](one[name]) for name in told) or one["model"]
    return names


def seeds_of(placed_rows: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """One row a seed of each placed setting: panel, metric, series, x, score. `cells` as in `results/cells.csv`."""
    slugs = cells["cell"].str.rsplit("-seed", n=1).str[0]
    rows = []
    for row in placed_rows.itertuples():
        scores = cells.loc[slugs == row.slug, row.metric].dropna()
        rows += [(row.panel, row.metric, row.series, row.x, score) for score in scores]
    return pd.DataFrame(rows, columns=["panel", "metric", "series", "x", "score"])


def placed_differences(placed_rows: pd.DataFrame, differences: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The paired differences whose two settings are comparable along `axis`: panel, metric, series, relation, x,
    origin, score, low, high, significant, means_differ_in_sign.

    Two settings are comparable if both were placed and they differ along the axis alone (`relation` then names the
    value that the others are compared with, which stands at x = `origin`), or in the series alone (`relation` names
    both). A pair stored under several questions appears once, with the most seeds. `means_differ_in_sign`: the
    difference of the two settings' mean scores has the other sign.
    """
    places = {(row.metric, row.slug): row for row in placed_rows.itertuples()}
    rows = []
    for row in differences.sort_values("seeds", ascending=False, kind="stable").itertuples():
        pair = [SETTINGS.get((row.question, name)) for name in (row.reference, row.alternative)]
        first, second = (places.get((row.metric, setting.slug)) if setting else None for setting in pair)
        if first is None or second is None or (first.series != second.series and first.x != second.x):
            continue
        along = first.series == second.series
        alone = placed_rows["series"].nunique() == 1
        of_the_series = f"{AXES[axis].tick(first.x)} − others" + ("" if alone else f": {second.series}")
        relation = of_the_series if along else f"{first.series} − {second.series}"
        rows.append((second.panel, row.metric, second.series, relation, second.x, first.x if along else float("nan"),
                     row.difference, row.low, row.high, row.p_corrected < 0.05,
                     (first.score - second.score) * row.difference < 0))  # fmt: skip
    names = ["panel", "metric", "series", "relation", "x", "origin", "score", "low", "high", "significant",
             "means_differ_in_sign"]  # fmt: skip
    table = pd.DataFrame(rows, columns=names).drop_duplicates(["panel", "metric", "relation", "x"])
    return table.sort_values(["series", "relation", "x"], kind="stable")
