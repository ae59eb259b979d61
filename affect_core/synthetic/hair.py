"""Hair as geometry: a shell that thickens the scalp, and a drape for long hair. `appearance` colours it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from affect_core.synthetic.face_model import FaceModel
from affect_core.synthetic.hairstyles import Hair
from affect_core.synthetic.people import Outfit

SKULL_CENTRE = (0.0, 75.0, 20.0)
"""Canonical mm; hair grows away from here."""

# mm above the eyes of the mean hairline, by depth behind the eyes: temple, sideburn, around the ear, nape
SIDE_HAIRLINE = ((15, 30, 50, 62, 78, 86, 95, 118, 140, 300), (52, 40, 24, 0, -14, 4, 14, -30, -58, -70))

DRAPE_COLUMNS, DRAPE_ROWS = 57, 14


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high` (or the reverse when high < low), smooth in between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def height_above_hairline(canonical: np.ndarray) -> np.ndarray:
    """(V,) signed millimetres above the mean hairline for points (V, 3) of the mean face in millimetres."""
    x, y, z = canonical.T
    front = 69 - 0.0072 * x**2
    line = np.minimum(front, np.interp(y, *SIDE_HAIRLINE))
    return (z - np.where(y < 15, front, line)).astype(np.float32)


def beard_area(canonical: np.ndarray) -> np.ndarray:
    """(V,) 0 to 1: where a beard grows, on points (V, 3) of the mean face in millimetres."""
    x, y, z = canonical.T
    cheek_line = np.interp(np.abs(x), [0, 12, 26, 40, 55, 70, 90], [-46, -46, -60, -60, -42, -20, -10])
    area = smoothstep(0, 14, cheek_line - z) * smoothstep(-150, -118, z) * smoothstep(95, 80, y)
    below_lip = np.exp(-((x / 9) ** 2)) * smoothstep(-95, -90, z) * smoothstep(-84, -88, z)
    return (area * (1 - 0.6 * below_lip)).astype(np.float32)


def thickness(model: FaceModel, height: np.ndarray, hair: Hair, outfit: Outfit) -> np.ndarray:
    """(V,) millimetres by which hair or hat lifts the surface; height (V,): `height_above_hairline` of the vertices."""
    x, y, z = model.canonical.T
    temple = np.exp(-(((np.abs(x) - 44) / 16) ** 2)) * smoothstep(60, 20, y)
    inside = smoothstep(0, 24, height - hair.hairline - hair.recession * temple) * (1 - model.ears)
    volume = hair.sides + (hair.top - hair.sides) * smoothstep(25, 85, z)
    lumps = 1 + 0.10 * np.sin(x * 0.11 + hair.parting) * np.sin(y * 0.09 + z * 0.07 + hair.top)
    curls = hair.curl * 1.8 * np.sin(x * 0.42) * np.sin(y * 0.37 + 1) * np.sin(z * 0.45 + 2)
    part_line = (
        np.exp(-(((x - hair.parting) / 5) ** 2)) * smoothstep(40, 60, z) * (hair.curl < 0.6) * (hair.parting != 0)
    )
    lifted = inside * (volume * lumps * (1 - 0.3 * part_line) + curls * min(1.0, hair.top / 8))
    hat = outfit.hat * smoothstep(outfit.hat_edge - 3, outfit.hat_edge + 3, z - 0.12 * np.maximum(y - 60, 0))
    knitted = 8 + 12 * smoothstep(70, 120, z)
    return (lifted * (1 - hat) + hat * knitted).astype(np.float32)


def lift(model: FaceModel, vertices: np.ndarray, millimetres: np.ndarray) -> np.ndarray:
    """Vertices (V, 3) moved away from the skull; at the forehead up and back rather than over the face."""
    direction = model.canonical - np.array(SKULL_CENTRE, np.float32)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    front = smoothstep(30, -20, model.canonical[:, 1])
    direction[:, 1] += 0.45 * front
    direction[:, 2] += 0.55 * front
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return vertices + direction * (millimetres * 1e-3)[:, None]


@lru_cache(maxsize=1)
def drape_grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(turn, fall, triangles) of the long-hair mesh: turn in [-1, 1] from front edge to front edge around the back,
    fall in [0, 1] from crown to tips; both (n,)."""
    turn, fall = np.meshgrid(np.linspace(-1, 1, DRAPE_COLUMNS), np.linspace(0, 1, DRAPE_ROWS))
    index = np.arange(turn.size).reshape(turn.shape)
    corners = [index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]]
    triangles = np.concatenate([np.stack([corners[0], corners[1], corners[2]], -1).reshape(-1, 3),
                                np.stack([corners[0], corners[2], corners[3]], -1).reshape(-1, 3)])  # fmt: skip
    return turn.ravel(), fall.ravel(), triangles.astype(np.int32)


def drape(model: FaceModel, neutral: np.ndarray, hair: Hair, seed: float) -> tuple[np.ndarray, np.ndarray]:
    """Long hair around a neutral head (V, 3): (vertices in metres (n, 3), texture coordinates (n, 3) in mm)."""
    turn, fall, _ = drape_grid()
    rng = np.random.default_rng(int(seed * 1e6))
    skin = neutral[model.canonical[:, 2] > 30]
    half_width = np.abs(skin[:, 0]).max() * 1e3 + hair.sides
    back = skin[:, 1].max() * 1e3 + hair.sides
    top = skin[:, 2].max() * 1e3 + hair.top * 0.9
    ragged = np.repeat(rng.uniform(-7, 7, DRAPE_COLUMNS)[None], DRAPE_ROWS, 0).ravel() * fall**4
    start = 30 + 0.80 * (top - 30)
    z = start + (-hair.length - start) * fall + ragged
    dome = np.sqrt(np.clip(1 - (np.clip(z - 30, 0, None) / (top - 30)) ** 2, 0, 1))
    below = np.clip((30 - z) / 150, 0, 1.6)
    spread = dome * (1 + hair.flare * below * (1.3 - 0.5 * below))
    # the front edge opens from the parting to the temples, then follows `cover`
    opening = hair.cover + (2.75 - hair.cover) * smoothstep(28, start + 5, z) - 0.12 * smoothstep(-60, -160, z)
    angle = turn * opening
    waves = (1.0 + 4.0 * hair.curl) * np.sin(
        angle * rng.uniform(6, 11) + z * (0.03 + 0.08 * hair.curl) + rng.uniform(0, 6)
    )
    strands = 1.3 * np.sin(angle * 31 + rng.uniform(0, 6))
    bulge = (waves + strands) * smoothstep(60, 0, z)
    depth = back - SKULL_CENTRE[1]
    x = np.sin(angle) * (half_width * spread + bulge)
    y = SKULL_CENTRE[1] + np.cos(angle) * (np.where(np.cos(angle) > 0, depth, 0.92 * depth) * spread + bulge)
    vertices = np.stack([x, y, z], 1).astype(np.float32) * 1e-3
    texture = np.stack([angle * 80, 80 * np.cos(angle), z], 1).astype(np.float32)
    return vertices, texture
