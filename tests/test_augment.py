"""Augmentation: shapes, identity, distribution, reproducibility."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from affect_core import augment as batched
from affect_core.augment import Augmentation, _crop_windows, _Draws, augment, denormalize, normalize, prepare
from affect_core.distributed import Share

NOTHING = Augmentation(enlarge=1.0, flip=False)


def images(n=8, size=24, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_without_augmentation_the_image_is_only_normalised():
    batch = images()
    torch.testing.assert_close(augment(batch, NOTHING, 24, generator()), prepare(batch, 24), atol=1e-5, rtol=0)


def test_denormalize_inverts_normalize():
    pixels = torch.rand(2, 3, 5, 5, generator=generator())
    torch.testing.assert_close(denormalize(normalize(pixels)), pixels)


def test_the_same_generator_gives_the_same_views_and_another_gives_others():
    config = Augmentation(crop_area=(0.3, 1.0), jitter_probability=0.5, grayscale_probability=0.2)
    first, again, other = (augment(images(), config, 24, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_half_of_the_images_are_mirrored():
    batch = images(1).expand(4000, -1, -1, -1)
    views = augment(batch, Augmentation(enlarge=1.0, flip=True), 24, generator())
    straight = prepare(images(1), 24)
    mirrored = (views - straight).abs().flatten(1).amax(1) > 1e-3
    torch.testing.assert_close(views[mirrored][0], straight.flip(-1)[0], atol=1e-4, rtol=0)
    assert 0.46 < mirrored.float().mean() < 0.54


def test_enlarge_cuts_windows_of_the_published_size_everywhere():
    """With a linear ramp as image, the window's place and extent can be read off its values."""
    size, enlarge = 100, 1.25
    ramp = torch.arange(size, dtype=torch.uint8).view(1, 1, size, 1).expand(2000, size, size, 3).contiguous()
    views = augment(ramp, Augmentation(enlarge=enlarge, flip=False), size, generator())
    values = denormalize(views)[:, 0, 50] * 255  # (n, size) along x
    extent, start = values[:, -10] - values[:, 10], values[:, 10]
    torch.testing.assert_close(extent, torch.full_like(extent, 80 / enlarge), atol=0.6, rtol=0)
    slack = size - size / enlarge
    assert (start.max() - start.min()) > 0.9 * slack
    assert abs(float(start.mean()) - (slack / 2 + 10 / enlarge)) < 1.0


def test_crop_area_shows_that_share_of_the_image():
    size = 128
    ramp = torch.arange(size, dtype=torch.uint8).view(1, 1, size, 1).expand(500, size, size, 3).contiguous()
    across = augment(ramp, Augmentation(crop_area=(0.25, 0.25), flip=False), size, generator())
    values = denormalize(across)[:, 0, 60] * 255
    width = (values[:, -20] - values[:, 20]) / (size - 40)  # crop width / image width
    ratio = width / 0.5  # sqrt(aspect ratio)
    assert ratio.min() > 0.85 and ratio.max() < 1.17
    assert ratio.min() < 0.90 and ratio.max() > 1.10


@pytest.mark.parametrize("crop_area", [(0.2, 1.0), (0.5, 1.0), (0.9, 1.0)])
def test_random_crops_match_torchvisions_in_distribution(crop_area):
    """Areas, aspect ratios and places of windows, and how many reach a whole side, against RandomResizedCrop."""
    side, count = 1000, 4000
    draws = _Draws(generator(), torch.device("cpu"), Share(count))
    half, center = _crop_windows(Augmentation(crop_area=crop_area), draws)
    assert (half > 0).all() and (center.abs() + half <= 1 + 1e-6).all(), "within the image"
    torch.manual_seed(0)
    theirs, picture = v2.RandomResizedCrop(8, crop_area, (3 / 4, 4 / 3)), torch.zeros(3, side, side)
    windows = torch.tensor([[drawn[name] for name in ("width", "height", "left", "top")] for drawn in
                            (theirs.make_params([picture]) for _ in range(count))]) / side  # fmt: skip
    expected = torch.cat([windows[:, :2], windows[:, 2:] * 2 + windows[:, :2] - 1], dim=1)  # half extents, centres
    ours = torch.cat([half, center], dim=1)
    for of in (lambda w: w[:, 0] * w[:, 1], lambda w: (w[:, 0] / w[:, 1]).log(), lambda w: w[:, 2], lambda w: w[:, 3]):
        assert ks_2samp(of(ours).numpy(), of(expected).numpy()).pvalue > 0.01
    whole = [(w[:, :2].amax(dim=1) > 0.999).double().mean().item() for w in (ours, expected)]
    assert whole[0] == pytest.approx(whole[1], abs=0.02)


def test_a_crop_that_never_fits_is_the_whole_image():
    draws = _Draws(generator(), torch.device("cpu"), Share(50))
    half, center = _crop_windows(Augmentation(crop_area=(2.0, 3.0)), draws)
    assert (half == 1).all() and (center == 0).all()


def test_jitter_matches_torchvisions_in_distribution():
    """Mean and spread of channel means over many draws of one image agree with torchvision's ColorJitter."""
    picture = images(1, 16)
    ours = augment(picture.expand(3000, -1, -1, -1), Augmentation(1.0, None, False, jitter_probability=1.0), 16,
                   generator())  # fmt: skip
    ours = denormalize(ours).mean(dim=(2, 3))
    torch.manual_seed(0)
    reference = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    source = picture.permute(0, 3, 1, 2)[0].float() / 255
    theirs = torch.stack([reference(source).mean(dim=(1, 2)) for _ in range(3000)])
    torch.testing.assert_close(ours.mean(0), theirs.mean(0), atol=0.01, rtol=0)
    torch.testing.assert_close(ours.std(0), theirs.std(0), atol=0.01, rtol=0)


def test_strong_jitter_draws_no_factor_below_zero_as_torchvisions():
    config = Augmentation(1.0, None, False, jitter=(1.5, 0.7, 2.0, 0.5), jitter_probability=1.0)
    draws = _Draws(generator(), torch.device("cpu"), Share(20000))
    factors = batched._draw_views(config, draws).factors
    for column, (low, high) in enumerate([(0, 2.5), (0.3, 1.7), (0, 3), (-0.5, 0.5)]):
        drawn = factors[:, column]
        assert drawn.min() >= low and drawn.max() <= high
        assert kstest(drawn.numpy(), "uniform", (low, high - low)).pvalue > 1e-3


@pytest.mark.parametrize("height, width", [(32, 64), (64, 32), (64, 64)])
def test_a_picture_that_is_not_square_becomes_one(height, width):
    assert prepare(torch.zeros(2, height, width, 3, dtype=torch.uint8), 64).shape == (2, 3, 64, 64)


def test_grayscale_has_equal_channels():
    views = augment(images(), Augmentation(1.0, flip=False, grayscale_probability=1.0), 24, generator())
    gray = denormalize(views)
    torch.testing.assert_close(gray[:, 0], gray[:, 2], atol=1e-5, rtol=0)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        prepare(torch.zeros(1, 8, 8, 3), 8)


@pytest.mark.parametrize("name, factors", [
    ("brightness", (0.0, 0.6, 1.0, 1.4)), ("contrast", (0.0, 0.6, 1.0, 1.4)), ("saturation", (0.0, 0.6, 1.0, 1.4)),
    ("hue", (-0.5, -0.1, 0.0, 0.1)),
])  # fmt: skip
def test_batched_adjustments_equal_torchvisions_image_by_image(name, factors):
    pixels = torch.rand(4, 3, 9, 9, generator=generator())
    pixels[0, :, 0, 0] = 0.4  # grey
    pixels[1, :, 0, 0] = torch.tensor([0.7, 0.7, 0.2])  # two equal maxima
    ours = getattr(batched, f"adjust_{name}")(pixels, torch.tensor(factors))
    theirs = torch.stack([
        getattr(tv, f"adjust_{name}")(one, value) for one, value in zip(pixels, factors, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)
