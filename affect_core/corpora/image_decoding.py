"""Bytes of an image file -> square uint8 RGB, or one clear reason why not.

Pillow, not OpenCV: on 112 px JPEGs OpenCV is about 1.4 times as fast on one thread, but it does not say whether a file
was complete, nor apply the rules below (palettes, CMYK, 16 bits) to anything but plain colour images.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from affect_core.errors import AffectError

_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, OverflowError,
                    struct.error, zlib.error, MemoryError)  # fmt: skip
_MOST_PIXELS = 178_956_970
"""Pillow's own limit, kept also where another library has lifted it: 0.5 GB as RGB."""
_LARGEST_FILE = 2**28
_SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "MPO": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}
_PHONE_FORMATS = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftyphevc", b"ftypavif")
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
_PNG_END = b"IEND\xaeB`\x82"
_EXIF_ORIENTATION = 0x0112
_TRANSPARENT_BECOMES = (128, 128, 128)


class UnusableImageError(AffectError):
    """The message completes the sentence "image PATH ...", for example "is truncated"."""


def read_image(
    path: Path, size: int, box: tuple[float, float, float, float] | None = None, repairs: Counter | None = None
) -> np.ndarray:
    """`decode_image` of a file, which must be a regular one of at most 256 MiB. Raises UnusableImageError."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UnusableImageError("is no regular file")
        if status.st_size > _LARGEST_FILE:
            raise UnusableImageError(f"has {status.st_size:,} bytes, more than the {_LARGEST_FILE:,} that are read")
        data = Path(path).read_bytes()
    except OSError as error:
        raise UnusableImageError(f"cannot be read ({error.strerror})") from error
    return decode_image(data, size, box, repairs, Path(path).suffix.lower())


def decode_image(
    data: bytes,
    size: int,
    box: tuple[float, float, float, float] | None = None,
    repairs: Counter | None = None,
    suffix: str = "",
) -> np.ndarray:
    """The central square of an image as (size, size, 3) uint8 RGB, resized with an antialiasing triangle filter.

    box: x, y, width, height of the face in stored pixels; the part outside the image is cut off.
    The content decides the format, not the name. EXIF orientation is applied (after `box`). Greyscale is repeated in
    three channels, palettes and CMYK are converted, 16-bit grey keeps its upper 8 bits, transparent pixels become
    mid-grey, of animations the first frame counts, colour profiles are left aside. `repairs` counts which of these
    happened, in words; suffix: that of the file's name in lower case, if it is to be compared with the content.

    Raises UnusableImageError if the data are empty, no known image format, truncated (also when the missing end is
    filled with zeros, which decoders accept) or damaged, of more than 179 million pixels, or if `box` lies outside
    the image.
    """
    found: list[str] = []
    with _opened(data) as image:
        stored_width, stored_height = image.size
        found += _conversions(image, suffix)
        box = box or (0, 0, stored_width, stored_height)
        # lets the JPEG decoder skip resolution that the resize would throw away; at least twice `size` stays
        needed = max(1.0, 2 * size / max(1.0, min(box[2], box[3])))
        if needed == 1.0:
            shrink = 2 * size / min(box[2], box[3])
            image.draft(None, (int(stored_width * shrink) + 1, int(stored_height * shrink) + 1))
        image.load()
        _refuse_missing_end(image.format, data)
        scale = image.width / stored_width
        face = _crop(image, tuple(value * scale for value in box))
        upright = _upright(face)
        found += ["turned upright as EXIF says"] if upright is not face else []
        square = ImageOps.fit(_rgb(upright), (size, size), method=Image.Resampling.BILINEAR)
    if repairs is not None:
        repairs.update(found)
    return np.asarray(square)


def decode_photo(data: bytes) -> np.ndarray:
    """A whole image as (H, W, 3) uint8 RGB, upright, every pixel; rules and errors are those of `decode_image`."""
    with _opened(data) as image:
        image.load()
        _refuse_missing_end(image.format, data)
        return np.asarray(_rgb(_upright(image)))


def picture_pixels(image: Image.Image) -> np.ndarray:
    """A picture that is open in Pillow as (H, W, 3) uint8 RGB, upright, by the rules and errors of `decode_image`."""
    try:
        return np.asarray(_rgb(_upright(image)))
    except UnusableImageError:
        raise
    except _DECODING_ERRORS as error:
        raise UnusableImageError(f"cannot be decoded ({str(error) or type(error).__name__})") from error


@contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """The image, not decoded yet; whatever Pillow raises inside the block becomes an UnusableImageError."""
    if not data:
        raise UnusableImageError("is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except UnusableImageError:
        raise
    except Image.DecompressionBombError as error:
        raise UnusableImageError(f"has more than the {_MOST_PIXELS:,} pixels that are read") from error
    except Image.UnidentifiedImageError as error:
        if data[4:12] in _PHONE_FORMATS:
            raise UnusableImageError("is in the HEIC or AVIF format, which is not read; save it as JPEG") from error
        raise UnusableImageError("is not an image (neither JPEG, PNG nor another known format)") from error
    except _DECODING_ERRORS as error:
        if "truncated" in str(error).lower():
            raise UnusableImageError("is truncated") from error
        raise UnusableImageError(f"cannot be decoded ({str(error) or type(error).__name__})") from error


def fit_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """The central square of uint8 (H, W, 3) or, grey, (H, W) as (size, size, 3), resized as `decode_image` does."""
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    return np.asarray(ImageOps.fit(image, (size, size), method=Image.Resampling.BILINEAR))


def _conversions(image: Image.Image, suffix: str) -> Iterator[str]:
    """What reading an opened image as 8-bit sRGB changes, in words that complete "n images were converted: ..."."""
    kinds = _SUFFIXES.get(image.format, (f".{image.format.lower()}",))
    if suffix and suffix not in kinds:
        yield f"{image.format} by their content, {suffix} by their name"
    if getattr(image, "is_animated", False):
        yield "the first of several frames"
    profile = image.info.get("icc_profile") or b"sRGB"
    if b"sRGB" not in profile.replace(b"\0", b""):
        yield "a colour profile left aside, read as sRGB"
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        yield "transparent pixels made mid-grey"
    if image.mode.startswith("I"):
        yield "16-bit grey reduced to its upper 8 bits"
    elif image.mode in ("L", "LA", "1"):
        yield "greyscale repeated in three channels"
    elif image.mode not in ("RGB", "RGBA", "RGBa", "P", "PA"):
        yield f"{image.mode} converted to RGB"
    elif image.mode in ("P", "PA"):
        yield "palette converted to RGB"


def _refuse_missing_end(image_format: str, data: bytes) -> None:
    """An EXIF thumbnail has an end marker too, but it lies before the main scan."""
    if image_format in ("JPEG", "MPO"):
        complete = data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)
    elif image_format == "PNG":
        complete = data.rfind(_PNG_END) >= 0
    else:
        complete = True
    if not complete:
        raise UnusableImageError("is truncated")


def _crop(image: Image.Image, box: tuple[float, ...]) -> Image.Image:
    x, y, width, height = box
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(image.width, round(x + width)), min(image.height, round(y + height))
    if right <= left or bottom <= top:
        raise UnusableImageError(f"does not contain the face box {tuple(round(value) for value in box)}")
    if (left, top, right, bottom) == (0, 0, *image.size):
        return image
    cropped = image.crop((left, top, right, bottom))
    cropped.info = image.info
    return cropped


def _upright(image: Image.Image) -> Image.Image:
    if "exif" not in image.info:
        return image
    exif = Image.Exif()
    try:
        exif.load(image.info["exif"])
        orientation = exif.get(_EXIF_ORIENTATION, 1)
    except _DECODING_ERRORS:
        return image  # unreadable EXIF says nothing about the pixels
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)  # fmt: skip
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips instead of scaling
        upper_bits = np.clip(np.asarray(image, np.int64) >> 8, 0, 255)
        return Image.fromarray(upper_bits.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise UnusableImageError("has floating-point pixels, whose range is not defined")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, (*_TRANSPARENT_BECOMES, 255))
        return Image.alpha_composite(backdrop, image).convert("RGB")
    return image.convert("RGB")
