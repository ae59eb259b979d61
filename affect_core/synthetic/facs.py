"""FACS action units as weights of the face model's actions, and what they do to skin that a mesh is too coarse for.

Names of actions are ARKit's (MakeHuman Face Units 01); "mh:" marks MPFB's expression units. Left is the subject's left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from affect_core.synthetic.face_model import load_face_model


def _both(**weights: float) -> dict[str, float]:
    """The same weight for the left and the right action."""
    return {f"{name}{side}": weight for name, weight in weights.items() for side in ("Left", "Right")}


def _both_units(unit: str, weight: float) -> dict[str, float]:
    """The same weight for MPFB's left and right unit, e.g. "eyebrows-{}-down"."""
    return {f"mh:{unit.format(side)}": weight for side in ("left", "right")}


RECIPES: dict[int, dict[str, float]] = {
    1: {"browInnerUp": 1.0, **_both_units("eyebrows-{}-inner-up", 0.4)},
    2: _both(browOuterUp=1.0),
    4: {**_both(browDown=1.1), **_both_units("eyebrows-{}-down", 0.8)},
    5: _both(eyeWide=1.3),
    6: _both(cheekSquint=1.4, eyeSquint=0.4),
    7: _both(eyeSquint=1.0),
    9: {**_both(noseSneer=1.2, browDown=0.35), **_both_units("nose-{}-elevation", 0.6), "mh:nose-compression": 0.4},
    10: _both(mouthUpperUp=1.0),
    12: _both(mouthSmile=0.95),
    14: {**_both(mouthDimple=1.3, mouthFrown=0.35), "mh:mouth-retraction": 0.4},
    15: _both(mouthFrown=1.1),
    16: _both(mouthLowerDown=1.0),
    17: {"mouthShrugLower": 1.1, "mouthShrugUpper": 0.3},
    18: {"mouthPucker": 1.0},
    20: {**_both(mouthStretch=0.8), "mh:mouth-retraction": 0.6},
    22: {"mouthFunnel": 1.0},
    23: {"mouthRollLower": 0.5, "mouthRollUpper": 0.55, "mouthPucker": 0.4, **_both(mouthFrown=0.1)},
    24: {"mouthRollLower": 0.7, "mouthRollUpper": 0.6, "mouthShrugLower": 0.3, **_both(mouthPress=0.3, mouthFrown=0.3)},
    25: {**_both(mouthLowerDown=0.85, mouthUpperUp=0.5), "jawOpen": 0.10},
    26: {"jawOpen": 0.5},
    27: {"jawOpen": 1.0},
    28: {"mouthRollLower": 1.0, "mouthRollUpper": 1.0},
    34: {"cheekPuff": 1.0},
    43: _both(eyeBlink=1.0),
}  # fmt: skip
"""Action unit -> {action: weight at full intensity (FACS E)}, tuned by eye on renders: ground truth by construction.

Anatomy leaks as it does in people: 10, 16 and 26 part the lips, 6 contains some 7, 9 contains some 4.
"""

STRONGEST = 1.4
"""Ceiling of an action's weight when several action units share it."""


class Creases(NamedTuple):
    """Skin folds and lip pressure in [0, about 1], which the renderer draws; left and right are the subject's."""

    forehead_inner: float
    forehead_outer: float
    glabella: float
    nose_root: float
    nasolabial_left: float
    nasolabial_right: float
    crows_feet_left: float
    crows_feet_right: float
    dimple_left: float
    dimple_right: float
    chin: float
    lip_press: float
    mouth_open: float


def _side_factor(name: str, asymmetry: float) -> float:
    """1 + asymmetry for actions of the left side, 1 - asymmetry for the right, 1 for unpaired ones."""
    if name.endswith("Left") or "-left-" in name:
        return 1 + asymmetry
    if name.endswith("Right") or "-right-" in name:
        return 1 - asymmetry
    return 1.0


def action_weights(action_units: dict[int, float], asymmetry: float = 0.0) -> np.ndarray:
    """(A,) float32 action weights in [0, STRONGEST] of action units with intensities from 0 to 1.

    asymmetry in [-1, 1]: above 0 the subject's left side moves more, at 1 only the left.
    Raises KeyError for an action unit that RECIPES does not list.
    """
    index = load_face_model().action_index
    weights = np.zeros(len(index), np.float32)
    for action_unit, intensity in action_units.items():
        for name, weight in RECIPES[action_unit].items():
            weights[index[name]] += intensity * weight * _side_factor(name, asymmetry)
    return weights.clip(0, STRONGEST)


def creases(action_units: dict[int, float], asymmetry: float = 0.0) -> Creases:
    """The folds that go with action units (FACS manual's appearance changes, simplified)."""

    def strength(*units: int) -> float:
        return float(max((action_units.get(unit, 0.0) for unit in units), default=0.0))

    left, right = min(1.0, 1 + asymmetry), min(1.0, 1 - asymmetry)
    nasolabial = max(strength(12), 0.9 * strength(10), 0.7 * strength(9), 0.4 * strength(14))
    return Creases(
        forehead_inner=strength(1), forehead_outer=strength(2), glabella=strength(4), nose_root=strength(9),
        nasolabial_left=nasolabial * left, nasolabial_right=nasolabial * right,
        crows_feet_left=strength(6) * left, crows_feet_right=strength(6) * right,
        dimple_left=strength(14) * left, dimple_right=strength(14) * right,
        chin=strength(17), lip_press=max(strength(24), 0.6 * strength(23), 0.8 * strength(28)),
        mouth_open=min(1.0, strength(25) * 0.5 + strength(26) + 1.5 * strength(27) + 0.4 * strength(10, 16)),
    )  # fmt: skip
