"""A corpus as a folder of arrays: opened in a second, however many images, and read from disk a batch at a time.

    corpus.json          name, vocabulary, size, fingerprint, shards; written last
    source.txt           fingerprint of the corpus that is being packed; written first
    labels.npz           the arrays of AffectLabels, and codes of the splits
    images.txt, groups.txt   a line for each row (UTF-8)
    pixels-00000.npy     uint8 (n, size, size, 3), as many files as there are shards; they may be links to other disks

`open_corpus` checks every file of a corpus each time, which is right for folders that people edit and slow for millions
of images. `pack_corpus` writes what it found; `open_packed` trusts it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from affect_core.corpora.corpus import Corpus
from affect_core.errors import AffectError
from affect_core.labels import AffectLabels
from affect_core.progress import Progress, no_progress
from affect_core.storage import atomic_path, read_json, write_json, write_text

CHUNK = 4096
"""Images that are copied at a time."""


@dataclass(frozen=True, eq=False)
class ShardedImages:
    """Like an ImageStore, over several files: `images[rows]` -> (n, size, size, 3) uint8, contiguous and in memory."""

    files: tuple[Path, ...]
    starts: np.ndarray
    """(files + 1,) int64: the first image of each file, and the number of all."""
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
            chosen = shard == number
            mapped = np.load(self.files[number], mmap_mode="r")
            pixels[chosen] = mapped[wanted[chosen] - self.starts[number]]
        return pixels[0] if one else pixels

    def view(self, rows) -> ShardedImages:
        """The same files, showing only `rows` of this view."""
        return ShardedImages(self.files, self.starts, self.size, self.rows[rows], self.content)

    def fingerprint(self) -> str:
        """Hex digest of the pixels that this view shows, in the form of `ImageStore.fingerprint`."""
        return hashlib.sha256(self.content.encode() + self.rows.astype(np.int64).tobytes()).hexdigest()


def pack_corpus(
    corpus: Corpus, folder: Path, *, images_per_shard: int = 100_000, progress: Progress = no_progress
) -> Path:
    """Write `corpus` as a folder for `open_packed`; shards that an earlier, interrupted call finished are kept.

    Raises AffectError if the disk is full, if a name holds a line break, or if the folder holds another corpus.
    """
    folder = Path(folder)
    if any("\n" in name for column in ("image", "group") for name in corpus.table[column]):
        raise AffectError(f"corpus {corpus.name} has names with line breaks, which a packed corpus cannot keep")
    source = folder / "source.txt"
    if source.exists() and source.read_text() != corpus.fingerprint:
        raise AffectError(f"{folder} holds another packed corpus; choose an empty folder")
    write_text(source, corpus.fingerprint)
    starts = [*range(0, len(corpus), images_per_shard), len(corpus)]
    names = [f"pixels-{number:05d}.npy" for number in range(len(starts) - 1)]
    with progress(len(corpus), f"packing {corpus.name}") as bar:
        for name, start, end in zip(names, starts, starts[1:], strict=False):
            if not _is_finished(folder / name, end - start, corpus.images.size):
                with atomic_path(folder / name) as temporary:
                    _write_pixels(temporary, corpus, start, end)
            bar.update(end - start)
    splits = list(corpus.splits)
    arrays = [item.name for item in fields(AffectLabels) if item.name != "vocabulary"]
    labels = {name: getattr(corpus.labels, name) for name in arrays}
    with atomic_path(folder / "labels.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, split=corpus.table["split"].map(splits.index).to_numpy(np.int8), **labels)
    for column in ("image", "group"):
        write_text(folder / f"{column}s.txt", "\n".join(corpus.table[column]))
    write_json(folder / "corpus.json", {
        "name": corpus.name, "vocabulary": corpus.labels.vocabulary, "size": corpus.images.size, "splits": splits,
        "shards": names, "starts": starts, "notes": corpus.notes, "problems": [str(one) for one in corpus.problems],
        "fingerprint": corpus.fingerprint, "content": corpus.images.fingerprint(),
    })  # fmt: skip
    return folder


def open_packed(folder: Path) -> Corpus:
    """The corpus that `pack_corpus` wrote. Raises AffectError if a file is missing or does not fit the others."""
    folder = Path(folder)
    if not (folder / "corpus.json").exists():
        raise AffectError(f"{folder} holds no corpus.json: not a packed corpus, or one whose packing was interrupted")
    record = read_json(folder / "corpus.json")
    try:
        with np.load(folder / "labels.npz", allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files}
        columns = {column: (folder / f"{column}s.txt").read_text("utf-8").split("\n") for column in ("image", "group")}
    except (OSError, ValueError) as error:
        raise AffectError(f"{folder} is damaged ({error}); pack the corpus again") from error
    split = np.array(record["splits"], object)[stored.pop("split")]
    rows = {len(split), record["starts"][-1], *map(len, columns.values()), *map(len, stored.values())}
    if len(rows) != 1:
        raise AffectError(f"{folder} is damaged (files of {sorted(rows)} rows); pack the corpus again")
    files = tuple(folder / name for name in record["shards"])
    if missing := [path.name for path in files if not path.exists()]:
        raise AffectError(f"{folder} lacks {', '.join(missing)}")
    images = ShardedImages(files, np.array(record["starts"], np.int64), record["size"], np.arange(len(split)),
                           record["content"])  # fmt: skip
    table = pd.DataFrame({"image": columns["image"], "split": split, "group": columns["group"]})
    labels = AffectLabels(**stored, vocabulary=tuple(record["vocabulary"]))
    return Corpus(record["name"], table, labels, images, (), tuple(record["notes"]), record["fingerprint"])


def _is_finished(path: Path, rows: int, size: int) -> bool:
    try:
        return np.load(path, mmap_mode="r").shape == (rows, size, size, 3)
    except (OSError, ValueError):
        return False


def _write_pixels(path: Path, corpus: Corpus, start: int, end: int) -> None:
    size = corpus.images.size
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(end - start, size, size, 3))
    for first in range(start, end, CHUNK):
        last = min(first + CHUNK, end)
        pixels[first - start : last - start] = corpus.images[np.arange(first, last)]
    pixels.flush()
