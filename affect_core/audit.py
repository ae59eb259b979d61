"""What a corpus holds and what is wrong with it, before anything is trained on it.

    report = audit(open_corpus(root, "abaw4", size=64, store_dir=stores, on_bad_rows="skip"))
    print(report.to_markdown())
    report.figures()["labels"]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from affect_core.corpora import Corpus, describe
from affect_core.corpora.file_sizes import sizes_of_files
from affect_core.corpora.released import compare_with_released
from affect_core.figures import (
    action_unit_cooccurrence,
    circumplex_histogram,
    face_grid,
    face_sheet,
    image_sizes,
    label_counts,
)
from affect_core.labels import ACTION_UNIT_NAMES, ACTION_UNITS
from affect_core.near_duplicates import BITS, THRESHOLD, duplicates_across_splits
from affect_core.progress import Progress, no_progress
from affect_core.splits import SplitOverlap, check_splits

MIDDLE = 0.2
"""Distance from the middle of the circumplex below which a face counts as neither pleasant nor active."""

SHOWN = 10
"""Problems, unreadable files and near-duplicates that the report names; all are counted."""


@dataclass(frozen=True, eq=False)
class CorpusAudit:
    """The findings about `corpus`.

    counts         as `corpora.describe`: expressions, action units, what is missing, for each split
    cooccurrence   (12, 12) faces on which the unit of the row and that of the column are active, columns ACTION_UNITS
    duplicates     near-duplicates across splits, see `near_duplicates.duplicates_across_splits`
    threshold      bits of 143 that two near-duplicates differ in at most
    overlaps       groups (videos, people) that occur in two splits, by name, see `splits.check_splits`
    sizes          width, height (pixels of the stored file), images; None if there are no files to look at
    unreadable     image files that could be read when the corpus was opened and no longer can
    comparison     sentences of `corpora.released.compare_with_released`; () if no published counts are kept
    source         where the faces come from, for titles
    """

    corpus: Corpus
    counts: pd.DataFrame
    cooccurrence: pd.DataFrame
    duplicates: pd.DataFrame
    threshold: int
    overlaps: tuple[SplitOverlap, ...]
    sizes: pd.DataFrame | None
    unreadable: tuple[str, ...]
    comparison: tuple[str, ...]
    source: str

    @property
    def shared_groups(self) -> dict[tuple[str, str], int]:
        """(split, other split) -> how many groups occur in both."""
        return {(overlap.split, overlap.other): len(overlap.groups) for overlap in self.overlaps}

    def to_markdown(self) -> str:
        """The report as Markdown: what is there, what is missing, what is suspicious, what was left out."""
        corpus, counts = self.corpus, self.counts
        left_out = sum(problem.rows for problem in corpus.problems)
        parts = [
            f"# Corpus {corpus.name}" + (f" ({self.source})" if self.source else ""),
            f"{len(corpus):,} images, decoded to {corpus.images.size} px. Fingerprint `{corpus.fingerprint[:12]}`.",
            _table(counts.loc["all"]),
            "## Compared with the released set",
            _bullets(self.comparison, len(self.comparison))
            or "No published counts of a corpus of this name are kept here.",
            "## Expressions",
            _table(counts.loc["expression"]) if corpus.labels.expression_valid.any() else "None is annotated.",
            "## Action units (active / annotated)",
            _table(self._action_units()) if corpus.labels.action_units_valid.any() else "None is annotated.",
            self._pairs_in_words(),
            "## Valence and arousal",
            _table(pd.concat({task: counts.loc[task] for task in ("valence", "arousal")}))
            if corpus.labels.valence_arousal_valid.any() else "Neither is annotated.",
            _table(self._circumplex()) if corpus.labels.valence_arousal_valid.all(1).any() else "",
            f"## Near-duplicates across splits (at most {self.threshold} of {BITS} bits of a perceptual hash differ)",
            self._duplicates_in_words(),
            "## Groups (videos, people) in two splits",
            _bullets([str(overlap) for overlap in self.overlaps], len(self.overlaps))
            or "There is one split only.",
            "## Image files",
            "There are no image files to look at." if self.sizes is None else self._sizes_in_words(),
            "## Left out when the corpus was opened",
            f"{left_out:,} rows, {len(corpus.problems):,} problems." if corpus.problems else "Nothing.",
            _bullets([str(problem) for problem in corpus.problems]),
            "## Counted, and no error" if corpus.notes else "",
            _bullets(corpus.notes, len(corpus.notes)),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def figures(self, *, samples: int = 24, seed: int = 0) -> dict[str, Figure]:
        """The figures that the corpus has data for: labels, circumplex, action_units, sizes, samples, duplicates.

        samples  faces on the sample sheet, drawn with `seed`
        """
        corpus, labels, source = self.corpus, self.corpus.labels, self.source or self.corpus.name
        circumplex, units = labels.valence_arousal_valid, labels.action_units_valid
        found = {}
        if labels.expression_valid.any() or units.any() or circumplex.any():
            found["labels"] = label_counts({name: corpus.split(name).labels for name in corpus.splits}, source=source)
        if circumplex.all(1).any():
            found["circumplex"] = circumplex_histogram(labels.valence_arousal, circumplex, source=source)
        if units.any():
            found["action_units"] = action_unit_cooccurrence(labels.action_units, units, source=source)
        if self.sizes is not None and len(self.sizes):
            found["sizes"] = image_sizes(self.sizes["width"], self.sizes["height"], self.sizes["images"], source=source)
        rows = np.sort(np.random.default_rng(seed).permutation(len(corpus))[:samples])
        found["samples"] = face_sheet(corpus.images[rows], [self._caption(row) for row in rows], source=source,
                                      title=f"Faces of {corpus.name}, drawn at random")  # fmt: skip
        if len(self.duplicates):
            pairs = self.duplicates.head(SHOWN)
            found["duplicates"] = face_grid(
                np.stack([corpus.images[pairs[column].to_numpy()] for column in ("row", "other_row")], axis=1),
                [f"{distance} bits" for distance in pairs["distance"]],
                captions=pairs[["split", "other_split"]].to_numpy(),
                title="The closest near-duplicates across splits",
                source=source,
            )
        return found

    def _action_units(self) -> pd.DataFrame:
        annotated = self.counts.loc[("all", "images")] - self.counts.loc["action unit missing"]
        active = self.counts.loc["action unit"]
        table = active.map("{:,}".format) + " / " + annotated.map("{:,}".format)
        table.index = [f"AU{unit} {ACTION_UNIT_NAMES[unit]}" for unit in ACTION_UNITS]
        return table

    def _pairs_in_words(self) -> str:
        """The units that are on together most often, and how often the second is on where the first is."""
        table, pairs = self.cooccurrence, combinations(self.cooccurrence.columns, 2)
        often = sorted(((table.loc[one, two], one, two) for one, two in pairs if table.loc[one, two]), reverse=True)
        said = [f"{one} and {two}: {together:,} images; {two} on {together / table.loc[one, one]:.0%} of those with "
                f"{one}, {one} on {together / table.loc[two, two]:.0%} of those with {two}"
                for together, one, two in often[:SHOWN]]  # fmt: skip
        return "On together most often:\n\n" + _bullets(said) if said else ""

    def _circumplex(self) -> pd.DataFrame:
        """Images of each split by where they lie on the circumplex; those with both coordinates."""
        labels, split = self.corpus.labels, self.corpus.table["split"].to_numpy()
        known = labels.valence_arousal_valid.all(axis=1)
        valence, arousal = labels.valence_arousal.T
        middle = np.hypot(valence, arousal) < MIDDLE
        regions = {f"within {MIDDLE} of the middle": middle}
        for pleasant, word in ((True, "pleasant"), (False, "unpleasant")):
            for active, other in ((True, "active"), (False, "passive")):
                regions[f"{word}, {other}"] = ~middle & ((valence >= 0) == pleasant) & ((arousal >= 0) == active)
        return pd.DataFrame({name: {region: int((inside & known & (split == name)).sum())
                                    for region, inside in regions.items()} for name in self.corpus.splits})  # fmt: skip

    def _duplicates_in_words(self) -> str:
        if len(self.corpus.splits) < 2:
            return "There is one split only."
        pairs = self.duplicates.groupby(["split", "other_split"]).size()
        lines = []
        for other, split in combinations(self.corpus.splits, 2):
            number, all_of = pairs.get((split, other), 0), self.counts.loc[("all", "images"), split]
            lines.append(f"{number:,} of {all_of:,} {split} images have one in {other} ({_per_cent(number / all_of)})")
        named = [f"{one.image} and {one.other_image} ({one.distance} bits)"
                 for one in self.duplicates.head(SHOWN).itertuples()]  # fmt: skip
        return _bullets(lines, len(lines)) + ("\n\nThe closest:\n\n" + _bullets(named) if named else "")

    def _sizes_in_words(self) -> str:
        sizes, total = self.sizes, self.sizes["images"].sum()
        lines = [f"{len(self.unreadable):,} files cannot be read any more: {', '.join(self.unreadable[:SHOWN])}"
                 if self.unreadable else "Every file can still be opened."]  # fmt: skip
        if total:
            sides = sizes[["width", "height"]].min(axis=1)
            small = int(sizes["images"][sides < self.corpus.images.size].sum())
            lines.append(f"{len(sizes):,} different sizes; shorter side from {sides.min()} to {sides.max()} px")
            lines.append(f"{small:,} of {total:,} files are smaller than the {self.corpus.images.size} px they become")
            most = [f"{one.width} x {one.height}: {one.images:,}" for one in sizes.head(5).itertuples()]
            lines.append(f"most frequent (width x height: files): {'; '.join(most)}")
        return _bullets(lines)

    def _caption(self, row: int) -> str:
        labels = self.corpus.labels
        words = [labels.vocabulary[labels.expression[row]]] if labels.expression_valid[row] else []
        if labels.valence_arousal_valid[row].all():
            words.append("v {:.1f} a {:.1f}".format(*labels.valence_arousal[row].round(1) + 0.0))  # 0.0, not -0.0
        return "\n".join(words) or "no label"


def audit(
    corpus: Corpus, *, threshold: int = THRESHOLD, source: str = "", progress: Progress = no_progress
) -> CorpusAudit:
    """Count, compare and look for trouble in an open corpus; nothing is changed.

    Pixels are read a chunk at a time, and of each image file only the head, for its size. To see what cannot be read,
    open the corpus with on_bad_rows="skip": those rows are in `Corpus.problems` and in the report.

    threshold  bits of 143 that two near-duplicates differ in at most (12: see `near_duplicates`)
    source     where the faces come from, for titles ("synthetic" for rendered ones)
    """
    sizes, unreadable = sizes_of_files(corpus, progress)
    active = (corpus.labels.action_units_valid & (corpus.labels.action_units > 0)).astype(np.int64)
    units = [f"AU{unit}" for unit in ACTION_UNITS]
    return CorpusAudit(
        corpus=corpus,
        counts=describe(corpus),
        cooccurrence=pd.DataFrame(active.T @ active, index=units, columns=units),
        duplicates=duplicates_across_splits(corpus, threshold, progress),
        threshold=threshold,
        overlaps=check_splits(corpus),
        sizes=sizes,
        unreadable=unreadable,
        comparison=compare_with_released(corpus),
        source=source,
    )


def _table(frame: pd.DataFrame) -> str:
    """A Markdown table: index in the first column, numbers with thousands separators."""
    cells = [[" ".join(name) if isinstance(name, tuple) else name,
              *(value if isinstance(value, str) else f"{value:,}" for value in row)]
             for name, row in zip(frame.index, frame.to_numpy(), strict=True)]  # fmt: skip
    lines = [["", *frame.columns], ["---", *["---:"] * frame.shape[1]], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _per_cent(share: float) -> str:
    """Two digits at most: "0.25 %", "3.1 %", "100 %"."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _bullets(sentences: Sequence[str], shown: int = SHOWN) -> str:
    lines = [f"- {sentence}" for sentence in sentences[:shown]]
    if len(sentences) > shown:
        lines.append(f"- and {len(sentences) - shown:,} more")
    return "\n".join(lines)
