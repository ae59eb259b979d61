"""The mean answer over random masks."""

import numpy as np
import pytest
import torch
from export_models import PATCHES, cotex, emma, random_images

from affect_core.errors import AffectError
from affect_core.masked_average import average_over_masks


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.mark.parametrize("model", [emma(), cotex(), cotex(3, PATCHES)], ids=["emma", "cotex", "three views"])
def test_with_nothing_hidden_it_is_the_plain_answer(model):
    images = random_images(3)
    with torch.no_grad():
        plain = model.predict(images) if hasattr(model, "predict") else model(images)
    average = average_over_masks(model, images, mask_ratio=0.0, draws=2, generator=seeded())
    for task in ("expression_logits", "action_unit_logits", "valence_arousal"):
        if getattr(plain, task) is None:
            assert getattr(average, task) is None
        else:
            torch.testing.assert_close(getattr(average, task), getattr(plain, task), rtol=1e-4, atol=1e-4)
    assert average.vocabulary == plain.vocabulary


def test_it_is_the_mean_of_single_draws_and_repeats_with_its_seed():
    model, images, generator = cotex(), random_images(2), seeded(3)
    single = [average_over_masks(model, images, mask_ratio=0.5, draws=1, generator=generator) for _ in range(4)]
    mean = torch.stack([answer.expression_logits for answer in single]).mean(dim=0)
    twice = [average_over_masks(model, images, mask_ratio=0.5, draws=4, generator=seeded(3)) for _ in range(2)]
    torch.testing.assert_close(twice[0].expression_logits, mean)
    assert torch.equal(twice[0].expression_logits, twice[1].expression_logits)
    assert not torch.allclose(single[0].expression_logits, single[1].expression_logits)


def test_more_draws_scatter_less():
    model, images = cotex(), random_images(4)

    def scatter(draws: int) -> float:
        answers = [average_over_masks(model, images, mask_ratio=0.5, draws=draws, generator=seeded(seed))
                   for seed in range(6)]  # fmt: skip
        return float(np.mean(torch.stack([answer.expression_logits for answer in answers]).std(dim=0).numpy()))

    assert scatter(16) < 0.5 * scatter(1)


def test_a_model_in_training_no_draw_and_another_ratio_are_refused():
    model, images = cotex(), random_images(1)
    with pytest.raises(AffectError, match="at least one draw"):
        average_over_masks(model, images, mask_ratio=0.5, draws=0)
    with pytest.raises(AffectError, match="mask_ratio"):
        average_over_masks(model, images, mask_ratio=1.0)
    with pytest.raises(AffectError, match="eval mode"):
        average_over_masks(model.train(), images, mask_ratio=0.5)
