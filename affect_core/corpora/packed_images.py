"""Pixels of a packed corpus: decoded in several .npy files, or still encoded in .tar shards, read a batch at a time."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from affect_core.corpora.image_decoding import UnusableImageError, decode_image
from affect_core.errors import AffectError


@dataclass(frozen=True, eq=False)
class ShardedImages:
    """Like an ImageStore, over several files: `images[rows]` -> (n, size, size, 3) uint8, contiguous and in memory.

    files    .npy files of decoded images
    starts   (files + 1,) int64: the first image of each file, and the number of all
    rows     (n,) int64: which images this view shows, in which order
    content  hex digest of the pixels of all images
    """

    files: tuple[Path, ...]
    starts: np.ndarray
    size: int
    rows: np.ndarray
    content: str

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows) -> np.ndarray:
        one = isinstance(rows, (int, np.integer))
        wanted = np.atleast_1d(self.rows[rows])
        shard = np.searchsorted(self.starts, wanted, side="right") - 1
        pixels = np.empty((len(wanted), self.size, self.size, 3), np.uint8)
        for number in np.unique(shard):
            chosen = np.flatnonzero(shard == number)
            self._read(self.files[number], wanted[chosen], wanted[chosen] - self.starts[number], pixels, chosen)
        return pixels[0] if one else pixels

    def view(self, rows) -> Self:
        """The same files, showing only `rows` of this view."""
        return replace(self, rows=self.rows[rows])

    def fingerprint(self) -> str:
        """Hex digest of the pixels that this view shows, in the form of `ImageStore.fingerprint`."""
        digest = hashlib.sha256(self.content.encode())
        digest.update(np.ascontiguousarray(self.rows, np.int64))
        return digest.hexdigest()

    def _read(self, file: Path, wanted: np.ndarray, within: np.ndarray, pixels: np.ndarray, where: np.ndarray) -> None:
        """Images `wanted` of all, which are `within` of the file, into `pixels[where]`."""
        pixels[where] = np.load(file, mmap_mode="r")[within]


@dataclass(frozen=True, eq=False)
class TarImages(ShardedImages):
    """Images that lie encoded in .tar files and are decoded when they are asked for, `workers` at a time.

    offsets, lengths   (all images,) int64: where in its file an image lies, and how many bytes it has
    """

    offsets: np.ndarray
    lengths: np.ndarray
    workers: int = max(1, min(8, os.cpu_count() or 1))

    def _read(self, file: Path, wanted: np.ndarray, within: np.ndarray, pixels: np.ndarray, where: np.ndarray) -> None:
        def decode(position: int) -> None:
            data = os.pread(shard, int(self.lengths[wanted[position]]), int(self.offsets[wanted[position]]))
            try:
                pixels[where[position]] = decode_image(data, self.size)
            except UnusableImageError as error:
                what = f"image {wanted[position]} {error}"
                raise AffectError(f"{file} has changed since it was packed: {what}") from error

        try:
            shard = os.open(file, os.O_RDONLY)
        except OSError as error:
            raise AffectError(f"{file} cannot be read ({error.strerror})") from error
        try:
            with ThreadPoolExecutor(self.workers) as pool:
                list(pool.map(decode, range(len(wanted))))
        finally:
            os.close(shard)
