"""The stored ablations in the words of the lessons: every pair once, under the idea that it tests."""

import numpy as np
import pandas as pd
import pytest

from affect_core.ablation_readings import (
    answer_table,
    p_in_words,
    pair,
    sentences,
    told,
)
from affect_core.errors import AffectError
from affect_core.evidence import default_results
from affect_core.experiments import COMPARISONS, IDEAS
from affect_core.explorers import AblationState, ablation_figure
from affect_core.labels import LSD_EXPRESSIONS

HEAVY = "How heavy should the divergence be?"


@pytest.fixture(scope="module")
def tables():
    return tuple(pd.read_csv(default_results() / f"{name}.csv") for name in ("settings", "differences"))


def test_every_stored_pair_stands_once_under_one_of_the_four_ideas(tables):
    settings, differences = tables
    assert list(dict.fromkeys(differences["claim"])) == list(dict.fromkeys(settings["claim"])) == list(IDEAS)
    defined = {(one.question, one.reference[0], name) for one in COMPARISONS for name in one.others}
    assert sorted(map(tuple, differences[["question", "reference", "alternative"]].to_numpy())) == sorted(defined)
    assert not settings.duplicated(["claim", "question", "setting"]).any()
    known = {(one.question, name) for one in COMPARISONS for name in one.settings}
    assert set(map(tuple, settings[["question", "setting"]].to_numpy())) == known
    for row in differences.itertuples():
        here = settings[(settings["claim"] == row.claim) & (settings["question"] == row.question)]
        assert {row.reference, row.alternative} <= set(here["setting"])


def test_the_divergence_is_idea_four_and_how_much_is_hidden_belongs_to_the_views():
    for one in COMPARISONS:
        for name, setting in list(one.settings.items())[1:]:
            (idea,), changed = one.claims_of(name), dict(setting.changes)
            reference = dict(one.reference[1].changes)
            only = {key for key in changed if changed[key] != reference[key]} if setting.stage == "cotex" else set()
            if only == {"js_weight"}:
                assert idea == IDEAS[3], (one.question, name)
            elif only & {"views", "mask_ratio"}:
                assert idea == IDEAS[2], (one.question, name)
            elif setting.start != one.reference[1].start:
                assert idea == IDEAS[0], (one.question, name)


def test_ratios_and_weights_are_in_order(tables):
    settings, _ = tables
    ratios = settings[settings["question"].str.startswith("How much should each view hide?")]["setting"]
    weights = settings[settings["question"].str.startswith(HEAVY)]["setting"]
    assert list(ratios) == ["0 (published script)", "0.25", "0.5", "0.75 (paper: most)", "0.9"]
    assert list(weights) == ["0", "1", "10", "30", "100 (published)"]


def test_sentences_say_who_is_better_only_where_chance_is_excluded(tables):
    _, differences = tables
    for idea in IDEAS:
        rows = differences[differences["claim"] == idea]
        lines = sentences(differences, idea).splitlines()
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows.itertuples(), strict=True):
            better = row.reference if row.difference > 0 else row.alternative
            assert told(row) in line and ("not told apart" in line) == (row.p_corrected >= 0.05)
            assert row.p_corrected >= 0.05 or f"**{better}** is better" in line
    assert p_in_words(0.0005) == "< 0.001" and p_in_words(0.019) == "0.019"


def test_a_pair_is_found_by_the_beginning_of_its_question_or_refused(tables):
    assert pair(tables[1], HEAVY, "100 (published)").reference == "10"
    with pytest.raises(AffectError, match="0 stored differences"):
        pair(tables[1], HEAVY, "1000")


def test_the_ablation_browser_reads_the_stored_tables(tables):
    settings, differences = tables
    for idea in IDEAS:
        state = AblationState(claim=idea, show="means and paired differences")
        assert ablation_figure(state, settings, differences).axes


def test_stored_answers_are_shares_and_belong_to_the_stored_scores():
    tables = {weight: answer_table(default_results(), HEAVY, weight, LSD_EXPRESSIONS)
              for weight in ("0", "100 (published)")}  # fmt: skip
    sadness = {weight: table["sadness"].mean() for weight, table in tables.items()}
    assert sadness["100 (published)"] > 0.7 > sadness["0"], "collapse on one word"
    assert len(tables["100 (published)"]) == 5
    for table in tables.values():
        np.testing.assert_allclose(table[list(LSD_EXPRESSIONS)].sum(axis=1), 1)
        assert table["confidence"].between(1 / 6, 1).all() and (table["faces"] == 800).all()
        assert table["expression_f1"].between(0, 1).all() and len(table) in (3, 5)
    with pytest.raises(AffectError, match="no setting"):
        answer_table(default_results(), HEAVY, "1000", LSD_EXPRESSIONS)


def test_without_stored_trainings_there_is_nothing_to_read(tmp_path):
    with pytest.raises(AffectError, match="is stored"):
        answer_table(tmp_path, HEAVY, "0", LSD_EXPRESSIONS)
