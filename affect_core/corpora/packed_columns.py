"""Columns of strings that stay on disk: a line for each row, and where each line ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from affect_core.errors import AffectError
from affect_core.storage import atomic_path

ROWS_AT_A_TIME = 65_536
"""Rows that are held in memory while a column is written or hashed."""


@dataclass(frozen=True, eq=False)
class TextColumn:
    """N strings in a file; nothing is read before it is asked for.

    path   a line for each row, UTF-8, every line ended by a newline
    ends   (N,) int64: the byte behind each line, a memory map of `<path>.ends.npy`
    """

    path: Path
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def lines(self, rows: np.ndarray) -> Iterator[bytes]:
        """The lines of `rows`, newlines included, in blocks of some megabytes."""
        text = np.memmap(self.path, np.uint8, mode="r")
        for first in range(0, len(rows), ROWS_AT_A_TIME):
            block = rows[first : first + ROWS_AT_A_TIME]
            starts, ends = np.where(block > 0, self.ends[block - 1], 0), self.ends[block]
            if is_consecutive(block):
                yield text[starts[0] : ends[-1]].tobytes()
            else:
                yield b"".join(text[start:end].tobytes() for start, end in zip(starts, ends, strict=True))

    def strings(self, rows: np.ndarray) -> list[str]:
        """The strings of `rows`."""
        return b"".join(self.lines(rows)).decode("utf-8", "surrogateescape").split("\n")[:-1]


def write_column(path: Path, strings: Iterable[str]) -> None:
    """Write strings for `open_column`, holding few in memory. Raises AffectError for a string with a newline."""
    strings, ends, behind = iter(strings), [], 0
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        while block := list(islice(strings, ROWS_AT_A_TIME)):
            encoded = [string.encode("utf-8", "surrogateescape") + b"\n" for string in block]
            if any(line.find(b"\n") < len(line) - 1 for line in encoded):
                raise AffectError(f"{path.stem} hold line breaks, which a packed corpus cannot keep")
            ends.append(behind + np.cumsum([len(line) for line in encoded]))
            behind = int(ends[-1][-1])
            file.write(b"".join(encoded))
    with atomic_path(_ends_of(path)) as temporary, open(temporary, "wb") as file:
        np.save(file, np.concatenate([np.zeros(0, np.int64), *ends]))


def open_column(path: Path) -> TextColumn:
    """The column that `write_column` wrote. Raises OSError or ValueError if the two files do not fit each other."""
    ends = np.load(_ends_of(path), mmap_mode="r", allow_pickle=False)
    if not len(ends) or path.stat().st_size != ends[-1]:
        raise ValueError(f"{path.name} does not fit its line ends")
    return TextColumn(path, ends)


def is_consecutive(rows: np.ndarray) -> bool:
    """Whether `rows` (n,) count up one by one."""
    return len(rows) > 0 and int(rows[-1]) - int(rows[0]) == len(rows) - 1 and bool((np.diff(rows) == 1).all())


def _ends_of(path: Path) -> Path:
    return path.with_name(path.name + ".ends.npy")
