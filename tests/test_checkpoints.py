"""Weights come back whole, into the model they belong to, or not at all."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from affect_core import checkpoints
from affect_core.checkpoints import assign_weights, load_model, load_weights, read_metadata, save_weights
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.mae import MAE, MAEConfig
from affect_core.vit import ViTConfig

VIT = ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=3)
PRIOR = DANConfig(width=4, num_heads=2, small_images=True)
MODELS = {
    "mae": lambda: MAE(MAEConfig(VIT, decoder_width=16, decoder_depth=1, decoder_heads=2)),
    "dan": lambda: DAN(PRIOR),
    "emma": lambda: EMMA(EMMAConfig(vit=VIT, hidden=16, va_hidden=8, va_source="both_scores_detached"), DAN(PRIOR)),
    "emma without prior": lambda: EMMA(EMMAConfig(vit=VIT, va_source="vit_features")),
    "cotex": lambda: CoTEX(CoTEXConfig(vit=VIT, views=3, vocabulary=("calm", "not"))),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_from_its_file_alone(name, tmp_path):
    model = MODELS[name]()
    save_weights(tmp_path / "model.safetensors", model, {"action_unit_thresholds": [0.5] * 12})
    again = load_model(tmp_path / "model.safetensors")
    assert (type(again), again.config) == (type(model), model.config)
    assert not again.training
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in again.state_dict().items())
    assert read_metadata(tmp_path / "model.safetensors")["metadata"] == {"action_unit_thresholds": [0.5] * 12}


def test_load_weights_returns_what_was_noted(tmp_path):
    save_weights(tmp_path / "a.safetensors", MODELS["dan"](), {"epoch": 3})
    assert load_weights(tmp_path / "a.safetensors", MODELS["dan"]()) == {"epoch": 3}


def test_averaged_weights_can_be_saved_in_place_of_the_models(tmp_path):
    model, average = MODELS["dan"](), MODELS["dan"]()
    save_weights(tmp_path / "a.safetensors", model, weights=average.state_dict())
    assert torch.equal(load_model(tmp_path / "a.safetensors").fc.weight, average.fc.weight)


def test_a_wrong_file_is_refused_with_every_fault_named_and_nothing_copied():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors = {
        "0.weight": torch.zeros(3, 2),
        "0.bias": torch.zeros(4),
        "1.weight": torch.zeros(1, 3),
        "2.gain": torch.zeros(1),
    }
    with pytest.raises(AffectError) as refused:
        assign_weights(model, tensors, source="weights.pth")
    message = str(refused.value)
    assert message.startswith("weights.pth does not fit Sequential")
    assert "1 missing: 1.bias" in message
    assert "1 unexpected: 2.gain" in message
    assert "1 of another shape: 0.bias (4,) instead of (3,)" in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_weights(path, MODELS["dan"](), {"epoch": 1})

    def half_a_file(tensors, temporary, metadata):
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save_file", half_a_file)
    with pytest.raises(KeyboardInterrupt):
        save_weights(path, MODELS["dan"](), {"epoch": 2})
    assert read_metadata(path)["metadata"] == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_missing_damaged_or_strange_are_refused_by_name(tmp_path):
    with pytest.raises(AffectError, match="nowhere.safetensors not found"):
        load_model(tmp_path / "nowhere.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights at all")
    with pytest.raises(AffectError, match="text.safetensors is not a safetensors file"):
        load_model(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(AffectError, match="not written by this project"):
        load_model(tmp_path / "other.safetensors")
    save_weights(tmp_path / "linear.safetensors", nn.Linear(1, 1))
    with pytest.raises(AffectError, match="holds a Linear"):
        load_model(tmp_path / "linear.safetensors")


def test_a_config_field_from_another_version_is_named(tmp_path):
    record = {"model": "DAN", "config": {"width": 8, "height": 9}, "metadata": {}}
    save_file({"a": torch.zeros(1)}, tmp_path / "new.safetensors", metadata={"affect_core": json.dumps(record)})
    with pytest.raises(AffectError, match="DANConfig has no height"):
        load_model(tmp_path / "new.safetensors")


def test_models_are_loaded_alike_whatever_the_caller_has_set_for_tensors_of_its_own(tmp_path):
    model = DAN(DANConfig(width=8))
    save_weights(tmp_path / "a.safetensors", model)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            loaded = load_model(tmp_path / "a.safetensors")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)
    for one, other in zip(loaded.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(one, other) and one.dtype == other.dtype and not one.is_inference()


def test_of_a_wrapped_model_the_one_inside_is_kept(tmp_path):
    model = DAN(DANConfig(width=8))
    for wrapped in (torch.compile(model, backend="eager"), nn.DataParallel(model)):
        save_weights(tmp_path / "a.safetensors", wrapped)
        loaded = load_model(tmp_path / "a.safetensors")
        assert type(loaded) is DAN and list(loaded.state_dict()) == list(model.state_dict())
        load_weights(tmp_path / "a.safetensors", wrapped)


def test_what_cannot_be_kept_is_said_in_a_sentence_and_leaves_no_file(tmp_path):
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(AffectError, match="a.safetensors cannot be written: .*share memory"):
        save_weights(tmp_path / "a.safetensors", tied)
    with pytest.raises(AffectError, match="the metadata are not JSON"):
        save_weights(tmp_path / "a.safetensors", nn.Linear(3, 3), {"score": object()})
    assert list(tmp_path.iterdir()) == []


def test_weights_of_other_names_are_not_written(tmp_path):
    with pytest.raises(AffectError, match="weights have other names than those of the Linear"):
        save_weights(tmp_path / "a.safetensors", nn.Linear(3, 3), weights={"x": torch.zeros(3)})
    assert list(tmp_path.iterdir()) == []
