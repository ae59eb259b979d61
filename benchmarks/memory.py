"""Peak memory of a command and everything it starts: python -m benchmarks.memory make run   (Linux)

Every second the proportional set sizes (PSS: shared pages are divided among their users) of all processes are summed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

INTERVAL = 1.0


def descendants(root: int) -> list[int]:
    """`root` and all processes below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, queue = [], [root]
    while queue:
        found.append(queue.pop())
        queue.extend(children.get(found[-1], []))
    return found


def proportional_size(process: int) -> int:
    """PSS in bytes; 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def main() -> int:
    """Run the command of the arguments and say its peak; returns its exit status."""
    child = subprocess.Popen(sys.argv[1:])
    started, peak, peak_at, largest = time.monotonic(), 0, 0.0, 0
    while child.poll() is None:
        sizes = [proportional_size(process) for process in descendants(child.pid) if process != os.getpid()]
        if sum(sizes) > peak:
            peak, peak_at = sum(sizes), time.monotonic() - started
        largest = max([largest, *sizes])
        time.sleep(INTERVAL)
    seconds = time.monotonic() - started
    sys.stderr.write(f"peak memory {peak / 1e9:.2f} GB after {peak_at:.0f} of {seconds:.0f} s; "
                     f"largest process {largest / 1e9:.2f} GB\n")  # fmt: skip
    return child.returncode


if __name__ == "__main__":
    sys.exit(main())
