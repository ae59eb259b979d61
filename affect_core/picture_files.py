"""Which of a user's files are pictures that are read, and what to say about each of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from affect_core.corpora.image_files import IMAGE_SUFFIXES, find_images
from affect_core.errors import AffectError

PHONE_SUFFIXES = (".heic", ".heif", ".avif")
NO_PICTURE_SUFFIXES = (
    ".aae", ".csv", ".db", ".html", ".ini", ".ipynb", ".json", ".jsonl", ".log", ".md", ".npy", ".npz", ".parquet",
    ".py", ".toml", ".tsv", ".txt", ".xml", ".xmp", ".yaml", ".yml",
)  # fmt: skip
"""Names of what lies beside pictures and is none: labels, notes, Thumbs.db, desktop.ini. So are hidden files."""

UNKNOWN = f"is not an image by its name ({'/'.join(suffix[1:] for suffix in IMAGE_SUFFIXES)})"


@dataclass(frozen=True)
class PictureFiles:
    """What was found, each file once.

    images       paths of the images by their names, in order, and of files that were named one by one
    left_out     (path, reason) of what may be a picture and is not read: HEIC, videos, unknown names
    no_pictures  paths of the files that are obviously none
    """

    images: list[str]
    left_out: tuple[tuple[str, str], ...] = ()
    no_pictures: tuple[str, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """A sentence that counts the files that are no pictures; none if there is none."""
        if not self.no_pictures:
            return ()
        return (f"passed over, no pictures by name: {files(len(self.no_pictures))}, first {self.no_pictures[0]}",)


def find_pictures(sources: Sequence[str | Path]) -> PictureFiles:
    """The files that `sources` name, each a file or a folder that is searched at any depth (hidden folders are not).

    Raises AffectError for a source that is not there or cannot be read, or if there is no image at all.
    """
    images: list[str] = []
    others: list[str] = []
    for source in map(Path, sources):
        if source.is_dir():
            found = find_images(Path(), str(source))
            images += found.paths
            others += found.other_files
        elif not source.is_file():
            raise AffectError(f"{source} not found")
        elif _reason(source.name) in (None, UNKNOWN):  # the user says that it is a picture
            images.append(str(source))
        else:
            others.append(str(source))
    reasons = {name: _reason(Path(name).name) for name in others}
    pictures = PictureFiles(
        list(dict.fromkeys(images)), tuple((name, reason) for name, reason in reasons.items() if reason),
        tuple(name for name, reason in reasons.items() if not reason),
    )  # fmt: skip
    if not pictures.images:
        raise AffectError(_nothing(sources, pictures))
    return pictures


def files(count: int) -> str:
    """In words: "1 file", "1,234 files"."""
    return f"{count:,} file{'s' * (count != 1)}"


def _reason(name: str) -> str | None:
    """Why a file that is no image by its name is left out, to complete "PATH ..."; None if it is obviously none."""
    name = name.lower()
    if name.startswith(".") or name.endswith(NO_PICTURE_SUFFIXES):
        return None
    if name.endswith(PHONE_SUFFIXES):
        return "is in the HEIC or AVIF format by its name, which is not read; save it as JPEG"
    from affect_core.photos.opening import VIDEO_SUFFIXES  # not above: it brings the detector, which takes a second

    return "is a video, which affect_core.photos.read_video reads" if name.endswith(VIDEO_SUFFIXES) else UNKNOWN


def _nothing(sources: Sequence[str | Path], pictures: PictureFiles) -> str:
    sentence = f"there is no image under {', '.join(map(str, sources))}"
    if pictures.left_out:
        name, reason = pictures.left_out[0]
        sentence += f" that is read; left out: {files(len(pictures.left_out))}, first {name}, which {reason}"
    return "; ".join([sentence, *pictures.notes()])
