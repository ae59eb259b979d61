"""What a camera and a file do to a picture: objects in front, blur, low resolution, exposure, noise, colour, JPEG.

Capped so that a person can still read the expression.
"""

from __future__ import annotations

import cv2
import numpy as np


def degrade(image: np.ndarray, rng: np.random.Generator, style: str) -> np.ndarray:
    """A degraded copy of `image` (S, S, 3) uint8 RGB, deterministic by `rng`.

    style "clean": a trace of noise; "video": mild blur, noise, exposure and compression; "wild": stronger, with
    objects at the border, colour casts and greyscale. Raises KeyError for an unknown style.
    """
    strength = {"clean": 0.0, "video": 0.6, "wild": 1.0}[style]
    if strength == 0:
        noisy = image + rng.normal(0, 1.5, image.shape)
        return noisy.clip(0, 255).astype(np.uint8)
    picture = image.astype(np.float32) / 255
    if rng.random() < 0.12 * strength:
        picture = _put_object_in_front(picture, rng)
    picture = _blur(picture, rng, strength)
    picture = _develop(picture, rng, strength)
    picture += rng.normal(0, 1, picture.shape).astype(np.float32) * abs(rng.normal(0, 0.015 * strength))
    return _compress((picture.clip(0, 1) * 255).astype(np.uint8), rng, strength)


def _put_object_in_front(picture: np.ndarray, rng) -> np.ndarray:
    """A soft-edged convex thing (hand, microphone, scarf) at the border, clear of eyes and mouth."""
    size = len(picture)
    angle = rng.uniform(0, 2 * np.pi)
    centre = (0.5 + rng.uniform(0.55, 0.65) * np.array([np.cos(angle), np.sin(angle)])) * size
    corners = np.array([centre + size * rng.uniform(0.08, 0.22) * np.array([np.cos(a), np.sin(a)])
                        for a in np.linspace(0, 2 * np.pi, 8, endpoint=False)])  # fmt: skip
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.6, size / 150))[..., None]
    colour = rng.random(3) if rng.random() < 0.5 else np.array([0.8, 0.55, 0.45]) * rng.uniform(0.4, 1)
    shade = np.linspace(*rng.uniform(0.6, 1, 2), size)[None, :, None]
    return (picture * (1 - mask) + mask * colour * shade).astype(np.float32)


def _blur(picture: np.ndarray, rng, strength: float) -> np.ndarray:
    """Defocus, motion, or a detour over fewer pixels; at most about 1.2 px at 112 px."""
    size = len(picture)
    kind = rng.random()
    if kind < 0.35 * strength:
        return cv2.GaussianBlur(picture, (0, 0), (0.25 + rng.uniform(0, 0.9) * strength) * size / 112)
    if kind < 0.42 * strength:
        reach = max(1, round(1.5 * size / 112))
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        angle = rng.uniform(0, np.pi)
        dx, dy = round(reach * np.cos(angle)), round(reach * np.sin(angle))
        cv2.line(kernel, (reach - dx, reach - dy), (reach + dx, reach + dy), 1.0)
        return cv2.filter2D(picture, -1, kernel / kernel.sum())
    if kind < 0.55 * strength:
        fewer = int(size * rng.uniform(0.6, 0.9))
        small = cv2.resize(picture, (fewer, fewer), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
    return picture


def _develop(picture: np.ndarray, rng, strength: float) -> np.ndarray:
    """Gamma, contrast, brightness, colour cast and saturation."""
    picture = picture.clip(0, 1) ** np.exp(np.clip(rng.normal(0, 0.15 * strength), -0.35, 0.3))
    contrast = np.exp(np.clip(rng.normal(0.02, 0.13 * strength), -0.3, 0.25))
    picture = (picture - 0.5) * contrast + 0.5 + np.clip(rng.normal(0, 0.04 * strength), -0.1, 0.1)
    picture *= 1 + rng.normal(0, 0.035 * strength, 3)
    grey = picture.mean(-1, keepdims=True)
    saturation = 0.0 if rng.random() < 0.1 * strength else rng.uniform(1 - 0.4 * strength, 1 + 0.15 * strength)
    return (grey + (picture - grey) * saturation).astype(np.float32)


def _compress(image: np.ndarray, rng, strength: float) -> np.ndarray:
    """An earlier JPEG generation, quality 40 to 95."""
    if rng.random() > 0.7 * strength:
        return image
    quality = int(rng.integers(95 - 55 * strength, 95))
    _, code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])
