"""What the stored cells say: scores with intervals, paired differences with corrected tests; nothing is trained here.

Intervals and tests. One bootstrap resamples validation videos (images for CoTEX) and seeds together, 4,000 times, and
every setting is scored on the same resamples: an interval covers other faces of the kind and other trainings (heads,
order, masks, labelled subset), given one MAE and one prior. A difference is that of the reference setting to another,
over the seeds both have. Its p-value is twice the share of resamples on the other side of 0 (at least 2 / 4,000);
Holm's procedure corrects for all differences of the table together; the intervals are not corrected. Where two
settings mostly err on different faces, as here, such an interval counts that part twice and is wide: simulated with the
variances of these cells it covers 98 to 99 %, and the tests err on the side of "open". Were the seeds the main source
of variance, three to five of them would make it too narrow: the last column says in how many seeds the sign held.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from affect_core import figures
from affect_core.bootstrap import resampled_scores
from affect_core.errors import AffectError
from affect_core.evidence import stored_prediction
from affect_core.experiments import COMPARISONS, Cell, Comparison
from affect_core.figures.style import quantity_name
from affect_core.option_tables import option_rows, options_markdown
from affect_core.stage_corpora import CORPUS_OF_STAGE
from affect_core.storage import read_json, write_figure, write_text
from affect_core.workbook import Workbook

README_START, README_END = "<!-- evidence: written by make results -->", "<!-- end of evidence -->"
RESAMPLES = 4000
SEED = 20220711


def score_table(results: Path) -> pd.DataFrame:
    """Every stored cell: columns cell, stage, start, labels, changes, seed, images, epochs, the scores, seconds,
    commit, hardware. An empty table if there is none."""
    rows = []
    for path in sorted((Path(results) / "cells").glob("*.json")):
        record = read_json(path)
        kept = {name: record[name] for name in ("stage", "start", "labels", "seed", "images", "epochs", "seconds")}
        kept["changes"] = " ".join(f"{name}={value}" for name, value in record["changes"].items())
        machine = {name: record["environment"][name] for name in ("commit", "hardware")}
        rows.append({"cell": path.stem, **kept, **record["score"], **machine})
    return pd.DataFrame(rows)


def evidence(book: Workbook, results: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(settings, differences) of all comparisons whose cells are there.

    settings     claim, question, setting, is_reference, metric, seeds, score (mean over seeds), low, high
    differences  claim, question, metric, reference, alternative, seeds, difference, low, high, p, p_corrected (Holm),
                 same_sign ("5 of 5": seeds in which the difference has its sign)

    Both are in the order of `experiments.IDEAS`. A question whose alternatives test two ideas is split: its reference
    stands under both. Settings that are numbers are in their order.
    """
    cache: dict[str, tuple[dict, dict]] = {}
    validation = {}
    settings, differences = [], []
    for comparison in COMPARISONS:
        found = {name: _scores(book, results, comparison, name, cache, validation) for name in comparison.settings}
        reference = comparison.reference[0]
        for name, (whole, resampled) in found.items():
            if not whole:
                continue
            draws = _over_seeds(np.stack(list(resampled.values())))
            row = {"question": comparison.question, "setting": name, "is_reference": name == reference,
                   "metric": comparison.metric, "seeds": len(whole), "score": np.mean(list(whole.values())),
                   **_limits(draws)}  # fmt: skip
            settings += [{"claim": claim} | row for claim in comparison.claims_of(name)]
            common = sorted(set(whole) & set(found[reference][0]))
            if name == reference or len(common) < 2:
                continue
            gaps = {seed: found[reference][0][seed] - whole[seed] for seed in common}
            draws = _over_seeds(np.stack([found[reference][1][seed] - resampled[seed] for seed in common]))
            difference = float(np.mean(list(gaps.values())))
            held = sum(np.sign(gap) == np.sign(difference) for gap in gaps.values())
            differences.append({"claim": comparison.claims_of(name)[0], "question": comparison.question,
                                "metric": comparison.metric, "reference": reference, "alternative": name,
                                "seeds": len(common), "difference": difference, **_limits(draws), "p": _p_value(draws),
                                "same_sign": f"{held} of {len(common)}"})  # fmt: skip
    table = pd.DataFrame(differences)
    if len(table):
        table.insert(table.columns.get_loc("p") + 1, "p_corrected", holm(table["p"].to_numpy()))
    return _by_idea(pd.DataFrame(settings), "setting"), _by_idea(table, "alternative")


def holm(p: np.ndarray) -> np.ndarray:
    """p-values corrected for their number (Holm 1979): the k-th smallest times n - k + 1, never decreasing, up to 1."""
    order = np.argsort(p)
    scaled = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(scaled, 1.0)
    return corrected


def evidence_figure(
    settings: pd.DataFrame, claim: str, source: str = "synthetic", *, differences: pd.DataFrame | None = None
) -> Figure:
    """The settings of one claim, compared: scores of the two and their paired difference with its 95 % interval.

    settings, differences: as `evidence` returns them, or read from `results/settings.csv` and `differences.csv`.
    Without differences every setting is a dot with an interval of its own, which cannot say whether two of them differ.
    Settings that are numbers stand in their order; shares of the labels are rows of one panel.

    >>> evidence_figure(pd.read_csv("results/settings.csv"), "3 masked views",
    ...                 differences=pd.read_csv("results/differences.csv"))
    <Figure size ...>
    """
    chosen = settings[settings["claim"] == claim]
    seeds = chosen["seeds"]
    counted = f"{seeds.min()} to {seeds.max()} seeds" if seeds.nunique() > 1 else f"{seeds.iloc[0]} seeds"
    source, title = f"{source}, {counted}", f"Idea {claim}"
    if differences is None or not (differences["claim"] == claim).any():
        rows = chosen.rename(columns={"question": "idea"}).drop(columns="seeds")
        rows = rows.iloc[_order(rows["idea"], rows["setting"])]
        return figures.ablation_plot(rows, source=source, title=title)
    pairs = differences[differences["claim"] == claim]
    scores = chosen.set_index(["question", "setting"])["score"]
    share = pairs["question"].str.extract(r"^(\w+), ([\d.]+) ?% of the labels: (.*)$")  # model, per cent, question
    shared = share[0].notna()
    table = pd.DataFrame({
        "idea": pairs["question"].where(~shared, share[0] + ", by share of the labels: " + share[2]),
        "pair": (share[1] + " %: ").where(shared, "") + pairs["reference"] + " against " + pairs["alternative"],
        "metric": pairs["metric"],
        "first": scores.reindex(zip(pairs["question"], pairs["reference"], strict=True)).to_numpy(),
        "second": scores.reindex(zip(pairs["question"], pairs["alternative"], strict=True)).to_numpy(),
        **{name: pairs[name] for name in ("difference", "low", "high", "same_sign")},
        "significant": pairs["p_corrected"] < 0.05,
    })  # fmt: skip
    table = table.iloc[_order(table["idea"], share[1].where(shared, pairs["alternative"]))]
    turned = table[(table["first"] - table["second"]) * table["difference"] < 0]["pair"]
    note = "Scores are means over all seeds of a setting, differences over the seeds that both have"
    note += f"; so they disagree in sign for {', '.join(turned)}." if len(turned) else "."
    return figures.paired_differences(table, note=note, source=source, title=title)


def _by_idea(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows by idea and question; within a question by number where the column `name` begins with numbers."""
    if table.empty:
        return table
    table = table.iloc[_order(table["claim"] + table["question"], table[name])]
    return table.sort_values("claim", kind="stable", ignore_index=True)


def _order(ideas: pd.Series, names: pd.Series) -> np.ndarray:
    """Row places: ideas as they come; of each idea the settings by the number they begin with ("0.75 (paper: most)"),
    if all do."""
    ideas = pd.Series(pd.factorize(ideas)[0])
    numbers = names.astype(str).str.extract(r"^([\d.]+)")[0].astype(float).reset_index(drop=True)
    usable = numbers.notna().groupby(ideas).transform("all")
    return np.lexsort((np.where(usable, numbers, np.arange(len(names))), ideas))


def write_tables(book: Workbook, results: Path, readme: Path | None = None) -> None:
    """Write `cells.csv`, `settings.csv`, `differences.csv`, `evidence.md` and `figures/<claim>.png` into `results`.

    readme: a file whose section between `README_START` and `README_END` becomes the headline table.
    """
    results = Path(results)
    settings, differences = evidence(book, results)
    write_text(results / "cells.csv", score_table(results).round(5).to_csv(index=False))
    write_text(results / "settings.csv", settings.round(5).to_csv(index=False))
    write_text(results / "differences.csv", differences.round(5).to_csv(index=False))
    tables = [markdown(differences)]
    if all((results / f"{name}.csv").exists() for name in ("options", "ema")):
        tables.append(options_markdown(option_rows(results)))
    write_text(results / "evidence.md", "\n".join(tables))
    if readme is not None:
        stored = pd.read_csv(results / "differences.csv")
        write_text(readme, with_headline(Path(readme).read_text(encoding="utf-8"), stored))
    for claim in dict.fromkeys(settings["claim"] if len(settings) else ()):
        figure = evidence_figure(settings, claim, book.source("abaw4"), differences=differences)
        write_figure(results / "figures" / f"{claim.replace(' ', '-').lower()}.png", figure, dpi=144)


def headline(differences: pd.DataFrame) -> pd.DataFrame:
    """The differences of each claim's main comparisons, which have the most seeds."""
    main = {(comparison.question, name) for comparison in COMPARISONS for name in comparison.main}
    pairs = zip(differences["question"], differences["alternative"], strict=True)
    return differences[[pair in main for pair in pairs]]


def with_headline(text: str, differences: pd.DataFrame) -> str:
    """`text` with the headline table between its two markers. Raises AffectError if they are not there."""
    if README_START not in text or README_END not in text:
        raise AffectError(f"the text has no section between {README_START} and {README_END}")
    before, rest = text.split(README_START, 1)
    after = rest.split(README_END, 1)[1]
    return f"{before}{README_START}\n{markdown(headline(differences))}{README_END}{after}"


def markdown(differences: pd.DataFrame) -> str:
    """The differences as a Markdown table, one row an alternative."""
    lines = ["| idea | one setting against another | score | first minus second [95 %] | p (Holm) | sign held |",
             "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for row in differences.itertuples():
        lines.append(
            f"| {row.claim} | {row.question} *{row.reference}* against *{row.alternative}* | "
            f"{quantity_name(row.metric)} | {row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}] | "
            f"{row.p_corrected:.3f} | {row.same_sign} |"
        )
    return "\n".join(lines) + "\n"


def _scores(book: Workbook, results: Path, comparison: Comparison, name: str, cache: dict, validation: dict):
    """({seed: score}, {seed: resampled scores}) of a setting's stored cells."""
    setting, metric = comparison.settings[name], comparison.metric
    if setting.stage not in validation:
        validation[setting.stage] = book.corpus(CORPUS_OF_STAGE[setting.stage]).split("validation")
    corpus, whole, resampled = validation[setting.stage], {}, {}
    for seed in range(comparison.seeds_of(name)):
        cell = Cell(setting, seed)
        path = Path(results) / "cells" / f"{cell.name}.json"
        if not path.exists():
            continue
        if cell.name not in cache:
            prediction = stored_prediction(path, corpus.labels.vocabulary)
            cache[cell.name] = resampled_scores(prediction, corpus.labels, corpus.table["group"],
                                                resamples=RESAMPLES, seed=SEED)  # fmt: skip
        whole[seed], resampled[seed] = cache[cell.name][0][metric], cache[cell.name][1][metric]
    return whole, resampled


def _over_seeds(values: np.ndarray) -> np.ndarray:
    """(seeds, resamples) -> (resamples,): in each resample the mean over a resample of the seeds."""
    seeds = len(values)
    counts = np.random.default_rng(SEED).multinomial(seeds, np.full(seeds, 1 / seeds), size=values.shape[1])
    return (counts.T * values).sum(axis=0) / seeds


def _limits(draws: np.ndarray) -> dict[str, float]:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return {"low": float(low), "high": float(high)}


def _p_value(draws: np.ndarray) -> float:
    draws = draws[np.isfinite(draws)]
    smaller = min((draws <= 0).mean(), (draws >= 0).mean())
    return float(min(1.0, max(2 * smaller, 2 / len(draws))))
