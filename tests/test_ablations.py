"""Ablations: which cells there are, and how the paper's setting is set beside its alternatives."""

import pandas as pd
import pytest

from affect_core.ablations import CELLS, compare


def table(*rows):
    """Rows (setting, is_paper, seed, score) of one idea."""
    cells = pd.DataFrame(rows, columns=["setting", "is_paper", "seed", "score"])
    return cells.assign(idea="JS divergence", stage="cotex", metric="expression_f1")


def test_every_idea_has_one_setting_of_the_paper_a_stage():
    counts = pd.Series([(cell.idea, cell.stage) for cell in CELLS if cell.is_paper]).value_counts()
    assert (counts == 1).all() and len({idea for idea, _ in counts.index}) == 4


def test_the_papers_setting_stands_beside_each_alternative():
    rows = compare(table(("weight 0", False, 0, 0.4), ("weight 10", False, 0, 0.6), ("weight 100", True, 0, 0.5)))
    assert list(rows["alternative"]) == ["weight 0", "weight 10"] and set(rows["paper"]) == {"weight 100"}
    assert list(rows["difference"]) == pytest.approx([0.1, -0.1])


def test_one_seed_is_never_apart():
    assert not compare(table(("weight 0", False, 0, 0.1), ("weight 100", True, 0, 0.9)))["apart"].any()


def test_several_seeds_are_apart_when_none_of_them_cross():
    cells = [("weight 100", True, seed, score) for seed, score in enumerate((0.5, 0.6, 0.7))]
    below = [("weight 0", False, seed, score) for seed, score in enumerate((0.1, 0.2, 0.3))]
    across = [("weight 10", False, seed, score) for seed, score in enumerate((0.4, 0.55, 0.6))]
    rows = compare(table(*cells, *below, *across)).set_index("alternative")
    assert rows.loc["weight 0", "apart"] and not rows.loc["weight 10", "apart"]
    assert rows.loc["weight 0", "difference"] == pytest.approx(0.4) and (rows["seeds"] == 3).all()
