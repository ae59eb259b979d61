"""How a face moves: one person's action units, head and eyes over the frames of a video.

A performance is a sequence of displays (`expressions.draw_display`) with rests between them. Every action unit of a
display follows its own smooth onset, apex and offset, a little before or after the others, as facial muscles do.
Over that come movements that carry no affect: speech (lips and jaw in bursts), blinks (AU45: closed for a fifth of a
second) and the slow drift of head and gaze. Valence and arousal follow the action units of the displays, not speech and
blinks. A frame is labelled neutral where its display is weaker than `NEUTRAL_BELOW`.

All durations are in seconds and ours; order of magnitude after the literature on facial dynamics (macro-expressions
last about 0.5 to 4 s, blinks 0.1 to 0.4 s and come about 15 times a minute; from memory, unverified).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from affect_core.synthetic.circumplex import valence_arousal
from affect_core.synthetic.expressions import RENDERED_ACTION_UNITS, Display, draw_display

NEUTRAL_BELOW = 0.25
"""A frame whose display has momentarily less intensity than this is labelled neutral (FACS grade A or nothing)."""

BLINK = 45
PERFORMED_ACTION_UNITS = (*RENDERED_ACTION_UNITS, BLINK)
"""Columns of `Performance.action_units`. 45 is a blink: rendered like 43, counted apart because it means nothing."""

BLINKS_PER_SECOND = 0.25
BLINK_SECONDS = 0.2
SPEAKER_PROBABILITY = 0.4
LAG_SECONDS = 0.08
_COLUMN = {unit: column for column, unit in enumerate(PERFORMED_ACTION_UNITS)}


@dataclass(frozen=True)
class Performance:
    """T frames of one face. Angles in radians, relative to the pose and gaze that the scene starts with.

    action_units     (T, len(PERFORMED_ACTION_UNITS)) in [0, 1]
    asymmetry        (T,) in [-1, 1], as in `Display`
    expression       (T,) names, the label of each frame
    intensity        (T,) in [0, 1], of the display at that moment
    valence_arousal  (T, 2) in (-1, 1), without annotator noise
    head             (T, 3) yaw, pitch, roll
    gaze             (T, 2) yaw, pitch
    """

    action_units: np.ndarray
    asymmetry: np.ndarray
    expression: list[str]
    intensity: np.ndarray
    valence_arousal: np.ndarray
    head: np.ndarray
    gaze: np.ndarray

    def __len__(self) -> int:
        return len(self.intensity)

    def frame(self, index: int) -> dict[int, float]:
        """Intensities of the units that move in a frame, by FACS number (45 for a blink)."""
        row = self.action_units[index]
        return {unit: float(value) for unit, value in zip(PERFORMED_ACTION_UNITS, row, strict=True) if value > 0.0}


def envelope(seconds: np.ndarray, start: float, onset: float, apex: float, offset: float) -> np.ndarray:
    """Onset-apex-offset curve at times `seconds` (T,): 0 before `start`, smooth rise over `onset`, 1 during `apex`,
    smooth fall over `offset`, 0 after. Durations in seconds, onset and offset > 0. Steps are 3 u^2 - 2 u^3."""
    rise = np.clip((seconds - start) / onset, 0.0, 1.0)
    fall = np.clip((seconds - start - onset - apex) / offset, 0.0, 1.0)
    return rise**2 * (3 - 2 * rise) * (1 - fall**2 * (3 - 2 * fall))


def perform(
    rng: np.random.Generator, frames: int, frames_per_second: float, probabilities: Mapping[str, float]
) -> Performance:
    """Draw a performance of `frames` frames.

    probabilities: of each expression to be the next display, summing to 1; "neutral" is a longer rest.
    The video may begin in the middle of a display, as a cut from a longer recording does.
    """
    seconds = np.arange(frames) / frames_per_second
    action_units = np.zeros((frames, len(PERFORMED_ACTION_UNITS)))
    asymmetry, intensity = np.zeros(frames), np.zeros(frames)
    expression = ["neutral"] * frames
    names, weights = list(probabilities), np.array(list(probabilities.values()))
    now = -rng.uniform(0.0, 2.5)
    while now < frames / frames_per_second:
        name = names[rng.choice(len(names), p=weights / weights.sum())]
        display = draw_display(rng, name)
        duration = _perform_display(rng, display, now, seconds, action_units, asymmetry, intensity, expression)
        now += duration
    action_units = np.clip(action_units, 0.0, 1.0)
    felt = [valence_arousal(dict(zip(PERFORMED_ACTION_UNITS, row, strict=True)), side)
            for row, side in zip(action_units, asymmetry, strict=True)]  # fmt: skip
    _speak(rng, seconds, action_units)
    _blink(rng, seconds, action_units)
    return Performance(
        action_units=np.clip(action_units, 0.0, 1.0), asymmetry=np.clip(asymmetry, -1.0, 1.0), expression=expression,
        intensity=intensity, valence_arousal=np.array(felt).reshape(frames, 2),
        head=_drift(rng, seconds, scale=np.array([0.10, 0.06, 0.04]), correlation_seconds=1.5),
        gaze=_drift(rng, seconds, scale=np.array([0.06, 0.04]), correlation_seconds=0.5),
    )  # fmt: skip


def _perform_display(
    rng: np.random.Generator, display: Display, start: float, seconds: np.ndarray,
    action_units: np.ndarray, asymmetry: np.ndarray, intensity: np.ndarray, expression: list[str],
) -> float:  # fmt: skip
    """Add one display to the arrays in place; returns the seconds until the next one may start."""
    onset, offset = rng.uniform(0.25, 0.8), rng.uniform(0.4, 1.2)
    apex = rng.uniform(0.8, 2.5) if display.expression == "neutral" else 0.8 + rng.gamma(2.0, 0.8)
    swell = 1.0 + 0.08 * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * seconds + rng.uniform(0.0, 2 * np.pi))
    whole = envelope(seconds, start, onset, apex, offset)
    for unit, value in display.action_units.items():
        lag = rng.normal(0.0, LAG_SECONDS)
        pace = np.exp(rng.normal(0.0, 0.15))
        curve = envelope(seconds, start + lag, onset * pace, apex, offset * pace)
        action_units[:, _COLUMN[unit]] += value * curve * swell
    asymmetry += display.asymmetry * (whole > 0) * (1.0 if display.expression == "contempt" else whole)
    momentary = display.intensity * whole
    for frame in np.flatnonzero(momentary >= NEUTRAL_BELOW):
        expression[frame] = display.expression
    np.maximum(intensity, momentary, out=intensity)
    rest = rng.uniform(0.3, 1.2) if rng.random() < 0.5 else 0.0
    return onset + apex + offset + rest


def _speak(rng: np.random.Generator, seconds: np.ndarray, action_units: np.ndarray) -> None:
    """Bursts of speech: lips (25) and jaw (26) open and close about four times a second."""
    if len(seconds) == 0 or rng.random() >= SPEAKER_PROBABILITY:
        return
    now = rng.uniform(-1.0, 3.0)
    while now < seconds[-1]:
        length = rng.uniform(0.8, 3.0)
        burst = envelope(seconds, now, 0.15, length, 0.15)
        syllables = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(3.0, 5.0) * seconds + rng.uniform(0.0, 2 * np.pi))
        action_units[:, _COLUMN[25]] += rng.uniform(0.3, 0.7) * burst * syllables
        action_units[:, _COLUMN[26]] += rng.uniform(0.1, 0.5) * burst * syllables
        now += length + rng.uniform(0.5, 4.0)


def _blink(rng: np.random.Generator, seconds: np.ndarray, action_units: np.ndarray) -> None:
    now = rng.exponential(1 / BLINKS_PER_SECOND)
    while len(seconds) and now < seconds[-1]:
        closed = np.clip(1.5 * (1 - np.abs(seconds - now) / (BLINK_SECONDS / 2)), 0.0, 1.0)
        np.maximum(action_units[:, _COLUMN[BLINK]], closed, out=action_units[:, _COLUMN[BLINK]])
        now += BLINK_SECONDS + rng.exponential(1 / BLINKS_PER_SECOND)


def _drift(
    rng: np.random.Generator, seconds: np.ndarray, scale: np.ndarray, correlation_seconds: float
) -> np.ndarray:
    """Ornstein-Uhlenbeck process (T, len(scale)) with stationary standard deviation `scale`, in radians."""
    shocks = rng.normal(0.0, 1.0, (len(seconds), len(scale)))
    step = seconds[1] - seconds[0] if len(seconds) > 1 else correlation_seconds
    keep = np.exp(-step / correlation_seconds)
    path = shocks.copy()
    for frame in range(1, len(seconds)):
        path[frame] = keep * path[frame - 1] + np.sqrt(1 - keep**2) * shocks[frame]
    return path * scale
