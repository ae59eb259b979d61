"""Work in pieces that survive a killed process: jobs, whole-or-absent image files, and the rows of finished jobs."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from affect_core.errors import AffectError

JPEG_QUALITY = 95
STILLS_PER_JOB = 32


@dataclass(frozen=True)
class Job:
    """Images that one worker writes in one go: video number `first`, or stills first .. first + images - 1."""

    corpus: str
    split: str
    first: int
    images: int

    @property
    def name(self) -> str:
        return f"{self.corpus}-{self.split}-{self.first:06d}"


def still_jobs(corpus: str, split: str, count: int) -> list[Job]:
    """`count` stills cut into jobs of `STILLS_PER_JOB`."""
    return [Job(corpus, split, first, min(STILLS_PER_JOB, count - first)) for first in range(0, count, STILLS_PER_JOB)]


class Staging:
    """A hidden folder `.writing` inside the corpus root, removed when the corpus is complete.

    Files are written there and then renamed into place, so a file of the corpus is whole or absent whatever happens
    to the process. The rows of a job are saved after its last image: if they are there, the job is done.
    """

    def __init__(self, root: Path):
        self.root = Path(root)
        self.folder = self.root / ".writing"

    def save_bytes(self, relative: str, content: bytes) -> None:
        """Write a file under the root. Raises AffectError if the disk refuses (full, read-only)."""
        target = self.root / relative
        temporary = self.folder / f"{os.getpid()}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            try:
                os.replace(temporary, target)
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(temporary, target)
        except OSError as error:
            raise AffectError(f"{target} cannot be written: {error.strerror}.") from error

    def save_image(self, relative: str, image: np.ndarray) -> None:
        """Write uint8 (S, S, 3) RGB as JPEG of quality `JPEG_QUALITY`."""
        encoded, content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not encoded:
            raise AffectError(f"{relative} cannot be encoded as JPEG.")
        self.save_bytes(relative, content.tobytes())

    def save_rows(self, job: Job, rows: list[dict]) -> None:
        """Note what a finished job wrote."""
        self.save_bytes(f".writing/{job.name}.json", json.dumps(rows).encode())

    def is_done(self, job: Job) -> bool:
        return (self.folder / f"{job.name}.json").exists()

    def rows(self, jobs: list[Job]) -> list[dict]:
        """Rows of finished jobs, in the order of `jobs`."""
        return [row for job in jobs for row in json.loads((self.folder / f"{job.name}.json").read_bytes())]
