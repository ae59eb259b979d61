"""Label files with a separator: lines in, checked columns out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affect_core.corpora.problems import ProblemLog
from affect_core.corpora.text_lines import read_lines

_BLOCK_LINES = 20_000
_BLOCK_CHARACTERS = 2**25


@dataclass(frozen=True)
class LabelText:
    """Rows of a label file whose fields could be read.

    name     n strings: the first field
    values   (n, len(columns)) float64: the numeric fields (NaN and infinity are possible; ranges are not checked)
    line     (n,) int64, counted from 1
    """

    name: list[str]
    values: np.ndarray
    line: np.ndarray


def read_label_text(
    path: Path,
    log: ProblemLog,
    *,
    fields: tuple[str, ...],
    columns: tuple[str, ...],
    is_header: Callable[[list[str]], bool],
    separator: str | None = ",",
) -> LabelText:
    """Read a UTF-8 file of `fields`, of which `columns` are numbers and the first is the image's name.

    A byte-order mark, CRLF or CR line ends, spaces around fields and blank lines are accepted. The first line is left
    out if `is_header` says so of its fields. Rows with another number of fields, without a name or with text in a
    numeric field go to `log`; so does a file that `read_lines` cannot read. separator None: spaces part the fields.
    """
    where = [fields.index(column) for column in columns]
    blocks = [([], np.zeros((0, len(columns))), np.zeros(0, np.int64))]
    rows, size, empty, problems = [], 0, True, len(log.problems)
    for number, line in read_lines(path, log):
        parts = line.split(separator)
        if not line.strip() or (number == 1 and is_header([part.strip() for part in parts])):
            continue
        rows.append((number, parts))
        size, empty = size + len(line), False
        if len(rows) == _BLOCK_LINES or size > _BLOCK_CHARACTERS:
            blocks.append(_read_block(path, log, rows, fields, where))
            rows, size = [], 0
    blocks.append(_read_block(path, log, rows, fields, where))
    if empty and len(log.problems) == problems:
        log.add_missing_part(path, "holds no rows")
    return LabelText(
        name=[name for names, _, _ in blocks for name in names],
        values=np.concatenate([values for _, values, _ in blocks]),
        line=np.concatenate([line for _, _, line in blocks]),
    )


def is_number(text: str) -> bool:
    """Whether a field can be read as a number (NaN and infinity included)."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_block(path, log, rows, fields, where) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Whole columns at once; only if that fails, row by row to find out why."""
    try:
        return _columns(rows, len(fields), where)
    except ValueError:
        good = [(line, row) for line, row in rows if not _explain(path, log, line, row, fields, where)]
        return _columns(good, len(fields), where)


def _columns(rows, n_fields: int, where: list[int]) -> tuple[list[str], np.ndarray, np.ndarray]:
    if any(len(row) != n_fields for _, row in rows):
        raise ValueError("wrong number of fields")
    names = [row[0].strip() for _, row in rows]
    if not all(names):
        raise ValueError("a row without a name")
    values = np.array([[row[column] for column in where] for _, row in rows], np.float64).reshape(-1, len(where))
    return names, values, np.array([line for line, _ in rows], np.int64)


def _explain(path, log, line, row, fields, where) -> bool:
    """Put what is wrong with one row into `log`; False if nothing is."""
    if len(row) != len(fields):
        reason = f"has {len(row)} fields, not the {len(fields)} of {','.join(fields)}"
    elif not row[0].strip():
        reason = "names no image"
    else:
        wrong = [column for column in where if not is_number(row[column])]
        reason = "; ".join(f"{fields[column]} is {row[column].strip()[:40]!r}, not a number" for column in wrong)
    if reason:
        log.add(path, line, reason)
    return bool(reason)
