"""Rows of a CSV file with a header, by the names of their columns."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from affect_core.corpora.problems import ProblemLog
from affect_core.corpora.text_lines import LongLineError, bounded_lines, why_unreadable


def read_csv_rows(path: Path, log: ProblemLog, required: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str], str]]:
    """(line, column -> text without spaces around it, "") of each row, read one at a time.

    UTF-8 with or without a byte-order mark, quoted fields, any order of columns; blank lines are passed over. A row
    with another number of fields than the header is yielded as (line, {}, what is wrong), so that rows can be counted.
    A file that is missing, is not text, has a line of `text_lines.LINE_LIMIT` characters, lacks a `required` column,
    names a column twice or holds no rows goes to `log` and yields nothing more.
    """
    rows = csv.reader(bounded_lines(path, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if reason := _header_problem(header, required):
            log.add_missing_part(path, reason)
            return
        empty = True
        for fields in rows:
            if not any(field.strip() for field in fields):
                continue
            empty = False
            if len(fields) != len(header):
                yield rows.line_num, {}, f"has {len(fields)} fields, not the {len(header)} of the header"
            else:
                yield rows.line_num, dict(zip(header, map(str.strip, fields), strict=True)), ""
        if empty:
            log.add_missing_part(path, "holds no rows")
    except csv.Error as error:
        log.add_missing_part(path, f"is not a CSV file (line {rows.line_num}: {error})")
    except (OSError, UnicodeDecodeError, LongLineError) as error:
        log.add_missing_part(path, why_unreadable(error, rows.line_num))


def _header_problem(header: list[str], required: tuple[str, ...]) -> str:
    lacking = [name for name in required if name not in header]
    if lacking:
        return f"has no column {' and no column '.join(lacking)} in its first line ({','.join(header)[:80]})"
    twice = [name for name, count in Counter(header).items() if count > 1]
    return f"names the column {twice[0]} twice" if twice else ""
