"""Images as one memory-mapped array: decoded once, opened in milliseconds, read a batch at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from affect_core.corpora.store_building import ImageRequest, StoreBuild, exclusive
from affect_core.errors import AffectError
from affect_core.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class ImageStore:
    """`store[rows]` -> (n, size, size, 3) uint8 RGB, contiguous and in memory; rows: index array, slice or mask.

    path     the .npy file with every decoded image (opened on first use, in each process anew)
    content  hex digest of the pixels in the file
    rows     (n,) int64: which of the file's images this view shows, in which order
    repairs  how many of the file's images were converted when they were decoded, by how ("CMYK converted to RGB")
    """

    path: Path
    size: int
    content: str
    rows: np.ndarray
    repairs: dict[str, int] = field(default_factory=dict)
    _open: dict = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows) -> np.ndarray:
        """Pixels of `rows`; one integer gives one (size, size, 3) image. Raises IndexError as numpy does."""
        if not isinstance(rows, (slice, int)):
            rows = np.asarray(rows)
            if rows.size == 0:
                rows = rows.astype(np.int64)
        return np.take(self._pixels(), self.rows[rows], axis=0)

    def view(self, rows) -> ImageStore:
        """The same file, showing only `rows` of this view."""
        return ImageStore(self.path, self.size, self.content, self.rows[rows], self.repairs)

    def fingerprint(self) -> str:
        """Hex digest of the pixels that this view shows, independent of where they are stored."""
        return hashlib.sha256(self.content.encode() + self.rows.astype(np.int64).tobytes()).hexdigest()

    def _pixels(self) -> np.ndarray:
        if "pixels" not in self._open:
            self._open["pixels"] = np.asarray(np.load(self.path, mmap_mode="r"))
        return self._open["pixels"]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_open": {}}


def open_image_store(
    request: ImageRequest,
    store_dir: Path,
    name: str,
    *,
    on_bad_image: Callable[[int, str], None],
    progress: Progress = no_progress,
    workers: int = 2,
) -> ImageStore:
    """Open the store of `request`, decoding what no earlier call has decoded.

    The file is `store_dir/<name>-<size>px-<key>.npy` with a .json beside it. While it is built it is called .partial,
    and .chunks lists the finished parts: an interrupted build goes on from there, and of two processes that want
    the same store the second waits for the first. Memory does not grow with the number of images.

    on_bad_image(row, reason) is called for each image that cannot be decoded, in row order; its pixels are zeros.
    If it raises, the build stops and what was decoded is kept. Images found bad by an earlier call are tried again.

    Raises AffectError if there are no images, if `store_dir` cannot be written or if the disk is full.
    """
    if not request.files:
        raise AffectError(f"no images to decode for {name}")
    if request.size < 1 or workers < 1:
        raise AffectError(f"image size and workers are {request.size} and {workers}; both must be at least 1")
    store_dir = Path(store_dir)
    path = store_dir / f"{name}-{request.size}px-{request.key()[:20]}.npy"
    record = _read_record(path, request)
    if record is None:
        with exclusive(path):
            record = _read_record(path, request)
            if record is None:
                StoreBuild(path, request, workers).run(on_bad_image, progress, f"decoding {name}")
                return _store(path, request, _read_record(path, request, retry=False))
    for row, reason in record["bad"]:
        on_bad_image(row, reason)
    return _store(path, request, record)


def _store(path: Path, request: ImageRequest, record: dict | None) -> ImageStore:
    if record is None:
        raise AffectError(f"{path} was damaged while it was opened; delete it and try again")
    rows = np.arange(len(request.files), dtype=np.int64)
    return ImageStore(path, request.size, record["content"], rows, record["repairs"])


def _read_record(path: Path, request: ImageRequest, retry: bool = True) -> dict | None:
    """The record of a complete store; None if there is none, if it is damaged, or if a bad image has become good."""
    try:
        record = json.loads(path.with_suffix(".json").read_text())
        shape = np.load(path, mmap_mode="r").shape
    except (OSError, ValueError):
        return None
    if shape != (len(request.files), request.size, request.size, 3) or "repairs" not in record:
        return None
    if retry and any(request.is_decodable(row) for row, _ in record["bad"]):
        return None
    return record
