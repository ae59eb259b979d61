"""Published checkpoints are recognised by their tensors, opened without running code, and read completely."""

import argparse
import collections
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from affect_core.checkpoints import save_weights
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.labels import LSD_EXPRESSIONS
from affect_core.mae import MAE, MAEConfig
from affect_core.published import load_published
from affect_core.vit import ViTConfig, ViTEncoder, resample_positions

VIT = ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=3)
PRIOR = DANConfig(width=4, num_heads=2)


@pytest.fixture
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def published_mae(mae: MAE) -> dict:
    return {name.removeprefix("encoder."): tensor for name, tensor in mae.state_dict().items()}


def published_emma(emma: EMMA) -> dict:
    return {name.replace("prior.model.", "cnn."): tensor for name, tensor in emma.state_dict().items()}


def published_cotex(cotex: CoTEX) -> list[dict]:
    return [{f"vit.{name}": tensor for name, tensor in view.state_dict().items()} for view in cotex.views]


def small_mae() -> MAE:
    return MAE(MAEConfig(VIT, decoder_width=16, decoder_depth=1, decoder_heads=2)).eval()


@pytest.mark.parametrize("container", ["model", "model_state_dict", "state_dict", None])
def test_the_state_dict_may_be_wrapped_and_parallel(container, tmp_path, images):
    dan = DAN(PRIOR).eval()
    state = {f"module.{name}": tensor for name, tensor in dan.state_dict().items()}
    torch.save({container: state, "epoch": 3} if container else state, tmp_path / "dan.pth")
    assert torch.equal(load_published(tmp_path / "dan.pth")(images), dan(images))


def test_safetensors_are_read_too(tmp_path, images):
    dan = DAN(PRIOR).eval()
    save_file(dan.state_dict(), tmp_path / "dan.safetensors")
    assert torch.equal(load_published(tmp_path / "dan.safetensors")(images), dan(images))


def test_mae_with_and_without_its_decoder(tmp_path, images):
    mae = small_mae()
    torch.save({"model": published_mae(mae)}, tmp_path / "full.pth")
    again = load_published(tmp_path / "full.pth", heads=3, decoder_heads=2)
    noise = torch.rand(2, 16)
    assert torch.equal(again(images, noise=noise).prediction, mae(images, noise=noise).prediction)
    torch.save({"model": mae.encoder.state_dict()}, tmp_path / "encoder.pth")
    encoder = load_published(tmp_path / "encoder.pth", heads=3)
    assert isinstance(encoder, ViTEncoder)
    assert torch.equal(encoder(images), mae.encoder(images))


def test_emma_and_every_view_of_cotex(tmp_path, images):
    emma = EMMA(EMMAConfig(vit=VIT, hidden=16, va_hidden=8), DAN(PRIOR)).eval()
    torch.save({"model": published_emma(emma)}, tmp_path / "emma.pth")
    again = load_published(tmp_path / "emma.pth", heads=3)
    assert torch.equal(again(images).valence_arousal, emma(images).valence_arousal)
    cotex = CoTEX(CoTEXConfig(vit=VIT, views=3)).eval()
    torch.save(published_cotex(cotex), tmp_path / "cotex.pth")
    again = load_published(tmp_path / "cotex.pth", heads=3)
    assert torch.equal(again(images), cotex(images))
    assert again.config.vocabulary == LSD_EXPRESSIONS


def test_another_image_size_resamples_the_positions(tmp_path):
    mae = small_mae()
    torch.save({"model": published_mae(mae)}, tmp_path / "mae.pth")
    larger = load_published(tmp_path / "mae.pth", image_size=64, heads=3, decoder_heads=2)
    assert torch.equal(larger.encoder.pos_embed, resample_positions(mae.encoder.pos_embed, 8))
    assert torch.equal(larger.decoder_pos_embed, resample_positions(mae.decoder_pos_embed, 8))
    assert larger(torch.zeros(1, 3, 64, 64)).prediction.shape == (1, 64, 192)


def test_unknown_numbers_of_heads_are_asked_for(tmp_path):
    torch.save({"model": published_mae(small_mae())}, tmp_path / "mae.pth")
    with pytest.raises(AffectError, match="width 24 pass heads="):
        load_published(tmp_path / "mae.pth")
    with pytest.raises(AffectError, match="width 16 pass decoder_heads="):
        load_published(tmp_path / "mae.pth", heads=3)


def test_every_tensor_is_accounted_for(tmp_path):
    state = DAN(PRIOR).state_dict()
    state["extra"] = torch.zeros(1)
    del state["fc.bias"]
    state["bn.weight"] = torch.ones(7)
    torch.save({"model_state_dict": state}, tmp_path / "dan.pth")
    with pytest.raises(AffectError) as refused:
        load_published(tmp_path / "dan.pth")
    for part in ("dan.pth", "1 missing: fc.bias", "1 unexpected: extra", "bn.weight (7,) instead of (8,)"):
        assert part in str(refused.value)


def test_sizes_that_cannot_be_read_are_refused_by_file_and_tensor(tmp_path):
    state = published_mae(small_mae())
    for name, tensor, message in (
        ("pos_embed", torch.zeros(1, 8, 24), "7 patches"),
        ("patch_embed.proj.weight", torch.zeros(24, 192), "4 dimensions"),
        ("blocks.0.mlp.fc1.weight", None, "lacks blocks.0.mlp.fc1.weight"),
    ):
        damaged = {**state, name: tensor}
        torch.save({k: t for k, t in damaged.items() if t is not None}, tmp_path / "mae.pth")
        with pytest.raises(AffectError, match=f"mae.pth: .*{message}"):
            load_published(tmp_path / "mae.pth", heads=3, decoder_heads=2)


def test_views_that_differ_are_refused(tmp_path):
    views = published_cotex(CoTEX(CoTEXConfig(vit=VIT)))
    del views[1]["vit.head.bias"]
    torch.save(views, tmp_path / "cotex.pth")
    with pytest.raises(AffectError, match="missing: views.1.head.bias"):
        load_published(tmp_path / "cotex.pth", heads=3)


class RunsCode:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old style"])
def test_a_file_that_would_run_code_is_refused_by_what_it_holds(zipped, tmp_path):
    marker = tmp_path / "code was run"
    torch.save({"model": RunsCode(marker)}, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(AffectError, match=rf"evil.pth holds more than tensors \({os.mkdir.__module__}.mkdir\)"):
        load_published(tmp_path / "evil.pth")
    assert not marker.exists()


def test_a_whole_pickled_model_or_its_arguments_are_named(tmp_path):
    torch.save({"model": DAN(PRIOR).state_dict(), "args": argparse.Namespace(lr=1)}, tmp_path / "args.pth")
    with pytest.raises(AffectError, match="argparse.Namespace"):
        load_published(tmp_path / "args.pth")
    torch.save(DAN(PRIOR), tmp_path / "whole.pth")
    with pytest.raises(AffectError, match="affect_core.dan.DAN"):
        load_published(tmp_path / "whole.pth")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_plain_pickle_is_refused(tmp_path):
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(collections.deque([1])))
    with pytest.raises(AffectError, match="plain.pkl"):
        load_published(tmp_path / "plain.pkl")


def test_other_files_are_refused_in_words(tmp_path):
    with pytest.raises(AffectError, match="nowhere.pth not found"):
        load_published(tmp_path / "nowhere.pth")
    for name, content in {"page.pth": b"<html>404</html>", "empty.pth": b"", "page.safetensors": b"<html>"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AffectError, match=f"{name} is not a"):
            load_published(tmp_path / name)
    torch.save(DAN(PRIOR).state_dict(), tmp_path / "dan.pth")
    (tmp_path / "half.pth").write_bytes((tmp_path / "dan.pth").read_bytes()[:3000])
    with pytest.raises(AffectError, match="half.pth is not a PyTorch checkpoint, or not a whole one"):
        load_published(tmp_path / "half.pth")
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    with pytest.raises(AffectError, match="conv.weight"):
        load_published(tmp_path / "vgg.pth")
    torch.save({"epoch": 3, "loss": 0.1}, tmp_path / "numbers.pth")
    with pytest.raises(AffectError, match="holds a dict with epoch, loss"):
        load_published(tmp_path / "numbers.pth")


def test_our_own_files_are_not_published_ones(tmp_path):
    save_weights(tmp_path / "own.safetensors", CoTEX(CoTEXConfig(vit=VIT)))
    with pytest.raises(AffectError, match="load_model"):
        load_published(tmp_path / "own.safetensors")
