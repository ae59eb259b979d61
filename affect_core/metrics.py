"""Scores of the 4th ABAW competition, pooled over frames. Arguments are numpy arrays or torch tensors, results numpy.

P_MTL = (CCC_valence + CCC_arousal) / 2 + mean F1 over 8 expressions + mean binary F1 over 12 action units, at most 3.
A missing label removes its frame from that task on both sides, label and prediction. A score that has no label to
stand on is nan, never a silent 0; a class that is neither present nor predicted has F1 0, as in the competition.

Sources: Kollias 2022 (ABAW4); Lin 1989 (CCC).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logsumexp
from sklearn.metrics import f1_score

from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS, AffectLabels, AffectPrediction, require_one_vocabulary


def ccc(prediction, target, valid=None) -> float:
    """Concordance correlation coefficient of (N,) in [-1, 1]: 2 cov / (var x + var y + (mean x - mean y)^2).

    Variances and covariance divide by n. 0 if either side is constant, or varies so little that float64 sees no
    variance; nan if a valid entry is nan or infinite. Raises ValueError if fewer than two entries are valid, and for
    other shapes.
    Source: Lin 1989.
    """
    x, y = as_array(prediction).astype(np.float64), as_array(target).astype(np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"the CCC is of two rows of numbers (N,), not of {x.shape} and {y.shape}")
    if valid is not None:
        keep = as_array(valid).astype(bool)
        x, y = x[keep], y[keep]
    if len(x) < 2:
        raise ValueError(f"the CCC needs at least two labelled frames, there are {len(x)}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("nan")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    dx, dy = x - x.mean(), y - y.mean()
    spread = (dx**2).mean() + (dy**2).mean() + (x.mean() - y.mean()) ** 2
    return float(np.clip(2 * (dx * dy).mean() / spread, -1, 1)) if spread > 0 else 0.0


def expression_f1(predicted, target, valid=None, *, num_classes: int = 8) -> np.ndarray:
    """F1 of each class, (num_classes,) in [0, 1]; their mean is the competition's score. nan without a label.

    predicted and target are class indices (N,). A class absent from both sides has F1 0 and still counts.
    """
    predicted, target = as_array(predicted), as_array(target)
    if valid is not None:
        keep = as_array(valid).astype(bool)
        predicted, target = predicted[keep], target[keep]
    if len(target) == 0:
        return np.full(num_classes, np.nan)
    return f1_score(target, predicted, labels=range(num_classes), average=None, zero_division=0)


def expression_confusion(predicted, target, valid=None, *, num_classes: int = 8) -> np.ndarray:
    """Counts (num_classes, num_classes) int64: [i, j] frames annotated i and predicted j. Class indices (N,)."""
    predicted, target = as_array(predicted), as_array(target)
    if valid is not None:
        keep = as_array(valid).astype(bool)
        predicted, target = predicted[keep], target[keep]
    cells = np.bincount(target * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def action_unit_f1(active, target, valid=None) -> np.ndarray:
    """Binary F1 of each action unit, (12,) in [0, 1]; nan for one without a label. Arguments (N, 12)."""
    active, target = as_array(active).astype(bool), as_array(target) > 0
    keep = np.ones(target.shape, bool) if valid is None else as_array(valid).astype(bool)
    return np.array([
        f1_score(target[k, unit], active[k, unit], zero_division=0) if k.any() else np.nan
        for unit, k in enumerate(keep.T)
    ])  # fmt: skip


def probabilities(logits) -> np.ndarray:
    """Sigmoid of logits, float64."""
    return expit(as_array(logits).astype(np.float64))


def mtl_score(prediction: AffectPrediction, labels: AffectLabels, thresholds=None) -> dict[str, Any]:
    """The multi-task score and everything it is made of.

    thresholds (12,) are probabilities above which an action unit counts as active; 0.5 by default.
    Returns floats p_mtl, valence_arousal_ccc (the mean of the two), valence_ccc, arousal_ccc, expression_f1,
    action_unit_f1, expression_accuracy; and arrays expression_f1_per_class (8,), action_unit_f1_per_unit (12,).
    What the corpus has no labels for, or the model no prediction, is nan; p_mtl is then nan too.
    Raises AffectError if a prediction is nan or inf: the largest of eight logits would still name a class (a logit of
    -inf is a probability of 0, unless all are); if prediction and labels count expressions in different orders; and for
    other numbers of rows or columns than the labels'.
    """
    refuse_not_finite(prediction)
    refuse_misfit(prediction, labels)
    valence = arousal = accuracy = np.nan
    per_class = np.full(len(labels.vocabulary), np.nan)
    per_unit = np.full(len(ACTION_UNITS), np.nan)
    if prediction.valence_arousal is not None:
        valence, arousal = (
            _ccc_or_nan(*(as_array(a)[:, k] for a in (
                prediction.valence_arousal, labels.valence_arousal, labels.valence_arousal_valid)))
            for k in (0, 1)
        )  # fmt: skip
    if prediction.expression_logits is not None:
        predicted = as_array(prediction.expression_logits).argmax(axis=1)
        per_class = expression_f1(predicted, labels.expression, labels.expression_valid, num_classes=len(per_class))
        accuracy = _accuracy(predicted, labels)
    if prediction.action_unit_logits is not None:
        cut = np.full(len(ACTION_UNITS), 0.5) if thresholds is None else as_array(thresholds).astype(np.float64)
        if cut.shape not in ((), (len(ACTION_UNITS),)) or not np.isfinite(cut).all():
            raise AffectError(f"thresholds are {len(ACTION_UNITS)} finite numbers, one an action unit")
        active = probabilities(prediction.action_unit_logits) > cut
        per_unit = action_unit_f1(active, labels.action_units, labels.action_units_valid)
    return _scores(valence, arousal, per_class, per_unit, accuracy)


def lsd_score(prediction: AffectPrediction, labels: AffectLabels) -> dict[str, Any]:
    """Score of the synthetic-data challenge, or of any expression model: macro F1 over the labels' vocabulary.

    Returns expression_f1, expression_accuracy and expression_f1_per_class (C,). Raises AffectError if prediction and
    labels count expressions in different orders, if a logit is nan or inf, and for other numbers of rows or columns
    than the labels', or none.
    """
    if prediction.expression_logits is None:
        raise AffectError("this prediction has no expressions, and they are what the score is of")
    refuse_not_finite(prediction)
    refuse_misfit(prediction, labels)
    predicted = as_array(prediction.expression_logits).argmax(axis=1)
    per_class = expression_f1(predicted, labels.expression, labels.expression_valid, num_classes=len(labels.vocabulary))
    return {
        "expression_f1": float(per_class.mean()),
        "expression_accuracy": _accuracy(predicted, labels),
        "expression_f1_per_class": per_class,
    }


def best_constant_prediction(labels: AffectLabels) -> dict[str, Any]:
    """The best score that saying the same thing about every frame can reach on `labels`, chosen in hindsight.

    CCC is 0; the most frequent expression has F1 2p / (1 + p) at share p, the others 0; each action unit is always
    on, F1 2p / (1 + p). Keys as in `mtl_score`, for corpora without some labels as there.
    """
    expression = as_array(labels.expression)[as_array(labels.expression_valid).astype(bool)]
    shares = np.bincount(expression, minlength=len(labels.vocabulary)) / len(expression) if len(expression) else None
    per_class = np.full(len(labels.vocabulary), np.nan)
    if shares is not None:
        per_class = np.where(np.arange(len(shares)) == shares.argmax(), 2 * shares / (1 + shares), 0.0)
    valid = as_array(labels.action_units_valid).astype(bool)
    active = ((as_array(labels.action_units) > 0) & valid).sum(axis=0)
    with np.errstate(invalid="ignore"):
        share = np.where(valid.any(axis=0), active / valid.sum(axis=0), np.nan)
    enough = as_array(labels.valence_arousal_valid).astype(bool).sum(axis=0) >= 2
    valence, arousal = np.where(enough, 0.0, np.nan)
    accuracy = np.nan if shares is None else float(shares.max())
    return _scores(valence, arousal, per_class, 2 * share / (1 + share), accuracy)


def error_of_each_face(prediction: AffectPrediction, labels: AffectLabels) -> dict[str, np.ndarray]:
    """How wrong a prediction of all three tasks is about each face, {task: (N,)}; nan where nothing is annotated.

    valence_arousal  distance on the circumplex, nan unless both are annotated
    expression       cross entropy -log p(annotated expression), nats
    action_units     mean binary cross entropy over the annotated units, nats
    """
    known = as_array(labels.valence_arousal_valid).astype(bool).all(axis=1)
    distance = np.linalg.norm(as_array(prediction.valence_arousal) - as_array(labels.valence_arousal), axis=1)
    logits = as_array(prediction.expression_logits).astype(np.float64)
    target = as_array(labels.expression)
    cross_entropy = logsumexp(logits, axis=1) - logits[np.arange(len(logits)), target]
    scores, active = as_array(prediction.action_unit_logits).astype(np.float64), as_array(labels.action_units) > 0
    valid = as_array(labels.action_units_valid).astype(bool)
    entropy = np.where(valid, np.logaddexp(0, np.where(active, -scores, scores)), 0).sum(axis=1)
    count = valid.sum(axis=1)
    return {
        "valence_arousal": np.where(known, distance, np.nan),
        "expression": np.where(as_array(labels.expression_valid).astype(bool), cross_entropy, np.nan),
        "action_units": np.where(count > 0, entropy / np.maximum(count, 1), np.nan),
    }


def as_array(values) -> np.ndarray:
    """Numpy array or torch tensor (any device, bfloat16 too) -> numpy array."""
    if isinstance(values, np.ndarray) or not hasattr(values, "detach"):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() else values).numpy()


def refuse_not_finite(prediction: AffectPrediction) -> None:
    for task in ("expression_logits", "action_unit_logits", "valence_arousal"):
        values = getattr(prediction, task)
        if values is None:
            continue
        values = as_array(values)
        bad = (np.isnan(values) | (values == np.inf)).any(axis=1)
        if task == "valence_arousal":
            bad |= np.isinf(values).any(axis=1)
        if task == "expression_logits":
            bad |= np.isinf(values).all(axis=1)
        if bad.any():
            raise AffectError(f"{bad.sum()} of {len(bad)} predictions ({task}) are not finite: no score of them.")


def refuse_misfit(prediction: AffectPrediction, labels: AffectLabels) -> None:
    """Raise AffectError unless each task has a row for each of the labels' and the columns that belong to it, and
    expressions are counted as the labels count them."""
    if prediction.expression_logits is not None:
        require_one_vocabulary(prediction.vocabulary, labels.vocabulary)
    tasks = "expression_logits", "action_unit_logits", "valence_arousal"
    for task, columns in zip(tasks, (len(prediction.vocabulary), len(ACTION_UNITS), 2), strict=True):
        values, wanted = getattr(prediction, task), (len(labels), columns)
        if values is not None and as_array(values).shape != wanted:
            raise AffectError(f"{task} are {as_array(values).shape}, not {wanted}: one row for each of the labels")


def _scores(valence: float, arousal: float, per_class: np.ndarray, per_unit: np.ndarray, accuracy: float) -> dict:
    valence_arousal = (float(valence) + float(arousal)) / 2
    expression, action_unit = float(per_class.mean()), float(per_unit.mean())
    return {
        "p_mtl": valence_arousal + expression + action_unit,
        "valence_arousal_ccc": valence_arousal,
        "valence_ccc": float(valence),
        "arousal_ccc": float(arousal),
        "expression_f1": expression,
        "action_unit_f1": action_unit,
        "expression_accuracy": accuracy,
        "expression_f1_per_class": per_class,
        "action_unit_f1_per_unit": per_unit,
    }


def _ccc_or_nan(prediction: np.ndarray, target: np.ndarray, valid: np.ndarray) -> float:
    return ccc(prediction, target, valid) if valid.sum() >= 2 else np.nan


def _accuracy(predicted: np.ndarray, labels: AffectLabels) -> float:
    keep = as_array(labels.expression_valid).astype(bool)
    return float((predicted == as_array(labels.expression))[keep].mean()) if keep.any() else float("nan")
