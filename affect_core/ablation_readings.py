"""The stored ablations in the words of the lessons: a sentence for each pair, and what the trainings answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from affect_core.errors import AffectError
from affect_core.evidence import stored_prediction
from affect_core.experiments import COMPARISONS, MAIN_SEEDS, Cell
from affect_core.figures.style import quantity_name
from affect_core.metrics import as_array
from affect_core.storage import read_json

LEVEL = 0.05
"""Corrected p below which a difference counts as told apart from chance."""


def pair(differences: pd.DataFrame, question: str, alternative: str):
    """The difference to `alternative` in the question that begins so. Raises AffectError unless there is just one."""
    rows = differences[differences["question"].str.startswith(question) & (differences["alternative"] == alternative)]
    if len(rows) != 1:
        raise AffectError(f"{len(rows)} stored differences answer to {question!r} against {alternative!r}, not one.")
    return next(rows.itertuples())


def told(row) -> str:
    """A difference with its interval: "+0.064 [+0.039, +0.090]"."""
    return f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"


def p_in_words(p: float) -> str:
    """A p-value in words: "0.019", or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def sentences(differences: pd.DataFrame, idea: str) -> str:
    """One Markdown bullet for each stored difference of an idea, made of the table's numbers alone."""
    lines = []
    for row in differences[differences["claim"] == idea].itertuples():
        verdict = "not told apart from chance"
        if row.p_corrected < LEVEL:
            verdict = f"**{row.reference if row.difference > 0 else row.alternative}** is better"
        lines.append(f"- {row.question} *{row.reference}* against *{row.alternative}*, {quantity_name(row.metric)}: "
                     f"{told(row)}, corrected p {p_in_words(row.p_corrected)}, sign held in {row.same_sign} seeds: "
                     f"{verdict}.")  # fmt: skip
    return "\n".join(lines)


def answer_table(results: Path, question: str, setting: str, vocabulary: tuple[str, ...]) -> pd.DataFrame:
    """What the stored trainings of a setting say, one row a seed: a column an expression with its share of all answers,
    and `confidence` (mean probability of the answer), `expression_f1`, `faces` (how many were asked).

    question, setting  as in `experiments.COMPARISONS`; the question may be cut short. Raises AffectError if there is no
    such setting or none of its trainings is stored.
    """
    found = [one for one in COMPARISONS if one.question.startswith(question) and setting in one.settings]
    if len(found) != 1:
        raise AffectError(f"there is no setting {setting!r} in a question that begins with {question!r}")
    rows = {}
    for seed in range(MAIN_SEEDS):
        path = Path(results) / "cells" / f"{Cell(found[0].settings[setting], seed).name}.json"
        if not path.exists():
            continue
        logits = as_array(stored_prediction(path, vocabulary).expression_logits)  # (N, C)
        shares = np.bincount(logits.argmax(axis=1), minlength=len(vocabulary)) / len(logits)
        rows[seed] = dict(zip(vocabulary, shares, strict=True)) | {
            "confidence": softmax(logits, axis=1).max(axis=1).mean(),
            "expression_f1": read_json(path)["score"]["expression_f1"], "faces": len(logits),
        }  # fmt: skip
    if not rows:
        raise AffectError(f"no training of {setting!r} is stored in {results}; `make results` reads what is there.")
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("seed")
