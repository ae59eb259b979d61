"""What `results/` holds and the README shows agree. (A file of its own: `test_evidence` swaps the designs.)"""

import pandas as pd
import pytest

from affect_core import evidence_tables
from affect_core.experiments import COMPARISONS, IDEAS, Cell, cells
from affect_core.project_folders import project_root


def test_the_readme_shows_the_stored_headline():
    root = project_root()
    stored = pd.read_csv(root / "results" / "differences.csv")
    text = (root / "README.md").read_text(encoding="utf-8")
    assert evidence_tables.with_headline(text, stored) == text, "make results"
    main = {(comparison.question, name) for comparison in COMPARISONS for name in comparison.main}
    assert len(evidence_tables.headline(stored)) == len(main)


def test_the_stored_tables_are_those_of_the_stored_cells():
    """Scores and seeds of `settings.csv`, from the cells' records alone."""
    folder = project_root() / "results"
    scores = pd.read_csv(folder / "cells.csv").set_index("cell")
    assert set(scores.index) == {path.stem for path in (folder / "cells").glob("*.json")}
    settings = pd.read_csv(folder / "settings.csv").set_index(["question", "setting"])
    for comparison in COMPARISONS:
        for name, setting in comparison.settings.items():
            names = [Cell(setting, seed).name for seed in range(comparison.seeds_of(name))]
            there = scores.loc[[cell for cell in names if cell in scores.index], comparison.metric]
            if len(there):
                rows = settings.loc[[(comparison.question, name)]]
                assert list(rows["claim"]) == sorted(comparison.claims_of(name))
                assert set(rows["seeds"]) == {len(there)}
                assert rows["score"].to_numpy() == pytest.approx(there.mean(), abs=3e-3)


def test_the_figure_of_a_claim_shows_paired_differences_in_order():
    folder = project_root() / "results"
    settings, differences = (pd.read_csv(folder / f"{name}.csv") for name in ("settings", "differences"))
    figure = evidence_tables.evidence_figure(settings, "3 masked views", differences=differences)
    panels = zip(figure.axes[::2], figure.axes[1::2], strict=True)
    left, right = next(panel for panel in panels if "hide" in panel[0].get_title(loc="left"))
    assert [text.get_text() for text in left.get_yticklabels()] == [
        "0.5 against 0 (published script)", "0.5 against 0.25", "0.5 against 0.75 (paper: most)", "0.5 against 0.9",
    ]  # fmt: skip
    stored = differences[differences["question"].str.startswith("How much should each view hide?")].iloc[0]
    assert any(f"{abs(stored.difference):.3f}" in text.get_text() for text in right.texts)
    merged = evidence_tables.evidence_figure(settings, "1 MAE prior", differences=differences)
    titles = [axes.get_title(loc="left").replace(",", ":").split(":")[0] for axes in merged.axes[::2]]
    longer = "With five times the schedule"
    assert titles == ["EMMA", "EMMA", longer, "CoTEX", "CoTEX", longer], "shares are rows of one panel"
    assert "by share of the labels" in merged.axes[0].get_title(loc="left")
    assert [text.get_text()[:4] for text in merged.axes[0].get_yticklabels()] == ["1 %:", "10 %", "100 "]
    alone = evidence_tables.evidence_figure(settings, "4 JS divergence")
    weights = next(axes for axes in alone.axes if "heavy" in axes.get_title(loc="left"))
    assert [text.get_text().split()[0] for text in weights.get_yticklabels()] == ["0", "1", "10", "30", "100"]


def test_every_claim_has_five_seeds_for_its_main_comparison_and_names_are_unique():
    for comparison in COMPARISONS:
        for name in comparison.main:
            assert comparison.seeds_of(name) == comparison.seeds_of(comparison.reference[0]) == 5
        assert set(comparison.other_claims) <= set(comparison.others)
    assert {claim for one in COMPARISONS for name in one.others for claim in one.claims_of(name)} == set(IDEAS)
    names = [cell.name for cell in cells()]
    assert len(set(names)) == len(names)
