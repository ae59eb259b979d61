"""The embedded corpus in the format of AffectNet's 2021 edition: a wider population of stills than the videos'.

    affectnet/{train,val}_set/images/ID.jpg
    affectnet/{train,val}_set/annotations/ID_exp.npy, ID_val.npy, ID_aro.npy
    affectnet/ground_truth.csv                                              (ours, see `portraits.py`)

As in that edition, each annotation is a zero-dimensional array of *text*: "4", "-0.174603" (from memory, unverified;
a reader should take numbers as well). Codes follow `labels.AFFECTNET_EXPRESSIONS`, contempt being 7.

Two differences from the real corpus, both on purpose: the eight expressions are equally frequent in both splits (in
AffectNet only validation is; happiness makes up nearly half of training), so that a small corpus teaches all of them;
and there is no `ID_lnd.npy`, because we have no counterpart of its 68 landmarks on the mesh and invent none.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from affect_core.labels import AFFECTNET_EXPRESSIONS
from affect_core.synthetic.corpus_config import EmbeddedCorpusConfig
from affect_core.synthetic.writers.portraits import draw_still, write_ground_truth
from affect_core.synthetic.writers.staging import Job, Staging, still_jobs

FOLDERS = {"training": "train_set", "validation": "val_set"}


def jobs(config: EmbeddedCorpusConfig) -> list[Job]:
    """Stills of both splits, in pieces."""
    return [*still_jobs("affectnet", "training", config.affectnet_training),
            *still_jobs("affectnet", "validation", config.affectnet_validation)]  # fmt: skip


def write_job(job: Job, config: EmbeddedCorpusConfig, staging: Staging) -> list[dict]:
    """Render some stills and write them with their annotations; returns their rows."""
    count = config.affectnet_training if job.split == "training" else config.affectnet_validation
    expressions = config.expressions_in_random_order(
        "affectnet", job.split, count, dict.fromkeys(AFFECTNET_EXPRESSIONS, 1.0)
    )  # fmt: skip
    rows = []
    for index in range(job.first, job.first + job.images):
        image = f"{FOLDERS[job.split]}/images/{index}.jpg"
        picture, row = draw_still(
            config.seed_of("affectnet", job.split, index), image=image, split=job.split, expression=expressions[index],
            population="affectnet", style="wild", size=config.size, annotator_noise=config.annotator_noise,
            resting=config.resting,
            moustaches=config.moustaches,
        )  # fmt: skip
        staging.save_image(f"affectnet/{image}", picture)
        annotations = {
            "exp": str(AFFECTNET_EXPRESSIONS.index(row["expression"])),
            "val": f"{row['valence_label']:.6f}",
            "aro": f"{row['arousal_label']:.6f}",
        }
        for kind, text in annotations.items():
            path = f"affectnet/{FOLDERS[job.split]}/annotations/{index}_{kind}.npy"
            staging.save_bytes(path, _npy(np.array(text)))
        rows.append(row)
    return rows


def write_annotations(rows: list[dict], config: EmbeddedCorpusConfig, root: Path) -> None:
    """The ground truth; the annotations stand beside their images already."""
    write_ground_truth(root / "affectnet" / "ground_truth.csv", rows)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
