"""A case of the catalogue and the three treatments: refused, read and counted, read as if nothing were wrong."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from published_layouts import write_abaw4, write_affectnet_2021, write_affectnet_csv, write_lsd
from published_stills import write_celeba, write_ferplus, write_rafdb, write_table

from affect_core.corpora import Corpus, open_corpus
from affect_core.errors import AffectError

TABLE = "image,expression,valence,split\n" + "".join(f"{i}.png,{i % 3},0.{i},training\n" for i in range(4))
WRITERS: dict[str, Callable[[Path], Any]] = {
    "abaw4": lambda root: write_abaw4(root, videos=1, frames=5),
    "lsd": lambda root: write_lsd(root, per_class=1),
    "affectnet": lambda root: write_affectnet_csv(root, per_class=1),
    "affectnet 2021": lambda root: write_affectnet_2021(root, per_class=1),
    "rafdb": lambda root: write_rafdb(root, per_class=1),
    "ferplus": lambda root: write_ferplus(root, [], []),
    "celeba": write_celeba,
    "table": lambda root: write_table(root / "table", TABLE),
}


@dataclass(frozen=True)
class Case:
    """One thing that is wrong.

    kind       what is corrupt: "image", "annotation file", "class folder", "checkpoint", "configuration"
    spoil      makes it, in a sound corpus or an empty folder (its argument); returns what `read` needs besides
    treatment  Refused, Counted or Harmless: the statement, and the check of it
    corpus     which of WRITERS is spoilt and opened; "" where `read` opens something else
    read       opens what was spoilt: read(folder, result of spoil)
    look       further things that must hold of what was read, if it was read
    """

    kind: str
    name: str
    spoil: Callable[[Path], Any]
    treatment: Refused | Counted | Harmless
    corpus: str = ""
    read: Callable[[Path, Any], Any] | None = None
    look: Callable[[Any], bool] | None = None

    def check(self, folder: Path) -> None:
        """Make the case in `folder` and assert its treatment."""
        if self.corpus:
            shutil.copytree(sound(self.corpus), folder, dirs_exist_ok=True)
        spoilt = self.spoil(folder)
        if self.corpus:
            self.treatment.check_corpus(self, folder)
        else:
            self.treatment.check_read(self, lambda: self.read(folder, spoilt))


@dataclass(frozen=True)
class Refused:
    """`reason` is part of the sentence, which also names `file` and, if the file has lines, `line`.

    rows: how many rows "skip" leaves out and counts; None where nothing can be skipped, so that "skip" refuses too.
    """

    reason: str
    file: str = ""
    line: int | None = None
    rows: int | None = None

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.file, f"line {self.line}" if self.line else "") if part)
        skipped = {None: "", 0: "; with skip read without it"}.get(
            self.rows, f"; with skip left out and counted ({self.rows})"
        )
        return f"refused: {place + ': ' if place else ''}{self.reason}{skipped}"

    def check_corpus(self, case: Case, folder: Path) -> None:
        self.check_read(case, lambda: opened(folder, case.corpus))
        with pytest.raises(AffectError) as listed:
            opened(folder, case.corpus, "list")
        self.is_said_in(str(listed.value))
        if self.rows is None:
            self.check_read(case, lambda: opened(folder, case.corpus, "skip"))
        else:
            corpus, whole = opened(folder, case.corpus, "skip"), opened(sound(case.corpus), case.corpus)
            assert sum(problem.rows for problem in corpus.problems) == self.rows
            assert any(self.reason in str(problem) for problem in corpus.problems)
            assert case.look(corpus) if case.look else len(corpus) == len(whole) - self.rows

    def check_read(self, case: Case, read: Callable[[], Any]) -> None:
        with pytest.raises(AffectError) as error:
            read()
        message = str(error.value)
        assert "\n" not in message
        self.is_said_in(message)

    def is_said_in(self, message: str) -> None:
        """Assert that file, line and reason are in the sentence, or in the list of all that is wrong."""
        for part in (self.file, f"line {self.line}" if self.line else "", self.reason):
            assert part in message


@dataclass(frozen=True)
class Counted:
    """Read, and `note` is among the corpus's notes."""

    note: str

    def __str__(self) -> str:
        return f"read and counted: {self.note}"

    def check_corpus(self, case: Case, folder: Path) -> None:
        corpus = opened(folder, case.corpus)
        assert self.note in "\n".join(corpus.notes)
        assert case.look is None or case.look(corpus)


@dataclass(frozen=True)
class Harmless:
    """Read; a corpus has the same rows, labels and pixels as the sound one, unless `look` says what it has."""

    how: str = "as if nothing were wrong"

    def __str__(self) -> str:
        return f"read {self.how}"

    def check_corpus(self, case: Case, folder: Path) -> None:
        corpus = opened(folder, case.corpus)
        assert corpus.problems == ()
        same = corpus.fingerprint == opened(sound(case.corpus), case.corpus).fingerprint
        assert case.look(corpus) if case.look else same

    def check_read(self, case: Case, read: Callable[[], Any]) -> None:
        assert case.look(read())


@cache
def sound(corpus: str) -> Path:
    """A folder with a small sound corpus, written once a session."""
    root = Path(mkdtemp(prefix="affect_core sound "))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    WRITERS[corpus](root)
    return root


def opened(root: Path, corpus: str, on_bad_rows: str = "refuse") -> Corpus:
    """`open_corpus` on 16 px, with a store of its own beside the corpus."""
    return open_corpus(root, corpus.partition(" ")[0], size=16, store_dir=root / "stores", on_bad_rows=on_bad_rows,
                       workers=1)  # fmt: skip


def pixels_are(expected: np.ndarray, row: int = 1, tolerance: float = 12) -> Callable[[Corpus], bool]:
    """Whether the pixels of `row` are `expected` (16, 16, 3) but for a mean difference in grey levels."""
    return lambda corpus: np.abs(corpus.images[row].astype(float) - expected).mean() < tolerance
