"""A corpus as a folder of arrays: opened at once, however many images, and read from disk a batch at a time.

    corpus.json                name, vocabulary, size, fingerprint, shards; written last
    source.txt                 fingerprint of the corpus that is being packed; written first
    split.npy                  (N,) int8, index into the splits that corpus.json names
    expression.npy, ...        the arrays of AffectLabels; expression_shares.npy only if there are soft labels
    images.txt, groups.txt     a line for each row (UTF-8), and a .ends.npy beside each
    pixels-00000.npy           uint8 (n, size, size, 3), as many files as there are shards; they may be links to other
                               disks. A corpus of .tar shards may have offsets.npy and lengths.npy instead, see
                               `webdataset_packing`

`open_corpus` checks every file of a corpus each time, which is right for folders that people edit and slow for millions
of images. `pack_corpus` writes what it found; `open_packed` trusts it. Arrays are memory maps and names stay on disk
until `table` is asked for, so an open corpus, and a part of it that lies together, takes 8 bytes of memory an image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from affect_core.corpora.corpus import Corpus, corpus_fingerprint
from affect_core.corpora.packed_columns import TextColumn, is_consecutive, open_column, write_column
from affect_core.corpora.packed_images import ShardedImages, TarImages
from affect_core.corpora.problems import Problem
from affect_core.errors import AffectError
from affect_core.labels import AffectLabels
from affect_core.progress import Progress, no_progress
from affect_core.storage import atomic_path, read_json, write_json, write_text

CHUNK = 4096
"""Images that are copied at a time."""

FORMAT = 2
SOFT = "expression_shares"
LABEL_ARRAYS = tuple(item.name for item in fields(AffectLabels) if item.name not in ("vocabulary", SOFT))


class PackedCorpus(Corpus):
    """A `Corpus` whose `table` and `fingerprint` are made when they are first asked for.

    columns       "image" and "group" of all rows of the folder, "split" as codes (all rows,) of `split_names`
    images.rows   which of these rows are in this corpus
    """

    columns: dict[str, TextColumn | np.ndarray]
    split_names: tuple[str, ...]

    def __init__(self, name, columns, split_names, labels, images, problems, notes):  # frozen: set once, here
        self.__dict__.update(name=name, columns=columns, split_names=split_names, labels=labels, images=images,
                             problems=problems, notes=notes)  # fmt: skip

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def table(self) -> pd.DataFrame:
        """As in `Corpus`; some 200 bytes of memory a row, from here on."""
        rows = self.images.rows
        return pd.DataFrame({
            "image": self.columns["image"].strings(rows),
            "split": np.array(self.split_names, object)[self._codes],
            "group": self.columns["group"].strings(rows),
        })  # fmt: skip

    @cached_property
    def fingerprint(self) -> str:
        """As in `Corpus`, in little memory."""
        rows = self.images.rows
        return corpus_fingerprint(self.name, len(self), self.labels, self.images, (
            self.columns["image"].lines(rows), self._split_lines(), self.columns["group"].lines(rows),
        ))  # fmt: skip

    @property
    def splits(self) -> tuple[str, ...]:
        """As in `Corpus`."""
        codes, first = np.unique(self._codes, return_index=True)
        return tuple(self.split_names[code] for code in codes[np.argsort(first)])

    def split(self, name: str) -> PackedCorpus:
        """As in `Corpus`."""
        if name not in self.splits:
            raise AffectError(f"corpus {self.name} has no {name!r} images, only {', '.join(self.splits)}")
        return self.select(np.flatnonzero(self._codes == self.split_names.index(name)))

    def select(self, rows: np.ndarray) -> PackedCorpus:
        """As in `Corpus`; rows that lie together are not copied."""
        rows = np.arange(len(self))[rows]
        if is_consecutive(rows):
            rows = slice(int(rows[0]), int(rows[-1]) + 1)
        return PackedCorpus(self.name, self.columns, self.split_names, self.labels[rows], self.images.view(rows),
                            self.problems, self.notes)  # fmt: skip

    @property
    def _codes(self) -> np.ndarray:
        return self.columns["split"][self.images.rows]

    def _split_lines(self) -> Iterable[bytes]:
        codes, lines = self._codes, np.array([f"{name}\n".encode() for name in self.split_names], object)
        return (b"".join(lines[codes[first : first + CHUNK]]) for first in range(0, len(codes), CHUNK))


def pack_corpus(
    corpus: Corpus, folder: Path, *, images_per_shard: int = 100_000, progress: Progress = no_progress
) -> Path:
    """Write `corpus` as a folder for `open_packed`; shards that an earlier, interrupted call finished are kept.

    Raises AffectError if the disk is full, if a name holds a line break, or if the folder holds another corpus.
    """
    folder = Path(folder)
    claim(folder, corpus.fingerprint)
    for column in ("image", "group"):  # first, because names may be refused
        write_column(folder / f"{column}s.txt", corpus.table[column])
    starts = [*range(0, len(corpus), images_per_shard), len(corpus)]
    names = [f"pixels-{number:05d}.npy" for number in range(len(starts) - 1)]
    with progress(len(corpus), f"packing {corpus.name}") as bar:
        for name, start, end in zip(names, starts, starts[1:], strict=False):
            if not _is_finished(folder / name, end - start, corpus.images.size):
                with atomic_path(folder / name) as temporary:
                    _write_pixels(temporary, corpus, start, end)
            bar.update(end - start)
    splits = list(corpus.splits)
    codes = pd.Categorical(corpus.table["split"], categories=splits).codes.astype(np.int8)
    soft = (SOFT,) if corpus.labels.expression_shares is not None else ()
    for name, array in {"split": codes, **{name: getattr(corpus.labels, name) for name in LABEL_ARRAYS + soft}}.items():
        with atomic_path(folder / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, array)
    write_record(folder, {
        "name": corpus.name, "vocabulary": corpus.labels.vocabulary, "size": corpus.images.size, "splits": splits,
        "shards": names, "starts": starts, "notes": corpus.notes, "soft_labels": bool(soft),
        "fingerprint": corpus.fingerprint, "content": _content(corpus),
    }, corpus.problems)  # fmt: skip
    return folder


def claim(folder: Path, source: str) -> None:
    """Say in `folder` what is being packed there. Raises AffectError if it holds something else."""
    path = Path(folder) / "source.txt"
    if path.exists() and path.read_text() != source:
        raise AffectError(f"{folder} holds another packed corpus; choose an empty folder")
    write_text(path, source)


def write_record(folder: Path, record: dict, problems: Iterable[Problem]) -> None:
    """Write `corpus.json`, with which the folder is complete."""
    write_json(folder / "corpus.json", {"format": FORMAT, **record, "problems": [asdict(one) for one in problems]})


def open_packed(folder: Path) -> PackedCorpus:
    """The corpus that `pack_corpus` or `pack_shards` wrote.

    Raises AffectError if a file is missing or does not fit the others.
    """
    folder = Path(folder)
    if not (folder / "corpus.json").exists():
        raise AffectError(f"{folder} holds no corpus.json: not a packed corpus, or one whose packing was interrupted")
    record = read_json(folder / "corpus.json")
    if record.get("format") != FORMAT:
        raise AffectError(f"{folder} was packed by another version; pack the corpus again (shards that fit are kept)")
    corpus = corpus_of(folder, record, tuple(Problem(**one) for one in record["problems"]))
    corpus.__dict__["fingerprint"] = record["fingerprint"]
    return corpus


def corpus_of(folder: Path, record: dict, problems: tuple[Problem, ...]) -> PackedCorpus:
    """The corpus of the arrays in `folder` and of a record that may not be written yet. Raises as `open_packed`."""
    encoded = ("offsets", "lengths") if record.get("encoded") else ()
    soft = (SOFT,) if record.get("soft_labels") else ()
    try:
        stored = {name: _mapped(folder / f"{name}.npy") for name in ("split", *LABEL_ARRAYS, *soft, *encoded)}
        columns = {column: open_column(folder / f"{column}s.txt") for column in ("image", "group")}
    except (OSError, ValueError) as error:
        raise AffectError(f"{folder} is damaged ({error}); pack the corpus again") from error
    rows = {record["starts"][-1], *map(len, columns.values()), *map(len, stored.values())}
    if len(rows) != 1:
        raise AffectError(f"{folder} is damaged (files of {sorted(rows)} rows); pack the corpus again")
    files = tuple(folder / name for name in record["shards"])
    if missing := [path.name for path in files if not path.exists()]:
        raise AffectError(f"{folder} lacks {', '.join(missing)}")
    columns["split"] = stored.pop("split")
    places = [stored.pop(name) for name in encoded]
    images = (TarImages if encoded else ShardedImages)(
        files, np.array(record["starts"], np.int64), record["size"], np.arange(rows.pop()), record["content"], *places
    )
    labels = AffectLabels(**stored, vocabulary=tuple(record["vocabulary"]))
    return PackedCorpus(record["name"], columns, tuple(record["splits"]), labels, images, problems,
                        tuple(record["notes"]))  # fmt: skip


def _content(corpus: Corpus) -> str:
    """What makes the fingerprints of parts those of the corpus's own parts, if it shows its store in order."""
    in_order = np.array_equal(corpus.images.rows, np.arange(len(corpus)))
    return corpus.images.content if in_order else corpus.images.fingerprint()


def _mapped(path: Path) -> np.ndarray:
    """Copy-on-write, because torch warns of arrays that cannot be written; the file does not change."""
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))


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
