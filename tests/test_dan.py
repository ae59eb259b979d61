"""DAN on large and small images, and what frozen means."""

import copy

import pytest
import torch
from torch import nn

from affect_core.dan import DAN, DANConfig, FrozenPrior, SpatialAttention, fold_batchnorm
from affect_core.errors import AffectError

SMALL = DANConfig(width=8, num_heads=2)


@pytest.fixture
def images():
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("small_images", "side"), [(False, 2), (True, 4)])
def test_the_last_map_of_a_64_px_image(images, small_images, side):
    dan = DAN(DANConfig(width=8, num_heads=2, small_images=small_images))
    assert dan.features(images).shape == (4, 64, side, side)
    assert dan(images).shape == (4, 8)


def test_the_number_of_weights_does_not_depend_on_the_stem():
    names = [{name: t.shape for name, t in DAN(DANConfig(width=8, small_images=small)).state_dict().items()}
             for small in (False, True)]  # fmt: skip
    assert names[0] == names[1]


def test_every_parameter_gets_a_gradient(images):
    torch.manual_seed(0)
    dan = DAN(SMALL)
    (dan(images) * torch.randn(4, 8)).sum().backward()
    without = [name for name, p in dan.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


def test_spatial_attention_multiplies_all_channels_by_one_map():
    torch.manual_seed(0)
    attention, trunk = SpatialAttention(16).eval(), torch.randn(2, 16, 5, 5)
    attention_map = attention.attention_map(trunk)
    assert attention_map.shape == (2, 1, 5, 5)
    assert (attention_map >= 0).all()
    torch.testing.assert_close(attention(trunk), trunk * attention_map)


def test_a_width_that_does_not_divide_is_refused():
    with pytest.raises(AffectError, match="width"):
        DANConfig(width=6)


def test_frozen_means_eval_whatever_train_says():
    prior = FrozenPrior(DAN(SMALL))
    nn.Sequential(prior).train()
    assert not any(module.training for module in prior.modules())


def test_frozen_means_no_gradient(images):
    prior = FrozenPrior(DAN(SMALL))
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    assert not prior(images.requires_grad_()).requires_grad


def test_frozen_batch_norm_survives_a_training_loop(images):
    torch.manual_seed(0)
    model = nn.Sequential(FrozenPrior(DAN(SMALL)), nn.Linear(8, 2))
    before = copy.deepcopy(model[0].state_dict())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        model.train()
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model[0].state_dict().items())


def with_statistics(dan):
    """A DAN whose batch norms have seen something, so that folding has something to fold."""
    generator = torch.Generator().manual_seed(0)
    for module in dan.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in ((module.running_mean, -0.5, 0.5), (module.running_var, 0.5, 2.0),
                                      (module.weight.data, 0.5, 1.5), (module.bias.data, -0.5, 0.5)):  # fmt: skip
                tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    return dan.eval()


def assert_equal_up_to_rounding(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-4 * float(theirs.detach().abs().max()), rtol=1e-3)


def test_folding_leaves_no_batch_norm_2d_and_the_model_alone(images):
    torch.manual_seed(0)
    dan = with_statistics(DAN(SMALL))
    before = {name: tensor.clone() for name, tensor in dan.state_dict().items()}
    folded = fold_batchnorm(dan)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert_equal_up_to_rounding(folded(images), dan(images))
    assert all(torch.equal(tensor, before[name]) for name, tensor in dan.state_dict().items())


def test_three_summed_convolutions_become_one(images):
    torch.manual_seed(0)
    dan = with_statistics(DAN(SMALL))
    dan.requires_grad_(False)
    folded, trunk = fold_batchnorm(dan), dan.features(images)
    shapes = [tuple(module.kernel_size) for module in folded.cat_head1.modules() if isinstance(module, nn.Conv2d)]
    assert shapes == [(1, 1), (3, 3)]
    for name in ("cat_head0", "cat_head1"):
        expected = getattr(dan, name).sa.attention_map(trunk)
        assert_equal_up_to_rounding(getattr(folded, name).sa.attention_map(trunk), expected)


def test_the_prior_follows_weights_that_are_loaded_later(images):
    torch.manual_seed(0)
    prior, other = FrozenPrior(DAN(SMALL)), with_statistics(DAN(SMALL))
    before = prior(images)
    prior.model.load_state_dict(other.state_dict())
    assert_equal_up_to_rounding(prior(images), other(images))
    assert not torch.allclose(prior(images), before, rtol=0.01)
    assert all(name.startswith("model.") for name in prior.state_dict())


def test_frozen_prior_says_what_the_model_says_in_eval_mode(images):
    torch.manual_seed(0)
    dan = with_statistics(DAN(SMALL))
    assert_equal_up_to_rounding(FrozenPrior(copy.deepcopy(dan)).train()(images), dan(images))


def test_with_an_auxiliary_classifier_the_trunk_learns_from_it_alone():
    torch.manual_seed(0)
    model = DAN(DANConfig(width=8, auxiliary=True)).train()
    logits, auxiliary = model.forward_with_auxiliary(torch.randn(4, 3, 64, 64))
    logits.sum().backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in model.features.parameters())
    auxiliary.sum().backward()
    assert all(parameter.grad is not None for parameter in model.features.parameters())


def test_the_published_network_has_no_auxiliary_classifier():
    assert not any("auxiliary" in name for name in DAN(DANConfig(width=8)).state_dict())


def test_statistics_that_half_precision_cannot_hold_are_refused_not_answered_with():
    prior = FrozenPrior(DAN(DANConfig(width=8)))
    norm = next(module for module in prior.model.modules() if isinstance(module, nn.BatchNorm2d))
    norm.running_var.fill_(1e6)
    images = torch.randn(2, 3, 32, 32)
    prior(images)
    with pytest.raises(AffectError, match="use bfloat16, or autocast"):
        prior.half()(images.half())


def test_a_prior_that_was_made_or_copied_in_inference_mode_answers_there_and_outside():
    prior, images = FrozenPrior(DAN(DANConfig(width=8))), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        copied = copy.deepcopy(prior)
        torch.testing.assert_close(copied(images), prior(images))
    torch.testing.assert_close(copied(images), prior(images))


def test_a_layer_that_was_exchanged_counts():
    prior, images = FrozenPrior(DAN(DANConfig(width=8))), torch.randn(2, 3, 32, 32)
    before = prior(images)
    place = next(k for k, layer in enumerate(prior.model.features) if isinstance(layer, nn.ReLU))
    prior.model.features[place] = nn.Identity()
    torch.testing.assert_close(prior(images), prior.model(images), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(prior(images), before)


def test_a_prior_that_is_no_dan_stays_in_eval_mode_though_it_was_told_to_train_itself():
    prior = FrozenPrior(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12)))
    prior.model.train()
    before = prior.model[1].running_mean.clone()
    prior(torch.randn(8, 3, 2, 2))
    assert torch.equal(prior.model[1].running_mean, before) and not prior.model.training
