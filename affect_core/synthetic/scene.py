"""Where the picture is taken: head pose, camera, gaze, light and background.

Styles: "clean" is a studio (plain background, soft frontal light, near-frontal), "video" is everyday footage,
"wild" is photographs from anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np


class Light(NamedTuple):
    """One distant lamp with a shadow, and a sky that varies linearly with the normal. Camera axes, linear RGB."""

    direction: tuple[float, float, float]  # unit vector towards the lamp; x right, y away from the camera, z up
    key: tuple[float, float, float]
    ambient: tuple[float, float, float]
    gradient: tuple[float, float, float]  # ambient is multiplied by 1 + gradient . normal


class Background(NamedTuple):
    """kind: 0 plain, 1 gradient, 2 soft patches, 3 blurred shapes; all else follows from `seed`."""

    kind: int
    saturation: float
    brightness: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """yaw, pitch, roll in radians (yaw > 0: the subject turns to their left); distance of the camera in metres.

    zoom: size of the face relative to the five-point alignment template of `renderer`; shift: of the face, in image
    widths (x right, y down); gaze: (left, up) in radians relative to the head; exposure: multiplies the metered light.
    """

    yaw: float
    pitch: float
    roll: float
    distance: float
    zoom: float
    shift: tuple[float, float]
    gaze: tuple[float, float]
    light: Light
    background: Background
    exposure: float


class _Range(NamedTuple):
    """Spread of everything that `sample_scene` draws, for one style."""

    turn: tuple[float, float, float]  # standard deviations of yaw, pitch and roll, radians
    turn_limit: float
    distance: tuple[float, float]
    zoom: tuple[float, float]
    shift: float
    gaze: float
    lamp_azimuth: float
    lamp_elevation: tuple[float, float]
    key: tuple[float, float]
    ambient: tuple[float, float]
    tint: float
    exposure: float
    background_shares: tuple[float, float, float, float]
    saturation: tuple[float, float]


RANGES = {
    "clean": _Range(
        turn=(0.18, 0.09, 0.06), turn_limit=0.50, distance=(0.9, 1.8), zoom=(0.94, 1.10), shift=0.015, gaze=0.08,
        lamp_azimuth=0.50, lamp_elevation=(0.1, 0.7), key=(0.8, 1.2), ambient=(0.45, 0.7), tint=0.03, exposure=0.08,
        background_shares=(0.8, 0.2, 0, 0), saturation=(0.0, 0.2),
    ),
    "video": _Range(
        turn=(0.22, 0.11, 0.08), turn_limit=0.70, distance=(0.6, 2.2), zoom=(0.92, 1.10), shift=0.015, gaze=0.12,
        lamp_azimuth=0.8, lamp_elevation=(-0.1, 0.9), key=(0.6, 1.4), ambient=(0.3, 0.7), tint=0.08, exposure=0.12,
        background_shares=(0.1, 0.2, 0.3, 0.4), saturation=(0.1, 0.6),
    ),
    "wild": _Range(
        turn=(0.20, 0.10, 0.09), turn_limit=0.55, distance=(0.45, 2.5), zoom=(0.88, 1.14), shift=0.025, gaze=0.15,
        lamp_azimuth=1.0, lamp_elevation=(-0.3, 1.1), key=(0.6, 1.8), ambient=(0.2, 0.65), tint=0.12, exposure=0.16,
        background_shares=(0.1, 0.2, 0.3, 0.4), saturation=(0.1, 0.7),
    ),
}  # fmt: skip


def sample_scene(rng: np.random.Generator, style: str) -> Scene:
    """A scene of one of STYLES, deterministic by `rng`. Raises KeyError for an unknown style."""
    spread = RANGES[style]
    yaw, pitch, roll = np.clip(rng.standard_t(5, 3) * spread.turn, -spread.turn_limit, spread.turn_limit)
    azimuth = np.clip(rng.normal(0, spread.lamp_azimuth), -1.9, 1.9)
    elevation = rng.uniform(*spread.lamp_elevation)
    direction = (np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation))
    warm_key, warm_sky = rng.normal(0, spread.tint, 2)
    key = rng.uniform(*spread.key) * np.array([1 + warm_key, 1, 1 - warm_key])
    ambient = rng.uniform(*spread.ambient) * np.array([1 + warm_sky, 1, 1 - warm_sky])
    light = Light(_floats(direction), _floats(key), _floats(ambient),
                  _floats([rng.normal(0, 0.15), rng.normal(-0.1, 0.1), rng.normal(0.2, 0.12)]))  # fmt: skip
    background = Background(int(rng.choice(4, p=spread.background_shares)), float(rng.uniform(*spread.saturation)),
                            float(rng.uniform(0.15, 0.8)), int(rng.integers(1 << 31)))  # fmt: skip
    near, far = np.log(spread.distance)
    return Scene(
        yaw=float(yaw),
        pitch=float(pitch),
        roll=float(roll),
        distance=float(np.exp(rng.uniform(near, far))),
        zoom=float(rng.uniform(*spread.zoom)),
        shift=_floats(rng.normal(0, spread.shift, 2)),
        gaze=_floats(rng.normal(0, spread.gaze, 2)),
        light=light,
        background=background,
        exposure=float(np.exp(rng.normal(0, spread.exposure))),
    )


def _floats(values) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def paint_background(background: Background, size: int) -> np.ndarray:
    """(size, size, 3) float32 linear RGB in [0, 1]."""
    rng = np.random.default_rng(background.seed)

    def colours(*shape: int) -> np.ndarray:
        colour = rng.random((*shape, 3))
        grey = colour.mean(-1, keepdims=True)
        colour = grey + (colour - grey) * background.saturation
        return (np.clip(colour, 0, 1) ** 2 * 1.5 * background.brightness).astype(np.float32)

    image = np.empty((size, size, 3), np.float32)
    image[:] = colours()
    if background.kind == 1:
        ramp = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
        image = image * (1 - ramp) + colours() * ramp
    elif background.kind == 2:
        patches = colours(int(rng.integers(2, 8)), int(rng.integers(2, 8)))
        image = cv2.resize(patches, (size, size), interpolation=cv2.INTER_CUBIC)
    elif background.kind == 3:
        for _ in range(rng.integers(4, 14)):
            corner = rng.integers(-size // 4, size + size // 4, 2)
            colour = colours().tolist()
            if rng.random() < 0.5:
                cv2.circle(image, corner.tolist(), int(rng.uniform(0.05, 0.35) * size), colour, -1)
            else:
                opposite = corner + (rng.uniform(0.03, 0.5, 2) * size).astype(int)
                cv2.rectangle(image, corner.tolist(), opposite.tolist(), colour, -1)
        image = cv2.blur(image, (max(1, int(rng.uniform(0.02, 0.12) * size)),) * 2)
    return image.clip(0, 1)
