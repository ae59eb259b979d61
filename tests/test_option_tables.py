"""The table of options says what the stored measurements say, with their signs, and leaves none out."""

import pandas as pd
import pytest

from affect_core.option_tables import option_rows, options_markdown
from affect_core.project_folders import project_root

RESULTS = project_root() / "results"


@pytest.fixture(scope="module")
def rows():
    return option_rows(RESULTS)


def test_every_option_of_the_project_is_in_the_table(rows):
    assert set(rows["option"]) == {"smoothing", "thresholds", "smoothing and thresholds", "average over masks",
                                   "averaged weights", "a third view"}  # fmt: skip
    assert ((rows["low"] <= rows["difference"]) & (rows["difference"] <= rows["high"])).all()
    assert rows.groupby("model")["metric"].unique().map(list).to_dict() == {"CoTEX": ["expression_f1"],
                                                                           "EMMA": ["p_mtl"]}  # fmt: skip


def test_differences_are_with_the_option_minus_without(rows):
    options = pd.read_csv(RESULTS / "options.csv")
    gain = (options["with_option"] - options["plain"]).round(4)
    assert (gain - options["difference"]).abs().max() < 2e-4
    fitted = rows[(rows["option"] == "thresholds") & rows["setting"].str.startswith("fitted")].iloc[0]
    stored = options[(options["option"] == "thresholds") & (options["score"] == "p_mtl")].iloc[0]
    assert fitted["difference"] == stored["difference"] and fitted["over"] == f"{stored['groups']} groups"


def test_a_third_view_is_three_minus_two(rows):
    stored = pd.read_csv(RESULTS / "differences.csv")
    two_minus_three = stored[stored["alternative"] == "three views, JS"].iloc[0]
    third = rows[rows["option"] == "a third view"].iloc[0]
    assert (third["difference"], third["low"], third["high"]) == (
        -two_minus_three["difference"], -two_minus_three["high"], -two_minus_three["low"])  # fmt: skip


def test_the_stored_effect_of_averaged_weights_is_complete():
    stored = pd.read_csv(RESULTS / "ema.csv")
    assert set(stored["model"]) == {"EMMA", "CoTEX"} and (stored["seeds"] >= 5).all()
    assert ((stored["averaged"] - stored["last"]) - stored["difference"]).abs().max() < 2e-4
    assert set(stored.loc[stored["model"] == "EMMA", "score"]) == {"p_mtl", "valence_arousal_ccc", "expression_f1",
                                                                   "action_unit_f1"}  # fmt: skip


def test_the_markdown_stands_in_the_stored_evidence(rows):
    text = options_markdown(rows)
    assert text.count("\n") == len(rows) + 2 and "P_MTL | +0.055 [+0.018, +0.085] | 120 groups |" in text
    assert text in (RESULTS / "evidence.md").read_text()
