"""What tokens in bf16 between the blocks (`hardware.narrowed`, for GPUs) change in learning: trainings both ways.

    python -m benchmarks.narrow_effects --out results/narrow.csv

On any device with bf16, so that several seeds can be had without a GPU: MAE as the profile pretrains it, then EMMA from
it on 10 % of the labels (12,000 images seen, as in `experiments`). On a CPU it is a little coarser than on a GPU: there
norms of bf16 tokens answer in bf16, not in float32.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pandas as pd
import torch
from torch import Tensor

from affect_core.attention import narrows
from affect_core.errors import AffectError
from affect_core.evidence import labelled_share
from affect_core.experiments import IMAGES_SEEN
from affect_core.export.tables import write_table
from affect_core.hardware import has_bf16
from affect_core.stages import pretrain_mae, train_emma
from affect_core.workbook import Workbook, open_workbook
from benchmarks.option_effects import SCORES as MTL_SCORES
from benchmarks.option_effects import over_seeds

SCORES = ("mae_loss", *MTL_SCORES)


def in_autocast_type(tokens: Tensor) -> Tensor:
    """Tokens in bf16 under autocast to it, on any device."""
    return tokens.to(torch.bfloat16) if narrows(tokens.device.type) else tokens


def as_they_are(tokens: Tensor) -> Tensor:
    """Tokens in the type that they have."""
    return tokens


def trained(seed: int, narrow: bool, book: Workbook, *, share: float = 0.1) -> dict[str, float]:
    """The scores of one MAE and one EMMA; mae_loss is the last epoch's training loss."""
    profile, directory = book.profile, book.stage("narrow") / f"{'bf16' if narrow else 'fp32'}-{seed}"
    options = {"device": book.device, "progress": book.progress}
    with ExitStack() as patched:
        for module in ("mae", "vit"):
            patched.enter_context(mock.patch(f"affect_core.{module}.narrowed",
                                             in_autocast_type if narrow else as_they_are))  # fmt: skip
        torch.manual_seed(seed)
        mae, pretraining = pretrain_mae(
            profile.mae, replace(profile.mae_training, seed=seed), profile.mae_augmentation, book.corpus("faces"),
            directory / "mae", **options)  # fmt: skip
        subset = labelled_share(book.corpus("abaw4"), share, seed)
        epochs = max(1, round(IMAGES_SEEN["emma"] / len(subset.split("training"))))
        training = replace(profile.emma_training, seed=seed, epochs=epochs, warmup_epochs=epochs / 6,
                           validate_every=epochs)  # fmt: skip
        torch.manual_seed(seed)
        _, record = train_emma(profile.emma, training, profile.emma_augmentation, subset, directory / "emma",
                               prior=book.train_prior()[0], mae=mae, **options)  # fmt: skip
    scores = {name: record.best[f"validation_{name}"] for name in MTL_SCORES}
    return {"mae_loss": pretraining.log[-1]["train_total"], **scores}


def narrow_effects(book: Workbook, seeds: int = 5, **options) -> pd.DataFrame:
    """A row for each score: means over seeds; bf16 minus fp32 with its 95 % interval over seeds (t).

    Raises AffectError where the device has no bf16: both would be one training.
    """
    if not has_bf16(book.device):
        raise AffectError(f"{book.device} does not multiply bf16 matrices, so there is nothing to compare")
    fp32, bf16 = (pd.DataFrame([trained(seed, narrow, book, **options) for seed in range(seeds)])
                  for narrow in (False, True))  # fmt: skip
    return pd.DataFrame([
        {"score": name, "seeds": seeds, "fp32": fp32[name].mean(), "bf16": bf16[name].mean(),
         **over_seeds((bf16[name] - fp32[name]).to_numpy()), "profile": book.profile.name} for name in SCORES
    ])  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 1 after an error, said in a sentence."""
    parser = argparse.ArgumentParser(prog="benchmarks.narrow_effects", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--run-dir", default="", help="a run whose prior is there, or will be trained")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True, help=".csv or .parquet")
    options = parser.parse_args(arguments)
    try:
        book = open_workbook(options.profile, run_dir=options.run_dir)
        write_table(options.out, narrow_effects(book, options.seeds).round(5))
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
