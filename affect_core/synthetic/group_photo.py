"""Pictures like those that people have: several rendered people in one photograph, and a short video with a cut.

They stand in for photographs where there are none: in a headless run of notebook 08, and in tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from affect_core.errors import AffectError
from affect_core.storage import atomic_path
from affect_core.synthetic.camera import ALIGNMENT_TEMPLATE
from affect_core.synthetic.dynamics import BLINK, perform
from affect_core.synthetic.expressions import draw_display
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.renderer import render
from affect_core.synthetic.scene import Background, Scene, sample_scene

PORTRAIT_ZOOM = 0.5
"""Size of a face against the alignment template at which head and shoulders are in the picture."""
EYES_CLOSED = 43
LOWERED = 0.08
"""How far below the middle a face stands, in portrait sides: there is hair above it, and little below the shoulders."""


@dataclass(frozen=True)
class GroupPhoto:
    """pixels (H, W, 3) uint8; what each of the people shows, from left to right; and the five points (P, 5, 2) by which
    the renderer framed their neutral faces, in pixels."""

    pixels: np.ndarray
    expressions: tuple[str, ...]
    points: np.ndarray


def group_photo(rng: np.random.Generator, expressions: Sequence[str], *, height: int = 480) -> GroupPhoto:
    """People side by side in front of one wall, the nearer the larger.

    expressions  what each shows (names of `expressions.DISPLAYS`), from left to right.   height: pixels of the photo
    """
    wall = Background(0, 0.25, 0.55, int(rng.integers(1 << 31)))
    light = sample_scene(rng, "clean").light
    sides = (height * rng.uniform(0.85, 1.25, len(expressions))).astype(int)
    room = 0.5 * sides
    centres = np.cumsum(room) - room / 2 + 0.15 * height
    width = int(centres[-1] + room[-1] / 2 + 0.15 * height)
    photo, points = None, np.empty((len(expressions), 5, 2))
    for person in np.argsort(sides):  # the farther first
        side, display = int(sides[person]), draw_display(rng, expressions[person])
        scene = portrait(replace(sample_scene(rng, "clean"), light=light, background=wall))
        tile = render(sample_person(rng, "affectnet"), display.action_units, scene, size=side,
                      asymmetry=display.asymmetry)  # fmt: skip
        if photo is None:
            photo = np.full((height, width, 3), tile[0, 0], np.uint8)
        corner = np.array([int(centres[person] - side / 2), height - side])
        _paste(photo, tile, corner)
        points[person] = corner + side * ((ALIGNMENT_TEMPLATE - 0.5) * scene.zoom + 0.5 + scene.shift)
    return GroupPhoto(photo, tuple(expressions), points)


def portrait(scene: Scene) -> Scene:
    """The scene framed for head and shoulders, upright."""
    return replace(scene, zoom=PORTRAIT_ZOOM, shift=(0.0, LOWERED), roll=0.0)


def _paste(photo: np.ndarray, tile: np.ndarray, corner: np.ndarray) -> None:
    """Lay the person of a tile over the photo, not the wall around them."""
    wall = tile[0, 0].astype(int)
    left, top = np.maximum(corner, 0)
    right, bottom = np.minimum(corner + tile.shape[0], photo.shape[1::-1])
    part = tile[top - corner[1] : bottom - corner[1], left - corner[0] : right - corner[0]]
    below = photo[top:bottom, left:right]
    person = np.abs(part.astype(int) - wall).max(axis=2) > 1
    below[person] = part[person]


def write_clip(
    path: str | Path, rng: np.random.Generator, shots: Sequence[Sequence[str]], *, seconds: float = 3.0,
    away: tuple[float, float] = (1.2, 2.0), frames_per_second: float = 10.0, size: int = 192,
) -> Path:
    """A video (.mp4): in each shot another person, who shows the expressions of that shot in random order.

    seconds  of each shot.   away: from when to when, in seconds of the first shot, the person has left the picture
    Raises AffectError if OpenCV has no encoder here.
    """
    frames = []
    for number, names in enumerate(shots):
        frames += _shot(rng, names, seconds, away if number == 0 else (0, 0), frames_per_second, size)
    with atomic_path(Path(path)) as temporary:
        target = temporary.with_suffix(".mp4")
        writer = cv2.VideoWriter(str(target), cv2.VideoWriter_fourcc(*"mp4v"), frames_per_second, (size, size))
        if not writer.isOpened():
            raise AffectError(f"{path} cannot be written: OpenCV has no MPEG-4 encoder here.")
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        target.replace(temporary)
    return Path(path)


def _shot(rng, expressions, seconds, away, frames_per_second, size) -> list[np.ndarray]:
    person, scene = sample_person(rng, "affectnet"), portrait(sample_scene(rng, "clean"))
    count = round(seconds * frames_per_second)
    played = perform(rng, count, frames_per_second, {name: 1 / len(expressions) for name in expressions})
    frames = []
    for index in range(count):
        now = index / frames_per_second
        gone = 0.0 if not away[1] else np.clip(4 * min(now - away[0], away[1] - now) + 1, 0, 1)  # out within 1/4 s
        yaw, pitch, roll = played.head[index]
        moment = replace(scene, yaw=scene.yaw + yaw, pitch=scene.pitch + pitch, roll=roll,
                         shift=(0.0, LOWERED + 1.2 * float(gone)))  # fmt: skip
        units = played.frame(index)
        units[EYES_CLOSED] = max(units.get(EYES_CLOSED, 0.0), units.pop(BLINK, 0.0))
        frames.append(render(person, units, moment, size=size, supersampling=1,
                             asymmetry=float(played.asymmetry[index])))  # fmt: skip
    return frames
