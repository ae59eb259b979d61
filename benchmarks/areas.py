"""Areas under the ROC curve with intervals that stand a few faces of a few people.

The usual percentile bootstrap collapses near 1: at a true area of 0.98, 22 faces against 7, its 95 % interval held the
truth in 65 % of simulated samples, at 0.985 and 26 against 28 in 79 %, at 90 against 120 in 93 %. So it is kept for
many people, who are resampled with all their faces. Few people get the score interval of Newcombe (2006, Statistics in
Medicine 25, 559-573, method 5; the variance is Hanley and McNeil's of 1982), which held it in 95 to 98 %; several faces
of one kind of one person count as one there, which makes it rather too wide than too narrow.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score

MANY = 50
"""People who show each of the two kinds, from which on the bootstrap over people is used."""

_Z = 1.959964


def area(positive: np.ndarray, score: np.ndarray, people: np.ndarray, resamples: int = 2000) -> dict:
    """The area, its 95 % interval, and how many faces and people it is of; arguments (N,), both kinds are there.

    positive  whether a face is of the kind that should score higher;  people  who it is
    """
    positive, score, people = np.asarray(positive, bool), np.asarray(score, np.float64), np.asarray(people)
    known = [len(np.unique(people[positive == kind])) for kind in (True, False)]
    value = float(roc_auc_score(positive, score))
    limits = over_people(positive, score, people, resamples) if min(known) >= MANY else newcombe(value, *known)
    return {
        "area": round(value, 3), "95 %": [round(float(limit), 3) for limit in limits],
        "faces": [int(positive.sum()), int((~positive).sum())], "people": known,
    }  # fmt: skip


def over_people(positive: np.ndarray, score: np.ndarray, people: np.ndarray, resamples: int) -> np.ndarray:
    """Limits by a percentile bootstrap over people; a resample without faces of either kind is drawn again."""
    names = np.unique(people)
    members = {name: np.flatnonzero(people == name) for name in names}
    rng, areas = np.random.default_rng(0), []
    while len(areas) < resamples:
        drawn = np.concatenate([members[name] for name in rng.choice(names, len(names))])
        if 0 < positive[drawn].sum() < len(drawn):
            areas.append(roc_auc_score(positive[drawn], score[drawn]))
    return np.percentile(areas, [2.5, 97.5])


def newcombe(value: float, positives: int, negatives: int) -> tuple[float, float]:
    """Limits (low, high) for an area seen on so many positives and negatives, who are taken for independent."""
    half = (positives + negatives) / 2 - 1

    def beyond(theta: float) -> float:
        spread = 1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)
        return (value - theta) ** 2 - _Z**2 * theta * (1 - theta) * spread / (positives * negatives)

    edge = 1e-9
    inside = min(max(value, edge), 1 - edge)
    low = brentq(beyond, edge, inside) if value > edge and beyond(edge) > 0 else 0.0
    high = brentq(beyond, inside, 1 - edge) if value < 1 - edge and beyond(1 - edge) > 0 else 1.0
    return low, high
