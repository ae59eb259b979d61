"""Any corpus as one table of labels: a folder under the corpus root, of any name, that holds labels.csv.

    <name>/labels.csv        image, and any of expression, valence, arousal, AU1 ... AU26, split, group
    <name>/vocabulary.txt    the expressions, one a line, in the order of their codes; needed if there are expressions
    <name>/**                images, named relative to <name>/
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from affect_core.corpora.csv_rows import read_csv_rows
from affect_core.corpora.folders import PLAIN_SPLITS
from affect_core.corpora.image_files import find_images
from affect_core.corpora.label_text import is_number
from affect_core.corpora.listing import LabelRows, Listing, unused_images_note
from affect_core.corpora.problems import ProblemLog
from affect_core.corpora.text_lines import read_lines
from affect_core.labels import ACTION_UNITS, EXPRESSION_SPELLINGS, EXPRESSIONS, AffectLabels

TABLE, VOCABULARY = "labels.csv", "vocabulary.txt"
SPLITS = {**PLAIN_SPLITS, "test": "test", "unlabelled": "unlabelled"}
UNIT_COLUMNS = tuple(f"AU{unit}" for unit in ACTION_UNITS)
COLUMNS = ("image", "expression", "valence", "arousal", *UNIT_COLUMNS, "split", "group")


def read_table(root: Path, name: str, log: ProblemLog) -> Listing:
    """Rows of labels.csv in their order; an empty field is a missing label, and no number means "missing".

    expression       a name of vocabulary.txt (spelled as in `labels.EXPRESSION_SPELLINGS`) or its place, from 0
    valence, arousal a number in [-1, 1]
    AU1 ... AU26     0 or 1
    split            training, validation, test or unlabelled (also train, val, valid); empty or without the column:
                     training
    group            the video or person; empty or without the column: the image itself
    A value outside these and an image that is missing or named twice are problems. Columns of other names are not read
    and named in `notes`.
    """
    path = root / name / TABLE
    images, splits, groups, lines, labels, reasons, others = [], [], [], [], [], [], ()
    vocabulary = None
    for line, fields, reason in read_csv_rows(path, log, ("image",)):
        if vocabulary is None and fields:  # a row of the wrong length says nothing about the columns
            vocabulary = _read_vocabulary(root / name / VOCABULARY, log) if "expression" in fields else EXPRESSIONS
        others = others or tuple(column for column in fields if column not in COLUMNS)
        problems = [reason] if reason else [] if fields["image"] else ["names no image"]
        if problems:
            log.add(path, line, problems[0])
            continue
        split = fields.get("split") or "training"
        if split.lower() not in SPLITS:
            problems.append(f"split is {split[:40]!r}, not training, validation, test or unlabelled")
        numbers, wrong = _numbers(fields, vocabulary)
        images.append(f"{name}/{fields['image']}")
        splits.append(SPLITS.get(split.lower(), ""))
        groups.append(fields.get("group") or images[-1])
        lines.append(line)
        labels.append(numbers)
        reasons.append(problems + wrong)
    files = find_images(root, name)
    rows = LabelRows(images, splits, [str(path)] * len(images), np.array(lines, np.int64))
    for row, problems in enumerate(reasons):
        if problems:
            rows.reasons[row] += problems
    found = rows.find(files)
    notes = unused_images_note(files, found, TABLE) + files.links_note()
    if others:
        notes.append(f"{TABLE} has columns that are not read: {', '.join(others)}")
    labels = _labels(np.array(labels, float).reshape(len(labels), 3 + len(UNIT_COLUMNS)), vocabulary or EXPRESSIONS)
    return rows.listing(files, found, labels, rows.report(log), notes, groups)


def _read_vocabulary(path: Path, log: ProblemLog) -> tuple[str, ...]:
    """Names in lower case, in `labels`' spelling where it knows them; empty if the file says nothing usable."""
    words = [line.strip().lower() for _, line in read_lines(path, log) if line.strip()]
    known = {spelling: expression for expression, spellings in EXPRESSION_SPELLINGS.items() for spelling in spellings}
    vocabulary = tuple(known.get(word, word) for word in words)
    if path.is_file() and not vocabulary:
        log.add_missing_part(path, "names no expression; it holds one a line, in the order of the codes")
    if len(set(vocabulary)) < len(vocabulary):
        log.add_missing_part(path, f"names an expression twice: {', '.join(vocabulary)}")
    return vocabulary


def _numbers(fields: dict[str, str], vocabulary: tuple[str, ...]) -> tuple[list[float], list[str]]:
    """valence, arousal, expression and 12 action units, NaN where missing, and what is wrong with the row."""
    numbers, wrong = [], []
    for column in ("valence", "arousal", "expression", *UNIT_COLUMNS):
        text = fields.get(column, "")
        number = float(text) if is_number(text) else np.nan
        if column in UNIT_COLUMNS:
            fits, allowed = number in (0, 1), "0 nor 1"
        elif column == "expression":
            number = _code(text, vocabulary)
            fits, allowed = not np.isnan(number), f"one of {', '.join(vocabulary)} nor its place"
        else:
            fits, allowed = abs(number) <= 1, "between -1 and 1"
        if text and not fits:
            wrong.append(f"{column} is {text[:40]!r}, neither {allowed} nor empty (missing)")
        numbers.append(number if fits else np.nan)
    return numbers, wrong


def _code(text: str, vocabulary: tuple[str, ...]) -> float:
    if text.isdecimal():
        return float(text) if len(text) < 10 and int(text) < len(vocabulary) else np.nan
    for index, expression in enumerate(vocabulary):
        if text.lower() in EXPRESSION_SPELLINGS.get(expression, (expression,)):
            return float(index)
    return np.nan


def _labels(numbers: np.ndarray, vocabulary: tuple[str, ...]) -> AffectLabels:
    labels = AffectLabels.missing(len(numbers), vocabulary)
    if len(numbers):
        known, values = np.isfinite(numbers), np.nan_to_num(numbers)
        labels.valence_arousal[:], labels.valence_arousal_valid[:] = values[:, :2], known[:, :2]
        labels.expression[:], labels.expression_valid[:] = values[:, 2], known[:, 2]
        labels.action_units[:], labels.action_units_valid[:] = values[:, 3:], known[:, 3:]
    return labels
