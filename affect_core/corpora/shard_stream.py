"""Batches of faces straight from shards: decoded on the way, shuffled, in little memory, shared by processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affect_core.corpora.image_decoding import UnusableImageError, decode_image
from affect_core.corpora.problems import OnBadRows, Problem, ProblemLog
from affect_core.corpora.shard_labels import labels_of
from affect_core.corpora.webdataset_shards import ShardFace, expand_shards, read_shard
from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS, AffectLabels


@dataclass(frozen=True)
class ShardBatch:
    """n faces.

    pixels     (n, size, size, 3) uint8 RGB
    labels     AffectLabels, numpy, n rows
    names      where each comes from, "shard/key"
    position   faces of this epoch up to and with this batch, bad ones included: `batches(epoch, position)` goes on here
    """

    pixels: np.ndarray
    labels: AffectLabels
    names: tuple[str, ...]
    position: int


class ShardStream:
    """Every face of some shards once an epoch: shards in a drawn order, faces through a shuffle buffer.

    shards       paths, URLs, patterns (see `expand_shards`)
    size         side of the images in pixels
    buffer       faces that wait in memory, encoded, and of which the next is drawn
    rank, world  this process takes every `world`-th shard of the epoch's order: together all processes see each face
                 once; they see as many batches only if shards are equal and `world` divides their number
    on_bad_rows  "refuse" stops at the first bad face; "skip" leaves it out and lists it in `problems`

    `problems` grows with each bad face that is met, in every epoch anew.
    """

    def __init__(
        self,
        shards: str | Path | Iterable[str | Path],
        *,
        size: int,
        batch_size: int,
        seed: int = 0,
        buffer: int = 4096,
        rank: int = 0,
        world: int = 1,
        vocabulary: tuple[str, ...] = EXPRESSIONS,
        on_bad_rows: OnBadRows = "refuse",
    ):
        self.shards = expand_shards(shards)
        self.size, self.batch_size, self.seed, self.buffer = size, batch_size, seed, buffer
        self.rank, self.world, self.vocabulary = rank, world, vocabulary
        if on_bad_rows == "list":
            raise AffectError('on_bad_rows is "list"; a stream can only "refuse" or "skip"')
        self._log = ProblemLog(on_bad_rows)
        if batch_size < 1 or buffer < 1 or not 0 <= rank < world:
            raise AffectError(f"batch_size {batch_size}, buffer {buffer}, rank {rank} of {world}: "
                              "the first two must be at least 1, the rank below the number of processes")  # fmt: skip
        if len(self.shards) < world:
            raise AffectError(f"{len(self.shards)} shards cannot be divided among {world} processes")

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was left out so far."""
        return tuple(self._log.problems)

    def batches(self, epoch: int, position: int = 0) -> Iterator[ShardBatch]:
        """The batches of an epoch, the last one maybe smaller; the same for the same seed, epoch, rank and world.

        position: of the `ShardBatch` after which to go on. What lies before is read but not decoded, so that going on
        costs the time of reading it. Bad labels and images count as positions, members that are no face do not.
        """
        faces: list[tuple[np.ndarray, AffectLabels, str]] = []
        for count, (shard, face) in enumerate(self._shuffled(epoch), start=1):
            if count <= position:
                continue
            if (ready := self._ready(shard, face)) is not None:
                faces.append(ready)
            if len(faces) == self.batch_size:
                yield _stack(faces, count)
                faces = []
        if faces:
            yield _stack(faces, count)

    def _shuffled(self, epoch: int) -> Iterator[tuple[str, ShardFace]]:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.shards))  # the same for every process
        rng = np.random.default_rng([self.seed, epoch, self.rank])
        waiting: list[tuple[str, ShardFace]] = []
        for number in order[self.rank :: self.world]:
            for face in read_shard(self.shards[number], self._log):
                if len(waiting) < self.buffer:
                    waiting.append((self.shards[number], face))
                    continue
                place = int(rng.integers(self.buffer))
                drawn, waiting[place] = waiting[place], (self.shards[number], face)
                yield drawn
        for place in rng.permutation(len(waiting)):
            yield waiting[place]

    def _ready(self, shard: str, face: ShardFace) -> tuple[np.ndarray, AffectLabels, str] | None:
        where = f"{shard}/{face.key}"
        try:
            return decode_image(face.image, self.size), labels_of(face.known, self.vocabulary), where
        except UnusableImageError as error:
            self._log.add(where + face.suffix, None, f"image {error}")
        except AffectError as error:
            self._log.add(f"{where}.json", None, f"label {error}")
        return None


def _stack(faces: list[tuple[np.ndarray, AffectLabels, str]], position: int) -> ShardBatch:
    pixels, labels, names = zip(*faces, strict=True)
    return ShardBatch(np.stack(pixels), AffectLabels.concatenate(list(labels)), names, position)
