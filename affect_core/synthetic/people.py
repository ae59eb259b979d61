"""Who is in the picture: a shape, a skin, eyes, lips, brows, hair, and what the person wears.

Colours are linear RGB reflectances in [0, 1]; lengths are millimetres of the canonical face. The small named tuples
hold floats only, because they travel into the numba kernels as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from affect_core.synthetic.colours import (
    HAIR_COLOURS,
    HAIR_DYES,
    IRIS_COLOURS,
    LIP_TINT,
    LIPSTICK,
    TEETH,
    Colour,
    as_colour,
    pick,
    skin_colour,
)
from affect_core.synthetic.face_model import AGE_ANCHORS, load_face_model
from affect_core.synthetic.hairstyles import NO_MOUSTACHE, Hair, Moustache, sample_hair


class Skin(NamedTuple):
    colour: Colour
    mottling: float  # relative amplitude of slow variation
    redness: float  # of cheeks, nose and ears, 0 to 1
    eye_shadow: float  # darkness around the eyes, 0 to 1
    freckles: float  # 0 to 1
    wrinkles: float  # how deep folds are drawn, 0.35 (child) to 1
    age_folds: float  # folds that show at rest, 0 to 1
    shine: float  # specular reflectance
    seed: float  # offset into the noise table


class Brows(NamedTuple):
    colour: Colour
    thickness: float
    height: float  # above the usual place
    arch: float
    density: float  # 0 to 1
    inner: float  # from the middle of the face
    outer: float


class Eyes(NamedTuple):
    iris: Colour
    iris_radius: float  # radians on the eyeball
    liner: float  # darkness of lashes and liner, 0 to 1
    sclera: float  # relative brightness


class Lips(NamedTuple):
    colour: Colour
    strength: float  # how much of the skin's own colour is covered, 0 to 1
    gloss: float


class Outfit(NamedTuple):
    garment: Colour
    neckline: float  # lower than a crew neck, in the middle
    stripes: float  # 0 plain, 1 striped
    hat: float  # 0 none, 1 a knitted hat
    hat_colour: Colour
    hat_edge: float  # above the eyes


class Glasses(NamedTuple):
    rim: float  # 0: no glasses
    colour: Colour
    width: float  # radius as a share of the distance between the eyes
    height: float
    tint: float  # 0 clear to 0.85 sunglasses


@dataclass(frozen=True)
class Person:
    """One identity. `scores` are face-model coordinates; the rest is appearance. Equal values mean the same person.

    age in years (13 to 84), gender 0 (female) to 1 (male), ancestry shares (african, asian, caucasian) that sum to 1,
    skin_tone 0 (lightest) to 1 (darkest). These are the generator's dials, for slicing results; they claim nothing
    about how people identify.
    """

    scores: tuple[float, ...]
    age: float
    gender: float
    ancestry: tuple[float, float, float]
    skin_tone: float
    skin: Skin
    brows: Brows
    eyes: Eyes
    lips: Lips
    hair: Hair
    outfit: Outfit
    glasses: Glasses
    teeth: Colour
    moustache: Moustache = NO_MOUSTACHE


class Population(NamedTuple):
    """Shares of people with a property, and `spread`: standard deviations of face shape relative to MakeHuman's."""

    children: float
    elderly: float
    spread: float
    hats: float
    glasses: float
    dyed_hair: float
    plain_hair: bool


POPULATIONS = {
    "abaw": Population(0.08, 0.22, 1.0, 0.04, 0.12, 0.02, False),
    "affectnet": Population(0.14, 0.30, 1.15, 0.08, 0.15, 0.05, False),
    "faces": Population(0.14, 0.30, 1.15, 0.08, 0.15, 0.05, False),
    "lsd_synthetic": Population(0.0, 0.15, 0.9, 0.0, 0.0, 0.0, True),
    "lsd_real": Population(0.12, 0.32, 1.1, 0.10, 0.18, 0.05, False),
}


def sample_person(rng: np.random.Generator, population: str) -> Person:
    """A new person of one of POPULATIONS; deterministic by `rng`, and never the same identity twice.

    "lsd_synthetic" is studio models (adults, plain hair, no hats or glasses); "affectnet" and "faces" are the widest.
    Raises KeyError for an unknown population.
    """
    shares = POPULATIONS[population]
    group = rng.choice(3, p=[shares.children, 1 - shares.children - shares.elderly, shares.elderly])
    age = rng.uniform(*[(0.38, 0.60), (0.64, 0.80), (0.80, 0.95)][group])  # MakeHuman's slider, see AGE_ANCHORS
    gender = float(np.clip(rng.integers(2) + rng.normal(0, 0.12) * rng.integers(2), 0, 1))
    african, asian, caucasian = ancestry = rng.dirichlet([0.35, 0.35, 0.45])
    female, child, old = gender < 0.5, group == 0, float(np.clip((age - 0.70) / 0.25, 0, 1))
    scores = load_face_model().sample_scores((age, gender, *ancestry), rng, shares.spread)

    tone = african * rng.uniform(0.67, 1.05) + asian * rng.uniform(0.1, 0.47) + caucasian * rng.uniform(0.02, 0.4)
    tone = float(np.clip(tone + rng.normal(0, 0.05), 0, 1))
    skin = skin_colour(tone) * np.exp(rng.normal(0, 0.04, 3))
    natural_hair = sample_hair_colour(rng, african, asian, caucasian, old)
    hair = pick(rng, HAIR_DYES, [1, 1, 1]) if rng.random() < shares.dyed_hair else natural_hair
    return Person(
        scores=tuple(float(score) for score in scores),
        age=float(np.interp(age, *AGE_ANCHORS)),
        gender=gender,
        ancestry=tuple(float(share) for share in ancestry),
        skin_tone=tone,
        skin=sample_skin(rng, skin, child, old, african),
        brows=sample_brows(rng, np.minimum(natural_hair * 0.8 + 0.008, skin * 0.42), female),
        eyes=sample_eyes(rng, african, asian, caucasian, made_up=female and not child),
        lips=sample_lips(rng, skin, may_wear_lipstick=female and not child),
        hair=sample_hair(
            rng, hair, natural_hair, female=female, child=child, old=old, african=african, plain=shares.plain_hair
        ),
        outfit=sample_outfit(rng, shares.hats),
        glasses=sample_glasses(rng, shares.glasses),
        teeth=as_colour(TEETH * rng.uniform(0.8, 1.08)),
    )


def sample_skin(rng, colour: np.ndarray, child: bool, old: float, african: float) -> Skin:
    return Skin(
        colour=as_colour(colour),
        mottling=float(rng.uniform(0.02, 0.05)),
        redness=float(rng.uniform(0.05, 0.45)),
        eye_shadow=float(rng.uniform(0, 0.22) + 0.06 * old),
        freckles=float(rng.random() ** 6 * (1 - 0.6 * african)),
        wrinkles=0.35 if child else 0.55 + 0.45 * old,
        age_folds=old**1.3,
        shine=float(rng.uniform(0.015, 0.035)),
        seed=float(rng.uniform(0, 200)),
    )


def sample_hair_colour(rng, african: float, asian: float, caucasian: float, old: float) -> np.ndarray:
    """(3,) natural colour, greyer with age."""
    fair, grey = max(0.0, caucasian - 0.5), 3 * max(0.0, old - 0.25) ** 1.5
    weights = [
        0.3 + 2 * african + 2 * asian,
        0.5,
        0.35,
        0.2 + fair,
        0.6 * fair,
        0.3 * fair,
        0.01 + grey,
        0.01 + grey * old,
    ]
    return pick(rng, HAIR_COLOURS, weights) * np.exp(rng.normal(0, 0.12))


def sample_brows(rng, colour: np.ndarray, female: bool) -> Brows:
    return Brows(
        colour=as_colour(colour),
        thickness=float(rng.uniform(2.4, 4.4) if female else rng.uniform(3.4, 5.6)),
        height=float(rng.normal(0, 1.2)),
        arch=float(rng.uniform(2, 6.5)),
        density=float(rng.uniform(0.65, 1.0)),
        inner=float(rng.uniform(9, 14)),
        outer=float(rng.uniform(50, 57)),
    )


def sample_eyes(rng, african: float, asian: float, caucasian: float, made_up: bool) -> Eyes:
    weights = [0.8 + 3 * african + 3 * asian, 0.6, 0.05 + 0.25 * caucasian, 0.3 * caucasian, 0.7 * caucasian,
               0.3 * caucasian]  # fmt: skip
    return Eyes(
        iris=as_colour(pick(rng, IRIS_COLOURS, weights) * np.exp(rng.normal(0, 0.2))),
        iris_radius=float(rng.uniform(0.49, 0.55)),
        liner=float(rng.uniform(0.4, 0.9) if made_up else rng.uniform(0.25, 0.5)),
        sclera=float(rng.uniform(0.9, 1.05)),
    )


def sample_lips(rng, skin: np.ndarray, may_wear_lipstick: bool) -> Lips:
    if may_wear_lipstick and rng.random() < 0.35:
        lipstick = LIPSTICK * np.exp(rng.normal(0, 0.2, 3)) * (0.3 + 0.8 * skin[0])  # in proportion to what it lies on
        return Lips(as_colour(lipstick), float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.06, 0.16)))
    natural = skin * LIP_TINT * np.exp(rng.normal(0, 0.05, 3))
    return Lips(as_colour(natural), float(rng.uniform(0.6, 0.95)), float(rng.uniform(0.03, 0.08)))


def sample_outfit(rng, hats: float) -> Outfit:
    garment, greyness = 0.7 * rng.random(3) ** 2, rng.uniform(0.2, 1.0)
    return Outfit(
        garment=as_colour(garment * (1 - greyness) + garment.mean() * greyness),
        neckline=max(0.0, float(rng.normal(0, 22))),
        stripes=float(rng.random() < 0.2),
        hat=float(rng.random() < hats),
        hat_colour=as_colour(0.03 + 0.3 * rng.random() * (0.4 + rng.random(3))),
        hat_edge=float(rng.uniform(38, 52)),
    )


def sample_glasses(rng, share: float) -> Glasses:
    if rng.random() >= share:
        return Glasses(rim=0.0, colour=(0.02, 0.02, 0.02), width=0.4, height=0.3, tint=0.0)
    return Glasses(
        rim=float(rng.uniform(0.6, 2.6)),
        colour=as_colour(rng.random(3) * (0.4, 0.25, 0.15) * (rng.random() < 0.4) + 0.02),
        width=float(rng.uniform(0.37, 0.43)),
        height=float(rng.uniform(0.24, 0.36)),
        tint=float(rng.uniform(0.5, 0.85)) if rng.random() < 0.08 else 0.0,
    )
