"""The embedded corpus in the format of ABAW4's learning-from-synthetic-data challenge: clean to train, wild to test.

    lsd/training_set_synthetic_images/{ANGRER,DISGUST,FEAR,HAPPINESS,SADNESS,SURPRISE}/*.jpg
    lsd/validation_set_real_images/<the same>/*.jpg
    lsd/ground_truth.csv                                                    (ours, see `portraits.py`)

"ANGRER" is the published spelling. The challenge trains on synthetic faces and tests on real ones. Here both are
rendered, and a second gap stands in for the first: training has the narrower population under plain light and camera
(style "clean"), validation people, light, occlusion, blur and cameras that training never shows (style "wild").

The published training set is very skewed (sadness 52 %, fear 4 %); ours is in the same order but mild: frequencies are
proportional to the published counts to the power 0.3, 12 to 26 %.
"""

from __future__ import annotations

from pathlib import Path

from affect_core.labels import LSD_EXPRESSIONS
from affect_core.synthetic.corpus_config import EmbeddedCorpusConfig
from affect_core.synthetic.writers.portraits import draw_still, write_ground_truth
from affect_core.synthetic.writers.staging import Job, Staging, still_jobs

FOLDERS = {"training": "training_set_synthetic_images", "validation": "validation_set_real_images"}
CLASS_FOLDERS = {name: "ANGRER" if name == "anger" else name.upper() for name in LSD_EXPRESSIONS}
STYLES = {"training": "clean", "validation": "wild"}
POPULATIONS = {"training": "lsd_synthetic", "validation": "lsd_real"}

TRAINING_COUNTS = dict(zip(LSD_EXPRESSIONS, (18286, 15150, 10923, 73285, 144631, 14976), strict=True))
"""Published number of training images of each expression."""

SKEW = 0.3

FAINTEST_HERE = 0.7
"""Lowest intensity of a display: this corpus has no neutral class, its faces show an expression at or near its apex."""


def jobs(config: EmbeddedCorpusConfig) -> list[Job]:
    """Stills of both splits, in pieces."""
    return [*still_jobs("lsd", "training", config.lsd_training),
            *still_jobs("lsd", "validation", config.lsd_validation)]  # fmt: skip


def write_job(job: Job, config: EmbeddedCorpusConfig, staging: Staging) -> list[dict]:
    """Render some stills into their class folders; returns their rows."""
    count = config.lsd_training if job.split == "training" else config.lsd_validation
    shares = {name: published**SKEW for name, published in TRAINING_COUNTS.items()}
    expressions = config.expressions_in_random_order("lsd", job.split, count, shares)
    rows = []
    for index in range(job.first, job.first + job.images):
        image = f"{FOLDERS[job.split]}/{CLASS_FOLDERS[expressions[index]]}/{index:06d}.jpg"
        picture, row = draw_still(
            config.seed_of("lsd", job.split, index), image=image, split=job.split, expression=expressions[index],
            population=POPULATIONS[job.split], style=STYLES[job.split], size=config.size,
            annotator_noise=config.annotator_noise, resting=config.resting, faintest=FAINTEST_HERE,
            moustaches=config.moustaches,
        )  # fmt: skip
        staging.save_image(f"lsd/{image}", picture)
        rows.append(row)
    return rows


def write_annotations(rows: list[dict], config: EmbeddedCorpusConfig, root: Path) -> None:
    """The ground truth; the class folders are the annotation."""
    write_ground_truth(root / "lsd" / "ground_truth.csv", rows)
