"""How many patches are visible, and the noise that says which."""

import pytest
import torch

from affect_core.distributed import Share
from affect_core.errors import AffectError
from affect_core.patches import num_visible, random_noise, take_patches


def test_number_of_visible_patches():
    assert [num_visible(196, ratio) for ratio in (0.0, 0.5, 0.75, 0.9)] == [196, 98, 49, 19]
    assert num_visible(10, 0.9) == 1, "10 * (1 - 0.9) is 0.9999 in floats"
    assert num_visible(4, 0.99) == 1, "one patch is always visible"
    for ratio in (-0.1, 1.0):
        with pytest.raises(AffectError, match="mask_ratio"):
            num_visible(196, ratio)


def test_noise_repeats_with_its_generator():
    draw = [random_noise(2, 16, torch.device("cpu"), torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*draw)
    assert torch.equal(take_patches(draw[0].unsqueeze(-1), torch.tensor([[3], [0]]))[:, 0, 0], draw[0][[0, 1], [3, 0]])


def test_noise_is_uniform_and_follows_the_global_seed_without_a_generator():
    torch.manual_seed(4)
    first = random_noise(300, 16, torch.device("cpu"))
    torch.manual_seed(4)
    assert torch.equal(first, random_noise(300, 16, torch.device("cpu")))
    assert 0 <= first.min() and first.max() < 1 and abs(first.mean().item() - 0.5) < 0.02


def test_a_process_draws_the_noise_of_its_rows_of_the_batch():
    draws = [random_noise(n, 16, torch.device("cpu"), torch.Generator().manual_seed(5), share)
             for n, share in ((5, None), (3, Share(5, 0, 2)), (2, Share(5, 1, 2)))]  # fmt: skip
    assert torch.equal(draws[0], torch.cat(draws[1:]))
