"""Head pose and framing: from metres around the head to pixels.

Framing: similarity transform of five points (eyes, nose tip, mouth corners) of the neutral face to the ArcFace template
(Deng et al. 2019, 112 px), the way s-Aff-Wild2's "cropped_aligned" images are made; then roll, zoom and shift.
"""

from __future__ import annotations

import numpy as np

from affect_core.synthetic.face_model import load_face_model
from affect_core.synthetic.scene import Scene

ALIGNMENT_TEMPLATE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]]) / 112
"""Left eye, right eye, nose tip, left and right mouth corner as seen in the image; image widths, y down."""

PIVOT = np.array([0.0, 0.03, -0.03], np.float32)
"""Metres; the head turns about this point, at which `Scene.distance` is measured."""


class Camera:
    """Pinhole camera at -y, aligned to one neutral face (V, 3); pixels of an image of `size` x `size`.

    rotation (3, 3) turns head axes into camera axes; eye_frame (3, 3): centres of the left and right eyeball in metres
    and the gaze direction, in camera axes.
    """

    def __init__(self, neutral: np.ndarray, scene: Scene, size: int):
        model = load_face_model()
        self.size, self.distance = size, scene.distance
        self.rotation = head_rotation(scene.yaw, scene.pitch)
        right_eye, left_eye = (neutral[model.vertices_of(part)].mean(0) for part in ("right_eye", "left_eye"))
        nose, left_corner, right_corner, _ = neutral[model.landmarks]
        five = self.turn(np.stack([right_eye, left_eye, nose, right_corner, left_corner]))
        linear, offset = similarity(self._flatten(five), (ALIGNMENT_TEMPLATE - 0.5) * scene.zoom)
        cos, sin = np.cos(scene.roll), np.sin(scene.roll)
        roll = np.array([[cos, -sin], [sin, cos]])
        self._linear = roll @ linear
        self._offset = roll @ offset + 0.5 + np.array(scene.shift)
        left, up = scene.gaze
        gaze = self.rotation @ np.array([np.sin(left) * np.cos(up), -np.cos(left) * np.cos(up), np.sin(up)])
        self.eye_frame = np.stack([five[1], five[0], gaze]).astype(np.float32)

    def turn(self, points: np.ndarray) -> np.ndarray:
        """Points (n, 3) from head axes to camera axes, metres around PIVOT."""
        return (points - PIVOT) @ self.rotation.T

    def project(self, positions: np.ndarray) -> np.ndarray:
        """(n, 3) float32: x, y in pixels and 1 / distance of positions (n, 3) in camera axes."""
        points = np.empty((len(positions), 3), np.float32)
        points[:, :2] = (self._flatten(positions) @ self._linear.T + self._offset) * self.size
        points[:, 2] = 1 / (positions[:, 1] + self.distance)
        return points

    def _flatten(self, positions: np.ndarray) -> np.ndarray:
        return np.stack([positions[:, 0], -positions[:, 2]], 1) / (positions[:, 1:2] + self.distance)


def head_rotation(yaw: float, pitch: float) -> np.ndarray:
    """(3, 3) float32 rotation from head to camera axes: yaw about z, then pitch about x; radians."""
    cos_yaw, sin_yaw, cos_pitch, sin_pitch = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    about_z = np.array([[cos_yaw, -sin_yaw, 0], [sin_yaw, cos_yaw, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cos_pitch, -sin_pitch], [0, sin_pitch, cos_pitch]])
    return (about_x @ about_z).astype(np.float32)


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(matrix (2, 2), offset (2,)): the scale, rotation and shift that bring points (n, 2) closest to `target`.

    Least squares (Umeyama 1991), written with complex numbers: the factor is a scale and an angle in one.
    """
    a = (source - source.mean(0)) @ np.array([1, 1j])
    b = (target - target.mean(0)) @ np.array([1, 1j])
    factor = (a.conj() * b).sum() / (np.abs(a) ** 2).sum()
    matrix = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return matrix, target.mean(0) - matrix @ source.mean(0)
