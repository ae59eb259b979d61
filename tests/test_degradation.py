"""Degradation is reproducible and leaves faces readable."""

import numpy as np
import pytest

from affect_core.synthetic.degradation import degrade


@pytest.fixture
def image():
    ramp = np.linspace(40, 215, 64)
    return np.repeat((ramp[None] * 0.5 + ramp[:, None] * 0.5)[..., None], 3, -1).astype(np.uint8)


@pytest.mark.parametrize("style", ["clean", "video", "wild"])
def test_same_seed_same_picture_of_the_same_form(image, style):
    before = image.copy()
    first, second = (degrade(image, np.random.default_rng(1), style) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, before)
    assert first.shape == image.shape and first.dtype == np.uint8 and first.flags["C_CONTIGUOUS"]


def test_wild_changes_more_than_video_and_video_more_than_clean(image):
    def change(style):
        return np.mean(
            [
                np.abs(degrade(image, np.random.default_rng(seed), style).astype(float) - image).mean()
                for seed in range(40)
            ]
        )

    assert change("clean") < change("video") < change("wild")


def test_even_the_worst_picture_keeps_its_content(image):
    for seed in range(150):
        worst = degrade(image, np.random.default_rng(seed), "wild").mean(-1)
        assert np.corrcoef(worst.ravel(), image.mean(-1).ravel())[0, 1] > 0.6, seed


def test_unknown_style_is_refused(image):
    with pytest.raises(KeyError):
        degrade(image, np.random.default_rng(0), "martian")
