"""Evidence: cells are trained once and read after, differences are paired, tables come from stored files alone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from affect_core import bootstrap, evidence, evidence_tables, experiments
from affect_core.bootstrap import expression_bootstrap, mtl_bootstrap, resampled_scores
from affect_core.errors import AffectError
from affect_core.evidence import labelled_share, train_cell
from affect_core.experiments import STARTS, Cell, Comparison, Setting
from affect_core.labels import AffectLabels, AffectPrediction
from affect_core.storage import read_json, write_json

EMMA = Setting("emma", labels=0.5)
COTEX = Setting("cotex", labels=0.5, changes=(("views", 2), ("mask_ratio", 0.5)))
TINY = (
    Comparison("1 prior", "EMMA: MAE?", "p_mtl", ("MAE", EMMA), {"random": replace(EMMA, start="random")}, ("random",)),
    Comparison("3 views", "one or two?", "expression_f1", ("two", COTEX),
               {"one": replace(COTEX, changes=(("views", 1), ("mask_ratio", 0.5)))}, ("one",)),
)  # fmt: skip


@pytest.fixture(scope="module")
def small(monkeypatch_module):
    monkeypatch_module.setattr(evidence, "IMAGES_SEEN", {"emma": 32, "cotex": 32})
    monkeypatch_module.setattr(experiments, "COMPARISONS", TINY)
    monkeypatch_module.setattr(evidence_tables, "COMPARISONS", TINY)
    monkeypatch_module.setattr(experiments, "MAIN_SEEDS", 2)


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def results(small, smoke_book, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    evidence.train_all(smoke_book, folder)
    return folder


def test_a_share_of_the_labels_is_whole_videos_and_all_of_validation(smoke_book):
    corpus = smoke_book.corpus("abaw4")
    half = labelled_share(corpus, 0.5, 0)
    videos = corpus.split("training").table["group"].nunique()
    kept = half.split("training").table
    assert kept["group"].nunique() == round(videos / 2)
    assert kept.groupby("group").size().nunique() == 1, "whole videos"
    assert len(half.split("validation")) == len(corpus.split("validation"))
    other = labelled_share(corpus, 0.5, 1).split("training").table
    assert set(other["group"]) != set(kept["group"])


@pytest.mark.slow
def test_a_stored_cell_is_read_and_not_trained_again(results, smoke_book):
    cell = Cell(EMMA, 0)
    path = results / "cells" / f"{cell.name}.json"
    written = path.stat().st_mtime_ns
    record = train_cell(smoke_book, cell, results)
    assert path.stat().st_mtime_ns == written
    assert {"config", "seed", "environment", "data", "score"} <= set(record)


@pytest.mark.slow
def test_a_cell_of_other_settings_is_refused(results, smoke_book, tmp_path):
    name = f"{Cell(EMMA, 0).name}.json"
    write_json(tmp_path / "cells" / name, read_json(results / "cells" / name) | {"key": "other"})
    with pytest.raises(AffectError, match="other settings"):
        train_cell(smoke_book, Cell(EMMA, 0), tmp_path)


@pytest.mark.slow
def test_tables_and_figures_come_from_the_stored_cells(results, smoke_book):
    evidence_tables.write_tables(smoke_book, results)
    settings, differences = (pd.read_csv(results / name) for name in ("settings.csv", "differences.csv"))
    assert list(settings["setting"]) == ["MAE", "random", "two", "one"]
    assert list(differences["alternative"]) == ["random", "one"]
    assert (differences["p_corrected"] >= differences["p"]).all()
    scores = pd.read_csv(results / "cells.csv").set_index("cell")
    mean = scores.loc[[Cell(EMMA, seed).name for seed in (0, 1)], "p_mtl"].mean()
    assert settings["score"][0] == pytest.approx(mean, abs=2e-3), "stored answers are float16"
    assert len(list((results / "figures").glob("*.png"))) == 2
    assert (results / "evidence.md").read_text().count("\n") == 2 + len(differences)


@pytest.mark.slow
def test_other_pretrainings_see_fewer_faces_or_other_masks(small, smoke_book):
    own = smoke_book.pretrain_mae()[0]
    ratio = evidence.pretrained(smoke_book, "MAE, ratio 0.5")
    assert ratio.config.mask_ratio == 0.5 and own.config.mask_ratio != 0.5
    fewer = evidence.pretrained(smoke_book, "MAE, 10% of the faces")
    assert fewer.config == own.config
    record = read_json(smoke_book.stage("evidence") / "MAE__10__of_the_faces" / "record.json")
    whole = read_json(smoke_book.stage("mae") / "record.json")
    assert record["images"] < 0.2 * whole["images"]
    assert record["training"]["epochs"] == round(10 * whole["training"]["epochs"])
    assert evidence.pretrained(smoke_book, "MAE").config == own.config
    assert "random" not in STARTS


def test_an_enlarged_batch_is_part_of_a_settings_name():
    assert Setting("cotex", batch=4).slug == "cotex-mae-10-batch_x4" != Setting("cotex").slug


def test_a_text_without_the_markers_is_refused():
    with pytest.raises(AffectError, match="no section between"):
        evidence_tables.with_headline("nothing", pd.DataFrame())


def test_holm_by_hand():
    np.testing.assert_allclose(evidence_tables.holm(np.array([0.04, 0.01, 0.03, 0.5])), [0.09, 0.04, 0.09, 0.5])


def labels_of(n, rng):
    labels = AffectLabels.missing(n)
    return replace(labels, expression=rng.integers(0, 8, n), expression_valid=np.ones(n, bool),
                   valence_arousal=rng.uniform(-1, 1, (n, 2)).astype(np.float32),
                   valence_arousal_valid=np.ones((n, 2), bool),
                   action_units=(rng.random((n, 12)) < 0.3).astype(np.float32),
                   action_units_valid=np.ones((n, 12), bool))  # fmt: skip


def test_resampled_scores_are_those_of_the_intervals():
    rng = np.random.default_rng(0)
    labels, groups = labels_of(200, rng), np.arange(200) // 10
    full = AffectPrediction(rng.normal(size=(200, 8)), rng.normal(size=(200, 12)), rng.uniform(-1, 1, (200, 2)))
    whole, resampled = resampled_scores(full, labels, groups, resamples=300, seed=3)
    interval = mtl_bootstrap(full, labels, groups, resamples=300, seed=3)["p_mtl"]
    assert whole["p_mtl"] == interval.estimate
    assert interval == bootstrap._interval(whole["p_mtl"], resampled["p_mtl"], 0.95)
    only = AffectPrediction(expression_logits=full.expression_logits)
    whole, _ = resampled_scores(only, labels, groups, resamples=300, seed=3)
    assert whole["expression_f1"] == expression_bootstrap(only, labels, groups, resamples=300, seed=3).estimate


def test_an_equal_pair_of_settings_is_no_difference():
    draws = evidence_tables._over_seeds(np.random.default_rng(0).normal(0, 1, (5, 4000)))
    assert evidence_tables._p_value(draws) > 0.5
    assert evidence_tables._p_value(draws + 10) == pytest.approx(2 / 4000)
