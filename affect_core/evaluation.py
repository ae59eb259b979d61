"""The scores of a finished model on the validation set that it is meant for, with intervals, as a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from affect_core.batches import predict_corpus
from affect_core.bootstrap import Interval, expression_bootstrap, group_numbers, mtl_bootstrap, paired_differences
from affect_core.calibration import fit_thresholds, published_thresholds
from affect_core.corpora import Corpus
from affect_core.cotex import CoTEX
from affect_core.dan import DAN
from affect_core.emma import EMMA
from affect_core.emma_thresholds import calibration_sample
from affect_core.errors import AffectError
from affect_core.labels import AffectPrediction
from affect_core.priors import TimmPrior
from affect_core.smoothing import frame_numbers, reach, require_width, smooth_prediction
from affect_core.stages import predict_expressions
from affect_core.storage import read_json
from affect_core.workbook import Workbook

CORPUS_OF = {EMMA: "abaw4", CoTEX: "lsd", DAN: "affectnet", TimmPrior: "affectnet"}

THRESHOLDS = ("half", "fitted", "published")
"""Probabilities above which an action unit counts as active: 0.5, those of `calibration.fit_thresholds` on training
frames, or the published code's constants."""


def evaluate_model(
    model: EMMA | CoTEX | DAN | TimmPrior, book: Workbook, *, smooth: float = 0.0, thresholds: str = "half"
) -> pd.DataFrame:
    """One row a score: model, corpus, source, score, estimate, low, high, images, groups.

    source      "synthetic" for rendered faces, else the name of the corpora's folder
    low, high   95 % interval of a bootstrap over the groups of the corpus (videos, or single images)
    smooth      EMMA: width in frames of an average over time within each video (`smoothing`); 0 is none
    thresholds  EMMA: one of THRESHOLDS
    With one of these two options there is a column `options` and each score has three rows: "none", the options in
    words, and "difference", what they add, both resampled alike.

    Scores are those of `bootstrap.mtl_bootstrap` for an EMMA, the macro F1 of expressions otherwise. Raises AffectError
    for another model, if the corpus names other expressions than the model, or for an option that the model or the
    corpus has no use for (expressions have no thresholds, stills and nameless frames no time).
    """
    if type(model) not in CORPUS_OF:
        raise AffectError(f"a {type(model).__name__} has no score; EMMA, CoTEX, DAN and TimmPrior have")
    name = CORPUS_OF[type(model)]
    _refuse_useless(model, name, smooth, thresholds)
    corpus = book.corpus(name)
    validation = corpus.split("validation")
    groups = validation.table["group"]
    if smooth:
        _refuse_without_time(validation, smooth)
    model = model.to(book.device).eval()
    prediction = _prediction(model, validation, book)
    scores = {"none": _intervals(prediction, validation)}
    if smooth or thresholds != "half":
        other, cut, words = prediction, None, []
        if smooth:
            other = smooth_prediction(prediction, groups, frame_numbers(validation.table["image"]), width=smooth)
            words.append(f"smoothed {smooth:g} frames")
        if thresholds != "half":
            cut, what = _thresholds(model, corpus, book, thresholds)
            words.append(what)
        scores[", ".join(words)] = _intervals(other, validation, cut)
        scores["difference"] = paired_differences(prediction, other, validation.labels, groups, other_thresholds=cut)
    size = {"images": len(validation), "groups": len(np.unique(group_numbers(groups)))}
    table = pd.DataFrame([
        {"model": type(model).__name__, "corpus": name, "source": book.source(name), "options": options,
         "score": score, **interval._asdict(), **size}
        for options, intervals in scores.items() for score, interval in intervals.items()
    ])  # fmt: skip
    return table if len(scores) > 1 else table.drop(columns="options")


def refuse_other_size(path: Path, book: Workbook) -> None:
    """Raise AffectError if the weights at `path`, kept by a training, saw faces of another size than `book`'s profile
    prepares: enlarged or reduced pictures would be scored, and the numbers would be others without a word."""
    record = Path(path).parent / "record.json"
    settings = read_json(record).get("data_settings") if record.exists() else None
    seen, here = (settings or {}).get("size"), book.profile.vit.image_size
    if seen is not None and seen != here:
        raise AffectError(f"{path} was trained on faces of {seen} px, profile {book.profile.name} prepares them for "
                          f"{here}: give the profile of that training (--profile)")  # fmt: skip


def _refuse_useless(model: EMMA | CoTEX | DAN | TimmPrior, name: str, smooth: float, thresholds: str) -> None:
    """Raise AffectError for options that cannot be meant, before anything is opened."""
    if thresholds not in THRESHOLDS:
        raise AffectError(f"thresholds are {', '.join(THRESHOLDS)}, not {thresholds!r}")
    require_width(smooth)
    if smooth and not isinstance(model, EMMA):
        raise AffectError(f"a {type(model).__name__} is scored on {name}, whose images are stills: nothing can be "
                          "smoothed over time")  # fmt: skip
    if thresholds != "half" and not isinstance(model, EMMA):
        raise AffectError(f"a {type(model).__name__} names expressions alone: it has no action units, which thresholds "
                          "are for")  # fmt: skip


def _refuse_without_time(validation: Corpus, width: float) -> None:
    """Raise AffectError unless two images are frames of one video, near enough, and all names hold a frame number."""
    groups = pd.Series(group_numbers(validation.table["group"]))
    if groups.nunique() == len(validation):
        raise AffectError(f"corpus {validation.name} names no videos, each of its {len(validation):,} validation "
                          "images stands alone: nothing can be smoothed over time")  # fmt: skip
    frames = pd.Series(frame_numbers(validation.table["image"]))
    step = frames.sort_values().groupby(groups).diff().min()
    if step > reach(width):
        raise AffectError(f"the frames of a video of corpus {validation.name} lie {step:g} or more apart, smoothing "
                          f"with a width of {width:g} reaches {reach(width)}: nothing would change")  # fmt: skip


def _prediction(model: EMMA | CoTEX | DAN | TimmPrior, validation: Corpus, book: Workbook) -> AffectPrediction:
    if isinstance(model, EMMA):
        return predict_corpus(model, validation, model.config.vit.image_size, book.device)
    labels = validation.labels
    vocabulary = model.config.vocabulary if isinstance(model, CoTEX) else labels.vocabulary
    known = len(vocabulary) if isinstance(model, CoTEX) else model.config.num_classes
    if vocabulary != labels.vocabulary or known != len(labels.vocabulary):
        raise AffectError(
            f"the model tells {known} expressions apart, the corpus {len(labels.vocabulary)}: "
            f"{', '.join(labels.vocabulary)}"
        )
    if isinstance(model, DAN | TimmPrior):
        return predict_expressions(model, validation, book.profile.vit.image_size, book.device)
    return predict_corpus(model.predict, validation, model.config.vit.image_size, book.device)


def _intervals(prediction: AffectPrediction, validation: Corpus, cut: np.ndarray | None = None) -> dict[str, Interval]:
    labels, groups = validation.labels, validation.table["group"]
    if prediction.action_unit_logits is None:
        return {"expression_f1": expression_bootstrap(prediction, labels, groups)}
    return mtl_bootstrap(prediction, labels, groups, cut)


def _thresholds(model: EMMA, corpus: Corpus, book: Workbook, kind: str) -> tuple[np.ndarray, str]:
    """(12,) probabilities, and what they are in words. Raises AffectError if there is nothing to fit them to."""
    if kind == "published":
        return published_thresholds(), "published thresholds"
    sample = calibration_sample(corpus.split("training"))
    labels = sample.labels
    if not labels.action_units_valid.any():
        raise AffectError(f"no training image of corpus {corpus.name} is labelled with action units: there is nothing "
                          "to fit thresholds to")  # fmt: skip
    logits = predict_corpus(model, sample, model.config.vit.image_size, book.device).action_unit_logits
    fitted = fit_thresholds(logits, labels.action_units, labels.action_units_valid)
    return fitted, f"thresholds fitted to {len(sample)} training frames"
