"""Predictions as a table hold what the prediction holds, under names, and come back from a file."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch

from affect_core.errors import AffectError
from affect_core.export import prediction_table, write_table
from affect_core.labels import ACTION_UNITS, EXPRESSIONS, LSD_EXPRESSIONS, AffectPrediction


@pytest.fixture
def table():
    generator = torch.Generator().manual_seed(0)
    tasks = [torch.randn(5, width, generator=generator) * 2 for width in (8, 12, 2)]
    return prediction_table(AffectPrediction(*tasks), [f"v/{i}.jpg" for i in range(5)])


def test_a_row_by_hand():
    logits = np.log(np.float32([[1, 2, 1, 4, 1, 1]]))
    units = np.zeros((1, 12), np.float32)
    units[0, ACTION_UNITS.index(12)] = np.log(3)
    said = AffectPrediction(logits, units, np.float32([[1.25, -0.5]]), vocabulary=LSD_EXPRESSIONS)
    row = prediction_table(said, ["a.jpg"], thresholds=[0.5] * 6 + [0.7] + [0.5] * 5).iloc[0]
    assert (row["image"], row["valence"], row["arousal"], row["expression"]) == ("a.jpg", 1.0, -0.5, "happiness")
    assert row["probability_happiness"] == pytest.approx(0.4)
    assert row["probability_AU12"] == pytest.approx(0.75) and row["active_AU12"] and not row["active_AU1"]


def test_probabilities_of_expressions_sum_to_one_and_the_named_one_is_largest(table):
    shares = table[[f"probability_{name}" for name in EXPRESSIONS]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    assert list(table["expression"]) == [name.removeprefix("probability_") for name in shares.idxmax(axis=1)]


def test_a_task_that_the_model_lacks_has_no_columns():
    said = AffectPrediction(torch.zeros(2, 6), vocabulary=LSD_EXPRESSIONS)
    columns = ["image", "expression", *(f"probability_{name}" for name in LSD_EXPRESSIONS)]
    assert list(prediction_table(said, ["a", "b"]).columns) == columns
    assert list(prediction_table(AffectPrediction(), ["a"]).columns) == ["image"]


def test_names_and_rows_must_agree():
    with pytest.raises(AffectError, match="2 rows of valence_arousal, but 3 images"):
        prediction_table(AffectPrediction(valence_arousal=torch.zeros(2, 2)), ["a", "b", "c"])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_comes_back_from_its_file_to_the_last_digit(table, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    write_table(tmp_path / f"a.{suffix}", table)
    again = getattr(pd, f"read_{suffix}")(tmp_path / f"a.{suffix}")
    pd.testing.assert_frame_equal(again.astype(table.dtypes), table, check_exact=True)


def test_parquet_without_pyarrow_names_the_extra_and_leaves_no_file(table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(AffectError, match=r"affect-core\[parquet\]"):
        write_table(tmp_path / "a.parquet", table)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.xlsx", "a"])
def test_another_suffix_is_refused(table, tmp_path, name):
    with pytest.raises(AffectError, match=r"\.csv or \.parquet"):
        write_table(tmp_path / name, table)
