"""How many images and labels the released sets hold, to tell whether a copy is complete.

From publications of the ABAW4 competition and of code for it. Only s-Aff-Wild2 and LSD; the others are not kept here.
"""

from __future__ import annotations

import numpy as np

from affect_core.corpora.corpus import Corpus
from affect_core.labels import EXPRESSIONS, LSD_EXPRESSIONS, AffectLabels

ABAW4_TRAINING = (23976, 4555, 3168, 3122, 18135, 7609, 5228, 24852)
LSD_TRAINING = (18286, 15150, 10923, 73285, 144631, 14976)

RELEASED = {
    "abaw4": {
        "training": {
            "images with a label": 142_333,
            "images with valence and arousal": 103_917,
            "images with an expression": 90_645,
            "images with action units": 103_316,
            **dict(zip(EXPRESSIONS, ABAW4_TRAINING, strict=True)),
        },
        "validation": {
            "images with a label": 26_876,
            "images with valence and arousal": 26_876,
            "images with an expression": 15_440,
            "images with action units": 26_876,
        },
    },
    "lsd": {
        "training": {"images with a label": 277_251, **dict(zip(LSD_EXPRESSIONS, LSD_TRAINING, strict=True))},
        "validation": {"images with a label": 4_670},
    },
}
"""Corpus -> split -> what is counted -> how many. "Usable rows" of s-Aff-Wild2 are read as rows with a label."""


def compare_with_released(corpus: Corpus) -> tuple[str, ...]:
    """Sentences that say whether `corpus` has the published counts; none if no counts of a corpus of its name are kept.

    One sentence that starts with "matches the released set" if all agree, else one for each count that differs.
    A corpus that is called abaw4 or lsd but is rendered differs, as it should.
    """
    if corpus.name not in RELEASED:
        return ()
    differences, compared = [], 0
    for split, published in RELEASED[corpus.name].items():
        rows = np.flatnonzero(corpus.table["split"].to_numpy() == split)
        counted = _counts(corpus.labels[rows])
        compared += len(published)
        for what, number in published.items():
            if counted[what] != number:
                gap = counted[what] - number
                words = f"{abs(gap):,} {'more' if gap > 0 else 'fewer'}"
                differences.append(f"{split}, {what}: {counted[what]:,}, {words} than the released {number:,}")
    return tuple(differences) or (f"matches the released set: all {compared} published counts agree",)


def _counts(labels: AffectLabels) -> dict[str, int]:
    circumplex, units = labels.valence_arousal_valid.all(1), labels.action_units_valid.any(1)
    any_label = labels.valence_arousal_valid.any(1) | labels.expression_valid | units
    present = np.bincount(labels.expression[labels.expression_valid], minlength=len(labels.vocabulary))
    return {
        "images with a label": int(any_label.sum()),
        "images with valence and arousal": int(circumplex.sum()),
        "images with an expression": int(labels.expression_valid.sum()),
        "images with action units": int(units.sum()),
        **{name: int(number) for name, number in zip(labels.vocabulary, present, strict=True)},
    }
