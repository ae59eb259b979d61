"""Folders that are their own labels: one folder a class, or a tree of unlabelled faces.

    <name>/train/<class>/**.jpg      <name>/val/<class>/**.jpg
    faces/**.jpg                     videos/<video>/**.jpg            lfw/lfw_home/lfw_funneled/<person>/*.jpg
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from affect_core.corpora.image_files import ImageFiles, find_images
from affect_core.corpora.listing import Listing, strings
from affect_core.corpora.problems import ProblemLog
from affect_core.errors import AffectError
from affect_core.labels import EXPRESSION_SPELLINGS, AffectLabels

PLAIN_SPLITS = {"train": "training", "training": "training", "val": "validation", "valid": "validation",
                "validation": "validation"}  # fmt: skip


def plain_splits(base: Path) -> dict[str, str]:
    """Split -> folder name, for the folders of `base` called train, val and the like (in any case)."""
    found: dict[str, str] = {}
    for folder in sorted(entry.name for entry in base.iterdir() if entry.is_dir()):
        split = PLAIN_SPLITS.get(folder.lower())
        if split in found:
            raise AffectError(f"{base} has two {split} folders, {found[split]} and {folder}; keep one of them")
        if split:
            found[split] = folder
    return found


def read_class_folders(
    root: Path, name: str, log: ProblemLog, splits: dict[str, str], vocabulary: tuple[str, ...]
) -> Listing:
    """Images of `root/<name>/<folder>/<class>/**` for each split -> folder in `splits`, sorted by path.

    A class folder is one of `vocabulary` in one of EXPRESSION_SPELLINGS, in any case. Images in another folder, or in
    none, are a problem, one for each folder. The published folders name no person: each image is its own group.
    """
    classes = {spelling: vocabulary.index(expression) for expression in vocabulary
               for spelling in EXPRESSION_SPELLINGS[expression]}  # fmt: skip
    parts, notes = [], []
    for split in ("training", "validation"):
        folder = f"{name}/{splits.get(split, '')}"
        if split not in splits or not (root / folder).is_dir():
            log.add_missing_part(root / folder, f"no {split} folder found; see data/README.md, section Corpora")
            continue
        files = find_images(root, folder)
        if not len(files):
            log.add_missing_part(root / folder, "holds no images; see data/README.md, section Corpora")
            continue
        notes += files.notes()
        depth = folder.count("/") + 1
        pieces = [path.split("/") for path in files.paths]
        folders = [piece[depth] if len(piece) > depth + 1 else "" for piece in pieces]
        expression = np.array([classes.get(label.lower(), -1) for label in folders], np.int64)
        unknown = Counter(label for label, index in zip(folders, expression, strict=True) if index < 0)
        for label, count in sorted(unknown.items()):
            known = ", ".join(vocabulary)
            reason = f"unknown class folder with {count} images; the classes are {known}" if label else \
                f"{count} images lie outside the class folders ({known})"  # fmt: skip
            log.add(root / folder / label, None, reason, rows=count)
        counts = np.bincount(expression[expression >= 0], minlength=len(vocabulary))
        notes += [f"{folder} holds no image of {vocabulary[index]}" for index in np.flatnonzero(counts == 0)]
        parts.append((split, files, expression))
    if not parts:
        log.raise_collected()
    expression = np.concatenate([expression for _, _, expression in parts])
    labels = AffectLabels.missing(len(expression), vocabulary)
    labels.expression[:], labels.expression_valid[:] = np.maximum(expression, 0), expression >= 0
    split = [split for split, files, _ in parts for _ in files.paths]
    listing = listing_of_files([files for _, files, _ in parts], root, split, labels, notes)
    return listing[expression >= 0]


def read_unlabelled(root: Path, name: str, log: ProblemLog) -> Listing:
    """Every image under `root/<name>`, at any depth, in the split "unlabelled"; nothing is known of who is who."""
    files = find_images(root, name)
    if not len(files):
        log.add_missing_part(root / name, "holds no images; see data/README.md, section Corpora")
        log.raise_collected()
    labels = AffectLabels.missing(len(files))
    listing = listing_of_files([files], root, ["unlabelled"] * len(files), labels, files.notes())
    listing.group[:] = ""
    return listing


def read_frame_folders(root: Path, name: str, log: ProblemLog) -> Listing:
    """As `read_unlabelled`, but the group of an image is its folder below `root/<name>`: a video, or one person.

    Videos are folders of frames (`videos/<video>/<frame>.jpg`); LFW is a folder for each person. An image that lies in
    no folder is its own group.
    """
    listing = read_unlabelled(root, name, log)
    listing.group[:] = [image.removeprefix(f"{name}/").rpartition("/")[0] or image for image in listing.image]
    return listing


def listing_of_files(
    parts: list[ImageFiles], root: Path, split: list[str], labels: AffectLabels, notes: list[str]
) -> Listing:
    """A listing whose rows are files, each named by itself and a group of its own."""
    paths = [path for files in parts for path in files.paths]
    return Listing(
        image=strings(paths),
        split=strings(split),
        group=strings(paths),
        source=strings([str(root / path) for path in paths]),
        line=np.zeros(len(paths), np.int64),
        labels=labels,
        keep=np.ones(len(paths), bool),
        sizes=np.concatenate([files.sizes for files in parts]),
        modified=np.concatenate([files.modified for files in parts]),
        notes=tuple(notes),
    )
