"""What averaging the weights while training (`TrainConfig.ema_decay`) changes: the same trainings, judged both ways.

    python -m benchmarks.ema_effects --run-dir runs/laptop --out results/ema.csv

An average does not touch the training that it follows, so one training gives both answers: its last weights, and their
average. The trainings are short ones of `experiments` (10 % of the labels, 12,000 images seen), five seeds.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from affect_core.batches import FaceBatches, predict_corpus
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.evidence import labelled_share
from affect_core.experiments import IMAGES_SEEN, MAIN_SEEDS
from affect_core.export.tables import write_table
from affect_core.losses import positive_weights
from affect_core.metrics import lsd_score, mtl_score
from affect_core.optim import parameter_groups
from affect_core.stage_corpora import CORPUS_OF_STAGE
from affect_core.stage_losses import cotraining_loss, emma_loss
from affect_core.training import fit
from affect_core.workbook import Workbook, open_workbook
from benchmarks.option_effects import SCORES as MTL_SCORES
from benchmarks.option_effects import over_seeds

DECAY = 0.98
"""About 50 steps are averaged, a quarter of such a training."""
SCORES = {"emma": MTL_SCORES, "cotex": ("expression_f1",)}


def both_ways(stage: str, seed: int, book: Workbook, *, share: float = 0.1, images_seen: int = 0) -> dict[str, float]:
    """Train "emma" or "cotex" once; scores "last <name>" and "averaged <name>" of the validation split."""
    profile, corpus = book.profile, book.corpus(CORPUS_OF_STAGE[stage])
    subset = labelled_share(corpus, share, seed)
    train, validation = subset.split("training"), subset.split("validation")
    epochs = max(1, round((images_seen or IMAGES_SEEN[stage]) / len(train)))
    training = replace(getattr(profile, f"{stage}_training"), seed=seed, epochs=epochs, warmup_epochs=epochs / 6,
                       validate_every=epochs, ema_decay=DECAY)  # fmt: skip
    torch.manual_seed(seed)
    if stage == "emma":
        model, score, answer = EMMA(profile.emma, book.train_prior()[0]), mtl_score, lambda model: model
        known = train.labels.to(book.device)
        loss = partial(emma_loss, pos_weight=positive_weights(known.action_units, known.action_units_valid))
    else:
        model, score = CoTEX(replace(profile.cotex, vocabulary=corpus.labels.vocabulary)), lsd_score
        loss, answer = cotraining_loss, lambda model: model.predict
    model.init_from_mae(book.pretrain_mae()[0])
    size = profile.vit.image_size

    def evaluate(averaged: torch.nn.Module) -> dict[str, float]:
        values = {}
        for name, judged in (("last", model.eval()), ("averaged", averaged)):
            scores = score(predict_corpus(answer(judged), validation, size, book.device), validation.labels)
            values |= {f"{name} {key}": float(scores[key]) for key in SCORES[stage]}
        return values

    record = fit(
        model, FaceBatches(train, getattr(profile, f"{stage}_augmentation"), size, book.device), loss, training,
        book.stage("ema") / f"{stage}-{seed}", evaluate=evaluate, validation=validation.fingerprint,
        groups=parameter_groups(model, weight_decay=training.weight_decay, layer_decay=training.layer_decay or 1.0),
        device=book.device, progress=book.progress,
    )  # fmt: skip
    return {key.removeprefix("validation_"): value for key, value in record.log[-1].items()
            if key.startswith("validation_")}  # fmt: skip


def ema_effects(book: Workbook, seeds: int = MAIN_SEEDS, **options) -> pd.DataFrame:
    """A row for each stage and score: means over seeds; averaged minus last with its 95 % interval over seeds (t)."""
    rows = []
    for stage, names in SCORES.items():
        runs = [both_ways(stage, seed, book, **options) for seed in range(seeds)]
        for name in names:
            last, averaged = (np.array([run[f"{kind} {name}"] for run in runs]) for kind in ("last", "averaged"))
            rows.append({
                "model": {"emma": "EMMA", "cotex": "CoTEX"}[stage], "decay": DECAY, "score": name, "seeds": seeds,
                "last": last.mean(), "averaged": averaged.mean(), **over_seeds(averaged - last),
                "profile": book.profile.name,
            })  # fmt: skip
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 1 after an error, said in a sentence."""
    parser = argparse.ArgumentParser(prog="benchmarks.ema_effects", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--run-dir", default="", help="a run whose MAE and prior are there, or will be trained")
    parser.add_argument("--out", type=Path, required=True, help=".csv or .parquet")
    options = parser.parse_args(arguments)
    try:
        write_table(options.out, ema_effects(open_workbook(options.profile, run_dir=options.run_dir)).round(4))
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
