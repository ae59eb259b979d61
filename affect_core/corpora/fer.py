"""FER2013, whose images are numbers in a table, and FER+, which asked ten people about each of them.

    fer2013/fer2013.csv       emotion,pixels,Usage: a code from 0 to 6, 48 x 48 grey values, a split
    ferplus/fer2013new.csv    Usage,Image name,neutral,...,contempt,unknown,NF: votes, row by row as in fer2013.csv,
    ferplus/fer2013.csv       which lies beside it or in fer2013/

fer2013.csv and its number of rows, 35,887, are from memory, unverified. fer2013new.csv was looked at: the numbers in
its image names fall behind the rows (the last is fer0035801.png), so that the order joins the files, as they say.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from affect_core.corpora.csv_rows import read_csv_rows
from affect_core.corpora.listing import LabelRows, Listing, strings
from affect_core.corpora.problems import ProblemLog
from affect_core.labels import FER2013_EXPRESSIONS, FERPLUS_EXPRESSIONS, AffectLabels

FER2013, FERPLUS = "fer2013.csv", "fer2013new.csv"
USAGES = {"Training": "training", "PublicTest": "validation", "PrivateTest": "test"}
SIDE = 48
VOTES = (*FERPLUS_EXPRESSIONS, "unknown", "NF")
CODES = {str(code): code for code in range(len(FER2013_EXPRESSIONS))}


def read_fer2013(root: Path, name: str, log: ProblemLog) -> Listing:
    """Rows of fer2013.csv. PublicTest is the split "validation", PrivateTest "test"; each image is its own group."""
    path = root / name / FER2013
    rows, pixels, emotions = _read_images(path, name, log)
    for row, emotion in enumerate(emotions):
        if emotion not in CODES:
            rows.reasons[row].append(f"emotion is {emotion[:40]!r}, not an integer from 0 (anger) to 6 (neutral)")
    labels = AffectLabels.missing(len(emotions), FER2013_EXPRESSIONS)
    labels.expression[:] = [CODES.get(emotion, 0) for emotion in emotions]
    labels.expression_valid[:] = True
    return _listing(path, rows, pixels, labels, log, [])


def read_ferplus(root: Path, name: str, log: ProblemLog) -> Listing:
    """Rows of fer2013new.csv that name an image; the expression is the one with more than half of all ten votes.

    Where no column has more than half, or where unknown or NF (no face) has it, the expression is missing (counted in
    `notes`); where the file names no image the row is left out (counted too). `ferplus_votes` gives the votes. Soft
    labels are the shares of `ferplus_distributions`, missing unless more than half of all ten named an expression.
    """
    images = next((folder / FER2013 for folder in (root / name, root / "fer2013") if (folder / FER2013).is_file()),
                  root / name / FER2013)  # fmt: skip
    rows, pixels, _ = _read_images(images, name, log)
    path = root / name / FERPLUS
    names, usages, lines, votes, reasons = _read_votes(path, log)
    if len(names) != len(pixels):
        log.add_missing_part(path, f"has {len(names)} rows, {images} has {len(pixels)}; they must be the same rows")
        log.raise_collected()
    for row, (usage, reason) in enumerate(zip(usages, reasons, strict=True)):
        if reason:
            rows.reasons[row].append(reason)
        elif USAGES.get(usage) != rows.split[row]:
            there = f"{images}, line {rows.line[row]}"
            what = f"Usage is {usage[:40]!r}, which is not that of {there}: the rows do not correspond"
            rows.reasons[row].append(what)
    rows.image, rows.source, rows.line = [f"{name}/{image}" for image in names], [str(path)] * len(names), lines
    winner = votes.argmax(1)
    majority = 2 * votes.max(1) > votes.sum(1)
    labels = AffectLabels.missing(len(names), FERPLUS_EXPRESSIONS)
    labels.expression_valid[:] = majority & (winner < len(FERPLUS_EXPRESSIONS))
    labels.expression[:] = np.where(labels.expression_valid, winner, 0)
    labels = replace(labels, expression_shares=_shares(votes))
    named = np.array([bool(image) for image in names])
    notes = [f"{int((~named).sum())} rows name no image (no face) and are left out"] if not named.all() else []
    unsure = named & ~labels.expression_valid
    if unsure.any():
        notes.append(f"{int(unsure.sum())} rows give no expression more than half of their votes: masked")
    return _listing(images, rows, pixels, labels, log, notes)[named]


def ferplus_votes(root: Path, name: str = "ferplus") -> pd.DataFrame:
    """How many of the ten people chose each column of FER+ (neutral to contempt, unknown, NF): int64 counts.

    The index is the image as in `Corpus.table`: `ferplus_votes(root).loc[corpus.table["image"]]` has the rows of the
    corpus; `ferplus_distributions` gives shares. Raises BadRowsError if the file is missing or damaged.
    """
    names, _, lines, votes, reasons = _read_votes(Path(root) / name / FERPLUS, log := ProblemLog("list"))
    for line, reason in zip(lines, reasons, strict=True):
        if reason:
            log.add(Path(root) / name / FERPLUS, int(line), reason)
    log.raise_collected()
    table = pd.DataFrame(votes, columns=list(VOTES), index=[f"{name}/{image}" for image in names])
    return table[[bool(image) for image in names]]


def ferplus_distributions(root: Path, name: str = "ferplus") -> pd.DataFrame:
    """Which share of those who named an expression named which: float64, columns FERPLUS_EXPRESSIONS, rows add to 1.

    Index and errors as of `ferplus_votes`. Votes for unknown and NF do not count; a row without any other vote is nan.
    """
    votes = ferplus_votes(root, name)[list(FERPLUS_EXPRESSIONS)]
    return votes.div(votes.sum(axis=1).replace(0, np.nan), axis=0)


def _read_images(path: Path, name: str, log: ProblemLog) -> tuple[LabelRows, np.ndarray, list[str]]:
    """Rows, pixels (N, 48, 48) uint8 and the text of their emotion; a row without usable pixels gets a reason."""
    rows = LabelRows([], [], [], np.zeros(0, np.int64))
    pixels, emotions, lines = bytearray(), [], []
    for row, (line, fields, reason) in enumerate(read_csv_rows(path, log, ("emotion", "pixels", "Usage"))):
        values = None if reason else _grey(fields["pixels"])
        reasons = [reason] if reason else []
        if fields and fields["Usage"] not in USAGES:
            reasons.append(f"Usage is {fields['Usage'][:40]!r}, not one of {', '.join(USAGES)}")
        if fields and values is None:
            reasons.append(f"pixels are not {SIDE * SIDE} integers from 0 to 255")
        if reasons:
            rows.reasons[row] += reasons
        lines.append(line)
        emotions.append(fields.get("emotion", "0"))
        rows.split.append(USAGES.get(fields.get("Usage", ""), ""))
        pixels += values or bytes(SIDE * SIDE)
    rows.line = np.array(lines, np.int64)
    rows.image = [f"{name}/{path.name}:{line}" for line in lines]
    rows.source = [str(path)] * len(lines)
    return rows, np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE), emotions


def _grey(text: str) -> bytes | None:
    try:
        values = bytes(map(int, text.split()))
    except ValueError:
        return None
    return values if len(values) == SIDE * SIDE else None


def _read_votes(path: Path, log: ProblemLog):
    """names, usages, lines (N,), votes (N, 10) int64 and a reason or "" for each row of fer2013new.csv."""
    names, usages, lines, votes, reasons = [], [], [], [], []
    for line, fields, reason in read_csv_rows(path, log, ("Usage", "Image name", *VOTES)):
        counts = [fields.get(column, "") for column in VOTES]
        wrong = [f"{column} is {count[:40]!r}" for column, count in zip(VOTES, counts, strict=True)
                 if not _is_count(count)]  # fmt: skip
        if wrong and not reason:
            reason = f"{'; '.join(wrong)}, not a number of votes"
        names.append(fields.get("Image name", "?"))
        usages.append(fields.get("Usage", ""))
        lines.append(line)
        votes.append([0] * len(VOTES) if reason else [int(count) for count in counts])
        reasons.append(reason)
    return names, usages, np.array(lines, np.int64), np.array(votes, np.int64).reshape(-1, len(VOTES)), reasons


def _shares(votes: np.ndarray) -> np.ndarray:
    """Votes (N, 10) -> soft labels (N, 8) float32: the shares of those who named an expression, if most of all did."""
    named = votes[:, : len(FERPLUS_EXPRESSIONS)]
    count = named.sum(axis=1, keepdims=True)
    known = 2 * count > votes.sum(axis=1, keepdims=True)
    return (known * named / np.maximum(count, 1)).astype(np.float32)


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) < 10


def _listing(path: Path, rows: LabelRows, pixels, labels: AffectLabels, log: ProblemLog, notes: list[str]) -> Listing:
    """Size and date of `path` stand for those of every image: if it changes, the images are decoded anew."""
    status = path.stat() if path.is_file() else None
    n = len(rows.image)
    return Listing(
        image=strings(rows.image),
        split=strings(rows.split),
        group=strings(rows.image),
        source=strings(rows.source),
        line=rows.line,
        labels=labels,
        keep=rows.report(log),
        sizes=np.full(n, status.st_size if status else -1, np.int64),
        modified=np.full(n, status.st_mtime_ns if status else -1, np.int64),
        pixels=pixels,
        notes=tuple(notes),
    )
