"""Unlabelled faces for masked-autoencoder pretraining: the widest population, every expression, every style.

    faces/000/000000.jpg ...                                                1,000 a folder
    faces/ground_truth.csv                                                  (ours, see `portraits.py`)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from affect_core.synthetic.corpus_config import EmbeddedCorpusConfig
from affect_core.synthetic.expressions import DISPLAYS
from affect_core.synthetic.writers.portraits import draw_still, write_ground_truth
from affect_core.synthetic.writers.staging import Job, Staging, still_jobs

STYLES = {"clean": 0.2, "video": 0.3, "wild": 0.5}
"""Share of each style of scene and camera."""


def jobs(config: EmbeddedCorpusConfig) -> list[Job]:
    """Stills, in pieces."""
    return still_jobs("faces", "unlabelled", config.faces)


def write_job(job: Job, config: EmbeddedCorpusConfig, staging: Staging) -> list[dict]:
    """Render some faces; returns their rows."""
    expressions = config.expressions_in_random_order(
        "faces", job.split, config.faces, dict.fromkeys(DISPLAYS, 1.0)
    )  # fmt: skip
    rows = []
    for index in range(job.first, job.first + job.images):
        style_seed, seed = config.seed_of("faces", job.split, index).spawn(2)
        style = str(np.random.default_rng(style_seed).choice(list(STYLES), p=list(STYLES.values())))
        image = f"{index // 1000:03d}/{index:06d}.jpg"
        picture, row = draw_still(
            seed, image=image, split=job.split, expression=expressions[index], population="faces", style=style,
            size=config.size, annotator_noise=config.annotator_noise, resting=config.resting,
            moustaches=config.moustaches,
        )  # fmt: skip
        staging.save_image(f"faces/{image}", picture)
        rows.append(row)
    return rows


def write_annotations(rows: list[dict], config: EmbeddedCorpusConfig, root: Path) -> None:
    """Nobody labels these; the ground truth is for analysis."""
    write_ground_truth(root / "faces" / "ground_truth.csv", rows)
