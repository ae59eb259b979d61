"""Which number tells best that an answer is wrong: its confidence, or that models disagree about it?

    confidence            1 - the probability of the first expression, as `Predictor` reports it
    views of CoTEX        JS divergence between the views' probabilities (six expressions)
    CNN and ViT of EMMA   JS divergence between the two models' probabilities, "other" aside

A divergence is no probability of being wrong, so each is mapped to one by a logistic regression fitted on other faces.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import entropy
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from affect_core.calibration import expected_calibration_error
from affect_core.prediction import Predictor, to_expressions


def disagreement(probabilities: np.ndarray) -> np.ndarray:
    """(V, N, C) probabilities of V models -> (N,) their JS divergence, in nats: 0 if all agree, at most log V.

    The entropy of the mean minus the mean entropy (Lin 1991).
    """
    return np.maximum(entropy(probabilities.mean(axis=0), axis=1) - entropy(probabilities, axis=2).mean(axis=0), 0.0)


@torch.no_grad()
def uncertainties(predictor: Predictor, pictures: np.ndarray, batch_size: int = 32) -> dict[str, np.ndarray]:
    """uint8 (N, S, S, 3) -> each of the numbers above, (N,), larger meaning less sure."""
    found = []
    for first in range(0, len(pictures), batch_size):
        part = pictures[first : first + batch_size]
        crops = predictor.views(torch.from_numpy(part))
        answer, cnn = predictor.emma.forward_with_prior(crops)
        vit = answer.expression_logits[:, :7]  # without "other", which the CNN does not know
        both = [to_expressions(cnn.float().log_softmax(1))[:, :7], vit.float()]
        found.append({
            "confidence": predictor.predict_batch(part).uncertainty,
            "views of CoTEX": disagreement(_over_crops(predictor.cotex(crops).float(), len(part))),
            "CNN and ViT of EMMA": disagreement(_over_crops(torch.stack(both), len(part))),
        })  # fmt: skip
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _over_crops(logits: torch.Tensor, count: int) -> np.ndarray:
    """(V, crops * N, C) logits -> (V, N, C) probabilities of the mean logits."""
    return logits.unflatten(1, (-1, count)).mean(dim=1).softmax(dim=2).numpy()


def compare_uncertainties(
    predictor: Predictor, fitting: tuple[np.ndarray, np.ndarray], testing: tuple[np.ndarray, np.ndarray]
) -> list[dict]:
    """For each uncertainty, on `testing`: area under the ROC curve for finding wrong answers, and calibration error.

    fitting, testing  (pictures uint8 (N, S, S, 3), expressions (N,) as indices of EXPRESSIONS), different people; the
    logistic regressions are fitted on the first. nan where no answer, or every answer, is wrong.
    """
    sides = []
    for pictures, target in (fitting, testing):
        answer = predictor(pictures).expression_logits.argmax(axis=1)
        sides.append((uncertainties(predictor, pictures), answer != target))
    (fitted_on, wrong_there), (tested_on, wrong) = sides
    rows = []
    if not (0 < wrong.mean() < 1 and 0 < wrong_there.mean() < 1):
        undefined = {"n": len(wrong), "AUC": float("nan"), "calibration error": float("nan")}
        return [{"uncertainty": name, **undefined} for name in tested_on]
    for name, scores in tested_on.items():
        model = LogisticRegression().fit(fitted_on[name][:, None], wrong_there)
        right = 1 - model.predict_proba(scores[:, None])[:, 1]
        rows.append({"uncertainty": name, "n": len(wrong), "AUC": float(roc_auc_score(wrong, scores)),
                     "calibration error": expected_calibration_error(right, ~wrong)})  # fmt: skip
    return rows
