"""What options beside the paper change on a finished run: smoothing, thresholds, average over masks.

    python -m benchmarks.option_effects --weights shipped --out results/options.csv

Every setting that was tried is a row; none is chosen here, so no row is better than it is. The other two options are
trainings: several views are cells of `experiments`, the moving average of weights is `TrainConfig.ema_decay`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student
from torch import Tensor

from affect_core.batches import predict_corpus
from affect_core.bootstrap import paired_differences, resampled_scores
from affect_core.calibration import fit_thresholds, published_thresholds
from affect_core.corpora import Corpus
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.emma_thresholds import calibration_sample
from affect_core.errors import AffectError
from affect_core.export.tables import write_table
from affect_core.labels import AffectPrediction
from affect_core.masked_average import average_over_masks
from affect_core.smoothing import frame_numbers, smooth_prediction
from affect_core.workbook import Workbook, open_workbook

WIDTHS = (5.0, 10.0, 20.0)
"""Widths of smoothing, frames."""
MASK_RATIOS = (0.25, 0.5)
DRAWS = 4
SCORES = ("p_mtl", "valence_arousal_ccc", "expression_f1", "action_unit_f1")


def option_effects(emma: EMMA, cotex: CoTEX, book: Workbook, *, resamples: int = 2000) -> pd.DataFrame:
    """One row for each option, setting and score, on the validation sets of abaw4 (EMMA) and lsd (CoTEX).

    plain, with_option      the score on all images
    difference, low, high   with option minus plain, and its 95 % interval: both resampled alike, over videos or images
    images, groups          what the scores are of
    """
    parts = [_emma_effects(emma, book, resamples), _cotex_effects(cotex, book, resamples)]
    return pd.concat(parts, ignore_index=True)


def _emma_effects(emma: EMMA, book: Workbook, resamples: int) -> pd.DataFrame:
    emma = emma.to(book.device).eval()
    size, corpus = emma.config.vit.image_size, book.corpus("abaw4")
    validation, sample = corpus.split("validation"), calibration_sample(corpus.split("training"))
    plain, seen = (predict_corpus(emma, part, size, book.device) for part in (validation, sample))
    fitted = fit_thresholds(seen.action_unit_logits, sample.labels.action_units, sample.labels.action_units_valid)
    videos, frames = validation.table["group"], frame_numbers(validation.table["image"])
    smooth = {width: smooth_prediction(plain, videos, frames, width=width) for width in WIDTHS}
    options = [("smoothing", f"{width:g} frames", smooth[width], None) for width in WIDTHS]
    options += [("thresholds", f"fitted to {len(sample)} training frames", plain, fitted),
                ("thresholds", "published constants", plain, published_thresholds())]  # fmt: skip
    options += [("smoothing and thresholds", f"{width:g} frames, fitted", smooth[width], fitted) for width in WIDTHS]
    options += _masked(emma, validation, size, book.device)
    return _rows("EMMA", plain, options, validation, book.source("abaw4"), resamples)


def _cotex_effects(cotex: CoTEX, book: Workbook, resamples: int) -> pd.DataFrame:
    cotex = cotex.to(book.device).eval()
    size, validation = cotex.config.vit.image_size, book.corpus("lsd").split("validation")
    plain = predict_corpus(cotex.predict, validation, size, book.device)
    return _rows("CoTEX", plain, _masked(cotex, validation, size, book.device), validation, book.source("lsd"),
                 resamples)  # fmt: skip


def _masked(model: EMMA | CoTEX, validation: Corpus, size: int, device: torch.device) -> list[tuple]:
    def predictor(ratio: float) -> Callable[[Tensor], AffectPrediction]:
        generator = torch.Generator().manual_seed(0)
        return lambda images: average_over_masks(model, images, mask_ratio=ratio, draws=DRAWS, generator=generator)

    return [("average over masks", f"{DRAWS} masks, ratio {ratio:g}",
             predict_corpus(predictor(ratio), validation, size, device), None) for ratio in MASK_RATIOS]  # fmt: skip


def _rows(
    model: str, plain: AffectPrediction, options: list[tuple], validation: Corpus, source: str, resamples: int
) -> pd.DataFrame:
    labels, groups = validation.labels, validation.table["group"]
    before, _ = resampled_scores(plain, labels, groups, resamples=1)
    rows = []
    for option, setting, prediction, thresholds in options:
        effects = paired_differences(plain, prediction, labels, groups, other_thresholds=thresholds,
                                     resamples=resamples)  # fmt: skip
        for score in (name for name in SCORES if name in effects):
            difference, low, high = effects[score]
            rows.append({
                "model": model, "option": option, "setting": setting, "score": score, "plain": before[score],
                "with_option": before[score] + difference, "difference": difference, "low": low, "high": high,
                "images": len(validation), "groups": groups.nunique(), "corpus": f"{validation.name} ({source})",
            })  # fmt: skip
    return pd.DataFrame(rows)


def over_seeds(differences: np.ndarray) -> dict[str, float]:
    """difference, low, high: the mean of one difference a seed, (seeds,), and its 95 % interval (Student's t)."""
    seeds = len(differences)
    half = student.ppf(0.975, seeds - 1) * np.std(differences, ddof=1) / seeds**0.5
    mean = np.mean(differences)
    return {"difference": mean, "low": mean - half, "high": mean + half}


def write_effects(module: str, doc: str, measure: Callable[..., pd.DataFrame], arguments, **columns) -> int:
    """The command of `module`: writes what `measure` of EMMA, CoTEX and a workbook finds; its exit status, 0 or 1."""
    parser = argparse.ArgumentParser(prog=module, description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--corpus-root", default="")
    parser.add_argument("--run-dir", default="")
    parser.add_argument("--weights", choices=("fresh", "shipped"), default="shipped")
    parser.add_argument("--out", type=Path, required=True, help=".csv or .parquet")
    options = parser.parse_args(arguments)
    try:
        book = open_workbook(options.profile, options.corpus_root, options.run_dir, weights=options.weights)
        effects = measure(book.train_emma()[0], book.train_cotex()[0], book)
        weights = "shipped (data/weights)" if options.weights == "shipped" else f"run {book.run_dir.name}"
        write_table(options.out, effects.assign(weights=weights, profile=book.profile.name, **columns).round(4))
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 1 after an error, said in a sentence."""
    return write_effects("benchmarks.option_effects", __doc__, option_effects, arguments)


if __name__ == "__main__":
    sys.exit(main())
