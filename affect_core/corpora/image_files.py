"""Which image files lie under a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affect_core.errors import AffectError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Names that count as images, in upper or lower case. AffectNet's CSV edition uses more than JPEG and PNG."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files, sorted by path.

    paths        relative to the corpus root, with forward slashes
    sizes        (n,) int64, bytes
    modified     (n,) int64, modification time in ns
    other_files  paths of the files that are not images by their name (hidden files included)
    links_outside  paths of the links to images or folders that do not lie under the corpus root
    """

    paths: list[str]
    sizes: np.ndarray
    modified: np.ndarray
    other_files: tuple[str, ...] = ()
    links_outside: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def notes(self) -> list[str]:
        """A sentence that counts the files left alone, and one that counts links; empty if there are none."""
        return self._other_files_note() + self.links_note()

    def links_note(self) -> list[str]:
        """A sentence that counts the links that lead out of the corpus root, which are read like any image."""
        if not self.links_outside:
            return []
        count, example = len(self.links_outside), self.links_outside[0]
        return [f"{count} links lead out of the corpus root and were followed, for example {example}"]

    def _other_files_note(self) -> list[str]:
        if not self.other_files:
            return []
        names = "/".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
        count, example = len(self.other_files), self.other_files[0]
        return [f"{count} files are not images by their name ({names}) and are not read, for example {example}"]


def find_images(root: Path, folder: str) -> ImageFiles:
    """All images under `root / folder`, at any depth.

    Links to folders are followed, each folder once. Hidden files (".DS_Store", macOS's "._face.jpg") are not images.
    """
    found: list[tuple[str, int, int]] = []
    others: list[str] = []
    outside: list[str] = []
    base = os.path.realpath(root) + os.sep
    visited: set[tuple[int, int]] = set()
    stack = [folder]
    while stack:
        current = stack.pop()
        try:
            status = os.stat(root / current)
            listed = sorted(os.scandir(root / current), key=lambda entry: entry.name)
        except OSError as error:
            raise AffectError(f"{root / current} cannot be read: {error.strerror}.") from error
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in listed:
            path = f"{current}/{entry.name}"
            hidden = entry.name.startswith(".")
            if entry.is_symlink() and not hidden and not os.path.realpath(entry.path).startswith(base):
                outside.append(path)
            if _is_folder(entry):
                stack.extend([] if hidden else [path])
            elif hidden or not entry.name.lower().endswith(IMAGE_SUFFIXES):
                others.append(path)
            else:
                found.append((path, *_size_and_time(entry)))
    found.sort()
    return ImageFiles(
        paths=[path for path, _, _ in found],
        sizes=np.array([size for _, size, _ in found], np.int64),
        modified=np.array([modified for _, _, modified in found], np.int64),
        other_files=tuple(sorted(others)),
        links_outside=tuple(sorted(outside)),
    )


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether it is a folder or a link to one; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _size_and_time(entry: os.DirEntry) -> tuple[int, int]:
    """Bytes and modification time; (-1, -1) for a link that leads nowhere, which then cannot be read when decoded."""
    try:
        status = entry.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
