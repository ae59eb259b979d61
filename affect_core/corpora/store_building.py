"""Decode many images into one .npy file, in parallel, so that neither a kill nor a full disk leaves half a store."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from affect_core.corpora.image_decoding import UnusableImageError, fit_square, read_image
from affect_core.errors import AffectError
from affect_core.progress import Progress
from affect_core.storage import flush_folder

_VERSION = "1"  # of the decoding rules: a change rebuilds every store
_CHUNK_BYTES = 8 * 2**20
_CHUNK_ROWS = 512
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class ImageRequest:
    """Which files to decode, and how.

    root      folder that `files` are relative to
    files     n paths
    sizes     (n,) int64 bytes, and `modified` (n,) int64 ns: a changed file is decoded anew
    boxes     (n, 4) x, y, width, height of the face in stored pixels, or None for the whole image
    size      side of the square result in pixels
    pixels    (n, H, W) uint8 grey images that a label file holds, or None: `files` are then mere names
    """

    root: Path
    files: list[str]
    sizes: np.ndarray
    modified: np.ndarray
    size: int
    boxes: np.ndarray | None = None
    pixels: np.ndarray | None = None

    def key(self) -> str:
        """Hex digest of everything that decides the pixels, except the files' content and their root."""
        digest = hashlib.sha256(f"{_VERSION} {self.size} {len(self.files)}".encode())
        digest.update("\0".join(self.files).encode("utf-8", "surrogateescape"))
        for array in (self.sizes, self.modified, self.boxes):
            digest.update(b"whole" if array is None else np.ascontiguousarray(array, np.int64).tobytes())
        return digest.hexdigest()

    def decode(self, row: int, repairs: Counter | None = None) -> np.ndarray:
        """(size, size, 3) uint8; `repairs` as in `decode_image`. Raises UnusableImageError."""
        if self.pixels is not None:
            return fit_square(self.pixels[row], self.size)
        box = None if self.boxes is None else tuple(self.boxes[row].tolist())
        return read_image(self.root / self.files[row], self.size, box, repairs)

    def is_decodable(self, row: int) -> bool:
        """Whether `decode` succeeds."""
        try:
            self.decode(row)
        except UnusableImageError:
            return False
        return True


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Let one process at a time build `path`; the others wait here. A killed process lets go.

    On a file system without locks nobody waits. Raises AffectError if the folder cannot be made or written.
    """
    with contextlib.ExitStack() as stack:
        with _readable_errors(path.parent, 0):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(path.with_suffix(".lock"), "a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
                raise
        yield


@dataclass(frozen=True)
class _Chunk:
    """A finished range of rows: digest of its pixels, [row, reason] of each image that could not be decoded, and how
    many were converted, by how."""

    index: int
    digest: str
    bad: list[tuple[int, str]]
    repairs: dict[str, int] = field(default_factory=dict)


class StoreBuild:
    """One build of `path`, resuming what an earlier build of the same request left in .partial and .chunks."""

    def __init__(self, path: Path, request: ImageRequest, workers: int):
        self.path, self.request, self.workers = path, request, workers
        self.partial, self.journal = path.with_suffix(".partial"), path.with_suffix(".chunks")
        self.n, self.row_bytes = len(request.files), request.size**2 * 3
        self.chunk_rows = max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // self.row_bytes))
        self.n_chunks = -(-self.n // self.chunk_rows)
        self.header = _npy_header((self.n, request.size, request.size, 3))

    def run(self, on_bad_image: Callable[[int, str], None], progress: Progress, description: str) -> None:
        """Decode, write, and put the finished file in its place."""
        done = self._resume()
        missing = self._rows_of([index for index in range(self.n_chunks) if index not in done]) * self.row_bytes
        free = shutil.disk_usage(self.path.parent).free
        if missing > free:
            raise AffectError(_disk_full_sentence(self.path.parent, missing, free))
        with _readable_errors(self.path.parent, missing):
            self._decode_all(done, on_bad_image, progress, description)
            self._finish(done)

    def _resume(self) -> dict[int, _Chunk]:
        """Chunks that an earlier build finished; leaves .partial and .chunks consistent with them."""
        done: dict[int, _Chunk] = {}
        total = len(self.header) + self.n * self.row_bytes
        with contextlib.suppress(FileNotFoundError):
            if self.partial.stat().st_size == total:
                for chunk in _read_journal(self.journal):
                    if chunk.index < self.n_chunks and not any(self.request.is_decodable(row) for row, _ in chunk.bad):
                        done[chunk.index] = chunk
        with _readable_errors(self.path.parent, total):
            if not done:
                with open(self.partial, "wb") as file:
                    file.write(self.header)
                    file.truncate(total)
            _write_atomically(self.journal, "".join(_line(chunk) for chunk in done.values()))
        return done

    def _decode_all(self, done, on_bad_image, progress, description) -> None:
        """Chunks are decoded side by side but recorded in order, so the first bad image reported is the first."""
        todo = deque(index for index in range(self.n_chunks) if index not in done)
        pending: deque = deque()
        pool = ThreadPoolExecutor(self.workers)
        output = os.open(self.partial, os.O_RDWR)
        try:
            with progress(self.n, description) as bar, open(self.journal, "a") as journal:
                bar.skip(self._rows_of(done))
                for index in range(self.n_chunks):
                    while todo and len(pending) < 2 * self.workers:
                        pending.append(pool.submit(self._decode_chunk, todo.popleft(), output))
                    if index not in done:
                        done[index] = pending.popleft().result()
                        journal.write(_line(done[index]))
                        journal.flush()
                        bar.update(self._rows_of([index]))
                    for row, reason in done[index].bad:
                        on_bad_image(row, reason)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            os.close(output)

    def _decode_chunk(self, index: int, output: int) -> _Chunk:
        first = index * self.chunk_rows
        rows = range(first, min(self.n, first + self.chunk_rows))
        pixels = np.zeros((len(rows), self.request.size, self.request.size, 3), np.uint8)
        bad, repairs = [], Counter()
        for row in rows:
            try:
                pixels[row - first] = self.request.decode(row, repairs)
            except UnusableImageError as error:
                bad.append((row, str(error)))
        _write_all(output, pixels.reshape(-1).data, len(self.header) + first * self.row_bytes)
        os.fsync(output)  # before the journal says so
        return _Chunk(index, hashlib.sha256(pixels).hexdigest(), bad, dict(repairs))

    def _finish(self, done: dict[int, _Chunk]) -> None:
        in_order = [done[index] for index in range(self.n_chunks)]
        content = hashlib.sha256("".join(chunk.digest for chunk in in_order).encode()).hexdigest()
        repairs = sum((Counter(chunk.repairs) for chunk in in_order), Counter())
        bad = [pair for chunk in in_order for pair in chunk.bad]
        record = {"content": content, "bad": bad, "repairs": dict(sorted(repairs.items()))}
        self.path.unlink(missing_ok=True)  # an older store must not be read with the new record
        _write_atomically(self.path.with_suffix(".json"), json.dumps(record))
        self.journal.unlink()  # killed here: everything is decoded again, but nothing is left behind
        os.replace(self.partial, self.path)
        flush_folder(self.path.parent)

    def _rows_of(self, chunks) -> int:
        return sum(min(self.chunk_rows, self.n - index * self.chunk_rows) for index in chunks)


def _npy_header(shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _line(chunk: _Chunk) -> str:
    return json.dumps([chunk.index, chunk.digest, chunk.bad, chunk.repairs]) + "\n"


def _read_journal(path: Path) -> list[_Chunk]:
    """Chunks in the journal; a last line that a crash cut short is left out, and its chunk is decoded again."""
    chunks = []
    for line in path.read_text().splitlines():
        try:
            index, digest, bad, repairs = json.loads(line)
        except ValueError:
            continue
        chunks.append(_Chunk(index, digest, [(row, reason) for row, reason in bad], repairs))
    return chunks


def _write_atomically(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    flush_folder(path.parent)


def _write_all(output: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(output, data, offset)
        data, offset = data[written:], offset + written


@contextlib.contextmanager
def _readable_errors(folder: Path, needed: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise AffectError(_disk_full_sentence(folder, needed, shutil.disk_usage(folder).free)) from error
        raise AffectError(f"{folder} cannot be written for the image store ({error.strerror})") from error


def _disk_full_sentence(folder: Path, needed: int, free: int) -> str:
    return (f"{folder} has no room for the image store: {needed / 1e9:.3g} GB needed, {free / 1e9:.3g} GB free; "
            "free some space or choose another store_dir")  # fmt: skip
