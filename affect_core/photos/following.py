"""Which boxes of a video are one face.

Boxes of sampled frames that overlap are one face; of several in a shot, the one that is large and long in the picture
is followed. Who somebody is, nobody asks: after a cut it may be another person.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affect_core.photos.detection import Face

LEAST_OVERLAP = 0.2
"""Intersection over union of a box with the latest box of a track from which they are the same face."""


def follow(faces: Sequence[Sequence[Face]], shots: np.ndarray) -> np.ndarray:
    """(T,) for every frame the row, counted over all frames' faces, of the followed face of its shot; -1 for none.

    A face belongs to the track whose latest box it overlaps most, or begins a track. In each shot the track with the
    largest sum of areas is followed, and where it has no face, no other takes its place.
    """
    followed = np.full(len(faces), -1)
    starts = np.concatenate([[0], np.cumsum([len(found) for found in faces])]).astype(int)
    for shot in np.unique(shots):
        tracks: list[dict[int, int]] = []  # frame -> number of the face in it
        for frame in np.flatnonzero(shots == shot):
            free = set(range(len(tracks)))
            for number in sorted(range(len(faces[frame])), key=lambda n: -faces[frame][n].box[2:].prod()):
                box = faces[frame][number].box
                overlaps = {t: overlap(box, faces[last][tracks[t][last]].box)
                            for t in free for last in [max(tracks[t])]}  # fmt: skip
                best = max(overlaps, key=overlaps.get, default=None)
                if best is None or overlaps[best] < LEAST_OVERLAP:
                    tracks.append({int(frame): number})
                    continue
                tracks[best][int(frame)] = number
                free.discard(best)
        areas = [sum(faces[f][n].box[2:].prod() for f, n in track.items()) for track in tracks]
        if tracks:
            for frame, number in tracks[int(np.argmax(areas))].items():
                followed[frame] = starts[frame] + number
    return followed


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, width, height), in [0, 1]."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    shared = np.clip(high - low, 0, None).prod()
    return float(shared / max(one[2:].prod() + other[2:].prod() - shared, 1e-9))
