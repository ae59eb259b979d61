"""Which frames of a video corpus carry which labels: in runs within a video, in exact proportion over the corpus.

In s-Aff-Wild2 a video was often annotated for some tasks only, and within a video labels come and go in stretches. The
model: each task has a Gaussian score along every video (a level of the video plus a level of each stretch); the frames
with the highest scores, as many as the published share asks for, are annotated. The shares are published, the model of
the stretches is ours.
"""

from __future__ import annotations

import numpy as np

VIDEO_VARIANCE = 0.6
"""Share of the score's variance that is common to a whole video."""

STRETCH_FRAMES = 15
"""Mean length of a stretch of equal score, in written frames."""


def annotated_rows(rng: np.random.Generator, videos: np.ndarray, share: float) -> np.ndarray:
    """bool (N,): round(share x N) rows are True.

    videos: (N,) integers, the video of each row; the rows of a video follow one another. share: in [0, 1].
    """
    n = len(videos)
    if n == 0:
        return np.zeros(0, bool)
    new_video = np.append(True, videos[1:] != videos[:-1])
    new_stretch = new_video | (rng.random(n) < 1 / STRETCH_FRAMES)
    video, stretch = np.cumsum(new_video) - 1, np.cumsum(new_stretch) - 1
    of_video, of_stretch = rng.normal(size=n)[video], rng.normal(size=n)[stretch]
    score = np.sqrt(VIDEO_VARIANCE) * of_video + np.sqrt(1 - VIDEO_VARIANCE) * of_stretch
    chosen = np.zeros(n, bool)
    chosen[np.argsort(-score, kind="stable")[: round(share * n)]] = True
    return chosen


def leave_none_empty(annotated: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same with every row annotated for something, as in the published files.

    A row without any label trades places with the nearest row that has several, all rows of a stretch for the same
    task: proportions stay. If there are not enough such rows (few labels in all) some rows stay empty.
    """
    result = {task: mask.copy() for task, mask in annotated.items()}
    counts = sum(mask.astype(int) for mask in result.values())
    tasks = list(result)
    empty = np.flatnonzero(counts == 0)
    turns = np.cumsum(np.diff(empty, prepend=empty[:1]) > 1)
    for turn, row in zip(turns, empty, strict=True):
        for task in tasks[turn % len(tasks) :] + tasks[: turn % len(tasks)]:
            donors = np.flatnonzero(result[task] & (counts > 1))
            if len(donors):
                donor = donors[np.argmin(np.abs(donors - row))]
                result[task][donor], result[task][row] = False, True
                counts[donor] -= 1
                counts[row] = 1
                break
    return result
