"""The face at rest: brows that sit low, lids that hang, corners of the mouth that point down, and mean nothing.

FACS codes movement away from a person's own neutral face, and neutral faces differ: some look cross or sad without a
muscle having moved. A corpus whose people all rest alike, with thin brows high above the eyes, teaches a model that
every low brow is anger. Resting features are drawn once a person, are rendered beneath whatever the person does, and
are in no label.

Probabilities and strengths are ours; brows were lowered and thickened after a look at photographs beside renders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from affect_core.synthetic.people import Person

RESTING = {
    1: (0.25, 0.30), 2: (0.25, 0.30), 4: (0.45, 0.50), 5: (0.15, 0.25), 6: (0.25, 0.30), 7: (0.30, 0.35),
    9: (0.20, 0.30), 10: (0.20, 0.25), 12: (0.20, 0.20), 14: (0.20, 0.25), 15: (0.35, 0.45), 17: (0.25, 0.35),
    23: (0.15, 0.35), 24: (0.30, 0.45), 25: (0.15, 0.25), 43: (0.30, 0.25),
}  # fmt: skip
"""Action units that a resting face can resemble: how often, and by how much at most (intensity in [0, 1])."""

BROW_DROP, BROW_SPREAD, BROW_LIMITS = 4.0, 3.0, (-2.0, 9.0)
"""Millimetres by which brows sit lower than drawn for the person: mean, standard deviation, limits."""


@dataclass(frozen=True)
class RestingFace:
    """What one person's face shows at rest.

    action_units  intensities by FACS number that it resembles
    brow_drop     mm by which the brows sit lower;  brow_thickness  factor;  brow_gap  mm by which they come closer
    eye_shadow    added darkness around the eyes
    """

    action_units: Mapping[int, float]
    brow_drop: float = 0.0
    brow_thickness: float = 1.0
    brow_gap: float = 0.0
    eye_shadow: float = 0.0

    def of(self, person: Person) -> Person:
        """The person with these brows and eye sockets."""
        brows, skin = person.brows, person.skin
        brows = brows._replace(height=brows.height - self.brow_drop, thickness=brows.thickness * self.brow_thickness,
                               inner=brows.inner - self.brow_gap)  # fmt: skip
        return replace(person, brows=brows, skin=skin._replace(eye_shadow=skin.eye_shadow + self.eye_shadow))

    def under(self, action_units: Mapping[int, float]) -> dict[int, float]:
        """What the renderer shows: movement on top of the resting face, at most 1 a unit."""
        units = sorted({*action_units, *self.action_units})
        return {unit: min(1.0, action_units.get(unit, 0.0) + self.action_units.get(unit, 0.0)) for unit in units}


def sample_resting_face(rng: np.random.Generator, strength: float) -> RestingFace:
    """Resting features of one person; `strength` in [0, 1] scales them all (0: none, and the person as drawn)."""
    drawn = {unit: (rng.random() < probability) * rng.uniform(0.0, highest)
             for unit, (probability, highest) in RESTING.items()}  # fmt: skip
    drop = float(np.clip(rng.normal(BROW_DROP, BROW_SPREAD), *BROW_LIMITS))
    thicker, closer, shadow = rng.uniform(-0.1, 0.8), rng.uniform(0.0, 5.0), rng.random() ** 2 * 0.35
    return RestingFace(
        {unit: float(strength * value) for unit, value in drawn.items() if strength * value > 0},
        brow_drop=strength * drop, brow_thickness=float(1 + strength * thicker), brow_gap=float(strength * closer),
        eye_shadow=float(strength * shadow),
    )  # fmt: skip
