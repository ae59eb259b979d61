"""Progress of notebooks that other processes execute, shown where they were started."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path


class ProgressWatcher:
    """Shows, while notebooks are executing, the progress bars that their kernels write to files."""

    interval = 20.0
    """Seconds between looks; on a terminal, where the line is rewritten, one second."""

    def __init__(self, paths: list[Path]):
        self.paths, self.ended = paths, threading.Event()
        self.rewrite = sys.stderr.isatty()
        self.interval = 1.0 if self.rewrite else self.interval
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        for path in self.paths:
            path.unlink(missing_ok=True)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.ended.set()
        self.thread.join()

    def _watch(self) -> None:
        shown: dict[Path, str] = {}
        while not self.ended.wait(self.interval):
            lines = {path: _text(path) for path in self.paths}
            new = [line for path, line in lines.items() if line and line != shown.get(path)]
            if new and self.rewrite:
                line = "   " + " | ".join(filter(None, lines.values()))
                sys.stderr.write("\r\033[K" + line[: shutil.get_terminal_size().columns - 1])
            elif new:
                sys.stderr.write("".join(f"   {line}\n" for line in new))
            sys.stderr.flush()
            shown = lines
        if self.rewrite and any(shown.values()):
            sys.stderr.write("\r\033[K")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
