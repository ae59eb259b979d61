"""How the shipped models are combined, and their scores on people they never saw.

Everything here is computed from the stored (halved) weights. `combination` looks at the validation people of the
`shipped` profile; `scores` at those of the `laptop` profile's corpus, whom no shipped model has met.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import binomtest

from affect_core.batches import predict_corpus
from affect_core.bootstrap import expression_bootstrap, mtl_bootstrap
from affect_core.calibration import expected_calibration_error, fit_thresholds
from affect_core.corpora import Corpus
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.labels import EXPRESSIONS, vocabulary_map
from affect_core.metrics import expression_f1, mtl_score
from affect_core.prediction import Predictor, as_pictures
from affect_core.stages import VALIDATION_NOISE_SEED, predict_expressions
from affect_core.uncertainty import compare_uncertainties
from affect_core.workbook import Workbook

ZOOMS = (1.0,)
CNN_SHARE, COTEX_SHARE = 0.35, 0.25
"""Weights in the combination: chosen, not fitted. See `Predictor`."""

AGES = {"under 18": (0, 18), "18 to 59": (18, 60), "60 and over": (60, 200)}
GENDERS = {"rendered female": (-1, 0.5), "rendered male": (0.5, 2)}
SKIN_TONES = {"lighter third": (-1, 1 / 3), "middle third": (1 / 3, 2 / 3), "darker third": (2 / 3, 2)}


def combination(emma: EMMA, cotex: CoTEX, book: Workbook) -> dict:
    """The fields of `Predictor` beside the models: temperature and thresholds fitted on `book`'s validation faces."""
    predictor = Predictor(emma, cotex, CNN_SHARE, COTEX_SHARE, zooms=ZOOMS)
    faces, target = known_expressions(book.corpus("affectnet").split("validation"))
    logits = predictor(list(faces.images[np.arange(len(faces))])).expression_logits
    videos = book.corpus("abaw4").split("validation")
    units = predictor(list(videos.images[np.arange(len(videos))])).action_unit_logits
    thresholds = fit_thresholds(units, videos.labels.action_units, videos.labels.action_units_valid)
    return {
        "cnn_share": CNN_SHARE, "cotex_share": COTEX_SHARE, "zooms": list(ZOOMS),
        "temperature": round(fit_temperature(logits, target), 3),
        "thresholds": [round(float(threshold), 3) for threshold in thresholds],
    }  # fmt: skip


def known_expressions(corpus: Corpus) -> tuple[Corpus, np.ndarray]:
    """The faces whose expression is one of EXPRESSIONS (contempt is not), and its index there (n,)."""
    column = vocabulary_map(corpus.labels.vocabulary, EXPRESSIONS)[corpus.labels.expression]
    rows = np.flatnonzero((column >= 0) & corpus.labels.expression_valid)
    return corpus.select(rows), column[rows]


def fit_temperature(logits: np.ndarray, target: np.ndarray) -> float:
    """The T > 0 that minimises the cross entropy of softmax(logits / T). Source: Guo et al. 2017."""

    def cross_entropy(log_temperature: float) -> float:
        scaled = log_softmax(logits.astype(np.float64) / np.exp(log_temperature), axis=1)
        return -scaled[np.arange(len(target)), target].mean()

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded").x))


def scores(models: dict, values: dict, book: Workbook, test: Workbook) -> dict:
    """Scores of the stored models on `test`'s validation people, with intervals, by group, and of `predict`.

    `book`: whose validation people uncertainties are compared with the help of.
    """
    size, emma, cotex = test.profile.vit.image_size, models["emma"], models["cotex"]
    videos, stills = (test.corpus(name).split("validation") for name in ("abaw4", "affectnet"))
    lsd, faces = test.corpus("lsd").split("validation"), test.corpus("faces")
    predictor = Predictor(emma, cotex, **values)
    whole = predict_corpus(emma, videos, size)
    prior = predict_expressions(emma.prior.model, stills, size)
    views = predict_corpus(cotex.predict, lsd, size)
    intervals = mtl_bootstrap(whole, videos.labels, videos.table["group"])
    cut = mtl_score(whole, videos.labels, np.array(values["thresholds"]))
    return {
        "mae": {"held-out error": _mae_error(models["mae"], faces, size), "n": min(1000, len(faces))},
        "emma": {name: _plain(interval) for name, interval in intervals.items()}
        | {"action_unit_f1 at the fitted thresholds": cut["action_unit_f1"], "n": len(videos)},
        "prior": {"expression_f1": _plain(expression_bootstrap(prior, stills.labels, stills.table["group"])),
                  "n": len(stills)},
        "cotex": {"expression_f1": _plain(expression_bootstrap(views, lsd.labels, lsd.table["group"])), "n": len(lsd)},
        "predict": _scores_of_predict(predictor, stills, test) | {
            "uncertainties": compare_uncertainties(predictor, _pictures(book), _pictures(test))
        },
    }  # fmt: skip


def _scores_of_predict(predictor: Predictor, stills: Corpus, test: Workbook) -> dict:
    faces, target = known_expressions(stills)
    answer = predictor(list(faces.images[np.arange(len(faces))]))
    predicted, confidence = answer.expression_logits.argmax(axis=1), 1 - answer.uncertainty
    right = predicted == target
    groups = _accuracy_by_group(predictor, test)
    return {
        "expression_f1": float(expression_f1(predicted, target)[np.unique(target)].mean()),
        "expression_accuracy": float(right.mean()), "n": len(faces),
        "calibration error": expected_calibration_error(confidence, right),
        "uncertainty finds errors (AUC)": _auc(answer.uncertainty, ~right),
        "by group": groups, "n by group": sum(row["n"] for row in groups[: len(AGES)]),
    }  # fmt: skip


def _accuracy_by_group(predictor: Predictor, test: Workbook) -> list[dict]:
    """Over all stills of `test`: those that its profile would train on are as new to the shipped models as the rest."""
    faces, target = known_expressions(test.corpus("affectnet"))
    logits = predictor(list(faces.images[np.arange(len(faces))])).expression_logits
    truth = pd.read_csv(test.corpus_folder("affectnet") / "affectnet" / "ground_truth.csv").set_index("image")
    names = faces.table["image"].str.removeprefix("affectnet/")
    return by_group(truth.loc[names], logits.argmax(axis=1) == target)


def _pictures(book: Workbook) -> tuple[np.ndarray, np.ndarray]:
    faces, target = known_expressions(book.corpus("affectnet").split("validation"))
    return as_pictures(list(faces.images[np.arange(len(faces))])), target


def by_group(truth: pd.DataFrame, right: np.ndarray) -> list[dict]:
    """Accuracy in groups of rendered age, gender and skin tone, with a 95 % interval of the binomial (Wilson)."""
    rows = []
    for column, groups in (("age", AGES), ("gender", GENDERS), ("skin_tone", SKIN_TONES)):
        for name, (low, high) in groups.items():
            inside = ((truth[column] >= low) & (truth[column] < high)).to_numpy()
            n, hits = int(inside.sum()), int(right[inside].sum())
            rows.append({"group": f"{column.replace('_', ' ')}: {name}", "n": n, **_wilson(hits, n)})
    return rows


@torch.no_grad()
def _mae_error(mae, faces: Corpus, size: int) -> float:
    from affect_core.augment import prepare

    generator, losses = torch.Generator().manual_seed(VALIDATION_NOISE_SEED), []
    rows = np.arange(min(1000, len(faces)))
    for chunk in np.array_split(rows, max(1, len(rows) // 125)):
        images = prepare(torch.from_numpy(faces.images[chunk]), size)
        losses.append(float(mae(images, generator=generator).loss) * len(chunk))
    return sum(losses) / len(rows)


def _auc(score: np.ndarray, positive: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, score)) if 0 < positive.sum() < len(positive) else float("nan")


def _plain(interval) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in interval._asdict().items()}


def _wilson(hits: int, n: int) -> dict[str, float]:
    if n == 0:
        return {"estimate": float("nan"), "low": float("nan"), "high": float("nan")}
    interval = binomtest(hits, n).proportion_ci(method="wilson")
    return {"estimate": hits / n, "low": float(interval.low), "high": float(interval.high)}
