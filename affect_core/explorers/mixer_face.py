"""The face that the action-unit mixer renders: its dials, presets of the expressions, and the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNIT_NAMES
from affect_core.synthetic.circumplex import valence_arousal
from affect_core.synthetic.expressions import PROTOTYPES, RENDERED_ACTION_UNITS
from affect_core.synthetic.people import Person, sample_person
from affect_core.synthetic.renderer import render
from affect_core.synthetic.scene import Scene, sample_scene

NAMES = {
    **ACTION_UNIT_NAMES, 5: "upper lid raiser", 9: "nose wrinkler", 14: "dimpler", 17: "chin raiser", 18: "lip pucker",
    20: "lip stretcher", 22: "lip funneler", 28: "lip suck", 34: "cheek puff", 43: "eyes closed",
}  # fmt: skip
"""FACS names of the action units that can be rendered."""

PRESETS = ("neutral", *PROTOTYPES)


@dataclass(frozen=True)
class FaceState:
    """Everything that the mixer can turn.

    action_units   FACS number -> intensity at the apex, 0 to 1; units that do not move may be absent
    intensity      0 (neutral) to 1 (apex): multiplies all of them
    asymmetry      -1 (the subject's right side only) to 1 (left side only)
    identity       seed of the person, 0 or more; hair, skin and clothes come with it
    yaw, pitch, roll                 degrees; yaw above 0 turns the subject to their left
    lamp_azimuth, lamp_elevation     degrees; azimuth above 0: the lamp is at the right of the picture
    lamp           brightness of the lamp against the sky's, 0 (only sky) to 3
    """

    action_units: Mapping[int, float] = field(default_factory=dict)
    intensity: float = 1.0
    asymmetry: float = 0.0
    identity: int = 7
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    lamp_azimuth: float = 20.0
    lamp_elevation: float = 25.0
    lamp: float = 1.0

    @property
    def shown(self) -> dict[int, float]:
        """The intensities of this moment, without those that are 0."""
        return {unit: self.intensity * value for unit, value in self.action_units.items() if self.intensity * value > 0}

    @property
    def valence_arousal(self) -> np.ndarray:
        """(valence, arousal) that the embedded corpus would annotate, without noise: (2,) in (-1, 1)."""
        return valence_arousal(self.shown, self.asymmetry)


def preset(expression: str, base: FaceState | None = None) -> FaceState:
    """`base` (default: `FaceState()`) at the apex of an expression's prototype.

    Of `expressions.PROTOTYPES` it takes the movements that are more likely present than not, in the middle of their
    range, and the likeliest variant. Contempt is one-sided. Raises AffectError for an expression without prototype.
    """
    base = base or FaceState()
    if expression not in PRESETS:
        raise AffectError(f"There is no preset for {expression!r}; there are {', '.join(PRESETS)}.")
    if expression == "neutral":
        return replace(base, action_units={}, asymmetry=0.0, intensity=1.0)
    prototype = PROTOTYPES[expression]
    variant = max(prototype.variants, key=lambda pair: pair[0])[1] if prototype.variants else ()
    units = {movement.action_unit: min(1.0, (movement.low + movement.high) / 2)
             for movement in (*prototype.movements, *variant) if movement.probability > 0.5}  # fmt: skip
    asymmetry = 0.8 if expression == "contempt" else 0.0
    return replace(base, action_units=dict(sorted(units.items())), asymmetry=asymmetry, intensity=1.0)


def render_face(state: FaceState, size: int = 128) -> np.ndarray:
    """(size, size, 3) uint8 RGB. Raises AffectError for an action unit that the renderer does not know, or a seed
    below 0."""
    unknown = sorted(set(state.action_units) - set(RENDERED_ACTION_UNITS))
    if unknown:
        raise AffectError(f"The renderer has no action unit {', '.join(map(str, unknown))}.")
    person, studio = _person(state.identity)
    azimuth, elevation = math.radians(state.lamp_azimuth), math.radians(state.lamp_elevation)
    direction = (math.sin(azimuth) * math.cos(elevation), -math.cos(azimuth) * math.cos(elevation), math.sin(elevation))
    scene = replace(
        studio,
        yaw=math.radians(state.yaw), pitch=math.radians(state.pitch), roll=math.radians(state.roll),
        light=studio.light._replace(direction=direction, key=(state.lamp,) * 3),
    )  # fmt: skip
    return render(person, state.shown, scene, size=size, asymmetry=state.asymmetry)


@lru_cache(maxsize=32)
def _person(identity: int) -> tuple[Person, Scene]:
    """A person and the studio they sit in, looking into the camera."""
    if identity < 0:
        raise AffectError(f"identity is a seed, 0 or more, not {identity}.")
    studio = sample_scene(np.random.default_rng(identity), "clean")
    return sample_person(np.random.default_rng(identity), "affectnet"), replace(
        studio, zoom=1.0, shift=(0.0, 0.0), gaze=(0.0, 0.0), exposure=1.0
    )
