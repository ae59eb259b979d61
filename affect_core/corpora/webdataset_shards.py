"""Faces in .tar files that the `webdataset` package reads and writes: for corpora larger than one disk.

A face is the files of one key, one after the other: `000000012.jpg` (or .png, ...) and, if anything is known about it,
`000000012.json`:

    {"image": "train/7.jpg", "split": "training", "group": "video-3", "expression": "fear", "valence": -0.5,
     "arousal": 0.7, "action_units": {"1": 1, "4": 0}}

What is missing is left out; other entries are ignored. Expressions go by name, because their numbers differ between
corpora. Shards are plain .tar files, neither compressed nor links, on disks or behind http(s).
"""

from __future__ import annotations

import io
import itertools
import json
import re
import tarfile
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np
from PIL import Image

from affect_core.corpora.corpus import Corpus
from affect_core.corpora.image_files import IMAGE_SUFFIXES
from affect_core.corpora.problems import ProblemLog
from affect_core.corpora.shard_labels import known_of
from affect_core.errors import AffectError
from affect_core.storage import atomic_path

_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class ShardFace:
    """One face of a shard: its files as they are, not decoded.

    key      name of its files up to the first dot
    suffix   of the image, with the dot
    image    bytes of the image file
    known    the JSON object, {} if there is none
    offset   where the image lies in the .tar file, in bytes
    """

    key: str
    suffix: str
    image: bytes
    known: dict
    offset: int = 0


def write_shards(
    faces: Corpus | Iterable[ShardFace],
    folder: Path,
    *,
    images_per_shard: int = 10_000,
    image_format: str = "jpg",
    quality: int = 95,
) -> list[Path]:
    """Write `folder/000000.tar`, ...; returns their paths. Faces are written one by one.

    Pixels of a corpus are stored as "jpg" (of `quality`; they are no longer exactly the same) or "png" (they are).
    Faces given one by one keep their bytes. Shards that are there are written again.

    Raises AffectError if there are no faces, if a key has a dot, if the disk is full, or for soft labels, which shards
    do not keep.
    """
    if isinstance(faces, Corpus) and faces.labels.expression_shares is not None:
        raise AffectError(f"corpus {faces.name} has soft labels, which shards do not keep; pack_corpus does")
    if images_per_shard < 1 or image_format not in ("jpg", "png"):
        raise AffectError(f'images_per_shard and image_format are {images_per_shard} and {image_format!r}; '
                          'they must be at least 1, and "jpg" or "png"')  # fmt: skip
    remaining = iter(_faces_of(faces, image_format, quality) if isinstance(faces, Corpus) else faces)
    paths = []
    for number in itertools.count():
        first = next(remaining, None)
        if first is None:
            break
        paths.append(Path(folder) / f"{number:06d}.tar")
        with atomic_path(paths[-1]) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            for face in itertools.chain([first], itertools.islice(remaining, images_per_shard - 1)):
                _add_face(tar, face)
    if not paths:
        raise AffectError(f"there are no faces to write to {folder}")
    return paths


def expand_shards(shards: str | Path | Iterable[str | Path]) -> list[str]:
    """Paths and URLs of `shards`: one, or several, with "{000000..000123}", "{train,val}" and "*" written out.

    Raises AffectError if there are none, if one is named twice, or if a pattern with "*" finds no file.
    """
    found = []
    for entry in [shards] if isinstance(shards, (str, Path)) else shards:
        for name in _braces(str(entry)):
            matches = sorted(glob(name)) if "*" in name and not _is_url(name) else [name]
            if not matches:
                raise AffectError(f"{name} finds no shard")
            found.extend(matches)
    if not found or len(set(found)) < len(found):
        raise AffectError("a shard is named twice" if found else "no shards are given")
    return found


def read_shard(shard: str, log: ProblemLog) -> Iterator[ShardFace]:
    """The faces of one shard in their order, one at a time, unchecked but for their names and their JSON.

    What is wrong goes to `log` as `shard/member: reason`, and is left out. Of a shard that breaks off the faces before
    the break are given, and the break goes to `log`. A shard that is not there is refused unless log lists everything.
    """
    try:
        file = urllib.request.urlopen(shard, timeout=60) if _is_url(shard) else open(shard, "rb")
    except (OSError, ValueError) as error:
        log.add_missing_part(shard, f"cannot be read ({getattr(error, 'strerror', None) or error})")
        return
    with file:
        source, key, parts = _Tail(file), None, {}
        try:
            with tarfile.open(fileobj=source, mode="r|") as tar:
                for member in tar:
                    tar.members.clear()  # tarfile remembers every member otherwise
                    if not member.isfile():
                        continue
                    stem, suffix = _stem_and_suffix(member.name)
                    if stem != key:
                        yield from _face(shard, key, parts, log)
                        key, parts = stem, {}
                    if suffix in IMAGE_SUFFIXES or suffix == ".json":
                        kind = "json" if suffix == ".json" else "image"
                        data = tar.extractfile(member).read()
                        if len(data) < member.size:
                            raise tarfile.ReadError(f"{member.name} is cut off")
                        parts.setdefault(kind, []).append((member, suffix, data))
            yield from _face(shard, key, parts, log)
            source.drain()
            if source.tail != bytes(_BLOCK):
                log.add(shard, None, "has no end mark: it may have been cut off", rows=0)
        except (tarfile.TarError, OSError, EOFError) as error:
            log.add(shard, None, f"breaks off, or is no uncompressed .tar file ({error}); it was read up to, and "
                    f"without, key {key!r}", rows=0)  # fmt: skip


class _Tail:
    """A stream that remembers the last block that was read of it."""

    def __init__(self, file):
        self.file, self.tail = file, b""

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.tail = (self.tail + data)[-_BLOCK:]
        return data

    def drain(self) -> None:
        while self.read(2**20):
            pass


def _face(shard: str, key: str | None, parts: dict, log: ProblemLog) -> Iterator[ShardFace]:
    """The face of one key, or a problem in `log`; a key with neither image nor JSON is none of ours."""
    images, texts = parts.get("image", []), parts.get("json", [])
    if not images and not texts:
        return
    where = f"{shard}/{(images or texts)[0][0].name}"
    if len(images) != 1 or len(texts) > 1:
        log.add(where, None, f"key {key!r} has {len(images)} images and {len(texts)} .json files, not one and one")
        return
    (member, suffix, image), known = images[0], {}
    try:
        if texts:
            known = json.loads(texts[0][2])
            if not isinstance(known, dict):
                raise ValueError("not an object")
    except ValueError as error:
        log.add(f"{shard}/{texts[0][0].name}", None, f"is not a JSON object ({error})")
        return
    yield ShardFace(key, suffix, image, known, member.offset_data)


def _faces_of(corpus: Corpus, image_format: str, quality: int) -> Iterator[ShardFace]:
    columns = [corpus.table[name].to_numpy() for name in ("image", "split", "group")]
    for first in range(0, len(corpus), 256):
        rows = np.arange(first, min(first + 256, len(corpus)))
        labels = corpus.labels[rows]
        for row, pixels in zip(rows, corpus.images[rows], strict=True):
            data = io.BytesIO()
            options = {"quality": quality, "subsampling": 0} if image_format == "jpg" else {}
            Image.fromarray(pixels).save(data, {"jpg": "JPEG", "png": "PNG"}[image_format], **options)
            image, split, group = (str(column[row]) for column in columns)
            known = {"image": image, "split": split, "group": group, **known_of(labels, row - first)}
            yield ShardFace(f"{row:09d}", f".{image_format}", data.getvalue(), known)


def _add_face(tar: tarfile.TarFile, face: ShardFace) -> None:
    if "." in face.key or not face.key:
        raise AffectError(f"key {face.key!r} is empty or has a dot; readers take a key to end at its first dot")
    text = json.dumps(face.known, ensure_ascii=True).encode() if face.known else b""
    for suffix, data in ((face.suffix, face.image), (".json", text)):
        if data:
            member = tarfile.TarInfo(face.key + suffix)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _stem_and_suffix(name: str) -> tuple[str, str]:
    """The key ends at the first dot of the file's name, folders belong to it (the rule of `webdataset`)."""
    folder, _, file = name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    return f"{folder}/{stem}" if folder else stem, (dot + suffix).lower()


def _braces(text: str) -> list[str]:
    """Every way to fill the braces of `text`, as a shell does."""
    match = re.search(r"\{([^{}]*)\}", text)
    if match is None:
        return [text]
    steps = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if steps:
        low, high = steps.groups()
        choices = [str(number).zfill(len(low)) for number in range(int(low), int(high) + 1)]
    else:
        choices = match[1].split(",")
    return [text[: match.start()] + choice + rest for choice in choices for rest in _braces(text[match.end() :])]


def _is_url(shard: str) -> bool:
    return shard.startswith(("http://", "https://"))
