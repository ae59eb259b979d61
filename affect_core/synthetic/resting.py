"""The face at rest: brows that sit low, lids that hang, corners of the mouth that point down, and mean nothing.

FACS codes movement away from a person's own neutral face, and neutral faces differ: some look cross or sad without a
muscle having moved. A corpus whose people all rest alike teaches a model that every low brow is anger. Resting features
are drawn once a person, are rendered beneath whatever the person does, and are in no label.

Probabilities and strengths are ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

RESTING = {
    1: (0.25, 0.30), 2: (0.25, 0.30), 4: (0.45, 0.50), 5: (0.15, 0.25), 6: (0.25, 0.30), 7: (0.30, 0.35),
    9: (0.20, 0.30), 10: (0.20, 0.25), 12: (0.20, 0.20), 14: (0.20, 0.25), 15: (0.35, 0.45), 17: (0.25, 0.35),
    23: (0.15, 0.35), 24: (0.30, 0.45), 25: (0.15, 0.25), 43: (0.30, 0.25),
}  # fmt: skip
"""Action units that a resting face can resemble: how often, and by how much at most (intensity in [0, 1])."""


def sample_resting_face(rng: np.random.Generator, strength: float) -> dict[int, float]:
    """Resting features of one person as intensities by FACS number; `strength` scales them all (0: none)."""
    drawn = {unit: (rng.random() < probability) * rng.uniform(0.0, highest)
             for unit, (probability, highest) in RESTING.items()}  # fmt: skip
    return {unit: float(strength * value) for unit, value in drawn.items() if strength * value > 0}


def over_resting_face(action_units: Mapping[int, float], resting: Mapping[int, float]) -> dict[int, float]:
    """What the renderer shows: movement on top of the resting face, at most 1 a unit."""
    units = {*action_units, *resting}
    return {unit: min(1.0, action_units.get(unit, 0.0) + resting.get(unit, 0.0)) for unit in sorted(units)}
