"""Every kind of image becomes square uint8 RGB, or is refused with a reason."""

import io

import numpy as np
import pytest
from PIL import Image

from affect_core.corpora import UnusableImageError, decode_image


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def photo():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((112, 112), Image.Resampling.BICUBIC)


def test_constant_colour_survives(photo):
    data = encoded(np.full((50, 50, 3), (10, 200, 30), np.uint8))
    assert (decode_image(data, 16) == (10, 200, 30)).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_other_colour_models_become_rgb(photo, mode):
    image = photo.convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    pixels = decode_image(encoded(image, kind), 32)
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    reference = np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(pixels - reference).mean() < 3


def test_cmyk_jpeg_red_is_red():
    data = encoded(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG")
    assert np.abs(decode_image(data, 8).astype(int) - (255, 0, 0)).max() < 8


def test_sixteen_bit_grey_is_scaled_not_clipped():
    ramp = np.repeat(np.linspace(0, 65535, 64).astype(np.uint16)[None], 64, axis=0)
    pixels = decode_image(encoded(ramp), 64)
    assert np.abs(pixels[0, :, 0].astype(int) - np.linspace(0, 255, 64)).max() <= 1


def test_transparent_pixels_become_mid_grey():
    pixels = np.zeros((20, 20, 4), np.uint8)
    assert (decode_image(encoded(pixels), 4) == 128).all()
    palette = Image.new("P", (20, 20), 0)
    palette.putpalette([255, 0, 0])
    assert (decode_image(encoded(palette, transparency=0), 4) == 128).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = np.zeros((40, 40, 3), np.uint8)
    upright[:20, :20] = (255, 0, 0)
    upright[:20, 20:] = (0, 255, 0)
    undo = {1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}[orientation]  # fmt: skip
    stored = Image.fromarray(upright)
    stored = stored if undo is None else stored.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode_image(encoded(stored, "JPEG", exif=exif, quality=95, subsampling=0), 40).astype(int)
    assert np.abs(pixels - upright).mean() < 3


def test_broken_exif_does_not_cost_the_image(photo):
    assert decode_image(encoded(photo, "JPEG", exif=b"Exif\x00\x00garbage"), 16).shape == (16, 16, 3)


def test_oblong_images_keep_their_proportions():
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, 30:70] = 255
    assert (decode_image(encoded(pixels), 8)[:, 1:-1] == 255).all()  # the filter of the outer pixels reaches over


def test_downsizing_averages_instead_of_picking():
    checkerboard = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = decode_image(encoded(checkerboard), 16).astype(int)
    assert np.abs(pixels - 127).max() <= 2


def test_large_jpeg_equals_a_full_decode_within_a_grey_level_or_two(photo):
    large = photo.resize((1200, 900), Image.Resampling.BICUBIC)
    data = encoded(large, "JPEG", quality=95)
    full = Image.open(io.BytesIO(data)).crop((150, 0, 1050, 900)).resize((64, 64), Image.Resampling.BILINEAR)
    assert np.abs(decode_image(data, 64).astype(int) - np.asarray(full)).mean() < 2


def test_box_is_cut_out_at_full_and_at_reduced_resolution():
    pixels = np.zeros((800, 800, 3), np.uint8)
    pixels[200:600, 100:500] = (0, 0, 255)
    for size in (8, 300):
        face = decode_image(encoded(pixels, "JPEG", quality=95), size, (110, 210, 380, 380)).astype(int)
        assert np.abs(face - (0, 0, 255)).max() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("lost", [1, 2, 3, 10, 100, 1000, 0.5, 0.9])
def test_every_truncation_is_noticed(photo, kind, lost):
    data = encoded(photo, kind)
    cut = len(data) - (lost if lost >= 1 else int(lost * len(data)))
    with pytest.raises(UnusableImageError, match="truncated|cannot be decoded"):
        decode_image(data[:cut], 16)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_end_filled_with_zeros_is_noticed_although_decoders_accept_it(photo, kind):
    data = encoded(photo, kind)
    half = len(data) // 2
    with pytest.raises(UnusableImageError, match="truncated|cannot be decoded"):
        decode_image(data[:half] + bytes(len(data) - half), 16)


def test_exif_thumbnail_does_not_hide_a_missing_end(photo):
    thumbnail = encoded(photo.resize((16, 16)), "JPEG")
    data = encoded(photo, "JPEG", exif=b"Exif\x00\x00" + thumbnail)
    assert decode_image(data, 16).shape == (16, 16, 3)
    half = len(data) * 2 // 3
    with pytest.raises(UnusableImageError, match="truncated"):
        decode_image(data[:half] + bytes(len(data) - half), 16)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"<html>404 not found</html>", "is not an image"),
        (bytes(5000), "is not an image"),
        (b"\xff\xd8\xff", "truncated|cannot be decoded|is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is not an image"),
    ],
)
def test_what_is_no_image_is_refused(data, reason):
    with pytest.raises(UnusableImageError, match=reason):
        decode_image(data, 16)


def test_content_decides_not_the_name(photo):
    assert decode_image(encoded(photo, "BMP"), 16).shape == (16, 16, 3)
    assert decode_image(encoded(photo, "JPEG") + b"trailing bytes", 16).shape == (16, 16, 3)
