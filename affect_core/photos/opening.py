"""What a user may give, picture by picture: paths, folders, uploads, arrays. No file goes missing in silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from affect_core.corpora.image_decoding import UnusableImageError, decode_photo, picture_pixels
from affect_core.corpora.image_files import find_images
from affect_core.errors import AffectError

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
_IS_A_VIDEO = "is a video; give its path to read_video"


@dataclass(frozen=True)
class Opened:
    """One file or array: its `pixels` (H, W, 3) uint8, or None and a `remark` that says why, such as "is empty"."""

    name: str
    pixels: np.ndarray | None = None
    remark: str = ""


@dataclass(frozen=True)
class Source:
    """One thing to open: a path, bytes, an array, or (None) a file that is none of these, with a `remark`."""

    name: str
    content: Path | bytes | np.ndarray | None
    remark: str = ""

    def open(self) -> Opened:
        """Read and decode it; what cannot be used comes back with a remark."""
        if self.content is None:
            return Opened(self.name, None, self.remark)
        if isinstance(self.content, np.ndarray):
            return Opened(self.name, self.content)
        try:
            data = self.content if isinstance(self.content, bytes) else self.content.read_bytes()
            return Opened(self.name, decode_photo(data))
        except OSError as error:
            return Opened(self.name, None, f"cannot be read ({error.strerror})")
        except UnusableImageError as error:
            return Opened(self.name, None, _with_advice(self.name, str(error)))


def list_sources(photos: Any) -> list[Source]:
    """Everything that `photos` names, in order; nothing is decoded yet.

    photos  a path of an image or of a folder (searched at any depth), the `value` of an ipywidgets FileUpload, an array
            (H, W) or (H, W, 3) of uint8, a PIL image, or a sequence of these
    Other files of a folder are listed too, with a remark. Raises AffectError if there is nothing, if a path does not
    exist, if it is a video, or for another type.
    """
    found = list(_sources(photos))
    if not any(source.content is not None for source in found):
        others = f" ({len(found)} other files, for example {found[0].name})" if found else ""
        raise AffectError(f"There is no photo to read in {_described(photos)}{others}.")
    return found


def _sources(photos: Any, number: int = 0) -> Iterator[Source]:
    if isinstance(photos, (str, Path)):
        yield from _on_disk(Path(photos).expanduser())
    elif isinstance(photos, Mapping):
        yield _uploaded(photos)
    elif isinstance(photos, Image.Image):
        yield _picture(photos, f"picture {number + 1}")
    elif isinstance(photos, np.ndarray):
        yield _array(photos, number)
    elif isinstance(photos, Sequence):
        for position, photo in enumerate(photos):
            yield from _sources(photo, position)
    else:
        raise AffectError(f"photos are paths, folders, uploads or arrays, not {type(photos).__name__}.")


def _on_disk(path: Path) -> Iterator[Source]:
    if not path.exists():
        raise AffectError(f"{path} not found; give the path of a photo or of a folder with photos.")
    if not path.is_dir():
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise AffectError(f"{path} {_IS_A_VIDEO}.")
        yield Source(path.name, path)
        return
    files = find_images(path, ".")
    named = [(name.removeprefix("./"), True) for name in files.paths]
    named += [(name.removeprefix("./"), False) for name in files.other_files]
    for name, is_image in sorted(named):
        yield Source(name, path / name) if is_image else Source(name, None, _not_an_image(name))


def _not_an_image(name: str) -> str:
    return _IS_A_VIDEO if name.lower().endswith(VIDEO_SUFFIXES) else _with_advice(name, "is not an image by its name")


def _with_advice(name: str, remark: str) -> str:
    silent = name.lower().endswith((".heic", ".heif")) and "save it as JPEG" not in remark
    return remark + (": save it as JPEG first (HEIC is not read)" if silent else "")


def _uploaded(upload: Mapping) -> Source:
    if "name" not in upload or "content" not in upload:
        raise AffectError("An upload is the value of an ipywidgets FileUpload: its files have a name and a content.")
    name = str(upload["name"])
    if name.lower().endswith(VIDEO_SUFFIXES):
        return Source(name, None, _IS_A_VIDEO)
    return Source(name, bytes(upload["content"]))


def _picture(image: Image.Image, name: str) -> Source:
    try:
        return Source(name, picture_pixels(image))
    except UnusableImageError as error:
        return Source(name, None, str(error))


def _array(pixels: np.ndarray, number: int) -> Source:
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise AffectError(f"picture {number + 1} is {pixels.dtype} {pixels.shape}, not uint8 (H, W) or (H, W, 3).")
    grey = pixels.ndim == 2
    return Source(f"picture {number + 1}", np.repeat(pixels[..., None], 3, axis=2) if grey else pixels)


def _described(photos: Any) -> str:
    return str(photos) if isinstance(photos, (str, Path)) else "what was given"
