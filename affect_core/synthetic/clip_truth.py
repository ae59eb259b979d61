"""What happens in a rendered clip, moment by moment: the same draws as `group_photo.write_clip`, nothing rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from affect_core.labels import ACTION_UNITS, EXPRESSIONS
from affect_core.synthetic.dynamics import perform
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.scene import sample_scene


@dataclass(frozen=True)
class ClipTruth:
    """T frames. times (T,) seconds; expression (T,) index into EXPRESSIONS, -1 while nobody is in the picture;
    action_units (T, 12) intensities, columns ACTION_UNITS, and valence_arousal (T, 2): nan while nobody is there."""

    times: np.ndarray
    expression: np.ndarray
    action_units: np.ndarray
    valence_arousal: np.ndarray

    def at(self, times) -> ClipTruth:
        """The frames nearest to `times` (K,), seconds."""
        rows = np.abs(np.asarray(times, float)[:, None] - self.times).argmin(axis=1)
        return ClipTruth(self.times[rows], self.expression[rows], self.action_units[rows], self.valence_arousal[rows])

    def stretches(self) -> list[tuple[str, np.ndarray]]:
        """Runs of frames with one expression: (its name, rows), in order, without the gaps."""
        runs = [(value, np.array(list(rows))) for value, rows in
                groupby(range(len(self.times)), key=self.expression.__getitem__)]  # fmt: skip
        return [(EXPRESSIONS[value], rows) for value, rows in runs if value >= 0]


def clip_truth(
    rng: np.random.Generator, shots: Sequence[Sequence[str]], *, seconds: float = 3.0,
    away: tuple[float, float] = (1.2, 2.0), frames_per_second: float = 10.0,
) -> ClipTruth:  # fmt: skip
    """The truth of `write_clip` for a generator in the same state and the same arguments."""
    expression, units, plane = [], [], []
    count = round(seconds * frames_per_second)
    moments = np.arange(count) / frames_per_second
    for number, names in enumerate(shots):
        sample_person(rng, "affectnet")
        sample_scene(rng, "clean")
        played = perform(rng, count, frames_per_second, {name: 1 / len(names) for name in names})
        frames = [played.frame(index) for index in range(count)]
        gone = (away[0] <= moments) & (moments <= away[1]) & (number == 0)
        named = np.array([EXPRESSIONS.index(name) for name in played.expression])
        expression.append(np.where(gone, -1, named))
        values = np.array([[frame.get(unit, 0.0) for unit in ACTION_UNITS] for frame in frames])
        units.append(np.where(gone[:, None], np.nan, values))
        plane.append(np.where(gone[:, None], np.nan, played.valence_arousal))
    return ClipTruth(np.arange(count * len(shots)) / frames_per_second, np.concatenate(expression),
                     np.concatenate(units), np.concatenate(plane))  # fmt: skip
