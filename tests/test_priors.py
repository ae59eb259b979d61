"""Any network as EMMA's expression prior: frozen, read, kept in the file, refused where it does not fit."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from torch import nn

from affect_core.augment import IMAGENET_MEAN, IMAGENET_STD
from affect_core.checkpoints import load_model, load_weights, save_weights
from affect_core.emma import EMMA, EMMAConfig
from affect_core.errors import AffectError
from affect_core.priors import CustomPrior, CustomPriorConfig, TimmPrior, TimmPriorConfig, pretrained_prior
from affect_core.profiles import load_profile
from affect_core.project_folders import project_root
from affect_core.stages import train_prior
from affect_core.vit import ViTConfig

CONFIG = EMMAConfig(vit=ViTConfig(image_size=32, patch_size=8, width=24, depth=1, heads=3), hidden=8, va_hidden=4)
NAME = "test_resnet"  # timm's smallest: 0.5 million parameters


def images(n: int = 2) -> torch.Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(1))


class Watching(nn.Module):
    """Eight logits and what it saw."""

    def __init__(self):
        super().__init__()
        self.norm, self.linear, self.seen = nn.BatchNorm2d(3), nn.Linear(3, 8), None

    def forward(self, images):
        self.seen = images
        return self.linear(self.norm(images).mean(dim=(2, 3)))


def test_a_timm_cnn_is_frozen_read_and_comes_back_from_the_file(tmp_path):
    torch.manual_seed(0)
    emma = EMMA(CONFIG, TimmPrior(TimmPriorConfig(timm_name=NAME))).train()
    before = {name: tensor.clone() for name, tensor in emma.prior.state_dict().items()}
    prediction, scores = emma.forward_with_prior(images())
    prediction.valence_arousal.sum().backward()
    assert scores.shape == (2, 8) and not scores.requires_grad and not emma.prior.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in emma.prior.state_dict().items())
    save_weights(tmp_path / "a.safetensors", emma.eval())
    again = load_model(tmp_path / "a.safetensors")
    assert again.config == emma.config and again.config.prior.timm_name == NAME
    assert torch.equal(again(images()).valence_arousal, emma(images()).valence_arousal)


def test_one_s_own_cnn_is_frozen_too_and_its_file_is_filled_by_hand(tmp_path):
    torch.manual_seed(0)
    emma = EMMA(CONFIG, CustomPrior(Watching(), CustomPriorConfig())).train()
    statistics = emma.prior.model.network.norm.running_mean.clone()
    emma(images())
    assert torch.equal(emma.prior.model.network.norm.running_mean, statistics)
    save_weights(tmp_path / "a.safetensors", emma)
    with pytest.raises(AffectError, match="only its author can build"):
        load_model(tmp_path / "a.safetensors")
    again = EMMA(CONFIG, CustomPrior(Watching(), CustomPriorConfig()))
    load_weights(tmp_path / "a.safetensors", again)
    assert torch.equal(again.eval()(images()).valence_arousal, emma.eval()(images()).valence_arousal)


def test_the_network_gets_the_size_and_the_scale_that_it_was_trained_with():
    network = Watching().eval()
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    CustomPrior(network, CustomPriorConfig(mean=(0.5,) * 3, std=(0.25,) * 3))((pixels - mean) / std)
    torch.testing.assert_close(network.seen, (pixels - 0.5) / 0.25, rtol=1e-4, atol=1e-5)
    CustomPrior(network, CustomPriorConfig(image_size=48))((pixels - mean) / std)
    assert network.seen.shape == (2, 3, 48, 48)
    normalised = (pixels - mean) / std
    CustomPrior(network, CustomPriorConfig())(normalised)
    assert network.seen is normalised, "ours is left alone"


def test_what_does_not_keep_the_protocol_is_refused_in_words(record_property):
    with pytest.raises(AffectError, match="a Watching cannot be EMMA's expression prior.*CustomPrior"):
        EMMA(CONFIG, Watching())
    emma = EMMA(CONFIG, CustomPrior(Watching(), CustomPriorConfig(num_classes=7)))
    with pytest.raises(AffectError, match=r"gives \(2, 8\) for 2 images, not \(2, 7\)"):
        emma(images())
    with pytest.raises(AffectError, match="timm has no model 'resnet19'; it has .*resnet18"):
        TimmPriorConfig(timm_name="resnet19")
    record_property("reliability", {"part": "priors", "case": "a network with other outputs than it says",
                                    "treatment": "refused with both shapes"})  # fmt: skip


def test_published_weights_bring_their_normalisation(monkeypatch):
    torch.manual_seed(1)
    published = timm.create_model(NAME, num_classes=1000).state_dict()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *given, **options: dict(published))
    prior = pretrained_prior(NAME)
    name = next(name for name in published if name.endswith("conv1.weight") or name.endswith("conv.weight"))
    assert torch.equal(prior.network.state_dict()[name], published[name])
    assert prior.config.mean == (0.5,) * 3 and prior(images()).shape == (2, 8)

    def offline(*given, **options):
        raise OSError("no route to host")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    with pytest.raises(AffectError, match="cannot be fetched .* no route to host Connect"):
        pretrained_prior(NAME)


def test_a_profile_names_a_prior_and_the_stage_trains_it(smoke_book, tmp_path):
    text = (project_root() / "affect_core" / "profiles" / "smoke.toml").read_text()
    section = next(section for section in text.split("\n[") if section.startswith("prior]"))
    (tmp_path / "mine.toml").write_text(text.replace(section, f'prior]\ntimm_name = "{NAME}"\n'))
    config = load_profile(str(tmp_path / "mine.toml")).prior
    assert config == TimmPriorConfig(timm_name=NAME)
    corpus = smoke_book.corpus("affectnet")
    rows = np.concatenate([np.flatnonzero(corpus.table["split"] == split)[:16] for split in ("training", "validation")])
    training = replace(smoke_book.profile.prior_training, epochs=1)
    model, record = train_prior(config, training, smoke_book.profile.prior_augmentation, corpus.select(rows), 32,
                                tmp_path / "prior")  # fmt: skip
    assert len(record.log) == 1 and isinstance(model, TimmPrior)
    assert torch.equal(load_model(tmp_path / "prior" / "best.safetensors")(images()), model.eval()(images()))
