"""Corrupt and unusual images; each replaces the image that line 3 of the training annotations names."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms

from corrupt.case import Case, Counted, Harmless, Refused, pixels_are

FILE, LINE, IMAGE = "training_set_annotations.txt", 3, "abaw4/cropped_aligned/training_00/00002.jpg"
OVER_8_BITS = np.array(Image.linear_gradient("L").resize((64, 64)), np.uint16) * 257


def photo() -> Image.Image:
    """Left half red, right half green, a blue bar on top: turned or recoloured, it shows."""
    image = Image.new("RGB", (96, 96), (200, 30, 30))
    image.paste((30, 180, 60), (48, 0, 96, 96))
    image.paste((20, 40, 220), (0, 0, 96, 24))
    return image


def shown(image: Image.Image) -> np.ndarray:
    """What a reader should make of it, (16, 16, 3)."""
    return np.asarray(image.convert("RGB").resize((16, 16), Image.Resampling.BILINEAR), float)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def profile(name: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(photo().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


def bomb(side: int) -> bytes:
    """A PNG of some hundred bytes that claims side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(10_000))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def animation(kind: str) -> bytes:
    return encoded(photo(), kind, save_all=True, append_images=[Image.new("RGB", (96, 96))], duration=40)


def put(data: Callable[[], bytes]) -> Callable[[Path], None]:
    return lambda root: (root / IMAGE).write_bytes(data()) and None


def special(make: Callable[[Path, Path], None]) -> Callable[[Path], None]:
    """Replace the image by what make(path, root) makes."""

    def spoil(root: Path) -> None:
        (root / IMAGE).unlink()
        make(root / IMAGE, root)

    return spoil


def refused(name: str, data: Callable[[], bytes], reason: str) -> Case:
    return Case("image", name, put(data), Refused(reason, FILE, LINE, 1), "abaw4")


def refused_special(name: str, make: Callable[[Path, Path], None], reason: str) -> Case:
    return Case("image", name, special(make), Refused(reason, FILE, LINE, 1), "abaw4")


def converted(name: str, data: Callable[[], bytes], how: str, image: Callable[[], Image.Image] = photo) -> Case:
    note = Counted(f"1 images were converted: {how}")
    return Case("image", name, put(data), note, "abaw4", look=lambda corpus: pixels_are(shown(image()))(corpus))


def read(name: str, data: Callable[[], bytes], how: str, image: Callable[[], Image.Image] = photo) -> Case:
    look = lambda corpus: pixels_are(shown(image()))(corpus)  # noqa: E731
    return Case("image", name, put(data), Harmless(how), "abaw4", look=look)


def cut(kind: str, tenth: int) -> Case:
    def data() -> bytes:
        whole = encoded(photo().resize((120, 120)), kind)
        return whole[: len(whole) * tenth // 10]

    reason = {"WEBP": "cannot be decoded", "GIF": "is not an image" if tenth == 1 else "is truncated"}
    return refused(f"{kind} cut off after {tenth * 10} %", data, reason.get(kind, "is truncated"))


FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")

def half_transparent() -> Image.Image:
    image = photo()
    image.putalpha(128)
    return image


def in_lab() -> Image.Image:
    spaces = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    return ImageCms.profileToProfile(photo(), *spaces, outputMode="LAB")


def in_16_bits(suffix: str) -> bytes:
    return cv2.imencode(suffix, np.asarray(photo())[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes()


CASES = [
    *(cut(kind, tenth) for kind in FORMATS for tenth in range(1, 10)),
    refused("JPEG whose second half is zeros", lambda: encoded(photo(), "JPEG")[:700].ljust(1400, b"\0"), "truncated"),
    refused("file of zero bytes", lambda: b"", "is empty (0 bytes)"),
    refused("5,000 zeros", lambda: bytes(5000), "is not an image"),
    refused("web page in place of an image", lambda: b"<html>404</html>", "is not an image"),
    refused("PostScript, which would be a program", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "is not an image"),
    refused("SVG with a script", lambda: b"<svg><script>alert(1)</script></svg>", "is not an image"),
    refused("HEIC without a decoder", lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "HEIC or AVIF format"),
    refused("AVIF", lambda: b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(99), "HEIC or AVIF format"),
    refused("30,000 x 30,000 pixels in 100 bytes", lambda: bomb(30_000), "more than the 178,956,970 pixels"),
    refused("floating-point pixels", lambda: encoded(Image.new("F", (40, 40)), "TIFF"), "has floating-point pixels"),
    refused_special("sparse file of 1 GB", lambda path, _: (path.touch(), os.truncate(path, 10**9)),
                    "has 1,000,000,000 bytes, more than the 268,435,456"),
    refused_special("link to an endless device", lambda path, _: path.symlink_to("/dev/zero"), "is no regular file"),
    refused_special("named pipe that nobody writes", lambda path, _: os.mkfifo(path), "is no regular file"),
    refused_special("link to nothing", lambda path, root: path.symlink_to(root / "gone"), "No such file or directory"),
    refused_special("folder with the image's name", lambda path, _: path.mkdir(), "not found"),
    refused_special("image that is missing", lambda path, _: None, "00002.jpg not found"),
    refused_special("image under another suffix", lambda path, _: photo().save(path.with_suffix(".png")),
                    "not found (there is abaw4/cropped_aligned/training_00/00002.png)"),
    refused_special("image in capitals", lambda path, _: photo().save(path.with_name("00002.JPG")),
                    "not found (there is abaw4/cropped_aligned/training_00/00002.JPG)"),
    converted("PNG named .jpg", lambda: encoded(photo(), "PNG"), "PNG by their content, .jpg by their name"),
    converted("16-bit grey", lambda: encoded(Image.fromarray(OVER_8_BITS), "PNG"), "16-bit grey reduced",
              lambda: Image.fromarray((OVER_8_BITS >> 8).astype(np.uint8))),
    converted("CMYK JPEG", lambda: encoded(photo().convert("CMYK"), "JPEG", quality=95), "CMYK converted to RGB"),
    converted("LAB colours", lambda: encoded(in_lab(), "TIFF"), "LAB converted to RGB"),
    converted("palette", lambda: encoded(photo().quantize(8), "PNG"), "palette converted to RGB"),
    converted("alpha, half transparent", lambda: encoded(half_transparent(), "PNG"), "transparent pixels made mid-grey",
              lambda: Image.blend(photo(), Image.new("RGB", (96, 96), (128, 128, 128)), 0.5)),
    converted("palette with a transparent colour",
              lambda: encoded(Image.new("P", (9, 9)), "PNG", transparency=0), "transparent pixels made mid-grey",
              lambda: Image.new("RGB", (9, 9), (128, 128, 128))),
    converted("animated GIF", lambda: animation("GIF"), "the first of several frames"),
    converted("animated WebP", lambda: animation("WEBP"), "the first of several frames"),
    converted("animated PNG", lambda: animation("PNG"), "the first of several frames"),
    converted("TIFF of two pages", lambda: animation("TIFF"), "the first of several frames"),
    converted("turned, and EXIF says so", turned, "turned upright as EXIF says"),
    converted("grey", lambda: encoded(photo().convert("L"), "JPEG"), "greyscale repeated in three channels",
              lambda: photo().convert("L")),
    converted("black and white, one bit", lambda: encoded(photo().convert("1"), "PNG"), "greyscale repeated",
              lambda: photo().convert("1").convert("L")),
    converted("profile of another colour space", lambda: encoded(photo(), "JPEG", icc_profile=profile("LAB")),
              "a colour profile left aside, read as sRGB"),
    read("16-bit colour PNG", lambda: in_16_bits(".png"), "with its upper 8 bits"),
    read("16-bit colour TIFF", lambda: in_16_bits(".tiff"), "with its upper 8 bits"),
    read("profile of sRGB", lambda: encoded(photo(), "JPEG", icc_profile=profile("sRGB")), "as it is"),
    read("1 x 1 pixel", lambda: encoded(Image.new("RGB", (1, 1), (9, 99, 200)), "BMP"), "enlarged",
         lambda: Image.new("RGB", (16, 16), (9, 99, 200))),
    read("EXIF that cannot be read", lambda: encoded(photo(), "JPEG", exif=b"Exif\0\0garbage"), "without its EXIF"),
    read("bytes after the end", lambda: encoded(photo(), "JPEG") + b"#!/bin/sh\nrm -rf /\n", "without them"),
]  # fmt: skip
