"""What a FACS coder would write down about a rendered face: which action units are active, and how strongly.

The renderer is *given* intensities, so these labels are true by construction; no certified coder has seen the images.
Three things stand between the intensities and the labels, all taken from how people code faces:

- **Intensity.** FACS grades A (trace) to E (maximum). Databases that are turned into 0/1 labels usually count B and
  above as active; so do we. FACS gives the grades in words only; the numbers below are ours, with C and D the widest,
  as in the manual.
- **Anatomy.** Some movements contain others: wrinkling the nose (9) pulls the brows down (4), raising the cheeks (6)
  tightens the lids (7). A coder who looks at the picture sees both, so both are labelled.
- **Lips part (25)** is a visible fact rather than a muscle: jaw drop (26), upper lip raise (10) and lower lip
  depression (16) part the lips too, pressing them (23, 24) closes them. AU25 is read off the mesh: it is active if the
  lips are further apart than `LIPS_PART_MM`.

Source: Ekman, Friesen & Hager, Facial Action Coding System, 2002 (the grades; from memory, unverified).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from affect_core.labels import ACTION_UNITS
from affect_core.synthetic.facs import RECIPES

INTENSITY_GRADES = {"A": 0.08, "B": 0.25, "C": 0.40, "D": 0.65, "E": 0.88}
"""Lower bound of each FACS grade on the renderer's scale, where 1 is the strongest movement of that face."""

ACTIVE_FROM = INTENSITY_GRADES["B"]
"""An action unit is labelled active from this intensity on."""

CO_ACTIVATION = {
    (containing, contained): RECIPES[containing][action] / RECIPES[contained][action]
    for containing, contained, action in ((9, 4, "browDownLeft"), (6, 7, "eyeSquintLeft"))
}
"""(containing, contained): share. At full intensity the container moves the shared action this far."""

LIPS_PART_MM = 2.0
"""AU25 is active from this gap between the lips on: about a pixel of a 112 px crop, so that it can be seen."""


def intensity_grade(intensity: float) -> str:
    """FACS grade of an intensity in [0, 1]: "" (absent), "A", "B", "C", "D" or "E"."""
    reached = [grade for grade, lowest in INTENSITY_GRADES.items() if intensity >= lowest]
    return reached[-1] if reached else ""


def with_co_activation(action_units: Mapping[int, float]) -> dict[int, float]:
    """Intensities as they look: every contained movement added (sum, at most 1). `action_units` is not changed."""
    seen = dict(action_units)
    for (containing, contained), share in CO_ACTIVATION.items():
        extra = share * action_units.get(containing, 0.0)
        if extra > 0:
            seen[contained] = min(1.0, seen.get(contained, 0.0) + extra)
    return seen


def code_action_units(action_units: Mapping[int, float], lips_apart_mm: float) -> np.ndarray:
    """Labels of the twelve ABAW action units, int64 (12,) of 0 and 1, columns `labels.ACTION_UNITS`.

    `action_units`: intensities in [0, 1] by FACS number, absent ones 0. `lips_apart_mm`: gap between the lips on the
    rendered mesh (`renderer.lips_apart`); it alone decides AU25.
    """
    seen = with_co_activation(action_units)
    active = [seen.get(unit, 0.0) >= ACTIVE_FROM if unit != 25 else lips_apart_mm >= LIPS_PART_MM
              for unit in ACTION_UNITS]  # fmt: skip
    return np.array(active, dtype=np.int64)
