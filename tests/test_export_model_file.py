"""A weight file in each form, chosen by the name of the output; what does not go together is refused in a sentence."""

import json

import pytest
import timm
import torch
from export_models import cotex, emma, mae, random_images
from safetensors.torch import load_file

from affect_core.checkpoints import read_metadata, save_weights
from affect_core.dan import DAN, DANConfig
from affect_core.errors import AffectError
from affect_core.export import export_model_file, load_folder, onnx_predictor, open_onnx
from affect_core.export.onnx_graphs import read_description
from affect_core.priors import TimmPrior, TimmPriorConfig
from affect_core.record import weights_fingerprint

DATA = "Noise."
MODELS = {
    "emma": emma, "cotex": lambda: cotex(3), "mae": mae, "dan": lambda: DAN(DANConfig(width=8, num_heads=2)),
    "timm": lambda: TimmPrior(TimmPriorConfig(timm_name="test_resnet")),
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, build in MODELS.items():
        save_weights(folder / f"{name}.safetensors", build())
    return {name: folder / f"{name}.safetensors" for name in MODELS}


def test_onnx_in_eight_bits_is_the_smaller_graph_of_the_same_model(files, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    export_model_file(files["emma"], tmp_path / "a.onnx")
    said = export_model_file(files["emma"], tmp_path / "b.onnx", int8=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.onnx", "b.onnx"]
    assert said[0].startswith("before rounding, expression_logits: at most")
    assert "8-bit weights, 1.1 MB instead of 1.2 MB" in said[-2] and said[-1].endswith("results/int8.csv")
    assert read_description(tmp_path / "a.onnx") == read_description(tmp_path / "b.onnx")
    whole, rounded = (open_onnx(tmp_path / name)(random_images(4)) for name in ("a.onnx", "b.onnx"))
    assert 0 < abs(whole["expression_logits"] - rounded["expression_logits"]).max() < 0.5
    assert onnx_predictor(tmp_path / "b.onnx")(random_images(2)).valence_arousal.shape == (2, 2)


@pytest.mark.parametrize("name", ["emma", "cotex", "mae"])
def test_the_encoder_of_each_model_goes_to_timm_and_of_a_cotex_the_first_view_s(name, files, tmp_path):
    said = export_model_file(files[name], tmp_path / "encoder.safetensors")
    assert ("CoTEX has 3 encoders, one for each view; this is the first" in said) == (name == "cotex")
    stock = timm.create_model(**json.loads((tmp_path / "encoder.json").read_text())).eval()
    stock.load_state_dict(load_file(tmp_path / "encoder.safetensors"), strict=True)
    model = MODELS[name]()
    encoder = {"emma": lambda: model.vit, "cotex": lambda: model.views[0], "mae": lambda: model.encoder}[name]()
    with torch.no_grad():
        expected = encoder(random_images(2))
        torch.testing.assert_close(stock.forward_features(random_images(2)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["dan", "timm"])
def test_a_cnn_has_neither_a_graph_nor_an_encoder(name, files, tmp_path):
    kind = type(MODELS[name]()).__name__
    with pytest.raises(AffectError, match=f"{name}.safetensors holds a {kind}, which has no transformer for timm"):
        export_model_file(files[name], tmp_path / "a.safetensors")
    with pytest.raises(AffectError, match=f"a {kind} cannot be exported; EMMA, CoTEX, MAE"):
        export_model_file(files[name], tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mae.pth", "model.bin", "emma.ONNX", "emma-1.0"])
def test_another_suffix_is_refused_with_the_three_kinds_of_output(name, files, tmp_path):
    sentence = r"as NAME.onnx, as NAME.safetensors \(the encoder for timm\) or as a folder .*, not as \."
    with pytest.raises(AffectError, match=sentence):
        export_model_file(files["mae"], tmp_path / name, trained_on=DATA)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_may_have_a_dot(files, tmp_path):
    (tmp_path / "mae-1.0").mkdir()
    export_model_file(files["mae"], tmp_path / "mae-1.0", trained_on=DATA)
    assert (tmp_path / "mae-1.0" / "config.json").exists()


def test_what_does_not_go_together_is_refused_before_a_model_is_read(files, tmp_path):
    nowhere = tmp_path / "nowhere.safetensors"
    with pytest.raises(AffectError, match="say what the model was trained on, --trained-on"):
        export_model_file(nowhere, tmp_path / "folder")
    for name, kind in (("folder", "a folder"), ("a.safetensors", "an encoder for timm")):
        with pytest.raises(AffectError, match=f"--int8 goes with NAME.onnx; .* is {kind}"):
            export_model_file(nowhere, tmp_path / name, int8=True, trained_on=DATA)
    before = files["mae"].read_bytes()
    with pytest.raises(AffectError, match="mae.safetensors is the model itself"):
        export_model_file(files["mae"], files["mae"])
    assert files["mae"].read_bytes() == before
    with pytest.raises(AffectError, match="nowhere.safetensors not found"):
        export_model_file(nowhere, tmp_path / "a.onnx")


@pytest.mark.parametrize("name", MODELS)
def test_every_model_becomes_a_folder_that_gives_it_back(name, files, tmp_path):
    export_model_file(files[name], tmp_path, trained_on=DATA)
    again, model = load_folder(tmp_path), MODELS[name]()
    assert type(again) is type(model) and again.config == model.config
    assert DATA in (tmp_path / "README.md").read_text()


def test_a_folder_keeps_what_was_noted_with_the_weights_and_shows_its_scores(tmp_path):
    noted = {"epoch": 3, "validation_p_mtl": 1.25, "validation_valence_ccc": float("nan"), "seconds": 2.0,
             "scores": {"P_MTL, test": 1.1, "remark": "good"}, "thresholds": [0.25] * 12}  # fmt: skip
    save_weights(tmp_path / "best.safetensors", emma(), noted)
    export_model_file(tmp_path / "best.safetensors", tmp_path / "hub", trained_on=DATA)
    kept = read_metadata(tmp_path / "hub" / "model.safetensors")["metadata"]
    assert kept["thresholds"] == noted["thresholds"] and kept["scores"] == noted["scores"] and kept["epoch"] == 3
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "| p_mtl, validation split, while training | 1.250 |" in card and "| P_MTL, test | 1.100 |" in card
    assert "nan" not in card and "good" not in card and "seconds" not in card


def test_thresholds_beside_the_weights_go_with_them_if_they_were_fitted_to_them(tmp_path):
    save_weights(tmp_path / "best.safetensors", emma(), {"epoch": 1})
    for weights, thresholds in ((weights_fingerprint(emma()), [0.3] * 12), ("of another training", None)):
        kept = {"weights": weights, "action_units": [1], "thresholds": [0.3] * 12}
        (tmp_path / "thresholds.json").write_text(json.dumps(kept))
        export_model_file(tmp_path / "best.safetensors", tmp_path / "hub", trained_on=DATA)
        metadata = read_metadata(tmp_path / "hub" / "model.safetensors")["metadata"]
        assert metadata.get("thresholds") == thresholds and metadata["epoch"] == 1
