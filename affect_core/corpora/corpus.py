"""One type for every corpus: a table, labels with masks, and an image store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from affect_core.corpora.abaw import read_abaw
from affect_core.corpora.affectnet import read_affectnet
from affect_core.corpora.celeba import read_celeba
from affect_core.corpora.fer import read_fer2013, read_ferplus
from affect_core.corpora.folders import read_frame_folders, read_unlabelled
from affect_core.corpora.image_store import ImageStore, open_image_store
from affect_core.corpora.listing import Listing
from affect_core.corpora.lsd import read_lsd
from affect_core.corpora.problems import OnBadRows, Problem, ProblemLog
from affect_core.corpora.rafdb import read_rafdb
from affect_core.corpora.store_building import ImageRequest
from affect_core.corpora.table import TABLE, read_table
from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS, AffectLabels
from affect_core.progress import Progress, no_progress

READERS: dict[str, Callable[[Path, str, ProblemLog], Listing]] = {
    "abaw4": read_abaw,
    "affectnet": read_affectnet,
    "lsd": read_lsd,
    "rafdb": read_rafdb,
    "fer2013": read_fer2013,
    "ferplus": read_ferplus,
    "faces": read_unlabelled,
    "celeba": read_celeba,
    "lfw": read_frame_folders,
    "videos": read_frame_folders,
}
"""Corpus name (its folder under the corpus root) -> the reader of its published format.

A folder of any other name is read by `read_table` if it holds a labels.csv."""

UNLABELLED = ("faces", "celeba", "lfw", "videos")
"""Corpora of one split, "unlabelled". Of the others all but tables must have training and validation images."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """N faces: what is known about them, and their pixels.

    table        one row an image: image (path relative to the corpus root), split ("training", "validation", "test" or
                 "unlabelled"), group (the video in s-Aff-Wild2, the person in CelebA and LFW; the image itself where
                 the format names nobody, so that a bootstrap over groups treats images as independent; "" for
                 "faces"); index 0..N-1
    labels       AffectLabels, numpy, row by row as in `table`
    images       images[rows] -> (n, size, size, 3) uint8 RGB
    problems     rows left out because on_bad_rows="skip"
    notes        what was counted or left aside and is no error: unused and converted images, masked codes, rows without
                 labels
    fingerprint  sha256 hex of table, labels and pixels, independent of where the files lie
    root         folder that `table["image"]` is relative to; None if there are no image files or it is unknown (packed)
    """

    name: str
    table: pd.DataFrame
    labels: AffectLabels
    images: ImageStore
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    fingerprint: str
    root: Path | None = None

    def __len__(self) -> int:
        return len(self.table)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in the order of the table."""
        return tuple(self.table["split"].unique())

    def split(self, name: str) -> Corpus:
        """The rows of one split, on the same image store. Raises AffectError if there are none."""
        rows = np.flatnonzero(self.table["split"].to_numpy() == name)
        if not len(rows):
            raise AffectError(f"corpus {self.name} has no {name!r} images, only {', '.join(self.splits)}")
        return self.select(rows)

    def select(self, rows: np.ndarray) -> Corpus:
        """The corpus of `rows` (index array or mask), on the same image store."""
        table = self.table.iloc[rows].reset_index(drop=True)
        labels, images = self.labels[rows], self.images.view(rows)
        fingerprint = table_fingerprint(self.name, table, labels, images)
        return replace(self, table=table, labels=labels, images=images, fingerprint=fingerprint)


def open_corpus(
    root: Path,
    name: str,
    *,
    size: int,
    store_dir: Path,
    on_bad_rows: OnBadRows = "refuse",
    progress: Progress | None = None,
    workers: int = 2,
    soft_labels: bool = False,
) -> Corpus:
    """Read the labels of `root/<name>`, check them, and decode its images to `size` x `size` pixels.

    Everything is checked here: labels, whether images exist, whether they decode. What is wrong is told as
    on_bad_rows says: "refuse" raises BadRowsError (an AffectError) at the first problem, "list" raises one that lists
    all, "skip" leaves the rows out and names them in `Corpus.problems`. A missing file or folder is never skipped.

    store_dir holds the decoded images (see `open_image_store`); a second call opens them without decoding.

    soft_labels keeps `labels.expression_shares`, from which every loss of expressions then learns; scores stay those of
    the one expression. Raises AffectError if the corpus has none.
    """
    log = ProblemLog(on_bad_rows)
    root = Path(root)
    if name not in READERS and not (root / name / TABLE).is_file():
        known = f"{', '.join(READERS)}, and any folder that holds a {TABLE}"
        raise AffectError(f"corpus {name!r} is not known; the corpora are {known}")
    if not (root / name).is_dir():
        raise AffectError(f"{root / name} not found; see data/README.md, section Corpora")
    listing = READERS.get(name, read_table)(root, name, log)
    if soft_labels and listing.labels.expression_shares is None:
        raise AffectError(f"corpus {name} has no soft labels: no shares of votes; of the published corpora ferplus has")
    good = listing.keep.copy()

    def on_bad_image(row: int, reason: str) -> None:
        good[row] = False
        path = root / listing.image[row]
        line = int(listing.line[row]) or None
        what = f"image {path} {reason}" if listing.source[row] != str(path) else f"image {reason}"
        log.add(listing.source[row], line, what, rows=int(listing.keep[row]))

    if len(listing):
        request = ImageRequest(root, listing.image.tolist(), listing.sizes, listing.modified, size, listing.boxes,
                               listing.pixels)  # fmt: skip
        images = open_image_store(
            request, store_dir, name, on_bad_image=on_bad_image, progress=progress or no_progress, workers=workers
        )
    log.raise_collected()
    rows = np.flatnonzero(good)
    wanted = {"unlabelled"} if name in UNLABELLED else {"training", "validation"}
    if name not in READERS:
        wanted = set(listing.split[rows]) or {"training"}
    if empty := wanted - set(listing.split[rows]):
        found = f"; the first of {len(log.problems)} problems: {log.problems[0]}" if log.problems else ""
        raise AffectError(f"{root / name} has no usable {' and no '.join(sorted(empty))} image{found}")
    table = pd.DataFrame({column: getattr(listing, column)[rows] for column in ("image", "split", "group")})
    labels, images = listing.labels[rows], images.view(rows)
    if not soft_labels:
        labels = replace(labels, expression_shares=None)
    fingerprint = table_fingerprint(name, table, labels, images)
    files = None if listing.pixels is not None else root
    notes = listing.notes + tuple(f"{count} images were converted: {how}" for how, count in images.repairs.items())
    if soft_labels:
        notes += (f"{int(labels.expression_shares.any(1).sum())} images have soft labels, the shares of votes",)
    return Corpus(name, table, labels, images, tuple(log.problems), notes, fingerprint, files)


def available_corpora(root: Path) -> dict[str, Path]:
    """Which corpora of READERS have a folder under `root`: name -> folder, in their order."""
    return {name: Path(root) / name for name in READERS if (Path(root) / name).is_dir()}


def describe(corpus: Corpus) -> pd.DataFrame:
    """Counts for each split (columns): images, groups, each expression, each action unit, and what is missing.

    Index (task, label), for example ("expression", "fear"), ("expression", "missing"), ("action unit", "AU12") (faces
    where it is active), ("action unit missing", "AU12"), ("valence", "annotated"), ("arousal", "missing").
    """
    columns = {}
    for split in corpus.splits:
        rows = np.flatnonzero(corpus.table["split"].to_numpy() == split)
        labels = corpus.labels[rows]
        known_groups = set(corpus.table["group"].iloc[rows]) - {""}
        counts = {("all", "images"): len(rows), ("all", "groups"): len(known_groups)}
        present = np.bincount(labels.expression[labels.expression_valid], minlength=len(labels.vocabulary))
        counts |= {("expression", name): present[index] for index, name in enumerate(labels.vocabulary)}
        counts["expression", "missing"] = (~labels.expression_valid).sum()
        active = (labels.action_units_valid & (labels.action_units > 0)).sum(0)
        counts |= {("action unit", f"AU{unit}"): active[index] for index, unit in enumerate(ACTION_UNITS)}
        missing = (~labels.action_units_valid).sum(0)
        counts |= {("action unit missing", f"AU{unit}"): missing[index] for index, unit in enumerate(ACTION_UNITS)}
        for index, task in enumerate(("valence", "arousal")):
            annotated = labels.valence_arousal_valid[:, index].sum()
            counts |= {(task, "annotated"): annotated, (task, "missing"): len(rows) - annotated}
        columns[split] = pd.Series(counts, dtype=np.int64)
    table = pd.DataFrame(columns)
    table.index = table.index.set_names(["task", "label"])
    return table


def corpus_fingerprint(
    name: str, n: int, labels: AffectLabels, images: ImageStore, columns: Iterable[Iterable[bytes]]
) -> str:
    """`Corpus.fingerprint` from its `n` rows; columns: image, split, group, as blocks of ended lines."""
    digest = hashlib.sha256(f"{name} {images.size} {n} {images.fingerprint()}".encode())
    for blocks in columns:
        for number, block in enumerate(blocks):
            digest.update((b"\0" if number else b"") + block[:-1].replace(b"\n", b"\0"))
    for item in fields(labels):
        value = getattr(labels, item.name)
        if value is None:  # soft labels that are not there: the fingerprint of hard ones stays what it was
            continue
        digest.update(np.ascontiguousarray(value) if isinstance(value, np.ndarray) else repr(value).encode())
    return digest.hexdigest()


def table_fingerprint(name: str, table: pd.DataFrame, labels: AffectLabels, images: ImageStore) -> str:
    """`Corpus.fingerprint`, a hex digest of everything a corpus holds: name, table, labels and pixels."""
    columns = ("".join(f"{entry}\n" for entry in table[column]) for column in ("image", "split", "group"))
    return corpus_fingerprint(
        name, len(table), labels, images, ([text.encode("utf-8", "surrogateescape")] for text in columns)
    )
