"""Opening and reading large corpora: a million packed rows, and images from .tar shards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import torch

from affect_core.augment import Augmentation
from affect_core.batches import FaceBatches
from affect_core.corpora import ShardStream, open_packed, pack_shards, write_shards
from affect_core.corpora.packed import LABEL_ARRAYS, claim, write_record
from affect_core.corpora.packed_columns import write_column
from affect_core.corpora.webdataset_shards import ShardFace
from affect_core.labels import AffectLabels
from affect_core.profiles import Profile
from benchmarks.plain import write_faces
from benchmarks.timing import rates, ratios

BATCH = 64


def million_rows(profile: Profile) -> dict:
    """A packed corpus of 1,000,000 rows (100,000 beside it) in a fresh process: opening, parts of it, 2,000 batches.

    The pixel files are sparse: what is timed is our code on zeros from the page cache, not a disk.
    """
    results = {}
    for rows in (100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            write_sparse_corpus(Path(folder), rows, profile.vit.image_size)
            command = [sys.executable, "-m", "benchmarks.corpus_reading", folder, "2000"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results[f"{rows:,} rows"] = json.loads(done.stdout)
    return results


def write_sparse_corpus(folder: Path, rows: int, size: int, images_per_shard: int = 100_000) -> None:
    """A packed corpus whose labels are random and whose pixels are holes: little disk, however many rows."""
    rng, labels = np.random.default_rng(0), AffectLabels.missing(rows)
    labels.expression[:], labels.expression_valid[:] = rng.integers(0, 8, rows), True
    claim(folder, "sparse")
    validation = rows // 10
    codes = np.repeat([0, 1], [rows - validation, validation]).astype(np.int8)
    for name, array in {"split": codes, **{name: getattr(labels, name) for name in LABEL_ARRAYS}}.items():
        np.save(folder / f"{name}.npy", array)
    write_column(folder / "images.txt", (f"faces/{row // 1000:04d}/{row:08d}.jpg" for row in range(rows)))
    write_column(folder / "groups.txt", chain.from_iterable(repeat(f"v-{row:05d}", 500) for row in range(rows // 500)))
    starts = [*range(0, rows, images_per_shard), rows]
    names = [f"pixels-{number:05d}.npy" for number in range(len(starts) - 1)]
    for name, start, end in zip(names, starts, starts[1:], strict=False):
        shape = (end - start, size, size, 3)
        np.lib.format.open_memmap(folder / name, mode="w+", dtype=np.uint8, shape=shape)
    write_record(folder, {
        "name": "sparse", "vocabulary": labels.vocabulary, "size": size, "splits": ["training", "validation"],
        "shards": names, "starts": starts, "notes": [], "fingerprint": "", "content": "",
    }, ())  # fmt: skip


def measure_reading(folder: Path, batches: int) -> dict:
    """Seconds of what a stage does with a packed corpus before and while it trains, and anonymous memory it takes."""
    result, memory = {}, [anonymous_memory()]

    def note(what: str, started: float) -> None:
        result[f"{what}, s"] = round(time.perf_counter() - started, 4)
        memory.append(anonymous_memory())
        result[f"{what}, MB more"] = round((memory[-1] - memory[-2]) / 1e6, 1)

    started = time.perf_counter()
    corpus = open_packed(folder)
    note("open", started)
    started = time.perf_counter()
    part = corpus.split("training")
    seen = part.select(np.arange(len(part) - 256))
    note("the training split but its last 256", started)
    started = time.perf_counter()
    data = FaceBatches(seen, Augmentation(), corpus.images.size)
    note("its fingerprint", started)
    started = time.perf_counter()
    order = np.random.default_rng([0, 0]).permutation(len(data))
    note("the order of an epoch", started)
    generator = torch.Generator().manual_seed(0)
    marks = []
    for number in range(100 + batches):
        if number in (100, 100 + batches // 2):  # the first 100 warm up torch's allocator
            marks.append((time.perf_counter(), anonymous_memory()))
        data.batch(order[number * BATCH % (len(order) - BATCH) :][:BATCH], generator)
    marks.append((time.perf_counter(), anonymous_memory()))
    result["batches"] = batches
    result["images per second, augmented"] = round(batches * BATCH / (marks[-1][0] - marks[0][0]))
    result["first half of the batches, MB more"] = round((marks[1][1] - marks[0][1]) / 1e6, 2)
    result["second half of the batches, MB more"] = round((marks[2][1] - marks[1][1]) / 1e6, 2)
    started = time.perf_counter()
    assert len(corpus.table) == len(corpus)
    note("the table of names, if asked for", started)
    return result


def anonymous_memory() -> int:
    """Bytes of memory of this process that belong to no file: growth of the page cache is not growth (Linux)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def shard_reading(profile: Profile) -> dict:
    """Images a second without augmentation, at the profile's size and at 224 px: decoded, encoded, as a stream.

    JPEG of quality 95 of smooth pictures, from the page cache; `bytes` says how large (photographs are larger).
    """
    return {f"{size} px": _shard_reading(size) for size in (profile.vit.image_size, 224)}


def _shard_reading(size: int, count: int = 512) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_faces(folder, count, size)
        files = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
        faces = (ShardFace(f"{number:05d}", ".jpg", data, {"expression": "fear"}) for number, data in enumerate(files))
        shards = write_shards(faces, folder / "tar", images_per_shard=128)
        decoded, encoded = (pack_shards(shards, folder / str(kind), size=size, decoded=kind) for kind in (True, False))
        stream, rng = ShardStream(shards, size=size, batch_size=BATCH, buffer=256), np.random.default_rng(0)

        def drawn(images) -> None:
            order = rng.permutation(count)
            for start in range(0, count, BATCH):
                images[order[start : start + BATCH]]

        measured = rates({
            "decoded shards, random rows": (lambda: drawn(decoded.images), count),
            "encoded shards, random rows": (lambda: drawn(encoded.images), count),
            "stream of shards": (lambda: list(stream.batches(0)), count),
        }, rounds=5)  # fmt: skip
    return {**ratios(measured, "stream of shards"), "bytes": round(sum(map(len, files)) / count),
            "cores": len(os.sched_getaffinity(0))}  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_reading(Path(sys.argv[1]), int(sys.argv[2]))))
