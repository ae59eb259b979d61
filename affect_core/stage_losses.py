"""What each training stage minimises: (model, batch, generator) -> named scalars, as `training.fit` takes them."""

from __future__ import annotations

import torch
from torch import Tensor

from affect_core.batches import Batch
from affect_core.cotex import CoTEX
from affect_core.dan import DAN
from affect_core.emma import EMMA
from affect_core.losses import cotex_loss, expression_loss, multitask_loss
from affect_core.mae import MAE


def mae_loss(model: MAE, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Reconstruction of the hidden patches."""
    return {"total": batch.share.mean(model.training_loss(batch.images, generator=generator, share=batch.share))}


def prior_loss(model: DAN, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Cross entropy, plus that of the auxiliary classifier if the config has one."""
    known = batch.labels.expression_target
    if not model.config.auxiliary:
        return {"total": expression_loss(batch.share.together(model(batch.images)), *known)}
    logits, auxiliary = map(batch.share.together, model.forward_with_auxiliary(batch.images))
    parts = {"expression": expression_loss(logits, *known), "auxiliary": expression_loss(auxiliary, *known)}
    return {"total": sum(parts.values()), **parts}


def emma_loss(model: EMMA, batch: Batch, generator: torch.Generator, *, pos_weight: Tensor) -> dict[str, Tensor]:
    """The three tasks' losses, CCC as the model's config says; pos_weight (12,) as in `losses.action_unit_loss`."""
    prediction = model(batch.images).map(batch.share.together)
    return multitask_loss(prediction, batch.labels, pos_weight=pos_weight, ccc_formula=model.config.ccc_formula)


def cotraining_loss(model: CoTEX, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Cross entropy of the masked views and the divergence between them, weighted by the model's config."""
    logits = batch.share.together(model(batch.images, generator, batch.share), dim=1)  # (views, N, C)
    known = batch.labels.expression_target
    return cotex_loss(logits, *known, js_weight=model.config.js_weight)
