"""From five points to the crop that the models know.

The rendered training faces, like the "cropped_aligned" images of s-Aff-Wild2, are framed by the similarity transform
that brings eyes, nose tip and mouth corners closest to the ArcFace template (Deng et al. 2019, 112 px). A photograph is
framed by the same one, so that a model meets nothing new in the geometry.
"""

from __future__ import annotations

import cv2
import numpy as np

from affect_core.errors import AffectError
from affect_core.prediction import STORED_SIZE
from affect_core.synthetic.camera import ALIGNMENT_TEMPLATE, similarity


def alignment(points: np.ndarray, size: int = STORED_SIZE) -> np.ndarray:
    """(2, 3) similarity from pixels of the picture to pixels of the crop of `size` x `size`.

    points  (5, 2), see `detection.Face`. Raises AffectError if they all coincide or are not finite.
    """
    points = np.asarray(points, float)
    if points.shape != (5, 2) or not np.isfinite(points).all() or np.ptp(points, axis=0).max() < 1e-6:
        raise AffectError("Five different points (5, 2) are needed to align a face.")
    matrix, offset = similarity(points, ALIGNMENT_TEMPLATE * size)
    return np.column_stack([matrix, offset])


def align(pixels: np.ndarray, points: np.ndarray, size: int = STORED_SIZE) -> np.ndarray:
    """The aligned face (size, size, 3) uint8, cut from the full resolution.

    pixels  (H, W, 3) or (H, W) uint8. What lies beyond the picture repeats its edge. A face larger than the crop is
    reduced by area averages first: sampling 12 megapixels at 96 points a side would alias.
    """
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    transform = alignment(points, size)
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    if scale < 1:
        pixels, corner = _surroundings(pixels, transform, size)
        small = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
        factor = np.array(small) / pixels.shape[1::-1]
        pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
        # crop = A (x / factor + corner) + b, with pixel centres at halves
        transform = np.column_stack([transform[:, :2] / factor, transform[:, :2] @ corner + transform[:, 2]])
    transform = transform.copy()
    transform[:, 2] += transform[:, :2] @ [0.5, 0.5] - 0.5  # OpenCV counts from the centre of the first pixel
    return cv2.warpAffine(pixels, transform, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _surroundings(pixels: np.ndarray, transform: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The part of the picture under the crop and a little around it, and its upper left corner (2,)."""
    inverse = cv2.invertAffineTransform(transform)
    corners = np.array([[-2, -2], [size + 2, -2], [-2, size + 2], [size + 2, size + 2]]) @ inverse[:, :2].T
    corners = corners + inverse[:, 2]
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(corners.min(0)), 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)), [left + 1, top + 1], [width, height]).astype(int)
    return pixels[top:bottom, left:right], np.array([left, top], float)
