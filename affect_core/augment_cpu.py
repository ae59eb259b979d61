"""Augmentation on the CPU: one numba kernel from uint8 pixels and drawn parameters to normalised float32.

It computes what `augment` computes with torch on other devices, up to rounding: 1e-4 in normalised units on smooth
pictures and on noise up to 45 px, 4e-4 on noise of 224 px, where torch's single-precision coordinates show. A window
without rotation is separable, so the columns that a view reads are found once an image; an image without colour jitter
is normalised as it is written. Images are divided among threads that live for one call: unlike numba's own thread pools
these may be started in several threads at once and after a fork. The kernel is compiled on first use and cached beside
the source.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Columns of `factors`, values of `order`."""

RED, GREEN, BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
"""Weights of the grey value, torchvision's."""

ZERO, ONE, FOUR, SIX = np.float32(0), np.float32(1), np.float32(4), np.float32(6)
"""Single precision, so that the loops are not computed in double."""


def render_views(images, half, center, jittered, factors, order, gray, mean, std, out, threads: int = 1) -> None:
    """Write the views of N images into `out`, on up to `threads` threads; the result does not depend on their number.

    images    (N, H, W, 3) uint8, C-contiguous
    half      (N, 2) float32, half-extent of the window as a share of the image, x before y; x is negative to mirror
    center    (N, 2) float32, in the image's coordinates -1 to 1
    jittered  (N,) bool, whether the image's colours change by `factors` (N, 4) float32, in the order (N, 4) int64
    gray      (N,) bool, whether the view is shown without colour
    mean, std (3,) float32, subtracted and divided by
    out       (N, 3, height, width) float32, C-contiguous
    """
    arguments = (images, half, center, jittered, factors, order, gray)
    _in_threads(lambda rows: _render(*(array[rows] for array in arguments), mean, std, out[rows]), len(images), threads)


def normalize_pixels(images, mean, std, out, threads: int = 1) -> None:
    """(pixel / 255 - mean) / std for images (N, H, W, 3) uint8, written into `out` (N, 3, H, W) float32."""
    _in_threads(lambda rows: _normalize(images[rows], mean, std, out[rows]), len(images), threads)


def _in_threads(work, total: int, threads: int) -> None:
    """`work` on slices that cover `range(total)`; four a thread, because jittered images take longer."""
    threads = min(threads, total)
    if threads <= 1:
        work(slice(0, total))
        return
    edges = np.linspace(0, total, min(total, 4 * threads) + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, map(slice, edges[:-1], edges[1:])))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _render(images, half, center, jittered, factors, order, gray, mean, std, out):
    height, width = out.shape[2], out.shape[3]
    columns, weights = np.empty(width, np.uint32), np.empty(width, np.float32)
    line = np.zeros(3 * images.shape[2] + 3, np.float32)  # red, green, blue of each pixel, and one pixel more
    gain = (ONE / std[0], ONE / std[1], ONE / std[2])
    bias = (-mean[0] / std[0], -mean[1] / std[1], -mean[2] / std[2])
    no_gain, no_bias = (ONE, ONE, ONE), (ZERO, ZERO, ZERO)
    for n in range(images.shape[0]):
        _taps(half[n, 0], center[n, 0], images.shape[2], columns, weights)
        if not (jittered[n] or gray[n]):
            _sample(images[n], half[n, 1], center[n, 1], columns, weights, gain, bias, line, out[n])
            continue
        _sample(images[n], half[n, 1], center[n, 1], columns, weights, no_gain, no_bias, line, out[n])
        planes = out[n].reshape(3, height * width)
        if jittered[n]:
            for turn in range(4):
                kind = order[n, turn]
                factor = factors[n, kind]
                if kind == BRIGHTNESS:
                    _brightness(planes, factor)
                elif kind == CONTRAST:
                    _contrast(planes, factor)
                elif kind == SATURATION:
                    _saturation(planes, factor)
                else:
                    _hue(planes, factor)
        if gray[n]:
            _saturation(planes, ZERO)
        for channel in range(3):
            plane, scale, shift = planes[channel], gain[channel], bias[channel]
            for i in range(plane.size):
                plane[i] = plane[i] * scale + shift


@numba.njit(cache=True, nogil=True)  # no fastmath: windows that are not numbers must not read outside the image
def _position(index, count, half, center, extent):
    """Where output pixel `index` of `count` lies among `extent` source pixels; beyond the border, on it."""
    position = (((2 * index + 1) / count - 1) * half + center + 1) * (0.5 * extent) - 0.5
    return min(position, extent - 1.0) if position > 0 else 0.0


@numba.njit(cache=True, nogil=True, fastmath=True)
def _taps(half, center, extent, columns, weights):
    """Where each output column's first source pixel begins in a line, and the weight of the next pixel."""
    for x in range(columns.size):
        position = _position(x, columns.size, half, center, extent)
        first = int(position)
        columns[x], weights[x] = 3 * first, position - first


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sample(image, half, center, columns, weights, gain, bias, line, view):
    """Bilinear view (3, height, width) of an image (H, W, 3), times gain plus bias: lines are blended, then columns."""
    extent, height = image.shape[0], view.shape[1]
    rows = image.reshape(extent, -1)  # (H, 3 W)
    (gain_r, gain_g, gain_b), (bias_r, bias_g, bias_b) = gain, bias
    for y in range(height):
        position = _position(y, height, half, center, extent)
        first = int(position)
        lower, upper = np.float32((position - first) / 255), np.float32((1 - position + first) / 255)
        above, below = rows[first], rows[min(first + 1, extent - 1)]
        for i in range(above.size):
            line[i] = upper * np.float32(above[i]) + lower * np.float32(below[i])
        red, green, blue = view[0, y], view[1, y], view[2, y]
        for x in range(columns.size):
            column, weight = columns[x], weights[x]
            r, g, b = line[column], line[column + 1], line[column + 2]
            red[x] = (r + weight * (line[column + 3] - r)) * gain_r + bias_r
            green[x] = (g + weight * (line[column + 4] - g)) * gain_g + bias_g
            blue[x] = (b + weight * (line[column + 5] - b)) * gain_b + bias_b


@numba.njit(cache=True, nogil=True, fastmath=True)
def _unit(value):
    return min(max(value, ZERO), ONE)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _brightness(planes, factor):
    flat = planes.reshape(-1)
    for i in range(flat.size):
        flat[i] = _unit(flat[i] * factor)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _contrast(planes, factor):
    red, green, blue = planes[0], planes[1], planes[2]
    total = 0.0
    for i in range(red.size):
        total += RED * red[i] + GREEN * green[i] + BLUE * blue[i]
    rest = (ONE - factor) * np.float32(total / red.size)
    flat = planes.reshape(-1)
    for i in range(flat.size):
        flat[i] = _unit(flat[i] * factor + rest)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _saturation(planes, factor):
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(red.size):
        r, g, b = red[i], green[i], blue[i]
        rest = (ONE - factor) * (RED * r + GREEN * g + BLUE * b)
        red[i], green[i], blue[i] = _unit(r * factor + rest), _unit(g * factor + rest), _unit(b * factor + rest)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _hue(planes, shift):
    """See `augment.adjust_hue`."""
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(red.size):
        r, g, b = red[i], green[i], blue[i]
        highest = max(r, max(g, b))
        chroma = highest - min(r, min(g, b))
        scale = ONE / max(chroma, np.float32(1e-12))
        by_green = (b - r) * scale + np.float32(2)
        by_blue = (r - g) * scale + FOUR
        sextant = (g - b) * scale if highest == r else (by_green if highest == g else by_blue)
        sextant += SIX * shift
        red[i] = highest - chroma * _share(sextant + np.float32(5))
        green[i] = highest - chroma * _share(sextant + np.float32(3))
        blue[i] = highest - chroma * _share(sextant + ONE)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _share(turn):
    turn -= SIX * np.floor(turn / SIX)
    return _unit(min(turn, FOUR - turn))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _normalize(images, mean, std, out):
    gain, bias = ONE / (np.float32(255) * std), -mean / std
    for n in range(images.shape[0]):
        pixels = images[n].reshape(-1)
        planes = out[n].reshape(3, -1)
        red, green, blue = planes[0], planes[1], planes[2]
        for i in range(red.size):
            red[i] = np.float32(pixels[3 * i]) * gain[0] + bias[0]
            green[i] = np.float32(pixels[3 * i + 1]) * gain[1] + bias[1]
            blue[i] = np.float32(pixels[3 * i + 2]) * gain[2] + bias[2]
