"""Person, action units and scene to an RGB image."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags

from affect_core.synthetic import shading
from affect_core.synthetic.camera import Camera
from affect_core.synthetic.face_model import PARTS, load_face_model
from affect_core.synthetic.facs import action_weights, creases
from affect_core.synthetic.glasses import draw_glasses
from affect_core.synthetic.hair import beard_area, drape, drape_grid, height_above_hairline, lift, thickness
from affect_core.synthetic.noise import noise_tile
from affect_core.synthetic.people import Person, sample_person
from affect_core.synthetic.rasterizer import EMPTY, parallel_depth_map, rasterize, screen_buffers, vertex_normals
from affect_core.synthetic.scene import Scene, paint_background, sample_scene

SKIN_LUMINANCE = 0.30
"""Mean linear luminance of skin that the camera's exposure aims at ..."""
METERING = 0.5
"""... and how far it goes there: at 0 exposure is fixed, at 1 every skin comes out alike."""

WHITE = 1.4
"""Linear luminance that comes out as white (Reinhard et al. 2002, equation 4)."""

MOUTH_BIAS = 0.006
"""Metres by which everything inside the mouth is drawn farther away, so that it never pierces lips or cheeks."""


def render(
    person: Person,
    action_units: dict[int, float],
    scene: Scene,
    *,
    size: int,
    asymmetry: float = 0.0,
    supersampling: int = 2,
) -> np.ndarray:
    """(size, size, 3) uint8 RGB image (gamma 2.2) of a person who shows `action_units` (0 to 1, keys of facs.RECIPES).

    asymmetry in [-1, 1]: above 0 the subject's left side moves more. supersampling: pixels per side that are averaged.
    Deterministic: no random state. Raises KeyError for an action unit without a recipe.
    """
    drawn_size = size * supersampling
    head = build_head(person)
    camera = Camera(head.neutral, scene, drawn_size)
    positions = camera.turn(head.vertices + head.padded(displacement(action_units, asymmetry)))
    points = camera.project(positions)
    points[head.inside_mouth, 2] = 1 / (1 / points[head.inside_mouth, 2] + MOUTH_BIAS)
    normals = vertex_normals(positions, head.triangles)

    attributes = np.empty((len(positions), shading.ATTRIBUTES), np.float32)
    attributes[:, shading.NORMAL : shading.POSITION] = normals
    attributes[:, shading.POSITION : shading.CANONICAL] = positions
    attributes[:, shading.CANONICAL : shading.CAVITY] = head.surface
    attributes[:, shading.CAVITY] = head.padded(cavity(positions, normals))

    depth, triangle_index, barycentric = screen_buffers(drawn_size, drawn_size)
    rasterize(points, head.triangles, depth, triangle_index, barycentric)
    lamp = np.array(scene.light.direction)
    shadow_map, shadow_coordinates = parallel_depth_map(positions, head.triangles, lamp, max(64, drawn_size * 3 // 4))

    image = paint_background(scene.background, drawn_size)
    luminance = shading.shade(
        image, triangle_index, barycentric, head.triangles, head.parts, points[:, 2].copy(), attributes, noise_tile(),
        camera.rotation, camera.eye_frame, person.skin, person.brows, person.eyes, person.lips, person.hair,
        person.moustache, person.outfit, person.teeth, creases(action_units, asymmetry), scene.light,
        shadow_map, shadow_coordinates,
    )  # fmt: skip
    image[triangle_index != EMPTY] *= scene.exposure * (SKIN_LUMINANCE / max(luminance, 1e-3)) ** METERING
    if person.glasses.rim > 0:
        draw_glasses(image, person.glasses, camera)
    if supersampling > 1:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    image = image * (1 + image / WHITE**2) / (1 + image)  # highlights roll off softly
    return (255 * image.clip(0, 1) ** (1 / 2.2) + 0.5).astype(np.uint8)


def lips_apart(person: Person, action_units: dict[int, float], asymmetry: float = 0.0) -> float:
    """How far the lips part beyond the person's neutral face, in millimetres on the mesh (0 or more).

    About 8 mm for action unit 25 and 18 mm for 26 at full intensity.
    """
    model = load_face_model()
    neutral = build_head(person).neutral
    return max(0.0, model.lip_gap(neutral + displacement(action_units, asymmetry)) - model.lip_gap(neutral))


def warm_up() -> None:
    """Compile every kernel, or load it from the cache beside the source (about 6 s cold).

    Call it once before worker processes start, so that one process alone writes the cache.
    """
    rng = np.random.default_rng(0)
    render(sample_person(rng, "abaw"), {12: 0.5}, sample_scene(rng, "clean"), size=16)


def displacement(action_units: dict[int, float], asymmetry: float = 0.0) -> np.ndarray:
    """(V, 3) float32 metres by which action units move the face model's vertices."""
    return load_face_model().displacement(action_weights(action_units, asymmetry))


class Head:
    """What of a person's geometry depends on neither expression, pose nor light.

    neutral (V, 3): bare neutral face. vertices (n, 3): the same with hair lifted off the scalp, then the long hair.
    surface (n, 10): columns CANONICAL to OCCLUSION of shading's attributes; inside_mouth (n,) bool.
    """

    def __init__(self, person: Person):
        model = load_face_model()
        height = height_above_hairline(model.canonical)
        masks = (model.lips, model.inner_mouth, model.eyelid, model.ears, model.ambient_occlusion)
        self.neutral = model.neutral(np.array(person.scores))
        self.vertices = lift(model, self.neutral, thickness(model, height, person.hair, person.outfit))
        self.surface = np.column_stack([model.canonical, height, beard_area(model.canonical), *masks])
        self.triangles, self.parts = model.triangles, model.parts
        self.inside_mouth = model.inner_mouth > 0.4
        for part in ("upper_teeth", "lower_teeth", "tongue"):
            self.inside_mouth[model.vertices_of(part)] = True
        if person.hair.length > 0:
            self._add_long_hair(*drape(model, self.neutral, person.hair, person.skin.seed))
        self.surface = self.surface.astype(np.float32)

    def padded(self, values: np.ndarray) -> np.ndarray:
        """Values of the face's vertices (V, ...) with zeros for those of long hair: (n, ...)."""
        if len(values) == len(self.vertices):
            return values
        return np.concatenate([values, np.zeros((len(self.vertices) - len(values), *values.shape[1:]), np.float32)])

    def _add_long_hair(self, vertices: np.ndarray, texture: np.ndarray) -> None:
        surface = np.zeros((len(vertices), self.surface.shape[1]))
        surface[:, :3] = texture
        triangles = drape_grid()[2] + len(self.vertices)
        self.vertices = np.concatenate([self.vertices, vertices])
        self.surface = np.concatenate([self.surface, surface])
        self.triangles = np.concatenate([self.triangles, triangles])
        self.parts = np.concatenate([self.parts, np.full(len(triangles), len(PARTS), np.int32)])
        self.inside_mouth = np.concatenate([self.inside_mouth, np.zeros(len(vertices), bool)])


@lru_cache(maxsize=32)
def build_head(person: Person) -> Head:
    """The person's Head, kept for the last 32 people: the frames of a video share it."""
    return Head(person)


def cavity(positions: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """(V,) millimetres by which a face vertex lies below the mean of its neighbours: positive in creases."""
    average = neighbour_average()
    count = average.shape[0]
    below = ((average @ positions[:count] - positions[:count]) * normals[:count]).sum(1) * 1e3
    return 0.5 * below + 0.5 * (average @ below)


@lru_cache(maxsize=1)
def neighbour_average() -> csr_matrix:
    """(V, V) sparse matrix that averages over the mesh neighbours of each face vertex."""
    model = load_face_model()
    edges = np.concatenate([model.triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0], [1, 0], [2, 1], [0, 2])])
    count = len(model.mean)
    matrix = coo_matrix((np.ones(len(edges), np.float32), edges.T), shape=(count, count)).tocsr()
    matrix.data[:] = 1  # an edge of two triangles counts once
    degree = np.maximum(np.asarray(matrix.sum(1)).ravel(), 1)
    return (diags((1 / degree).astype(np.float32)) @ matrix).tocsr()
