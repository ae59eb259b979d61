"""How the embedded corpus draws a facial expression: EMFACS-like prototypes with variation.

Each expression has *core* action units, always present, and optional ones with a probability and a range. One number,
the intensity I of the whole display, scales them all: I ~ Beta(3, 1.6), at least `FAINTEST`. On top come small random
movements that mean nothing, because faces are never quite still. "Neutral" includes mouths that talk (lips part and
jaw drop, and yet no expression), so that an open mouth alone is no cue. "Other" is what remains: one to three random
action units, at least one of which is the mark of no prototype (puckered lips, puffed cheeks, closed eyes...).

Source: the prototypes follow EMFACS (Friesen & Ekman 1983) as tables of it are commonly given (from memory,
unverified); probabilities, ranges and the intensity distribution are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DISPLAYS = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "contempt", "other")
"""Every expression that can be drawn; each corpus uses those of its own vocabulary."""

RENDERED_ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 22, 23, 24, 25, 26, 28, 34, 43)
"""Action units that displays use, in the order of every table of intensities. 43, eyes closed, also serves blinks."""

FAINTEST = 0.35
"""Lowest intensity of a display other than neutral: about where its core action units reach FACS grade B."""

STRAY_PROBABILITY, STRAY_MAXIMUM = 0.12, 0.15
STRAY_ACTION_UNITS = (1, 2, 4, 6, 7, 12, 14, 15, 17, 25)
"""Small co-activations: each of these units moves with this probability, by at most this much (FACS grade A)."""

TALKING_PROBABILITY = 0.3
"""Share of neutral faces whose mouth talks."""

_MARK_OF_NONE = (18, 20, 22, 28, 34, 43)
_MORE_IN_OTHER = (0.2, 0.4, 0.4)
_ALSO_IN_OTHER = (1, 2, 4, 7, 14, 18, 20, 22, 25, 26, 28, 34, 43)


@dataclass(frozen=True)
class Movement:
    """One action unit of a prototype: present with `probability`, intensity I x U(low, high), at most 1."""

    action_unit: int
    low: float
    high: float
    probability: float = 1.0


@dataclass(frozen=True)
class Prototype:
    """An expression as movements. `variants`: (probability, movements) of which exactly one is taken, if any."""

    core: tuple[int, ...]
    movements: tuple[Movement, ...]
    variants: tuple[tuple[float, tuple[Movement, ...]], ...] = ()


_TIGHT_LIPS = (Movement(23, 0.4, 1.0, 0.8), Movement(24, 0.4, 1.0, 0.6), Movement(17, 0.2, 0.6, 0.4))
_BARED_TEETH = (Movement(10, 0.3, 0.7), Movement(25, 0.6, 1.0), Movement(26, 0.3, 0.9, 0.6),
                Movement(22, 0.2, 0.4, 0.3))  # fmt: skip

PROTOTYPES = {
    "anger": Prototype(
        core=(4,),
        movements=(Movement(4, 0.8, 1.1), Movement(7, 0.4, 0.9, 0.7), Movement(5, 0.3, 0.7, 0.4),
                   Movement(9, 0.2, 0.5, 0.3)),
        variants=((0.6, _TIGHT_LIPS), (0.4, _BARED_TEETH)),
    ),
    "disgust": Prototype(
        core=(9,),
        movements=(Movement(9, 0.8, 1.1), Movement(10, 0.3, 0.9, 0.8), Movement(4, 0.2, 0.6, 0.6),
                   Movement(7, 0.3, 0.7, 0.6), Movement(17, 0.3, 0.7, 0.4), Movement(15, 0.2, 0.5, 0.3),
                   Movement(25, 0.2, 0.5, 0.3), Movement(6, 0.2, 0.5, 0.3)),
    ),
    "fear": Prototype(
        core=(1, 2, 4, 5),
        movements=(Movement(1, 0.8, 1.0), Movement(2, 0.5, 0.9), Movement(4, 0.5, 0.9), Movement(5, 0.7, 1.0),
                   Movement(20, 0.5, 1.0, 0.8), Movement(25, 0.5, 1.0, 0.8), Movement(26, 0.3, 0.8, 0.6),
                   Movement(7, 0.2, 0.4, 0.3)),
    ),
    "happiness": Prototype(
        core=(12,),
        movements=(Movement(12, 0.8, 1.15), Movement(6, 0.4, 1.1, 0.8), Movement(25, 0.6, 1.2, 0.75),
                   Movement(26, 0.1, 0.5, 0.3), Movement(10, 0.1, 0.4, 0.35), Movement(7, 0.2, 0.4, 0.2),
                   Movement(2, 0.1, 0.3, 0.15)),
    ),
    "sadness": Prototype(
        core=(1,),
        movements=(Movement(1, 0.8, 1.0), Movement(4, 0.3, 0.8, 0.8), Movement(15, 0.6, 1.1, 0.9),
                   Movement(17, 0.3, 0.8, 0.6), Movement(7, 0.2, 0.5, 0.3), Movement(43, 0.1, 0.35, 0.4)),
    ),
    "surprise": Prototype(
        core=(1, 2),
        movements=(Movement(1, 0.8, 1.0), Movement(2, 0.8, 1.0), Movement(5, 0.5, 1.0, 0.9)),
        variants=((0.9, (Movement(26, 0.6, 1.3), Movement(25, 0.2, 0.5))), (0.1, ())),
    ),
    "contempt": Prototype(  # one-sided, see `draw_display`
        core=(12, 14),
        movements=(Movement(14, 0.8, 1.0), Movement(12, 0.4, 0.7), Movement(24, 0.1, 0.3, 0.3),
                   Movement(2, 0.1, 0.3, 0.2), Movement(4, 0.1, 0.3, 0.2)),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Display:
    """One facial expression, ready to render.

    expression    one of `DISPLAYS`
    intensity     of the whole display, in [0, 1]; 0 for neutral
    action_units  intensities in (0, 1] by FACS number; units that do not move are absent
    asymmetry     in [-1, 1]: 0 both sides alike, +1 left side only, -1 right side only
    """

    expression: str
    intensity: float
    action_units: dict[int, float]
    asymmetry: float


def draw_intensity(rng: np.random.Generator) -> float:
    """Intensity of a display: Beta(3, 1.6), at least `FAINTEST`. Mean about 0.66."""
    return float(max(FAINTEST, rng.beta(3.0, 1.6)))


def draw_display(rng: np.random.Generator, expression: str, intensity: float | None = None) -> Display:
    """Draw one display of `expression` (one of `DISPLAYS`).

    intensity: in [0, 1], drawn by `draw_intensity` if None; ignored for neutral. Raises KeyError for an unknown name.
    """
    if expression == "neutral":
        intensity, action_units = 0.0, _draw_neutral(rng)
    else:
        intensity = draw_intensity(rng) if intensity is None else intensity
        action_units = _draw_other(rng) if expression == "other" else _draw_prototype(rng, PROTOTYPES[expression])
        action_units = {unit: intensity * value for unit, value in action_units.items()}
    for unit in STRAY_ACTION_UNITS:
        if rng.random() < STRAY_PROBABILITY:
            action_units[unit] = action_units.get(unit, 0.0) + rng.uniform(0.0, STRAY_MAXIMUM)
    action_units = {unit: float(min(1.0, value)) for unit, value in sorted(action_units.items()) if value > 0.02}
    return Display(expression, float(intensity), action_units, _draw_asymmetry(rng, expression))


def _draw_prototype(rng: np.random.Generator, prototype: Prototype) -> dict[int, float]:
    movements = prototype.movements
    if prototype.variants:
        choice = rng.choice(len(prototype.variants), p=[probability for probability, _ in prototype.variants])
        movements = movements + prototype.variants[choice][1]
    return {movement.action_unit: rng.uniform(movement.low, movement.high)
            for movement in movements if rng.random() < movement.probability}  # fmt: skip


def _draw_other(rng: np.random.Generator) -> dict[int, float]:
    first = int(rng.choice(_MARK_OF_NONE))
    others = [unit for unit in _ALSO_IN_OTHER if unit != first]
    more = rng.choice(others, size=rng.choice(3, p=_MORE_IN_OTHER), replace=False)
    return {unit: rng.uniform(0.7, 1.1) for unit in (first, *map(int, more))}


def _draw_neutral(rng: np.random.Generator) -> dict[int, float]:
    if rng.random() >= TALKING_PROBABILITY:
        return {}
    talking = {25: rng.uniform(0.25, 0.9)}
    if rng.random() < 0.6:
        talking[26] = rng.uniform(0.1, 0.7)
    return talking


def _draw_asymmetry(rng: np.random.Generator, expression: str) -> float:
    if expression == "contempt":
        return float(rng.choice((-1.0, 1.0)) * rng.uniform(0.6, 0.95))
    return float(np.clip(rng.normal(0.0, 0.06), -1.0, 1.0))
