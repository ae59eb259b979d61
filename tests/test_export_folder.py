"""A model folder holds the whole model, says what it is, and comes back."""

import json

import pytest
import torch
from export_models import PATCHES, cotex, emma, mae, random_images
from torch import nn

from affect_core.checkpoints import load_model, load_weights, read_metadata
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.export import load_folder, save_folder
from affect_core.priors import CustomPrior, CustomPriorConfig, TimmPrior, TimmPriorConfig

MODELS = {
    "mae": mae,
    "dan": lambda: DAN(DANConfig(width=8, num_heads=2)).eval(),
    "timm's CNN": lambda: TimmPrior(TimmPriorConfig(image_size=48, timm_name="test_resnet")).eval(),
    "emma": emma,
    "emma without prior": lambda: emma(va_source="vit_scores"),
    "cotex": lambda: cotex(3),
}
DATA = "Rendered faces of the embedded corpus, no photograph."


@pytest.fixture
def folder(tmp_path):
    save_folder(tmp_path / "hub", emma(), trained_on=DATA, metadata={"thresholds": [0.5] * 12})
    return tmp_path / "hub"


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_from_its_folder(name, tmp_path):
    model = MODELS[name]()
    save_folder(tmp_path, model, trained_on=DATA)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = load_folder(tmp_path)
    assert (type(again), again.config, again.training) == (type(model), model.config, False)
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in model.state_dict().items())
    assert again.state_dict().keys() == model.state_dict().keys()


def test_its_weights_are_a_checkpoint_of_ours_too(folder):
    model = load_model(folder / "model.safetensors")
    expected, found = emma()(random_images(2)), model(random_images(2))
    torch.testing.assert_close(found.valence_arousal, expected.valence_arousal)
    assert read_metadata(folder / "model.safetensors")["metadata"] == {"thresholds": [0.5] * 12}


def test_the_config_names_classes_units_and_normalisation(folder):
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["EMMA"] and config["image_size"] == 32
    assert config["id2label"]["7"] == "other" and config["action_units"][-1] == 26
    assert config["image_mean"] == [0.485, 0.456, 0.406]


def test_the_card_tells_what_was_given_and_invents_nothing(tmp_path):
    save_folder(tmp_path / "a", cotex(), trained_on=DATA)
    card = (tmp_path / "a" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name:") and "license:" not in card and "Not stated" in card
    assert DATA in card and "None were given." in card and "anger, disgust, fear" in card and "action-unit" not in card
    save_folder(
        tmp_path / "a", emma(), trained_on=DATA, licence="apache-2.0",
        scores={"P_MTL, validation, synthetic": 1.1534},
    )  # fmt: skip
    card = (tmp_path / "a" / "README.md").read_text()
    assert 'license: "apache-2.0"' in card and "| P_MTL, validation, synthetic | 1.153 |" in card and "AU26" in card


def test_the_card_says_which_sizes_a_cnn_takes(tmp_path):
    for image_size, words in ((48, "any size (the model resizes them to 48 px)"), (0, "a size that test_resnet takes")):
        config = TimmPriorConfig(image_size=image_size, timm_name="test_resnet")
        save_folder(tmp_path, TimmPrior(config), trained_on=DATA)
        assert words in (tmp_path / "README.md").read_text() and "None px" not in (tmp_path / "README.md").read_text()
        assert json.loads((tmp_path / "config.json").read_text())["image_size"] is None


def test_with_a_prior_of_one_s_own_the_card_shows_how_its_author_loads_it(tmp_path):
    def own():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 8, 32), nn.Flatten())
        return EMMA(EMMAConfig(vit=PATCHES, hidden=8, va_hidden=4), CustomPrior(network, CustomPriorConfig())).eval()

    save_folder(tmp_path, own(), trained_on=DATA)
    card = (tmp_path / "README.md").read_text()
    assert 'load_weights("this/folder/model.safetensors", model)' in card and "load_folder" not in card
    with pytest.raises(AffectError, match="only its author can build"):
        load_folder(tmp_path)
    load_weights(tmp_path / "model.safetensors", own())
    with pytest.raises(AffectError, match="a CustomPrior cannot be saved as a folder; MAE, DAN, TimmPrior"):
        save_folder(tmp_path, own().prior.model, trained_on=DATA)


def test_the_hubs_reader_understands_the_head_of_the_card(tmp_path):
    repocard = pytest.importorskip("huggingface_hub", reason="huggingface_hub comes with timm")
    save_folder(tmp_path, cotex(), trained_on=DATA, licence="mit")
    head = repocard.ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert (head["license"], head["library_name"]) == ("mit", "affect_core") and "cotex" in head["tags"]


def test_a_folder_that_does_not_hold_together_is_refused(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())

    def changed(**changes):
        (folder / "config.json").write_text(json.dumps(config | changes))
        return folder

    with pytest.raises(AffectError, match="does not fit EMMA"):
        load_folder(changed(affect_core=config["affect_core"] | {"hidden": 17}))
    with pytest.raises(AffectError, match="no colour"):
        load_folder(changed(affect_core=config["affect_core"] | {"colour": 1}))
    with pytest.raises(AffectError, match="holds a Bert"):
        load_folder(changed(architectures=["Bert"]))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(AffectError, match="not written by this project"):
        load_folder(folder)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    with pytest.raises(AffectError, match="model.safetensors not found"):
        load_folder(folder)
    with pytest.raises(AffectError, match="config.json not found"):
        load_folder(tmp_path)


def test_a_card_needs_training_data_and_a_known_model(tmp_path):
    with pytest.raises(AffectError, match="trained on"):
        save_folder(tmp_path / "a", emma(), trained_on=" ")
    with pytest.raises(AffectError, match="a Linear cannot be saved"):
        save_folder(tmp_path / "a", nn.Linear(2, 2), trained_on=DATA)
    assert not (tmp_path / "a").exists()
