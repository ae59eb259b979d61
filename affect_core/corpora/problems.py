"""Bad rows: what is wrong, where, and whether to stop, to list everything, or to go on without the row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from affect_core.errors import AffectError

OnBadRows = Literal["refuse", "list", "skip"]


@dataclass(frozen=True)
class Problem:
    """`rows` images that cannot be used, and why. `line` is counted from 1; None where the file has no lines."""

    file: str
    line: int | None
    reason: str
    rows: int = 1

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f', line {self.line}'}: {self.reason}"


class BadRowsError(AffectError):
    """A corpus with problems; the message is one sentence for each of `problems`."""

    def __init__(self, problems: tuple[Problem, ...]):
        self.problems = problems
        if len(problems) == 1:
            message = str(problems[0])
        else:
            message = "\n".join([f"{len(problems)} problems:", *(f"  {problem}" for problem in problems)])
        super().__init__(message)


@dataclass
class ProblemLog:
    """Applies `on_bad_rows` to each problem as it is found.

    "refuse"  raise BadRowsError at the first problem
    "list"    collect; `raise_collected` raises one BadRowsError with all of them
    "skip"    collect; the caller leaves the rows out
    """

    on_bad_rows: OnBadRows
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.on_bad_rows not in ("refuse", "list", "skip"):
            raise AffectError(f"on_bad_rows is {self.on_bad_rows!r}, not 'refuse', 'list' or 'skip'")

    def add(self, file, line: int | None, reason: str, rows: int = 1) -> None:
        """Note that `rows` images named by `line` of `file` cannot be used."""
        problem = Problem(str(file), line, reason, rows)
        if self.on_bad_rows == "refuse":
            raise BadRowsError((problem,))
        self.problems.append(problem)

    def add_missing_part(self, file, reason: str) -> None:
        """Note that a whole file or folder is missing: nothing to skip, so only "list" goes on from here."""
        problem = Problem(str(file), None, reason, rows=0)
        if self.on_bad_rows != "list":
            raise BadRowsError((problem,))
        self.problems.append(problem)

    def raise_collected(self) -> None:
        """Raise everything found so far if `on_bad_rows` is "list"."""
        if self.on_bad_rows == "list" and self.problems:
            raise BadRowsError(tuple(self.problems))
