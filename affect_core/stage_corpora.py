"""Which corpora each stage learns from: a profile's section [corpora], and how several become one.

    [corpora]
    abaw4 = ["abaw4", "mine"]          # EMMA: s-Aff-Wild2, and the folder `mine` with a labels.csv
    affectnet = ["affectnet", "rafdb"]
    faces = ["faces", "celeba"]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from affect_core.corpora import Corpus, combine_corpora
from affect_core.errors import AffectError
from affect_core.labels import CORPUS_EXPRESSIONS, EXPRESSIONS

LEARNT_FROM = ("training", "unlabelled")
"""Splits of a second or later corpus that are learnt from; its other images are left out."""


@dataclass(frozen=True)
class StageCorpora:
    """Names of corpora (folders under the corpus root), field by field: what stands for the corpus of that name.

    The first of several is the one that the stage is validated on, so that scores stay comparable; the others give
    their training images. Expressions are mapped by name to the order of the field's corpus (`combine_corpora`).
    """

    faces: tuple[str, ...] = ("faces",)
    affectnet: tuple[str, ...] = ("affectnet",)
    abaw4: tuple[str, ...] = ("abaw4",)
    lsd: tuple[str, ...] = ("lsd",)

    def __post_init__(self):
        for field in fields(self):
            names = tuple(getattr(self, field.name))
            object.__setattr__(self, field.name, names)
            if not names or len(set(names)) < len(names):
                raise AffectError(f"{field.name} names {list(names)}; it needs at least one corpus, each once")

    @property
    def names(self) -> set[str]:
        """Every corpus that a stage reads."""
        return {name for field in fields(self) for name in getattr(self, field.name)}


def joined(role: str, names: tuple[str, ...], open_one: Callable[[str], Corpus]) -> Corpus:
    """The corpus that a stage reads as `role` ("faces", "affectnet", "abaw4", "lsd"), made of the corpora `names`.

    open_one opens a corpus by name. A single corpus of the role's own name is handed on as it is. Raises AffectError
    if a second or later corpus has nothing to learn from.
    """
    first = open_one(names[0])
    if names == (role,):
        return first
    others = [_to_learn_from(open_one(name)) for name in names[1:]]
    return combine_corpora([first, *others], CORPUS_EXPRESSIONS.get(role, EXPRESSIONS))


def _to_learn_from(corpus: Corpus) -> Corpus:
    kept = corpus.table["split"].isin(LEARNT_FROM).to_numpy()
    if not kept.any():
        raise AffectError(f"corpus {corpus.name} has no images to learn from, only {', '.join(corpus.splits)}")
    left = int((~kept).sum())
    note = (f"{left} images are not learnt from: they are no training images",) if left else ()
    chosen = corpus.select(np.flatnonzero(kept)) if left else corpus
    return replace(chosen, notes=chosen.notes + note)
