"""What hair a person has: likelihoods and the parameters that `hair` and `appearance` draw. Lengths are millimetres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from affect_core.synthetic.colours import Colour, as_colour


class Hair(NamedTuple):
    """Floats only: it travels into the numba kernels as it is."""

    colour: Colour
    density: float  # 0 bald, 0.5 stubble, 1 full
    top: float  # volume above the skull
    sides: float  # volume above the ears
    hairline: float  # above the mean hairline
    recession: float  # more than that above the temples
    parting: float  # left of the middle; 0: no parting
    curl: float  # 0 straight to 1 tightly curled
    fringe: float  # 0 none, 1 covers the forehead
    fringe_edge: float  # above the eyes
    fringe_slant: float  # rise per mm to the left
    length: float  # below the eyes; 0: no long hair
    cover: float  # radians from the back of the head to the front edge of long hair
    flare: float  # relative widening towards the tips
    beard: float  # density 0 to 1
    moustache: float  # 1 with the beard, 0 without
    beard_colour: Colour


class Moustache(NamedTuple):
    """A moustache of its own, beside what the beard covers. Lengths in millimetres of the canonical face."""

    density: float  # 0: none, to 1
    half_width: float  # from the middle to its ends
    overhang: float  # of the hair over the upper lip, from its upper edge down
    droop: float  # by which the ends hang lower than the middle


NO_MOUSTACHE = Moustache(0.0, 0.0, 0.0, 0.0)


class Style(NamedTuple):
    """Ranges of one hair style, and how likely it is for women and for men before age and ancestry come in."""

    top: tuple[float, float]
    sides: tuple[float, float]
    length: tuple[float, float]
    density: float
    women: float
    men: float
    by_age: tuple[float, float] = (0.0, 0.0)  # added in old age, women and men
    by_african_ancestry: tuple[float, float] = (0.0, 0.0)


NONE = (0.0, 0.0)
HAIR_STYLES = {
    "bald": Style(NONE, NONE, NONE, 0.12, 0.01, 0.03, by_age=(0, 0.2)),
    "stubble": Style((1, 2), (1, 1.5), NONE, 0.55, 0.02, 0.10, by_african_ancestry=(0, 0.1)),
    "crop": Style((4, 10), (2, 4), NONE, 1.0, 0.04, 0.28, by_african_ancestry=(0, 0.3)),
    "short": Style((10, 22), (3, 9), NONE, 1.0, 0.10, 0.36, by_age=(0.1, 0)),
    "volume": Style((20, 36), (6, 14), NONE, 1.0, 0.10, 0.16, by_age=(0.1, 0)),
    "afro": Style((26, 50), (20, 42), NONE, 1.0, 0.01, 0.01, by_african_ancestry=(0.5, 0.35)),
    "updo": Style((6, 14), (3, 7), NONE, 1.0, 0.16, 0.01),
    "bob": Style((10, 20), (8, 16), (45, 110), 1.0, 0.26, 0.02),
    "long": Style((8, 20), (5, 14), (120, 230), 1.0, 0.38, 0.04),
}


PLAIN_STYLES = ("bald", "crop", "short", "bob", "long")
"""The styles of studio models; the others, curls and fringes appear only outside the studio."""


def style_shares(*, female: bool, child: bool, old: float, african: float, plain: bool) -> np.ndarray:
    """Likelihood of each of HAIR_STYLES, summing to 1; old and african in [0, 1]; plain: PLAIN_STYLES only."""
    who = 0 if female else 1
    shares = np.zeros(len(HAIR_STYLES))
    for index, (name, style) in enumerate(HAIR_STYLES.items()):
        possible = not (child and name in ("bald", "stubble")) and (name in PLAIN_STYLES or not plain)
        likely = (style.women, style.men)[who] + style.by_age[who] * old + style.by_african_ancestry[who] * african
        shares[index] = likely * possible
    return shares / shares.sum()


def sample_hair(rng: np.random.Generator, colour, natural_colour, *, female: bool, child: bool, old: float,
                african: float, plain: bool) -> Hair:  # fmt: skip
    """Hair on head and chin; `natural_colour` (3,) is the beard's, `colour` (3,) may be dyed; plain: PLAIN_STYLES."""
    shares = style_shares(female=female, child=child, old=old, african=african, plain=plain)
    name = str(rng.choice(list(HAIR_STYLES), p=shares))
    style = HAIR_STYLES[name]
    curl = 1.0 if name == "afro" else min(0.2 if plain else 1.0, rng.beta(0.8, 2) + 0.9 * african * rng.random())
    may_have_fringe = name in ("short", "volume", "bob", "long") and not plain
    fringe = may_have_fringe and rng.random() < (0.3 if female or child else 0.12)
    beard = loss = 0.0
    if not female and not child:
        beard = rng.choice([0.0, rng.uniform(0.1, 0.4), rng.uniform(0.5, 0.95)], p=[0.5, 0.27, 0.23])
        loss = rng.uniform(4, 22) if rng.random() < 0.2 + 0.5 * old else 0.0
    return Hair(
        colour=as_colour(colour),
        density=style.density,
        top=float(rng.uniform(*style.top)),
        sides=float(rng.uniform(*style.sides)),
        hairline=float(rng.normal(4, 4) + 0.4 * loss),
        recession=float(loss),
        parting=float(rng.integers(-1, 2) * rng.uniform(10, 40)),
        curl=float(curl),
        fringe=float(fringe),
        fringe_edge=float(rng.uniform(24, 40)),
        fringe_slant=float(rng.normal(0, 0.18)),
        length=float(rng.uniform(*style.length)),
        cover=float(rng.uniform(1.75, 2.2)),
        flare=float(rng.uniform(-0.05, 0.35)),
        beard=float(beard),
        moustache=float(rng.random() < 0.75),
        beard_colour=as_colour(np.asarray(natural_colour) * 0.9 + 0.01),
    )
