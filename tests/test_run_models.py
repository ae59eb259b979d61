"""The models of a run, and the thresholds that belong to its weights and to no others."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from export_models import cotex, emma
from PIL import Image

from affect_core import command_line
from affect_core.checkpoints import save_weights
from affect_core.emma_thresholds import calibrate_emma
from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS
from affect_core.prediction import Predictor
from affect_core.record import weights_fingerprint
from affect_core.run_models import kept_thresholds, run_model, run_predictor

THRESHOLDS = tuple(np.linspace(0.2, 0.8, 12).tolist())
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), np.uint8)


@pytest.fixture
def run_dir(tmp_path):
    """A run with a tiny EMMA and its thresholds, and no CoTEX."""
    save_weights(tmp_path / "emma" / "best.safetensors", emma())
    keep_thresholds(tmp_path, emma())
    return tmp_path


def keep_thresholds(run_dir, model):
    """As `emma_thresholds.calibrate_emma` keeps them."""
    record = {"weights": weights_fingerprint(model), "action_units": ACTION_UNITS, "thresholds": THRESHOLDS}
    (run_dir / "emma" / "thresholds.json").write_text(json.dumps(record))


def test_thresholds_of_these_weights_are_used_and_said(run_dir):
    said = []
    assert kept_thresholds(run_dir, run_model(run_dir, "emma"), said.append) == THRESHOLDS
    assert said == [f"action units count as active above the thresholds of {run_dir}/emma/thresholds.json"]
    assert run_predictor(run_dir).thresholds == THRESHOLDS


def test_thresholds_that_the_workbook_fitted_belong_to_the_weights_it_kept(smoke_book, tmp_path):
    save_weights(tmp_path / "emma" / "best.safetensors", emma())
    training = smoke_book.corpus("abaw4").split("training").select(np.arange(40))
    fitted = calibrate_emma(emma(), training, 32, tmp_path / "emma")
    assert run_predictor(tmp_path).thresholds == tuple(fitted)


def test_thresholds_of_other_weights_are_not_used_and_that_is_said(run_dir):
    other = emma()
    torch.nn.init.zeros_(other.va_head[0].weight)
    keep_thresholds(run_dir, other)
    said = []
    assert kept_thresholds(run_dir, run_model(run_dir, "emma"), said.append) == (0.5,) * 12
    assert "above 0.5" in said[0] and said[0].endswith("is of other weights")
    (run_dir / "emma" / "thresholds.json").unlink()
    assert kept_thresholds(run_dir, run_model(run_dir, "emma"), said.append) == (0.5,) * 12
    assert said[1].endswith("is not there")


def test_without_a_cotex_the_answer_is_that_of_emma_and_its_cnn(run_dir):
    said = []
    alone = run_predictor(run_dir, say=said.append)
    assert said[1] == f"{run_dir} has no CoTEX: expressions are those of EMMA and its CNN"
    unweighted = Predictor(emma(), cotex(), cotex_share=0.0).predict_batch(PICTURES)
    np.testing.assert_allclose(alone.predict_batch(PICTURES).expression_logits, unweighted.expression_logits, atol=1e-5)
    save_weights(run_dir / "cotex" / "best.safetensors", cotex())
    both = run_predictor(run_dir).predict_batch(PICTURES).expression_logits
    np.testing.assert_allclose(both, Predictor(emma(), cotex()).predict_batch(PICTURES).expression_logits, atol=1e-5)
    assert np.abs(both - unweighted.expression_logits).max() > 1e-3


def test_a_run_without_emma_with_another_model_or_without_the_cnn_is_refused(run_dir, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(AffectError, match=r"best.safetensors not found: train it with `affect-core train emma"):
        run_predictor(empty)
    save_weights(empty / "emma" / "best.safetensors", cotex())
    with pytest.raises(AffectError, match="holds a CoTEX, not a EMMA"):
        run_model(empty, "emma")
    save_weights(run_dir / "emma" / "best.safetensors", emma(va_source="vit_scores"))
    with pytest.raises(AffectError, match=r"no expression CNN \(va_source 'vit_scores'\)"):
        run_predictor(run_dir)


def test_the_command_cuts_action_units_at_the_runs_thresholds(run_dir, tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp("faces")
    for number, picture in enumerate(PICTURES):
        Image.fromarray(picture).save(folder / f"{number}.png")
    out = folder / "a.csv"
    assert command_line.main(["predict", str(folder), "--run-dir", str(run_dir), "--out", str(out)]) == 0
    said, table = capsys.readouterr().err, pd.read_csv(out)
    assert "above the thresholds of" in said and "has no CoTEX" in said
    shares = table[[f"probability_AU{unit}" for unit in ACTION_UNITS]].to_numpy()
    np.testing.assert_array_equal(table[[f"active_AU{unit}" for unit in ACTION_UNITS]], shares > THRESHOLDS)
    assert not np.array_equal(shares > THRESHOLDS, shares > 0.5), "else this test would show nothing"
