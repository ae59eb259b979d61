"""Frames of a video file at an even pace, with their times and the cuts between shots."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from affect_core.errors import AffectError

LEAST_CHANGE = 12.0
"""Mean absolute difference of two frames' thumbnails (grey levels, 0 to 255) that a cut has at least ..."""
SUDDENNESS = 4.0
"""... and how many times the typical difference of the frames before it: fast movement alone is no cut."""
CHANGED_SHARE = 0.6
"""Share of the picture that a cut changes at least, by more than `_STIRRED` grey levels: somebody who leaves quickly
changes less."""
_STIRRED = 4.0
_MEMORY = 12
"""Number of earlier differences whose median is the typical one."""
_THUMBNAIL = (32, 24)


@dataclass(frozen=True)
class Frame:
    """time in seconds; pixels (H, W, 3) uint8 RGB; shot counts from 0 and rises at every cut."""

    time: float
    pixels: np.ndarray
    shot: int


class CutDetector:
    """Feed it every frame; it says which begins a new shot.

    Hard cuts only, by an adaptive threshold on the difference of consecutive frames (as in Lienhart 1999 and
    PySceneDetect's adaptive detector); dissolves and fades pass unseen.
    """

    def __init__(self):
        self._last, self._changes = None, deque(maxlen=_MEMORY)

    def starts_shot(self, pixels: np.ndarray) -> bool:
        """Whether a cut lies between the previous frame and this one (H, W, 3) uint8; False for the first."""
        thumbnail = cv2.resize(pixels, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        difference = np.abs(thumbnail - last).mean(axis=2)
        change, share = float(difference.mean()), float((difference > _STIRRED).mean())
        typical = float(np.median(self._changes)) if self._changes else 0.0
        if share >= CHANGED_SHARE and change >= max(LEAST_CHANGE, SUDDENNESS * typical):
            self._changes.clear()
            return True
        self._changes.append(change)
        return False


class VideoFrames:
    """Iterate over it for `Frame`s: the first one, then one whenever 1 / `frames_per_second` has passed.

    Every frame is decoded, for the cuts. After the iteration `cuts` are the times (s) at which shots begin, `duration`
    is in seconds, and `remarks` are sentences about what was not read: frames beyond `longest` seconds, a file that
    ends before it should. Raises AffectError if the file is not there or is no video.
    """

    def __init__(self, path: str | Path, frames_per_second: float = 5.0, longest: float = 120.0):
        self.path = Path(path).expanduser()
        if frames_per_second <= 0 or longest <= 0:
            raise AffectError("frames_per_second and longest must be above 0.")
        if not self.path.is_file():
            raise AffectError(f"{self.path} not found; give the path of a video file.")
        self.step, self.longest = 1.0 / frames_per_second, longest
        self.cuts: list[float] = []
        self.duration = 0.0
        self.remarks: list[str] = []

    def expected(self) -> int:
        """About how many frames will come, by what the file says of itself; 0 if it says nothing."""
        video = cv2.VideoCapture(str(self.path))
        seconds = max(0.0, video.get(cv2.CAP_PROP_FRAME_COUNT)) / _frame_rate(video)
        video.release()
        return int(np.ceil(min(seconds, self.longest) / self.step))

    def __iter__(self) -> Iterator[Frame]:
        self.cuts, self.duration, self.remarks = [], 0.0, []
        video = cv2.VideoCapture(str(self.path))
        try:
            yield from self._sampled(video)
        finally:
            video.release()

    def _sampled(self, video: cv2.VideoCapture) -> Iterator[Frame]:
        detector, next_sample, count = CutDetector(), 0.0, 0
        usual = 1.0 / _frame_rate(video)
        for time, pixels in _decoded(video, usual):
            count += 1
            if time > self.longest:
                self.remarks.append(f"only the first {self.longest:g} s of {self.path.name} were read (longest)")
                return
            if detector.starts_shot(pixels):
                self.cuts.append(time)
                next_sample = time
            self.duration = time + usual
            if time >= next_sample - usual / 4:
                next_sample = max(next_sample + self.step, time + self.step / 2)
                yield Frame(time, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), len(self.cuts))
        promised = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        if count == 0:
            raise AffectError(f"{self.path} is not a video that can be read.")
        if promised > count + 2:
            self.remarks.append(f"{self.path.name} should have {promised} frames, but only {count} could be read")


def _frame_rate(video: cv2.VideoCapture) -> float:
    rate = video.get(cv2.CAP_PROP_FPS)
    return float(rate) if 1 <= rate <= 1000 else 25.0


def _decoded(video: cv2.VideoCapture, usual: float) -> Iterator[tuple[float, np.ndarray]]:
    """(seconds, BGR) of every frame; a time that does not rise, as some files have, is replaced by the usual step."""
    time = -usual
    while True:
        found, pixels = video.read()
        if not found:
            return
        stated = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        time = stated if stated > time + 1e-6 else time + usual
        yield max(time, 0.0), pixels
