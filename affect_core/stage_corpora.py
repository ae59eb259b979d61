"""Which corpora each stage learns from: a profile's section [corpora], and how several become one.

    [corpora]
    abaw4 = ["abaw4", "mine"]          # EMMA: s-Aff-Wild2, and the folder `mine` with a labels.csv
    affectnet = ["affectnet", "rafdb"]
    faces = ["faces", "celeba"]
    soft_labels = ["ferplus"]          # of these, learn the shares of the raters' votes instead of one expression
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from affect_core.corpora import Corpus, available_corpora, combine_corpora
from affect_core.errors import AffectError
from affect_core.labels import CORPUS_EXPRESSIONS, EXPRESSIONS

CORPUS_OF_STAGE = {"mae": "faces", "prior": "affectnet", "emma": "abaw4", "cotex": "lsd"}
"""The stages in order, and what the corpora that each trains on stand for."""

ROLES = tuple(CORPUS_OF_STAGE.values())
"""One field of `StageCorpora` each."""

LEARNT_FROM = ("training", "unlabelled")
"""Splits of a second or later corpus that are learnt from; its other images are left out."""


@dataclass(frozen=True)
class StageCorpora:
    """Names of corpora (folders under the corpus root), field by field: what stands for the corpus of that name.

    The first of several is the one that the stage is validated on, so that scores stay comparable; the others give
    their training images. Expressions are mapped by name to the order of the field's corpus (`combine_corpora`).

    soft_labels names those of them that every stage learns from by `AffectLabels.expression_shares`.
    """

    faces: tuple[str, ...] = ("faces",)
    affectnet: tuple[str, ...] = ("affectnet",)
    abaw4: tuple[str, ...] = ("abaw4",)
    lsd: tuple[str, ...] = ("lsd",)
    soft_labels: tuple[str, ...] = ()

    def __post_init__(self):
        for role in ROLES:
            names = tuple(getattr(self, role))
            object.__setattr__(self, role, names)
            if not names or len(set(names)) < len(names):
                raise AffectError(f"{role} names {list(names)}; it needs at least one corpus, each once")
        object.__setattr__(self, "soft_labels", tuple(self.soft_labels))
        if unread := sorted(set(self.soft_labels) - self.names):
            raise AffectError(f"soft_labels names {', '.join(unread)}, from which no stage learns; there are "
                              f"{', '.join(sorted(self.names))}")  # fmt: skip

    @property
    def names(self) -> set[str]:
        """Every corpus that a stage reads."""
        return {name for role in ROLES for name in getattr(self, role)}


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


def check_corpora(root: Path | None, names: set[str]) -> None:
    """Raises AffectError unless `root` holds one of the corpora `names`, or, without a root, all are rendered ones."""
    if root is None:
        if own := sorted(names - set(ROLES)):
            raise AffectError(f"corpus {', '.join(own)} is not rendered; give the folder that holds it as corpus_root.")
        return
    if not root.is_dir():
        raise AffectError(f"corpus_root is the folder that holds the corpora; {root} is "
                          f"{'a file' if root.is_file() else 'not there'}.")  # fmt: skip
    try:
        there = set(os.listdir(root))
    except OSError as error:
        raise AffectError(f"{root} cannot be read: {error.strerror}.") from error
    for name in sorted(names):
        alike = [other for other in sorted(there) if other.lower() == name]
        if alike and not (root / name).exists() and name not in there:
            raise AffectError(f"{root / alike[0]} is written with capitals; call the folder {name}.")
        if name in there and not (root / name).exists():
            raise AffectError(f"{root / name} is a link that leads nowhere: is a disk not mounted?")
    if not any((root / name).is_dir() for name in names):
        others = sorted(set(available_corpora(root)) - names)
        hint = f"; to learn from {', '.join(others)}, name them in [corpora] of a profile" if others else ""
        deeper = sorted(path.parent for name in names for path in root.glob(f"*/{name}") if path.is_dir())
        hint += f"; there are some in {deeper[0]}" if deeper else ""
        raise AffectError(f"{root} holds none of the folders {', '.join(sorted(names))}{hint}; see data/README.md.")
