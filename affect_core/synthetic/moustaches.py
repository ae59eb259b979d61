"""Moustaches of their own: alone, or over a beard; some hang over the upper lip, some droop beside the mouth.

`sample_person` gives men stubble or a beard with what grows above the lip. On photographs of men with a thick moustache
alone, models that had never seen one took its lower edge for a smile. Drawn once a person, from a random stream of its
own, so that corpora without moustaches stay as they were. The measures are ours, by eye.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from affect_core.synthetic.hairstyles import Moustache
from affect_core.synthetic.people import Person

GROWN = 18
"""Years."""


def with_moustache(person: Person, rng: np.random.Generator, share: float) -> Person:
    """The person, with a moustache if a grown man and drawn: `share` in [0, 1] of such men wear one.

    Half of those have no beard beneath it. Equal `rng` states give equal people, and the same number is drawn for all.
    """
    wears, shaven = rng.random(2) < (share, 0.5)
    moustache = sample_moustache(rng)
    if not wears or person.gender < 0.5 or person.age < GROWN:
        return person
    hair = person.hair._replace(beard=0.0) if shaven else person.hair
    return replace(person, moustache=moustache, hair=hair)


def sample_moustache(rng: np.random.Generator) -> Moustache:
    """From thin and short to thick, wide and hanging."""
    return Moustache(
        density=float(rng.uniform(0.5, 1.0)),
        half_width=float(rng.uniform(22, 42)),
        overhang=float(rng.uniform(-4, 9)),
        droop=float(rng.random() ** 2 * 14),
    )
