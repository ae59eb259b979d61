"""Label files with a separator: lines in, checked columns out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affect_core.corpora.problems import ProblemLog

_BLOCK_LINES = 20_000


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
    numeric field go to `log`; a missing or undecodable file does too. separator None: fields are parted by spaces.
    """
    empty = LabelText([], np.zeros((0, len(columns))), np.zeros(0, np.int64))
    text = read_text(path, log)
    if text is None:
        return empty
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = 1 if is_header([field.strip() for field in lines[0].split(separator)]) else 0
    where = [fields.index(column) for column in columns]
    blocks = [_read_block(path, log, lines[start : start + _BLOCK_LINES], start + 1, fields, where, separator)
              for start in range(first, len(lines), _BLOCK_LINES)]  # fmt: skip
    if not any(line.strip() for line in lines[first:]):
        log.add_missing_part(path, "holds no rows")
    return LabelText(
        name=[name for names, _, _ in blocks for name in names],
        values=np.concatenate([empty.values, *(values for _, values, _ in blocks)]),
        line=np.concatenate([empty.line, *(line for _, _, line in blocks)]),
    )


def read_text(path: Path, log: ProblemLog) -> str | None:
    """The UTF-8 text of `path` without a byte-order mark; None, and a problem in `log`, if there is none to read."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        log.add_missing_part(path, "not found; see data/README.md, section Corpora")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        log.add_missing_part(path, f"is not UTF-8 text (line {line})")
    except OSError as error:
        log.add_missing_part(path, f"cannot be read ({error.strerror})")
    return None


def is_number(text: str) -> bool:
    """Whether a field can be read as a number (NaN and infinity included)."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_block(path, log, lines, first_line, fields, where, separator) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Whole columns at once; only if that fails, row by row to find out why."""
    rows = [(number, line.split(separator)) for number, line in enumerate(lines, first_line) if line.strip()]
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
        reason = "; ".join(f"{fields[column]} is {row[column].strip()!r}, not a number" for column in wrong)
    if reason:
        log.add(path, line, reason)
    return bool(reason)
