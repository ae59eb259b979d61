"""Several corpora as one: expressions in one vocabulary, and masks where a corpus does not know a task."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from affect_core.corpora.corpus import Corpus, table_fingerprint
from affect_core.corpora.image_store import ImageStore
from affect_core.corpora.packed import ShardedImages
from affect_core.errors import AffectError
from affect_core.labels import AffectLabels, vocabulary_map


def combine_corpora(corpora: Sequence[Corpus], vocabulary: tuple[str, ...]) -> Corpus:
    """The rows of `corpora` one after another, as one Corpus whose expressions index `vocabulary`.

    Expressions are mapped by name (`labels.vocabulary_map`). One that `vocabulary` lacks becomes missing and is counted
    in `notes`; the row stays for its other tasks. Tasks that a corpus does not have stay masked. A group becomes
    "<corpus>/<group>", so that groups of two corpora are never one. Images are read from the stores of the corpora:
    nothing is copied.

    Soft labels are mapped by name too: those of a face become the shares of the raters whose choice `vocabulary` has,
    missing unless more than half of the raters are left (counted in `notes`). Faces of a corpus without soft labels
    have one-hot ones if another corpus has some.

    Raises AffectError without corpora, if two have the same name, or if their images have different sizes.
    """
    names = [corpus.name for corpus in corpora]
    if not corpora:
        raise AffectError("no corpora to combine")
    if len(set(names)) < len(names):
        raise AffectError(f"the corpora to combine are {', '.join(names)}; each name may occur once")
    sizes = {corpus.name: corpus.images.size for corpus in corpora}
    if len(set(sizes.values())) > 1:
        raise AffectError(f"the images have different sizes, {sizes}; open every corpus with the same size")
    notes, labels = [], []
    for corpus in corpora:
        notes += [f"{corpus.name}: {note}" for note in corpus.notes]
        labels.append(_mapped(corpus, vocabulary, notes))
    table = pd.concat([_table(corpus) for corpus in corpora], ignore_index=True)
    stacked, images, name = AffectLabels.concatenate(labels), _images(corpora), "+".join(names)
    roots = {corpus.root for corpus in corpora}
    return Corpus(
        name=name,
        table=table,
        labels=stacked,
        images=images,
        problems=tuple(problem for corpus in corpora for problem in corpus.problems),
        notes=tuple(notes),
        fingerprint=table_fingerprint(name, table, stacked, images),
        root=roots.pop() if len(roots) == 1 else None,
    )


def _mapped(corpus: Corpus, vocabulary: tuple[str, ...], notes: list[str]) -> AffectLabels:
    labels = corpus.labels
    place = vocabulary_map(labels.vocabulary, vocabulary)
    counts = np.bincount(labels.expression[labels.expression_valid], minlength=len(labels.vocabulary))
    for index in np.flatnonzero((place < 0) & (counts > 0)):
        lost = f"{counts[index]} images of {labels.vocabulary[index]}"
        notes.append(f"{corpus.name}: {lost} have no place in the vocabulary: no expression, masked")
    expression = place[labels.expression]
    valid = labels.expression_valid & (expression >= 0)
    mapped = np.where(valid, expression, 0)
    shares = labels.expression_shares
    if shares is not None:
        shares = _mapped_shares(shares, place, len(vocabulary))
        if lost := int((labels.expression_shares.any(1) & ~shares.any(1)).sum()):
            notes.append(f"{corpus.name}: {lost} images, half or more of whose votes have no place: no soft label")
    return replace(labels, expression=mapped, expression_valid=valid, vocabulary=tuple(vocabulary),
                   expression_shares=shares)  # fmt: skip


def _mapped_shares(shares: np.ndarray, place: np.ndarray, width: int) -> np.ndarray:
    """Shares (N, len(place)) -> (N, width) float32: column k moves to place[k], or is left out where that is -1."""
    kept = place >= 0
    mapped = np.zeros((len(shares), width))
    mapped[:, place[kept]] = shares[:, kept]
    total = mapped.sum(axis=1, keepdims=True)
    most = total.round(6) > 0.5  # rounded: in float32 three sixths may be a little more than a half
    return np.divide(mapped, total, out=np.zeros_like(mapped), where=most).astype(np.float32)


def _table(corpus: Corpus) -> pd.DataFrame:
    group = [group and f"{corpus.name}/{group}" for group in corpus.table["group"]]
    return corpus.table[["image", "split"]].assign(group=group)


def _images(corpora: Sequence[Corpus]) -> ShardedImages:
    """One view over the files of all stores."""
    files: list[Path] = []
    starts, rows = [0], []
    for images in (corpus.images for corpus in corpora):
        rows.append(starts[-1] + images.rows)
        if isinstance(images, ImageStore):
            files.append(images.path)
            starts.append(starts[-1] + len(np.load(images.path, mmap_mode="r")))
        else:
            files += images.files
            starts += [starts[-1] + int(start) for start in images.starts[1:]]
    content = hashlib.sha256("".join(corpus.images.content for corpus in corpora).encode()).hexdigest()
    size, bounds = corpora[0].images.size, np.array(starts, np.int64)
    return ShardedImages(tuple(files), bounds, size, np.concatenate(rows), content)
