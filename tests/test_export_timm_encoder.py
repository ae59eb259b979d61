"""A stock timm builds our encoder from the two files and computes our features."""

import json

import pytest
import timm
import torch
from export_models import PATCHES, cotex, emma, mae, random_images, rendered_images
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer

from affect_core.augment import IMAGENET_MEAN, IMAGENET_STD
from affect_core.dan import DAN, DANConfig
from affect_core.errors import AffectError
from affect_core.export import save_timm_encoder, timm_arguments
from affect_core.vit import ViTConfig

ENCODERS = {"mae": mae, "emma": lambda: emma().vit, "cotex": lambda: cotex().views[1]}


@pytest.mark.parametrize("name", ENCODERS)
def test_stock_timm_takes_every_tensor_and_gives_our_tokens_and_features(name, tmp_path):
    model = ENCODERS[name]()
    encoder = model.encoder if name == "mae" else model
    save_timm_encoder(tmp_path / "encoder.safetensors", model)
    stock = timm.create_model(**json.loads((tmp_path / "encoder.json").read_text()))
    assert type(stock) is VisionTransformer
    stock.load_state_dict(load_file(tmp_path / "encoder.safetensors"), strict=True)
    stock.eval()
    for images in (random_images(3), rendered_images(2)):
        with torch.no_grad():
            tokens, ours = stock.forward_features(images), encoder(images)
            torch.testing.assert_close(tokens, ours, rtol=0, atol=1e-5)
            torch.testing.assert_close(stock(images), ours[:, 0], rtol=0, atol=1e-5)
            patches = encoder.config == PATCHES
            read = tokens[:, 1:].flatten(1) if patches else stock(images)
            torch.testing.assert_close(read, encoder.features(images), rtol=0, atol=1e-5)
        assert ours.std(dim=0).max() > 0.01


def test_the_one_line_of_the_docstring_works(tmp_path):
    save_timm_encoder(tmp_path / "encoder.safetensors", mae())
    arguments = json.loads((tmp_path / "encoder.json").read_text())
    stock = timm.create_model(**arguments, checkpoint_path=tmp_path / "encoder.safetensors").eval()
    with torch.no_grad():
        torch.testing.assert_close(stock(random_images(2)), mae().encoder(random_images(2))[:, 0], rtol=0, atol=1e-5)


def test_timm_is_told_our_normalisation_and_size():
    config = timm.data.resolve_model_data_config(timm.create_model(**timm_arguments(PATCHES)))
    assert tuple(config["mean"]) == IMAGENET_MEAN and tuple(config["std"]) == IMAGENET_STD
    assert tuple(config["input_size"]) == (3, 32, 32)


def test_the_papers_size_is_timms_vit_base():
    with torch.device("meta"):
        ours = timm.create_model(**timm_arguments(ViTConfig()))
        theirs = timm.create_model("vit_base_patch16_224", num_classes=0)
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == {
        name: tensor.shape for name, tensor in theirs.state_dict().items()
    }


def test_what_is_no_encoder_is_refused(tmp_path):
    with pytest.raises(AffectError, match="a DAN is no encoder"):
        save_timm_encoder(tmp_path / "a.safetensors", DAN(DANConfig(width=8)))
    with pytest.raises(AffectError, match="pass a MAE, emma.vit"):
        save_timm_encoder(tmp_path / "a.safetensors", emma())
    with pytest.raises(AffectError, match="written as .safetensors"):
        save_timm_encoder(tmp_path / "a.pth", mae())
    assert list(tmp_path.iterdir()) == []
