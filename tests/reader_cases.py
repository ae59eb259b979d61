"""For tests of readers: corpora of empty files, and what a reader hands over, leaves out or refuses.

Readers look at names, sizes and dates of images, never at pixels.
"""

import os

import pytest

from affect_core.corpora.problems import BadRowsError, ProblemLog


def put(root, *images, size=3):
    """Files of `size`, `size` + 1, ... bytes and dates of 1, 2, ... s."""
    for number, image in enumerate(images):
        path = root / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (size + number))
        os.utime(path, (number + 1, number + 1))


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def skipping(read, *arguments):
    """The listing, and what was left out as (file, line, reason, rows)."""
    log = ProblemLog("skip")
    listing = read(*arguments[:2], log, *arguments[2:])
    return listing, [(problem.file.rpartition("/")[2], problem.line, problem.reason, problem.rows)
                     for problem in log.problems]  # fmt: skip


def listed(read, *arguments):
    """Everything that is wrong, as sentences without the folder."""
    with pytest.raises(BadRowsError) as error:
        read(*arguments[:2], ProblemLog("list"), *arguments[2:])
    return [str(problem).replace(f"{arguments[0]}/", "") for problem in error.value.problems]
