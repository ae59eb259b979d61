"""Renders are deterministic, framed, and show what they are told to show."""

from dataclasses import replace

import numpy as np
import pytest

from affect_core.synthetic.facs import RECIPES
from affect_core.synthetic.people import POPULATIONS, sample_person
from affect_core.synthetic.rasterizer import EMPTY, rasterize, screen_buffers, vertex_normals
from affect_core.synthetic.renderer import lips_apart, render, warm_up
from affect_core.synthetic.scene import sample_scene


@pytest.fixture(scope="module")
def person():
    return sample_person(np.random.default_rng(0), "lsd_synthetic")


@pytest.fixture(scope="module")
def scene():
    return replace(sample_scene(np.random.default_rng(0), "clean"), yaw=0.0, pitch=0.0, roll=0.0, shift=(0.0, 0.0))


def test_render_gives_the_same_bytes_twice(person, scene):
    warm_up()
    first, second = (render(person, {12: 0.8, 25: 0.5}, scene, size=48) for _ in range(2))
    assert first.shape == (48, 48, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("population", POPULATIONS)
def test_every_population_renders_in_every_style(population):
    rng = np.random.default_rng(1)
    for style in ("clean", "video", "wild"):
        image = render(sample_person(rng, population), {4: 0.7}, sample_scene(rng, style), size=32)
        assert image.std() > 10


@pytest.mark.parametrize("unit", sorted(RECIPES))
def test_every_action_unit_changes_the_picture(person, scene, unit):
    neutral = render(person, {}, scene, size=64).astype(float)
    assert np.abs(render(person, {unit: 1.0}, scene, size=64) - neutral).mean() > 0.2


def test_action_units_change_the_part_of_the_face_they_name(person, scene):
    def changed_rows(unit):
        neutral = render(person, {}, scene, size=64).astype(float)
        change = np.abs(render(person, {unit: 1.0}, scene, size=64) - neutral).mean((1, 2))
        return (np.arange(64) * change).sum() / change.sum()

    assert changed_rows(1) < 32 < changed_rows(12)  # brows above, mouth below


def test_an_open_mouth_is_measured_and_a_closed_one_is_not(person):
    assert lips_apart(person, {}) == 0
    assert lips_apart(person, {24: 1.0}) < 0.5
    assert lips_apart(person, {25: 1.0}) > 3
    assert lips_apart(person, {26: 0.3}) < lips_apart(person, {26: 1.0})


def test_unknown_action_unit_is_refused(person, scene):
    with pytest.raises(KeyError):
        render(person, {99: 1.0}, scene, size=32)


def test_nearer_triangle_wins_and_outside_stays_empty():
    points = np.array([[0, 0, 1], [8, 0, 1], [0, 8, 1], [0, 0, 2], [4, 0, 2], [0, 4, 2]], np.float32)
    triangles = np.array([[3, 4, 5], [0, 1, 2]], np.int32)
    depth, index, barycentric = screen_buffers(8, 8)
    rasterize(points, triangles, depth, index, barycentric)
    assert index[0, 0] == 0 and depth[0, 0] == pytest.approx(2)
    assert index[0, 6] == 1 and index[7, 7] == EMPTY


def test_triangle_weights_reproduce_pixel_centres():
    points = np.array([[1, 1, 1], [14, 3, 1], [4, 13, 1]], np.float32)
    depth, index, barycentric = screen_buffers(16, 16)
    rasterize(points, np.array([[0, 1, 2]], np.int32), depth, index, barycentric)
    rows, columns = np.nonzero(index == 0)
    first, second = barycentric[rows, columns].T
    found = (
        first[:, None] * points[0, :2] + second[:, None] * points[1, :2] + (1 - first - second)[:, None] * points[2, :2]
    )
    np.testing.assert_allclose(found, np.stack([columns, rows], 1) + 0.5, atol=1e-4)


def test_normals_of_a_flat_square_point_along_z():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    normals = vertex_normals(vertices, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    np.testing.assert_allclose(normals, [[0, 0, 1]] * 4)
