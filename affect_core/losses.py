"""One function per equation of the paper. Every loss is computed in float32, whatever autocast chose before it.

Missing labels are masks. A task of which a batch has no label gives a loss of exactly 0 with gradients of exactly 0
(not None, not NaN), so any batch can be trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from affect_core.labels import AffectLabels, AffectPrediction, require_one_vocabulary

ACTION_UNIT_POS_WEIGHT = (7.1008924, 15.63964869, 5.47108051, 2.80360066, 1.5152332, 1.89083564,
                          3.04637044, 34.04600245, 32.47861156, 36.76637801, 0.58118674, 11.1586486)  # fmt: skip
"""Weights of active action units in the published loss, columns ACTION_UNITS."""

CCCFormula = Literal["population", "published"]


def positive_weights(action_units: Tensor, valid: Tensor, *, limit: float = 40.0) -> Tensor:
    """Inactive / active frames of each action unit (12,), between 1 / limit and limit; 1 for one without labels.

    The published constants suit s-Aff-Wild2 only; another corpus needs its own. action_units, valid (N, 12).
    """
    active = ((action_units > 0) & valid).sum(dim=0).float()
    inactive = ((action_units <= 0) & valid).sum(dim=0).float()
    ratio = (inactive / active.clamp(min=1)).clamp(1 / limit, limit)
    ratio = torch.where(active == 0, torch.full_like(ratio, limit), ratio)
    return torch.where(active + inactive == 0, torch.ones_like(ratio), ratio)


def ccc_loss(prediction: Tensor, target: Tensor, valid: Tensor, formula: CCCFormula = "population") -> Tensor:
    """1 - CCC over the valid entries of (N,); in [0, 2].

    CCC = 2 cov(x, y) / (var x + var y + (mean x - mean y)^2)                                            (Lin 1989)

    population  variances and covariance divide by n: 1 - the challenge's metric.
    published   the EMMA code's: 2 rho s_x s_y / (s_x^2 + s_y^2 + (mean x - mean y)^2 + e) with s dividing by n - 1,
                rho = sum(dx dy) / (sqrt(sum dx^2) sqrt(sum dy^2) + e), e = 1e-4 (found from golden.json).
    Fewer than two valid entries: 0 with zero gradient, there being no variance to learn from. A constant target, or a
    constant prediction, has CCC 0 and loss 1; both constant and equal too, where the quotient would be 0 / 0.
    """
    if prediction.shape != target.shape or prediction.shape != valid.shape:
        raise ValueError(f"of one shape (N,) are prediction, target and valid, not {tuple(prediction.shape)}, "
                         f"{tuple(target.shape)} and {tuple(valid.shape)}")  # fmt: skip
    prediction, target = prediction.float(), target.float()
    n = valid.sum()
    count = n.clamp(min=1)
    x = prediction.masked_fill(~valid, 0)  # masked sums rather than prediction[valid]: no wait for the GPU
    y = target.masked_fill(~valid, 0)
    mean_x, mean_y = x.sum() / count, y.sum() / count
    dx = (x - mean_x).masked_fill(~valid, 0)
    dy = (y - mean_y).masked_fill(~valid, 0)
    between = (mean_x - mean_y).square()
    if formula == "population":
        covariance = (dx * dy).sum() / count
        spread = (dx.square().sum() + dy.square().sum()) / count
        # the floor is above float32 rounding of the spread: two equal constants give 0, not 0 / 0
        ccc = 2 * covariance / (spread + between).clamp(min=1e-8)
    elif formula == "published":
        epsilon = 1e-4
        # the floor under the roots keeps their gradient finite for a constant; it changes no value above 1e-6
        length_x, length_y = (d.square().sum().clamp(min=1e-12).sqrt() for d in (dx, dy))
        rho = (dx * dy).sum() / (length_x * length_y + epsilon)
        freedom = (n - 1).clamp(min=1)
        product = length_x * length_y / freedom
        ccc = 2 * rho * product / ((length_x.square() + length_y.square()) / freedom + between + epsilon)
    else:
        raise ValueError(f"formula is 'population' or 'published', not {formula!r}")
    return torch.where(n >= 2, 1 - ccc, 0 * ccc)


def valence_arousal_loss(
    prediction: Tensor, target: Tensor, valid: Tensor, formula: CCCFormula = "population"
) -> Tensor:
    """(1 - CCC_valence) + (1 - CCC_arousal); arguments (N, 2), see `ccc_loss`."""
    valence, arousal = (ccc_loss(prediction[:, k], target[:, k], valid[:, k], formula) for k in (0, 1))
    return valence + arousal


def expression_loss(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean cross entropy over the valid entries; logits (N, C), valid (N,).

    target   classes (N,) int64, or soft labels (N, C) float32 whose rows add to 1: -sum_c target_c log p_c
    """
    cross_entropy = F.cross_entropy(logits.float(), target, reduction="none")  # (N,)
    return cross_entropy.masked_fill(~valid, 0).sum() / valid.sum().clamp(min=1)


def action_unit_loss(
    logits: Tensor, target: Tensor, valid: Tensor, pos_weight: Tensor | Sequence[float] = ACTION_UNIT_POS_WEIGHT
) -> Tensor:
    """Weighted binary cross entropy of (N, 12), summed over the valid entries and divided by N, the batch size.

    Active units weigh `pos_weight` (12,) times an inactive one.
    """
    weight = torch.as_tensor(pos_weight, dtype=torch.float32, device=logits.device)
    active = (target > 0).float()
    entropy = F.binary_cross_entropy_with_logits(logits.float(), active, pos_weight=weight, reduction="none")
    return entropy.masked_fill(~valid, 0).sum() / max(len(logits), 1)


def multitask_loss(
    prediction: AffectPrediction,
    labels: AffectLabels,
    *,
    pos_weight: Tensor | Sequence[float] = ACTION_UNIT_POS_WEIGHT,
    ccc_formula: CCCFormula = "population",
) -> dict[str, Tensor]:
    """EMMA's loss: total = valence_arousal + expression + action_units, all weights 1, each under its name.

    Torch labels and prediction of N faces. A task that the prediction does not have (None) adds nothing. Raises
    AffectError if they count expressions in different orders.
    """
    parts = {}
    if prediction.valence_arousal is not None:
        parts["valence_arousal"] = valence_arousal_loss(
            prediction.valence_arousal, labels.valence_arousal, labels.valence_arousal_valid, ccc_formula
        )
    if prediction.expression_logits is not None:
        require_one_vocabulary(prediction.vocabulary, labels.vocabulary)
        parts["expression"] = expression_loss(prediction.expression_logits, *labels.expression_target)
    if prediction.action_unit_logits is not None:
        parts["action_units"] = action_unit_loss(
            prediction.action_unit_logits, labels.action_units, labels.action_units_valid, pos_weight
        )
    return {"total": sum(parts.values()), **parts}


def generalized_js(logits: Tensor, per: Literal["element", "image"] = "element") -> Tensor:
    """Jensen-Shannon divergence between the views' softmax distributions; logits (views, N, C), natural logarithm.

    JS = 1/V sum_v sum_c p_v log(p_v / m), m = 1/V sum_v p_v, probabilities inside logarithms floored at 1e-4.

    element  mean over batch and classes, the published reduction: JS of an image / C
    image    mean over the batch: from 0, for equal views, to log V, for views that are certain and all disagree
    """
    probabilities = logits.float().softmax(dim=-1)
    log_mixture = probabilities.mean(dim=0).clamp(min=1e-4).log()  # (N, C)
    divergence = probabilities * (probabilities.clamp(min=1e-4).log() - log_mixture)  # (V, N, C)
    if per == "image":
        return divergence.sum(dim=-1).mean()
    if per == "element":
        return divergence.mean()
    raise ValueError(f"per is 'element' or 'image', not {per!r}")


def cotex_loss(logits: Tensor, target: Tensor, valid: Tensor, js_weight: float = 100.0) -> dict[str, Tensor]:
    """CoTEX's loss: total = cross_entropy + js_weight * js, each under its name.

    cross_entropy is the mean over the views of `expression_loss`; js is `generalized_js` per element, over all images,
    those without a label included, as published: so the views of a batch without labels are still pulled together.
    logits (views, N, C), target (N,) or (N, C), valid (N,).
    """
    cross_entropy = torch.stack([expression_loss(view, target, valid) for view in logits]).mean()
    js = generalized_js(logits)
    return {"total": cross_entropy + js_weight * js, "cross_entropy": cross_entropy, "js": js}
