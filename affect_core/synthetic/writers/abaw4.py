"""The embedded corpus in the format of s-Aff-Wild2, as in the ABAW4 multi-task challenge.

    abaw4/training_set_annotations.txt, validation_set_annotations.txt
    abaw4/cropped_aligned/<video>/<frame>.jpg
    abaw4/ground_truth.csv                                                  (ours, see `portraits.py`)

Annotation files have a header line and rows of 16 comma-separated fields: image, valence, arousal, expression and
twelve action units. "Not annotated" is -5 for valence and arousal and -1 for the rest. How much is missing follows the
published counts; that it is missing for whole stretches of a video is as in reality, the model of it ours
(`annotation_gaps.py`).

Expressions are drawn in proportion to the square root of the published training frequencies: as skewed as the real
ones in order, but with enough of every class to learn from in a hundredth of the frames.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from affect_core.labels import (
    ACTION_UNITS,
    EXPRESSIONS,
    MISSING_ACTION_UNIT,
    MISSING_EXPRESSION,
    MISSING_VALENCE_AROUSAL,
)  # fmt: skip
from affect_core.storage import write_text
from affect_core.synthetic import degradation, people, renderer, scene
from affect_core.synthetic.annotation_gaps import annotated_rows, leave_none_empty
from affect_core.synthetic.circumplex import annotate
from affect_core.synthetic.corpus_config import EmbeddedCorpusConfig
from affect_core.synthetic.dynamics import perform
from affect_core.synthetic.moustaches import with_moustache
from affect_core.synthetic.resting import sample_resting_face
from affect_core.synthetic.writers.portraits import as_rendered, describe, write_ground_truth
from affect_core.synthetic.writers.staging import Job, Staging

FRAMES_PER_SECOND = 30
TRAINING_FREQUENCIES = dict(zip(EXPRESSIONS, (23976, 4555, 3168, 3122, 18135, 7609, 5228, 24852), strict=True))
"""Published number of training frames of each expression."""

ANNOTATED = {
    "training": {"valence_arousal": 103917 / 142333, "expression": 90645 / 142333, "action_units": 103316 / 142333},
    "validation": {"valence_arousal": 1.0, "expression": 15440 / 26876, "action_units": 1.0},
}
"""Share of the published rows that carry each kind of label."""

HEADER = ",".join(["image", "valence", "arousal", "expression", *(f"AU{unit}" for unit in ACTION_UNITS)])
ANNOTATOR_DRIFT_SECONDS = 1.0


def display_probabilities() -> dict[str, float]:
    """Probability of each expression to be the next display of a video (sum 1)."""
    roots = {name: count**0.5 for name, count in TRAINING_FREQUENCIES.items()}
    return {name: root / sum(roots.values()) for name, root in roots.items()}


def jobs(config: EmbeddedCorpusConfig) -> list[Job]:
    """One job a video."""
    counts = {"training": config.abaw4_training_videos, "validation": config.abaw4_validation_videos}
    return [Job("abaw4", split, video, config.frames_per_video)
            for split, count in counts.items() for video in range(count)]  # fmt: skip


def video_name(job: Job, config: EmbeddedCorpusConfig) -> str:
    """Numbered through training and validation, like "video017"."""
    offset = config.abaw4_training_videos if job.split == "validation" else 0
    return f"video{offset + job.first + 1:03d}"


def write_job(job: Job, config: EmbeddedCorpusConfig, staging: Staging) -> list[dict]:
    """Render a video and write its frames; returns their rows.

    Light, background and camera stay for the whole video: each frame is degraded by the same random stream.
    """
    *streams, camera_seed, resting_seed, moustache_seed = config.seed_of("abaw4", job.split, job.first).spawn(7)
    person_rng, scene_rng, performance_rng, annotator_rng = map(np.random.default_rng, streams)
    rest = sample_resting_face(np.random.default_rng(resting_seed), config.resting)
    person = with_moustache(rest.of(people.sample_person(person_rng, "abaw")),
                            np.random.default_rng(moustache_seed), config.moustaches)  # fmt: skip
    setting = scene.sample_scene(scene_rng, "video")
    frames_per_second = FRAMES_PER_SECOND / config.frame_step
    performance = perform(performance_rng, job.images, frames_per_second, display_probabilities())
    smoothing = float(np.exp(-1 / (frames_per_second * ANNOTATOR_DRIFT_SECONDS)))
    noted = annotate(performance.valence_arousal, annotator_rng, config.annotator_noise, smoothing)
    rows = []
    for index in range(job.images):
        action_units = performance.frame(index)
        yaw, pitch, roll = performance.head[index]
        view = dataclasses.replace(
            setting, yaw=setting.yaw + yaw, pitch=setting.pitch + pitch, roll=setting.roll + roll,
            gaze=tuple(np.add(setting.gaze, performance.gaze[index])),
        )  # fmt: skip
        picture = renderer.render(person, rest.under(as_rendered(action_units)), view,
                                  size=config.size, asymmetry=float(performance.asymmetry[index]))  # fmt: skip
        picture = degradation.degrade(picture, np.random.default_rng(camera_seed), "video")
        name = f"{video_name(job, config)}/{1 + index * config.frame_step:05d}.jpg"
        staging.save_image(f"abaw4/cropped_aligned/{name}", picture)
        row = describe(f"cropped_aligned/{name}", job.split, person, view, "video", performance.expression[index],
                       performance.intensity[index], performance.valence_arousal[index], action_units)  # fmt: skip
        row["valence_label"], row["arousal_label"] = noted[index].tolist()
        rows.append(row)
    return rows


def write_annotations(rows: list[dict], config: EmbeddedCorpusConfig, root: Path) -> None:
    """The two label files and the ground truth, once all videos are there."""
    for split in ("training", "validation"):
        of_split = [row for row in rows if row["split"] == split]
        has = draw_annotated(len(of_split), config, split)
        lines = [annotation_line(row, *flags) for row, *flags in zip(of_split, *has.values(), strict=True)]
        write_text(root / "abaw4" / f"{split}_set_annotations.txt", "\n".join([HEADER, *lines]) + "\n")
    write_ground_truth(root / "abaw4" / "ground_truth.csv", rows)


def draw_annotated(frames: int, config: EmbeddedCorpusConfig, split: str) -> dict[str, np.ndarray]:
    """Which of the frames of a split carry which labels: bool (frames,) for each key of `ANNOTATED`."""
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, 101 if split == "training" else 102]))
    videos = np.repeat(np.arange(frames // config.frames_per_video), config.frames_per_video)
    return leave_none_empty({task: annotated_rows(rng, videos, share) for task, share in ANNOTATED[split].items()})


def annotation_line(row: dict, has_valence_arousal: bool, has_expression: bool, has_action_units: bool) -> str:
    """One row of a label file; what is not annotated gets its code."""
    image = row["image"].removeprefix("cropped_aligned/")
    felt = [f"{row['valence_label']:.4f}", f"{row['arousal_label']:.4f}"]
    expression = EXPRESSIONS.index(row["expression"]) if has_expression else MISSING_EXPRESSION
    units = [row[f"AU{unit}"] if has_action_units else MISSING_ACTION_UNIT for unit in ACTION_UNITS]
    felt = felt if has_valence_arousal else [str(MISSING_VALENCE_AROUSAL)] * 2
    return ",".join([image, *felt, str(expression), *map(str, units)])
