"""Test-time average over masks: the mean answer of several random views of a face, as if it were an ensemble.

In training CoTEX sees parts of faces, in testing whole ones; here it is tested as it was trained. Not in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.labels import AffectPrediction
from affect_core.patches import draw_visible
from affect_core.vit import ViTEncoder


@torch.no_grad()
def average_over_masks(
    model: EMMA | CoTEX,
    images: Tensor,
    *,
    mask_ratio: float,
    draws: int = 8,
    generator: torch.Generator | None = None,
) -> AffectPrediction:
    """Logits, valence and arousal of normalised images (N, 3, H, W), averaged over `draws` random masks.

    mask_ratio  share of patches hidden from the ViT, in [0, 1); EMMA's CNN sees the whole face
    generator   draws the masks, anew for each face, view and draw
    The model is in eval mode and stays there. Raises AffectError if it is not, for no draw, or for another ratio.
    """
    if model.training or draws < 1:
        raise AffectError("the average over masks needs a model in eval mode and at least one draw")
    prior_scores = model.prior(images) if isinstance(model, EMMA) and model.prior is not None else None
    answers = [_answer(model, images, prior_scores, mask_ratio, generator) for _ in range(draws)]
    tasks = ("expression_logits", "action_unit_logits", "valence_arousal")
    means = {task: torch.stack([getattr(answer, task) for answer in answers]).mean(dim=0) for task in tasks
             if getattr(answers[0], task) is not None}  # fmt: skip
    return AffectPrediction(**means, vocabulary=answers[0].vocabulary)


def _answer(
    model: EMMA | CoTEX, images: Tensor, prior_scores: Tensor | None, mask_ratio: float,
    generator: torch.Generator | None,
) -> AffectPrediction:
    if isinstance(model, CoTEX):
        logits = [view.head(_features(view, images, mask_ratio, generator)) for view in model.views]
        return AffectPrediction(expression_logits=torch.stack(logits).sum(dim=0), vocabulary=model.config.vocabulary)
    return model.predict_from(_features(model.vit, images, mask_ratio, generator), prior_scores)


def _features(vit: ViTEncoder, images: Tensor, mask_ratio: float, generator: torch.Generator | None) -> Tensor:
    ids_keep = draw_visible(len(images), vit.config.num_patches, mask_ratio, images.device, generator)
    return vit.features(images, ids_keep)
