"""What is said about the shipped weights: how they are combined, their scores on people they never saw, model cards.

Everything here is computed from the stored (halved) weights. `combination` looks at the validation people of the
`shipped` profile; `scores` and the cards at those of the `laptop` profile's corpus, whom no shipped model has met.
"""

from __future__ import annotations

from pathlib import Path

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
from affect_core.storage import read_json, write_text
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


def write_cards(folder: Path) -> None:
    """`README.md` of a weights folder and a card for each model, from `scores.json`, `training.json`, ..."""
    folder = Path(folder)
    facts = {name: read_json(folder / f"{name}.json") for name in ("scores", "training", "combination", "corpus")}
    for name, (title, task) in _TITLES.items():
        write_text(folder / f"{name}.md", _card(name, title, task, facts))
    write_text(folder / "predict.md", _predict_card(facts))


_TITLES = {
    "mae": ("MAE", "reconstructs hidden patches of a face; its encoder is where EMMA and CoTEX start. "
                   "`mae.safetensors`, encoder and decoder"),
    "prior": ("DAN, the expression prior", "eight expressions in AffectNet's order. It is the frozen network inside "
                                           "`emma.safetensors` (`shipped_model(\"prior\")`)"),
    "emma": ("EMMA", "eight expressions, twelve action units, valence and arousal. `emma.safetensors`, with its prior"),
    "cotex": ("CoTEX", "six expressions from two views. `cotex.safetensors`"),
}  # fmt: skip

_USE = """## Intended use, and what it is not for

Teaching, trying the workbook without training, a start for fine-tuning. The model was trained on rendered faces alone
and has never seen a photograph. It reads the *look* of a face; what a person feels cannot be told from that. Do not
use it to judge, select, monitor or diagnose people.
"""


def _card(name: str, title: str, task: str, facts: dict) -> str:
    training = facts["training"][name]
    phases = [_phase_row(phase) for phase in training["phases"]]
    commits = ", ".join(dict.fromkeys(str(phase["environment"]["commit"]) for phase in training["phases"]))
    return "\n".join([
        f"# {title}\n", f"What it does: {task}.\n",
        "| | |", "| --- | --- |",
        f"| data | {training['images']:,} rendered faces of the `shipped` profile, seed {facts['corpus']['seed']}; no "
        "photograph |",
        f"| command | `python -m affect_core.shipped train`{', `finish`' if len(phases) > 1 else ''}, `export` |",
        f"| seed, kept epoch | {training['training']['seed']}, {training['best_epoch']} of {len(training['log'])} |",
        *phases,
        f"| made at | commit {commits} |",
        "| licence | Apache-2.0 |", "",
        "## Scores on rendered people it never saw (validation of the `laptop` corpus)\n",
        *_score_rows(facts["scores"][name]), "", _USE, _FAIRNESS_POINTER,
    ])  # fmt: skip


def _phase_row(phase: dict) -> str:
    settings, environment = phase["training"], phase["environment"]
    cut = f" of {settings['epochs']}, then interrupted" if phase["epochs"] < settings["epochs"] else ""
    return (
        f"| trained for | {phase['epochs']} epochs{cut}; batch {settings['batch_size']}, rate "
        f"{settings['base_learning_rate']:g} for 256 images; {phase['seconds'] / 60:.0f} minutes, "
        f"{phase['precision']}, {environment['hardware']}, torch {environment['packages']['torch']} |"
    )


_FAIRNESS_POINTER = "Scores by rendered age, gender and skin tone: `predict.md`, for the combined answer.\n"


def _score_rows(values: dict) -> list[str]:
    rows = ["| score | value [95 %] |", "| --- | --- |"]
    for name, value in values.items():
        if isinstance(value, dict):
            rows.append(f"| {name} | {value['estimate']:.3f} [{value['low']:.3f}, {value['high']:.3f}] |")
        else:
            rows.append(f"| {name} | {value if isinstance(value, int) else format(value, '.3f')} |")
    return rows


def _predict_card(facts: dict) -> str:
    values, combined = facts["scores"]["predict"], facts["combination"]
    groups = [f"| {row['group']} | {row['n']} | {row['estimate']:.3f} [{row['low']:.3f}, {row['high']:.3f}] |"
              for row in values["by group"]]  # fmt: skip
    plain = {name: value for name, value in values.items() if name not in ("by group", "n by group", "uncertainties")}
    uncertainties = [f"| {row['uncertainty']} | {row['AUC']:.3f} | {row['calibration error']:.3f} |"
                     for row in values["uncertainties"]]  # fmt: skip
    zooms = ", ".join(f"{zoom:g}" for zoom in combined["zooms"])
    return _PREDICT.format(
        **combined | {"zooms": zooms}, use=_USE, scores="\n".join(_score_rows(plain)), groups="\n".join(groups),
        uncertainties="\n".join(uncertainties),
    )


_PREDICT = """# predict: the shipped models together

`affect_core.predict(images)` averages EMMA's two expression answers (the CNN's share {cnn_share:g}), lets CoTEX speak
(share {cotex_share:g}) about its six expressions, divides by the temperature {temperature:g}, and takes action units,
valence and arousal from EMMA, over crops of zoom {zooms} and their mirror images.

## On rendered people that no shipped model saw (AffectNet's expressions without contempt)

{scores}

## Which uncertainty finds the errors

Area under the ROC curve for finding wrong answers, and calibration error after a logistic regression fitted on other
people. `predict` reports the first.

| uncertainty | AUC | calibration error |
| --- | --- | --- |
{uncertainties}

## By rendered group: accuracy

Age, gender and skin tone are dials of the generator, not statements about how people identify. Counted are all stills
of that corpus, of which no shipped model has met any.

| group | n | accuracy [95 %, Wilson] |
| --- | --- | --- |
{groups}

{use}"""


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
