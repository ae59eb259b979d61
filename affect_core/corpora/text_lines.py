"""Lines of text files that strangers wrote, in bounded memory, or one sentence about why there are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from affect_core.corpora.problems import ProblemLog

LINE_LIMIT = 2**20
"""Characters of a line. FER2013's, with 2,304 pixels, have some 9,000; a longer one than this is no row of labels."""


class LongLineError(ValueError):
    """A line of LINE_LIMIT characters or more."""

    def __init__(self):
        super().__init__(f"has {LINE_LIMIT:,} characters or more and is no row of labels")


def read_lines(path: Path, log: ProblemLog) -> Iterator[tuple[int, str]]:
    """(line number from 1, text without its end) of a UTF-8 file; LF, CRLF and CR end lines, a byte-order mark is cut.

    A file that is missing, no regular file, no UTF-8, or has a line of LINE_LIMIT characters goes to `log`.
    """
    number = 0
    try:
        for number, line in enumerate(bounded_lines(path), start=1):  # noqa: B007 (the last number is used below)
            yield number, line.removesuffix("\n")
    except (OSError, ValueError) as error:
        log.add_missing_part(path, why_unreadable(error, number))


def bounded_lines(path: Path, newline: str | None = None) -> Iterator[str]:
    """Lines with their ends, at most LINE_LIMIT characters of the file in memory; newline: as `open` has it.

    Raises OSError, UnicodeDecodeError or LongLineError; `why_unreadable` says them in words.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise OSError(0, "it is no regular file")
    with open(path, encoding="utf-8-sig", newline=newline) as file:
        while line := file.readline(LINE_LIMIT):
            if len(line) == LINE_LIMIT:
                raise LongLineError
            yield line


def why_unreadable(error: OSError | ValueError, lines_before: int) -> str:
    """The end of a sentence that starts with the file's name; lines_before: how many lines could be read."""
    if isinstance(error, FileNotFoundError):
        return "not found; see data/README.md, section Corpora"
    if isinstance(error, UnicodeDecodeError):  # `object` is the part of the file that follows those lines
        before = error.object[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        ends = before.count(b"\n")
        return f"is not UTF-8 text (line {lines_before + ends + 1})"
    if isinstance(error, LongLineError):
        return f"cannot be read: line {lines_before + 1} {error}"
    return f"cannot be read ({getattr(error, 'strerror', None) or error})"
