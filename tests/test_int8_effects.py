"""What 8-bit weights change: rows that can be recomputed, and the stored table, which is of the weights that ship."""

import numpy as np
import pandas as pd
import pytest
from export_models import cotex, emma

from affect_core.batches import predict_corpus
from affect_core.export import export_onnx, onnx_predictor, write_int8_onnx
from affect_core.metrics import mtl_score
from affect_core.project_folders import project_root
from affect_core.shipped import shipped_model, weights_dir
from affect_core.storage import read_json
from benchmarks import int8_effects


def test_each_score_is_that_of_the_file_and_the_differences_add_up(smoke_book, tmp_path):
    table = int8_effects.int8_effects(emma(), cotex(), smoke_book, resamples=50, repeats=1)
    assert list(table["model"]) == ["EMMA"] * 4 + ["CoTEX"] and (table["corpus"].str.endswith("(synthetic)")).all()
    np.testing.assert_allclose(table["int8"] - table["float32"], table["difference"], atol=1e-9)
    assert (table["low"] <= table["high"]).all() and (table[["float32_ms", "int8_ms"]] > 0).all(axis=None)
    export_onnx(emma(), tmp_path / "a.onnx")
    sizes = write_int8_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx")
    validation, row = smoke_book.corpus("abaw4").split("validation"), table.iloc[0]
    assert (row["float32_mb"], row["int8_mb"]) == (sizes[0] / 1e6, sizes[1] / 1e6)
    for name, column in (("a.onnx", "float32"), ("b.onnx", "int8")):
        graph = onnx_predictor(tmp_path / name)
        prediction = predict_corpus(graph, validation, 32, batch_size=int8_effects.BATCH)
        assert row[column] == pytest.approx(mtl_score(prediction, validation.labels)["p_mtl"], abs=1e-6)


def test_the_command_writes_the_table_and_says_what_it_was_run_on(smoke_book, tmp_path, monkeypatch, capsys):
    rows = pd.DataFrame({"model": ["EMMA"], "difference": [0.123456]})
    monkeypatch.setattr(int8_effects, "int8_effects", lambda emma, cotex, book: rows)
    for stage in ("train_emma", "train_cotex"):
        monkeypatch.setattr(int8_effects.Workbook, stage, lambda book: (None, None))
    arguments = ["--profile", "smoke", "--run-dir", str(tmp_path / "run"), "--out", str(tmp_path / "a.csv")]
    assert int8_effects.main(arguments) == 0
    row = pd.read_csv(tmp_path / "a.csv").iloc[0]
    assert (row["difference"], row["weights"], row["profile"]) == (0.1235, "shipped (data/weights)", "smoke")
    assert int8_effects.main([*arguments[:-1], str(tmp_path / "a.xlsx")]) == 1
    assert ".csv or .parquet" in capsys.readouterr().err


def test_the_stored_table_is_complete_and_of_the_weights_that_ship(tmp_path):
    table = pd.read_csv(project_root() / "results" / "int8.csv")
    assert list(table["model"]) == ["EMMA"] * 4 + ["CoTEX"]
    assert set(table["weights"]) == {"shipped (data/weights)"} and set(table["profile"]) == {"laptop"}
    assert dict(table.groupby("model")["images"].first()) == {"CoTEX": 800, "EMMA": 960}
    assert (table["low"] <= table["high"]).all()
    np.testing.assert_allclose(table["int8"] - table["float32"], table["difference"], atol=2e-4)
    stated = read_json(weights_dir() / "scores.json")
    for _, row in table.iterrows():
        model = stated[row["model"].lower()][row["score"]]
        assert row["float32"] == pytest.approx(model["estimate"], abs=2e-3), "the model cards' scores"
    for name in ("emma", "cotex"):
        export_onnx(shipped_model(name), tmp_path / "a.onnx")
        sizes = write_int8_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx")
        row = table[table["model"].str.lower() == name].iloc[0]
        assert (row["float32_mb"], row["int8_mb"]) == pytest.approx([size / 1e6 for size in sizes], rel=0.02)
