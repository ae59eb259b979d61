"""The scores of a finished model on the validation set that it is meant for, with intervals, as a table."""

from __future__ import annotations

import pandas as pd

from affect_core.batches import predict_corpus
from affect_core.bootstrap import Interval, expression_bootstrap, mtl_bootstrap
from affect_core.corpora import Corpus
from affect_core.cotex import CoTEX
from affect_core.dan import DAN
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.priors import TimmPrior
from affect_core.stages import predict_expressions
from affect_core.workbook import Workbook

CORPUS_OF = {EMMA: "abaw4", CoTEX: "lsd", DAN: "affectnet", TimmPrior: "affectnet"}


def evaluate_model(model: EMMA | CoTEX | DAN | TimmPrior, book: Workbook) -> pd.DataFrame:
    """One row a score: model, corpus, source, score, estimate, low, high, images, groups.

    source     "synthetic" for rendered faces, else the name of the corpora's folder
    low, high  95 % interval of a bootstrap over the groups of the corpus (videos, or single images)
    Scores are those of `bootstrap.mtl_bootstrap` for an EMMA, the macro F1 of expressions otherwise. Raises AffectError
    for another model, or if the corpus names other expressions than the model.
    """
    if type(model) not in CORPUS_OF:
        raise AffectError(f"a {type(model).__name__} has no score; EMMA, CoTEX, DAN and TimmPrior have")
    name = CORPUS_OF[type(model)]
    validation = book.corpus(name).split("validation")
    groups = validation.table["group"]
    intervals = _intervals(model.to(book.device).eval(), validation, book)
    return pd.DataFrame([
        {"model": type(model).__name__, "corpus": name, "source": book.source(name), "score": score,
         **interval._asdict(), "images": len(validation), "groups": groups.nunique()}
        for score, interval in intervals.items()
    ])  # fmt: skip


def _intervals(model: EMMA | CoTEX | DAN | TimmPrior, validation: Corpus, book: Workbook) -> dict[str, Interval]:
    labels, groups = validation.labels, validation.table["group"]
    if isinstance(model, EMMA):
        prediction = predict_corpus(model, validation, model.config.vit.image_size, book.device)
        return mtl_bootstrap(prediction, labels, groups)
    vocabulary = model.config.vocabulary if isinstance(model, CoTEX) else labels.vocabulary
    known = len(vocabulary) if isinstance(model, CoTEX) else model.config.num_classes
    if vocabulary != labels.vocabulary or known != len(labels.vocabulary):
        raise AffectError(
            f"the model tells {known} expressions apart, the corpus {len(labels.vocabulary)}: "
            f"{', '.join(labels.vocabulary)}"
        )
    if isinstance(model, DAN | TimmPrior):
        prediction = predict_expressions(model, validation, book.profile.vit.image_size, book.device)
    else:
        prediction = predict_corpus(model.predict, validation, model.config.vit.image_size, book.device)
    return {"expression_f1": expression_bootstrap(prediction, labels, groups)}
