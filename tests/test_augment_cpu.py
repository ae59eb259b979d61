"""The CPU kernel gives the images that torch gives from the same draws, whatever the threads, shares and processes."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from affect_core import augment as module
from affect_core.augment import Augmentation, augment, normalize, prepare
from affect_core.distributed import Share

PLAIN = Augmentation(enlarge=1.0, flip=False)
EVERYTHING = Augmentation(crop_area=(0.2, 1.0), jitter_probability=0.6, grayscale_probability=0.3)
OPTIONS = {
    "nothing": PLAIN,
    "enlarge": replace(PLAIN, enlarge=1.25),
    "shrink beyond the border": replace(PLAIN, enlarge=0.8),
    "crop_area": replace(PLAIN, crop_area=(0.2, 1.0)),
    "flip": replace(PLAIN, flip=True),
    "jitter": replace(PLAIN, jitter_probability=1.0),
    "strong jitter": replace(PLAIN, jitter=(1.0, 1.0, 1.0, 0.5), jitter_probability=1.0),
    "grayscale": replace(PLAIN, grayscale_probability=0.5),
    "EMMA": Augmentation(enlarge=1.04, jitter_probability=0.2),
    "everything": EVERYTHING,
}


def noise(n=24, height=24, width=24):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8))


def smooth(n, size):
    coarse = torch.from_numpy(np.random.default_rng(0).random((n, 3, 9, 9), dtype=np.float32))
    pixels = F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    return (pixels * 255).byte().permute(0, 2, 3, 1)


def generator():
    return torch.Generator().manual_seed(3)


def with_torch(images, config, size):
    views = module._draw_views(config, module._Draws(generator(), images.device, Share(len(images))))
    return module._render_with_torch(images, views, size)


def numpy_arguments(images, config, size):
    """What `render_views` is called with, and the output that it fills."""
    views = module._draw_views(config, module._Draws(generator(), images.device, Share(len(images))))
    out = np.full((len(images), 3, size, size), np.nan, np.float32)
    parameters = [getattr(views, field.name).numpy() for field in fields(views)]
    return [images.numpy(), *parameters, *module._mean_and_std(), out]


@pytest.fixture
def torch_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("height, width, size", [(24, 24, 24), (40, 40, 24), (31, 31, 45), (17, 29, 21), (1, 1, 5)])
@pytest.mark.parametrize("option", OPTIONS)
def test_kernel_and_torch_agree(option, height, width, size):
    images, config = noise(24, height, width), OPTIONS[option]
    views = augment(images, config, size, generator())
    assert views.shape == (24, 3, size, size) and views.is_contiguous()
    torch.testing.assert_close(views, with_torch(images, config, size), atol=1e-4, rtol=0)


@pytest.mark.parametrize("option", OPTIONS)
def test_kernel_and_torch_agree_on_smooth_pictures_of_224_pixels(option):
    images = smooth(8, 224)
    expected = with_torch(images, OPTIONS[option], 224)
    torch.testing.assert_close(augment(images, OPTIONS[option], 224, generator()), expected, atol=1e-4, rtol=0)


def test_both_paths_draw_the_same_numbers():
    first, second = generator(), generator()
    augment(noise(), EVERYTHING, 24, first)
    module._draw_views(EVERYTHING, module._Draws(second, torch.device("cpu"), Share(24)))
    assert torch.equal(first.get_state(), second.get_state())


def test_grey_and_extreme_colours_are_turned_as_by_torch():
    colours = torch.tensor([[0, 0, 0], [255, 255, 255], [90, 90, 90], [255, 255, 0], [0, 80, 80], [9, 0, 9]])
    images = colours.byte().view(6, 1, 1, 3).expand(6, 8, 8, 3)
    config = OPTIONS["strong jitter"]
    views = augment(images, config, 8, generator())
    torch.testing.assert_close(views, with_torch(images, config, 8), atol=1e-5, rtol=0)


@pytest.mark.parametrize("threads", [2, 3, 64])
def test_the_number_of_threads_changes_no_bit(threads, torch_threads):
    images = noise(23)
    torch_threads(1)
    alone, plain = augment(images, EVERYTHING, 24, generator()), prepare(images, 24)
    torch_threads(threads)
    assert torch.equal(augment(images, EVERYTHING, 24, generator()), alone)
    assert torch.equal(prepare(images, 24), plain)


def test_shares_together_are_the_whole_batch_bit_for_bit():
    images = noise(7)
    parts = []
    for rank in range(3):
        share = Share(7, rank, 3)
        parts.append(augment(images[share.rows], EVERYTHING, 24, generator(), share))
    assert torch.equal(torch.cat(parts), augment(images, EVERYTHING, 24, generator()))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [0, 1])
def test_batches_of_no_and_of_one_image(count, threads, torch_threads):
    torch_threads(threads)
    images = noise(24)[:count]
    for config in (PLAIN, EVERYTHING):
        views = augment(images, config, 20, generator())
        assert views.shape == (count, 3, 20, 20)
        if count:
            torch.testing.assert_close(views, with_torch(images, config, 20), atol=1e-4, rtol=0)
    assert prepare(images, 24).shape == (count, 3, 24, 24)


def test_images_need_not_lie_contiguously_and_are_left_as_they_are():
    images = noise().transpose(1, 2)
    before = images.clone()
    assert torch.equal(augment(images, EVERYTHING, 24, generator()), augment(before, EVERYTHING, 24, generator()))
    assert torch.equal(prepare(images, 24), prepare(before.contiguous(), 24))
    assert torch.equal(images, before)


@pytest.mark.parametrize("size", [1, 7, 24, 65])
def test_prepare_normalises_exactly(size):
    images = noise(3, size, size)
    expected = normalize(images.permute(0, 3, 1, 2).float() / 255)
    torch.testing.assert_close(prepare(images, size), expected, atol=2e-6, rtol=0)


def test_a_window_that_is_not_a_number_reads_nothing_outside_the_image():
    arguments = numpy_arguments(noise(2), PLAIN, 24)
    arguments[1][:] = [[np.nan, np.inf], [-np.inf, np.nan]]
    module.render_views(*arguments)
    assert np.abs(arguments[-1]).max() < 3


def test_images_without_pixels_are_refused():
    with pytest.raises(ValueError, match="uint8"):
        augment(noise(2)[:, :0], PLAIN, 24, generator())


def test_more_or_fewer_images_than_the_share_has_are_refused():
    for count in (3, 5):
        with pytest.raises(ValueError, match="share of 4 rows"):
            augment(noise(count), PLAIN, 24, generator(), Share(8, 0, 2))


def _render_to(connection, arguments):
    module.render_views(*arguments, threads=2)
    connection.send(arguments[-1])


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_forked_process_and_several_threads_render_the_same():
    """After threads have run here: a pool of threads that outlives calls would hang or abort the forked process."""
    expected = numpy_arguments(noise(), EVERYTHING, 24)
    module.render_views(*expected, threads=2)
    calls = [numpy_arguments(noise(), EVERYTHING, 24) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda call: module.render_views(*call, threads=2), calls))
    assert all(np.array_equal(call[-1], expected[-1]) for call in calls)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_render_to, args=(theirs, numpy_arguments(noise(), EVERYTHING, 24)))
    process.start()
    try:
        assert ours.poll(60), "the forked process did not answer"
        assert np.array_equal(ours.recv(), expected[-1])
    finally:
        process.kill()
        process.join()
