"""Do two splits of a corpus share videos or people? Then a validation score is partly one on faces seen before."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from affect_core.corpora import Corpus
from affect_core.errors import AffectError

NAMED = 5
"""Groups that a sentence names; all are counted."""


@dataclass(frozen=True)
class SplitOverlap:
    """The groups (videos, people; images where nobody is named) that occur in two splits.

    split, other  names of the splits, in the order of the corpus
    groups        names of the shared groups, sorted; () if there are none
    rows          rows of `other` that belong to them
    """

    split: str
    other: str
    groups: tuple[str, ...]
    rows: int

    def __str__(self) -> str:
        if not self.groups:
            return f"{self.split} and {self.other} share no group"
        names = ", ".join(map(str, self.groups[:NAMED]))
        more = f" and {len(self.groups) - NAMED:,} more" if len(self.groups) > NAMED else ""
        return (f"{self.split} and {self.other} share {len(self.groups):,} groups (videos, people): {names}{more}; "
                f"{self.rows:,} {self.other} images belong to them")  # fmt: skip


def check_splits(corpus: Corpus) -> tuple[SplitOverlap, ...]:
    """What each pair of splits shares by name, in the order of the splits; () for a corpus of one split.

    Rows of group "" are of nobody known and are in no overlap. Names are compared as they are: one person under two
    names, or the same picture under two, is not seen here; `near_duplicates.duplicates_across_splits` (in `audit`)
    looks at the pixels.
    """
    splits, groups = corpus.table["split"].to_numpy(), corpus.table["group"].to_numpy()
    found = []
    for split, other in combinations(corpus.splits, 2):
        shared = (set(groups[splits == split]) & set(groups[splits == other])) - {""}
        rows = int(np.isin(groups[splits == other].astype(str), sorted(shared)).sum()) if shared else 0
        found.append(SplitOverlap(split, other, tuple(sorted(shared)), rows))
    return tuple(found)


def refuse_shared_groups(corpus: Corpus, split: str = "training", other: str = "validation") -> None:
    """Raise AffectError, naming them, if `split` and `other` share groups; the training stages ask this first."""
    for overlap in check_splits(corpus):
        if {overlap.split, overlap.other} == {split, other} and overlap.groups:
            raise AffectError(
                f"corpus {corpus.name}: {overlap}. A validation score would be one on faces seen in training; move "
                "each group into one split, or train on drop_shared_groups(corpus)."
            )


def drop_shared_groups(corpus: Corpus, split: str = "training", other: str = "validation") -> Corpus:
    """The corpus without the rows of `split` whose group is also in `other`, which stays whole."""
    splits, groups = corpus.table["split"].to_numpy(), corpus.table["group"].to_numpy()
    there = set(groups[splits == other]) - {""}
    leaks = (splits == split) & np.array([group in there for group in groups], bool)
    return corpus.select(np.flatnonzero(~leaks))
