"""Progress bars that leave one small output in a notebook, and a line now and then in a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

PROGRESS_FILE = "AFFECT_PROGRESS_FILE"
"""Environment variable: a file to which a notebook's bar writes its line, for whoever executes the notebook."""

Progress = Callable[[int, str], "ProgressBar"]


class ProgressBar(AbstractContextManager):
    """Counts to `total`; subclasses show it. `update` is cheap: the display is refreshed at most every `interval` s."""

    interval = 1.0

    def __init__(self, total: int, description: str):
        self.total, self.description = total, description
        self.done, self.postfix = 0, {}
        self.start = self._last_shown = time.monotonic()
        self._done_at_start = 0

    def skip(self, n: int) -> None:
        """Count `n` steps that were finished in an earlier run; they do not enter the estimate of the time left."""
        self.done += n
        self._done_at_start += n

    def update(self, n: int = 1, **postfix) -> None:
        """Count `n` more steps; `postfix` values (numbers) are shown behind the bar."""
        self.done += n
        self.postfix.update(postfix)
        if time.monotonic() - self._last_shown >= self.interval:
            self._last_shown = time.monotonic()
            self.show()

    def text(self) -> str:
        """One line: description, share done, speed, time left."""
        elapsed = time.monotonic() - self.start
        rate = (self.done - self._done_at_start) / max(elapsed, 1e-9)
        left = (self.total - self.done) / rate if rate > 0 else float("inf")
        clock = "?" if left == float("inf") else f"{int(left) // 60}:{int(left) % 60:02d}"
        values = "".join(f", {name} {value:.3g}" for name, value in self.postfix.items())
        filled = round(24 * self.done / self.total) if self.total else 24
        bar = "█" * filled + "·" * (24 - filled)
        if self.done >= self.total:
            clock = f"took {int(elapsed) // 60}:{int(elapsed) % 60:02d}"
        else:
            clock = f"{clock} left"
        return f"{self.description} {bar} {self.done}/{self.total}, {rate:.3g}/s, {clock}{values}"

    def show(self) -> None:
        """Display `text()`; the base class is silent."""

    def __exit__(self, *exception) -> None:
        self.show()


no_progress: Progress = ProgressBar


class NotebookBar(ProgressBar):
    """One output cell, updated in place."""

    def __init__(self, total: int, description: str):
        super().__init__(total, description)
        from IPython.display import display

        self._handle = display({"text/plain": self.text()}, raw=True, display_id=True)

    def show(self) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": self.text()}, raw=True)
        if os.environ.get(PROGRESS_FILE):
            with suppress(OSError), open(os.environ[PROGRESS_FILE], "w", encoding="utf-8") as file:
                file.write(self.text())  # a full disk is told by what has to be written, not by a bar


class TerminalBar(ProgressBar):
    """A line on standard error: rewritten on a terminal, a new one every ten seconds in a log file."""

    def __init__(self, total: int, description: str):
        super().__init__(total, description)
        self.rewrite = sys.stderr.isatty()
        self.interval = 0.5 if self.rewrite else 10.0

    def show(self) -> None:
        sys.stderr.write(("\r\033[K" if self.rewrite else "") + self.text() + ("" if self.rewrite else "\n"))
        sys.stderr.flush()

    def __exit__(self, *exception) -> None:
        self.show()
        if self.rewrite:
            sys.stderr.write("\n")
