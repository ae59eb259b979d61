"""What the options beside the paper change: rows that can be recomputed, and the stored table."""

import numpy as np
import pandas as pd
import pytest
from export_models import cotex, emma

from affect_core.batches import predict_corpus
from affect_core.bootstrap import paired_differences, resampled_scores
from affect_core.labels import AffectLabels, AffectPrediction
from affect_core.metrics import mtl_score
from affect_core.project_folders import project_root
from affect_core.shipped import weights_dir
from affect_core.smoothing import frame_numbers, smooth_prediction
from affect_core.storage import read_json
from benchmarks import option_effects


def some(n: int = 60) -> tuple[AffectPrediction, AffectLabels, list[str]]:
    rng = np.random.default_rng(0)
    said = AffectPrediction(*(rng.normal(size=(n, width)).astype(np.float32) for width in (8, 12, 2)))
    known = np.ones((n, 12), bool)
    labels = AffectLabels(
        valence_arousal=rng.uniform(-1, 1, (n, 2)).astype(np.float32), valence_arousal_valid=known[:, :2],
        expression=rng.integers(0, 8, n), expression_valid=known[:, 0],
        action_units=rng.integers(0, 2, (n, 12)).astype(np.float32), action_units_valid=known,
    )  # fmt: skip
    return said, labels, [f"video{i // 6}" for i in range(n)]


def test_a_prediction_does_not_differ_from_itself():
    said, labels, groups = some()
    for interval in paired_differences(said, said, labels, groups, resamples=50).values():
        assert tuple(interval) == (0.0, 0.0, 0.0)


def test_differences_are_those_of_the_scores_and_paired():
    said, labels, groups = some()
    thresholds = np.linspace(0.2, 0.8, 12)
    better = AffectPrediction(said.expression_logits, said.action_unit_logits, labels.valence_arousal * 0.5)
    effects = paired_differences(said, better, labels, groups, other_thresholds=thresholds, resamples=200)
    one, other = mtl_score(said, labels), mtl_score(better, labels, thresholds)
    for name, interval in effects.items():
        assert interval.estimate == pytest.approx(other[name] - one[name], abs=1e-9)
        assert interval.low <= interval.estimate + 0.05 and interval.estimate <= interval.high + 0.05
    assert effects["valence_ccc"].low > 0.2 and tuple(effects["expression_f1"]) == (0.0, 0.0, 0.0)
    whole, resampled = resampled_scores(better, labels, groups, thresholds, resamples=10)
    assert whole["action_unit_f1"] == pytest.approx(other["action_unit_f1"]) and len(resampled["p_mtl"]) == 10


def test_the_table_has_a_row_for_each_option_setting_and_score_and_they_add_up(smoke_book):
    model = emma()
    table = option_effects.option_effects(model, cotex(), smoke_book, resamples=20)
    counts = table.groupby(["model", "option"])["setting"].nunique()
    assert dict(counts) == {
        ("EMMA", "smoothing"): 3, ("EMMA", "thresholds"): 2, ("EMMA", "smoothing and thresholds"): 3,
        ("EMMA", "average over masks"): 2, ("CoTEX", "average over masks"): 2,
    }  # fmt: skip
    np.testing.assert_allclose(table["with_option"] - table["plain"], table["difference"], atol=1e-9)
    assert (table["corpus"].str.endswith("(synthetic)")).all()
    validation = smoke_book.corpus("abaw4").split("validation")
    frames = frame_numbers(validation.table["image"])
    by_hand = smooth_prediction(predict_corpus(model, validation, 32), validation.table["group"], frames, width=10)
    row = table.query("option == 'smoothing' and setting == '10 frames' and score == 'p_mtl'").iloc[0]
    assert row["with_option"] == pytest.approx(mtl_score(by_hand, validation.labels)["p_mtl"], abs=1e-6)
    thresholds = table.query("model == 'EMMA' and option == 'thresholds'").set_index("score")
    assert (thresholds.loc["expression_f1", "difference"] == 0).all(), "thresholds are of action units"


def test_the_command_writes_the_table_and_says_what_it_was_run_on(smoke_book, tmp_path, monkeypatch, capsys):
    rows = pd.DataFrame({"option": ["smoothing"], "difference": [0.123456]})
    monkeypatch.setattr(option_effects, "option_effects", lambda emma, cotex, book: rows)
    monkeypatch.setattr(option_effects.Workbook, "train_emma", lambda book: (None, None))
    monkeypatch.setattr(option_effects.Workbook, "train_cotex", lambda book: (None, None))
    arguments = ["--profile", "smoke", "--run-dir", str(tmp_path / "run"), "--out", str(tmp_path / "a.csv")]
    assert option_effects.main(arguments) == 0
    row = pd.read_csv(tmp_path / "a.csv").iloc[0]
    assert (row["difference"], row["weights"], row["profile"]) == (0.1235, "shipped (data/weights)", "smoke")
    assert option_effects.main([*arguments[:-1], str(tmp_path / "a.xlsx")]) == 1
    assert ".csv or .parquet" in capsys.readouterr().err


def test_the_stored_table_is_complete_and_names_what_it_was_run_on():
    table = pd.read_csv(project_root() / "results" / "options.csv")
    assert len(table) == 10 * 4 + 2
    assert (table["low"] <= table["high"]).all()
    np.testing.assert_allclose(table["with_option"] - table["plain"], table["difference"], atol=2e-4)
    assert set(table["weights"]) == {"shipped (data/weights)"} and set(table["profile"]) == {"laptop"}
    assert dict(table.groupby("model")["images"].first()) == {"CoTEX": 800, "EMMA": 960}
    stated = read_json(weights_dir() / "scores.json")
    for (model, score), plain in table.groupby(["model", "score"])["plain"].first().items():
        assert plain == pytest.approx(stated[model.lower()][score]["estimate"], abs=2e-3), "the model cards' scores"
