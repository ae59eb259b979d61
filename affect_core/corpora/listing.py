"""What the readers of the published formats hand over: the rows of a corpus before its images are decoded."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, fields, replace

import numpy as np
import pandas as pd

from affect_core.corpora.image_files import IMAGE_SUFFIXES, ImageFiles
from affect_core.corpora.problems import ProblemLog
from affect_core.errors import AffectError
from affect_core.labels import AffectLabels


@dataclass(frozen=True)
class Listing:
    """N images that exist on disk, with what their corpus says about them.

    image, split, group   (N,) object arrays of strings; image is relative to the corpus root
    source, line          (N,) file that names the image and its line (0: the file has no lines)
    labels                AffectLabels of N rows
    keep                  (N,) bool: False for a row whose label is bad (already in the log; its image is still checked)
    sizes, modified       (N,) int64: bytes, and ns since the epoch
    boxes                 (N, 4) int64 face box x, y, width, height in pixels, or None
    pixels                (N, H, W) uint8 grey images, where a label file holds them and no image files exist, or None
    notes                 sentences about what was counted or left aside and is no error
    """

    image: np.ndarray
    split: np.ndarray
    group: np.ndarray
    source: np.ndarray
    line: np.ndarray
    labels: AffectLabels
    keep: np.ndarray
    sizes: np.ndarray
    modified: np.ndarray
    boxes: np.ndarray | None = None
    pixels: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows) -> Listing:
        """The listing of `rows` (index array or mask)."""
        parts = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "notes"}
        return replace(self, **{name: part if part is None else part[rows] for name, part in parts.items()})


@dataclass
class LabelRows:
    """Rows of the label files of one corpus, before they are matched with the images on disk.

    `reasons` collects what is wrong with a row; a row with a reason is left out or refused as `log` says.
    """

    image: list[str]
    split: list[str]
    source: list[str]
    line: np.ndarray
    reasons: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def find(self, files: ImageFiles) -> np.ndarray:
        """(N,) position of each row's image in `files`, -1 where it is missing; missing and repeated images get a
        reason."""
        position = {path: index for index, path in enumerate(files.paths)}
        found = np.array([position.get(path, -1) for path in self.image], np.int64)
        self._explain_missing(np.flatnonzero(found < 0), files)
        repeated = np.flatnonzero(pd.Series(self.image, dtype=object).duplicated().to_numpy())
        wanted = {self.image[row] for row in repeated}
        first: dict[str, int] = {}
        for row, path in enumerate(self.image if wanted else ()):
            if path in wanted:
                first.setdefault(path, row)
        for row in repeated:
            earlier = first[self.image[row]]
            if self.split[row] != self.split[earlier]:  # which of them to leave out is not for us to choose
                raise AffectError(
                    f"image {self.image[row]} is in {self.split[earlier]} ({self.source[earlier]}, line "
                    f"{self.line[earlier]}) and in {self.split[row]} ({self.source[row]}, line {self.line[row]}): a "
                    "score would be partly one on faces seen before. Take it out of one of them."
                )
            self.reasons[row].append(
                f"image {self.image[row]} is named again (first in {self.source[earlier]}, line {self.line[earlier]})"
            )
        return found

    def _explain_missing(self, rows: np.ndarray, files: ImageFiles) -> None:
        """The label file names the file as it is: another suffix or spelling is not guessed, but pointed out."""
        if not len(rows):
            return
        similar, others = defaultdict(list), set(files.other_files)
        for path in files.paths:
            similar[_stem(path)].append(path)
        for row in rows:
            image, near = self.image[row], similar.get(_stem(self.image[row]), ())
            hint = f" (there is {', '.join(near)})" if near else ""
            unquoted = image.replace('"', "").replace("'", "").replace("\\", "/")
            if unquoted != image and (near := similar.get(_stem(unquoted))):
                hint = f" (there is {', '.join(near)}: write it without quotation marks, and / between folders)"
            if image in others:
                kinds = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
                hint = f" among the images: the file is there, but only {kinds} are read"
            self.reasons[row].append(f"image {image} not found{hint}")

    def report(self, log: ProblemLog) -> np.ndarray:
        """Hand the reasons to `log` in row order; returns the mask of the rows without any."""
        keep = np.ones(len(self.image), bool)
        for row in sorted(self.reasons):
            keep[row] = False
            log.add(self.source[row], int(self.line[row]) or None, "; ".join(self.reasons[row]))
        return keep

    def listing(self, files: ImageFiles, found: np.ndarray, labels: AffectLabels, keep: np.ndarray, notes=(),
                group: list[str] | None = None, boxes: np.ndarray | None = None) -> Listing:  # fmt: skip
        """The rows whose image was `found` among `files`; group: by default each image is its own."""
        listing = Listing(
            image=strings(self.image), split=strings(self.split), group=strings(self.image if group is None else group),
            source=strings(self.source), line=self.line, labels=labels, keep=keep,
            sizes=np.append(files.sizes, -1)[found], modified=np.append(files.modified, -1)[found], boxes=boxes,
            notes=tuple(notes),
        )  # fmt: skip
        return listing[found >= 0]


def unused_images_note(files: ImageFiles, used: np.ndarray, what: str) -> list[str]:
    """A sentence that counts the images on disk that no row uses; `used` holds positions in `files`."""
    unused = np.ones(len(files), bool)
    unused[used[used >= 0]] = False
    if not unused.any():
        return []
    example = files.paths[int(unused.argmax())]
    return [f"{int(unused.sum())} images on disk are named by no {what} and are not used, for example {example}"]


def strings(values) -> np.ndarray:
    """A list of strings as an object array."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _stem(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/{name.rpartition('.')[0]}".lower()
