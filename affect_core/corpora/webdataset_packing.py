"""Shards -> a packed corpus that `fit` trains on: every face is checked once, its pixels decoded or left in the shard.

    parts/00012.json       written last: shard 12 is done, and what was left out of it
    parts/00012.npz        its labels, offsets and lengths
    parts/00012.txt        a JSON list a line: image, group, split
    pixels-00012.npy       its pixels, if `decoded`

Several processes, on several machines with one file system, may each convert some of the shards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path

import numpy as np

from affect_core.corpora.image_decoding import UnusableImageError, decode_image
from affect_core.corpora.packed import LABEL_ARRAYS, PackedCorpus, claim, corpus_of, write_record
from affect_core.corpora.packed_columns import write_column
from affect_core.corpora.problems import OnBadRows, Problem, ProblemLog
from affect_core.corpora.shard_labels import labels_of
from affect_core.corpora.webdataset_shards import expand_shards, read_shard
from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS, AffectLabels
from affect_core.progress import Progress, no_progress
from affect_core.record import fingerprint
from affect_core.storage import atomic_path, read_json, write_json

SPLITS = ("training", "validation", "unlabelled")
_HEADER = 128  # bytes of a .npy header for four-dimensional uint8, up to 10^20 images


def pack_shards(
    shards: str | Path | Iterable[str | Path],
    folder: Path,
    *,
    size: int,
    name: str = "faces",
    decoded: bool = True,
    vocabulary: tuple[str, ...] = EXPRESSIONS,
    on_bad_rows: OnBadRows = "refuse",
    rank: int = 0,
    world: int = 1,
    progress: Progress = no_progress,
) -> PackedCorpus | None:
    """Convert shards to a folder for `open_packed`; returns the corpus, or None while other processes' shards lack.

    decoded       True stores pixels (size x size x 3 bytes an image) in `folder`. False stores where they lie: images
                  are read from the shards and decoded in training, which needs shards on disks, left as they are.
    rank, world   this process converts every `world`-th shard; the one that finds all of them done puts them together.
    on_bad_rows   as in `open_corpus`; what "skip" left out is in `PackedCorpus.problems`.

    Shards that an earlier, interrupted call finished are kept. Memory holds one face and some numbers for each face of
    a shard. A face without "split" is "unlabelled"; one without "image" is called by its shard and key.

    Raises AffectError if a shard cannot be read, if nothing is usable, or if the folder holds another corpus.
    """
    folder, found = Path(folder), expand_shards(shards)
    if not decoded:
        if remote := [shard for shard in found if "://" in shard]:
            raise AffectError(f"{remote[0]} cannot be read here and there; download it, or use decoded=True")
        found = [str(Path(shard).resolve()) for shard in found]
    sizes = [Path(shard).stat().st_size for shard in found if Path(shard).exists()]
    claim(folder, fingerprint(found, sizes, size, name, decoded, vocabulary, on_bad_rows))
    (folder / "parts").mkdir(exist_ok=True)
    log = ProblemLog(on_bad_rows)
    mine = range(rank, len(found), world)
    with progress(len(mine), f"packing shards of {name}") as bar:
        for number in mine:
            if not _part(folder, number).exists():
                _convert(found[number], folder, number, size, decoded, vocabulary, log)
            bar.update()
    log.raise_collected()
    if not all(_part(folder, number).exists() for number in range(len(found))):
        return None
    return _join(found, folder, size, name, decoded, vocabulary)


def _convert(shard: str, folder: Path, number: int, size: int, decoded: bool, vocabulary, log: ProblemLog) -> None:
    """One shard to one part; its .json is written last, and not at all if something is to be listed."""
    before, digest = len(log.problems), hashlib.sha256()
    labels, places, splits = [], [], []
    lines = _part(folder, number).with_suffix(".txt")
    with ExitStack() as open_files:
        text = open_files.enter_context(open(open_files.enter_context(atomic_path(lines)), "w", encoding="utf-8"))
        if decoded:
            pixels_path = open_files.enter_context(atomic_path(folder / f"pixels-{number:05d}.npy"))
            output = open_files.enter_context(open(pixels_path, "wb"))
            output.write(bytes(_HEADER))
        for face in read_shard(shard, log):
            try:
                pixels = decode_image(face.image, size)
                row = labels_of(face.known, vocabulary)
                image, group, split = _text_of(face.known, f"{Path(shard).stem}/{face.key}")
            except UnusableImageError as error:
                log.add(f"{shard}/{face.key}{face.suffix}", None, f"image {error}")
                continue
            except AffectError as error:
                log.add(f"{shard}/{face.key}.json", None, f"label {error}")
                continue
            digest.update(pixels)
            if decoded:
                output.write(pixels)
            labels.append(row)
            places.append((face.offset, len(face.image)))
            splits.append(SPLITS.index(split))
            text.write(json.dumps([image, group]) + "\n")
        if decoded:
            output.seek(0)
            output.write(_npy_header((len(labels), size, size, 3)))
    rows = AffectLabels.concatenate(labels or [AffectLabels.missing(0, vocabulary)])
    arrays = {array: getattr(rows, array) for array in LABEL_ARRAYS}
    offsets, lengths = np.array(places, np.int64).reshape(-1, 2).T
    with atomic_path(lines.with_suffix(".npz")) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, split=np.array(splits, np.int8), offsets=offsets, lengths=lengths)
    problems = log.problems[before:]
    if log.on_bad_rows != "list" or not problems:
        write_json(_part(folder, number), {"images": len(rows), "pixels": digest.hexdigest(),
                                           "problems": [asdict(problem) for problem in problems]})  # fmt: skip


def _text_of(known: dict, fallback: str) -> tuple[str, str, str]:
    """Image, group and split of a face; group "" where none is named. Raises AffectError if one is not a plain text."""
    image, group, split = known.get("image", fallback), known.get("group", ""), known.get("split", "unlabelled")
    for name, value in (("image", image), ("group", group)):
        if not isinstance(value, str) or "\n" in value:
            raise AffectError(f"{name} is {value!r}, not a text in one line")
    if split not in SPLITS:
        raise AffectError(f"split is {split!r}, none of {', '.join(SPLITS)}")
    return image, group, split


def _join(found: list[str], folder: Path, size: int, name: str, decoded: bool, vocabulary) -> PackedCorpus:
    """All parts as one corpus; written whole or not at all, so that two processes may do it at once."""
    parts = [read_json(_part(folder, number)) for number in range(len(found))]
    starts = [0, *accumulate(part["images"] for part in parts)]
    problems = [Problem(**problem) for part in parts for problem in part["problems"]]
    if not starts[-1]:
        raise AffectError(f"the shards hold no usable face{f'; the first problem: {problems[0]}' if problems else ''}")
    for array in ("split", *LABEL_ARRAYS, *(() if decoded else ("offsets", "lengths"))):
        _concatenate(folder, array, starts)
    for position, column in enumerate(("image", "group")):
        write_column(folder / f"{column}s.txt", _entries(folder, len(found), position))
    content = hashlib.sha256("".join(part["pixels"] for part in parts).encode()).hexdigest()
    record = {
        "name": name, "vocabulary": vocabulary, "size": size, "splits": SPLITS, "starts": starts,
        "encoded": not decoded,
        "shards": [f"pixels-{number:05d}.npy" for number in range(len(found))] if decoded else found,
        "notes": [f"{len(found)} shards"], "content": content,
    }  # fmt: skip
    corpus = corpus_of(folder, record, tuple(problems))
    write_record(folder, record | {"fingerprint": corpus.fingerprint}, problems)
    return corpus


def _concatenate(folder: Path, name: str, starts: list[int]) -> None:
    whole = None
    with atomic_path(folder / f"{name}.npy") as temporary:
        for number, start in enumerate(starts[:-1]):
            with np.load(_part(folder, number).with_suffix(".npz"), allow_pickle=False) as arrays:
                part = arrays[name]
            if whole is None:
                shape = (starts[-1], *part.shape[1:])
                whole = np.lib.format.open_memmap(temporary, mode="w+", dtype=part.dtype, shape=shape)
            whole[start : start + len(part)] = part
        whole.flush()


def _entries(folder: Path, n: int, position: int) -> Iterator[str]:
    for number in range(n):
        with open(_part(folder, number).with_suffix(".txt"), encoding="utf-8") as lines:
            yield from (json.loads(line)[position] for line in lines)


def _part(folder: Path, number: int) -> Path:
    return folder / "parts" / f"{number:05d}.json"


def _npy_header(shape: tuple[int, ...]) -> bytes:
    text = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little") + text.ljust(_HEADER - 11) + b"\n"
