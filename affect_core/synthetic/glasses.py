"""Spectacles, drawn as lines over the shaded head."""

from __future__ import annotations

import cv2
import numpy as np

from affect_core.synthetic.camera import Camera
from affect_core.synthetic.people import Glasses

IN_FRONT_OF_EYE = np.array([0.0, -0.024, -0.003], np.float32)
EAR = np.array([0.080, 0.075, 0.006], np.float32)
"""Metres in head axes; where the temple of the subject's left side ends."""


def draw_glasses(image: np.ndarray, glasses: Glasses, camera: Camera) -> None:
    """Draw rims, bridge, temples and tint over `image` (S, S, 3) float32 linear RGB, in place."""
    centres = camera.project(camera.eye_frame[:2] + camera.rotation @ IN_FRONT_OF_EYE)[:, :2]  # left eye, right eye
    between = np.linalg.norm(centres[0] - centres[1])
    along = (centres[0] - centres[1]) / between
    angle = float(np.degrees(np.arctan2(along[1], along[0])))
    radii = (max(1, int(glasses.width * between)), max(1, int(glasses.height * between)))
    thickness = max(1, round(glasses.rim * between / 63))

    def line(start: np.ndarray, end: np.ndarray) -> None:
        cv2.line(image, start.astype(int).tolist(), end.astype(int).tolist(), glasses.colour, thickness, cv2.LINE_AA)

    if glasses.tint > 0:
        dark = image.copy()
        for centre in centres:
            cv2.ellipse(dark, centre.astype(int).tolist(), radii, angle, 0, 360, (0.02, 0.02, 0.02), -1, cv2.LINE_AA)
        image += (dark - image) * glasses.tint
    for centre, side in zip(centres, (1, -1), strict=True):
        centre_pixel = centre.astype(int).tolist()
        cv2.ellipse(image, centre_pixel, radii, angle, 0, 360, glasses.colour, thickness, cv2.LINE_AA)
        rim = centre + side * along * radii[0]
        ear = camera.project(camera.turn(EAR * [[side, 1, 1]]))[0, :2]
        if side * (ear - rim) @ along > 0:  # otherwise the temple hides behind the head
            line(rim, ear)
    line(centres[1] + along * radii[0], centres[0] - along * radii[0])
