"""Change one thing and watch the answer: hide parts of a face from CoTEX, nudge a score that EMMA reads VA from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from affect_core.batches import predict_corpus
from affect_core.corpora import Corpus
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS, AFFECTNET_EXPRESSIONS, EXPRESSIONS, AffectPrediction
from affect_core.vit import num_visible, random_noise


@torch.no_grad()
def logits_from_parts(
    model: CoTEX, images: Tensor, mask_ratio: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """What each view says when it sees its own random part of each face: logits (views, N, C), masks (views, N, L).

    In a mask 1 is hidden. Patches are drawn as in training (`CoTEX.draw_patches`), whatever mask ratio the model was
    trained with; the model is in eval mode otherwise. images (N, 3, H, W), normalised; mask_ratio in [0, 1).
    """
    patches = model.config.vit.num_patches
    keep = num_visible(patches, mask_ratio)
    logits, masks = [], []
    for view in model.views:
        noise = random_noise(len(images), patches, images.device, generator)
        ids_keep = noise.argsort(dim=1, stable=True)[:, :keep]  # (N, K)
        logits.append(view.head(view.features(images, ids_keep)))
        masks.append(torch.ones_like(noise).scatter(1, ids_keep, 0.0))
    return torch.stack(logits), torch.stack(masks)


def view_logits(
    model: CoTEX, corpus: Corpus, mask_ratio: float = 0.0, *, seed: int = 0, device: torch.device | str = "cpu"
) -> np.ndarray:
    """`logits_from_parts` for every image of `corpus`, in order: float32 (views, N, C). Parts are drawn by `seed`.

    Summed over the views, at mask ratio 0, they are the logits of `CoTEX.predict`.
    """
    generator = torch.Generator().manual_seed(seed)

    def predict(images: Tensor) -> AffectPrediction:  # images first, as predict_corpus stacks them
        logits, _ = logits_from_parts(model, images, mask_ratio, generator)
        return AffectPrediction(expression_logits=logits.transpose(0, 1), vocabulary=model.config.vocabulary)

    logits = predict_corpus(predict, corpus, model.config.vit.image_size, device).expression_logits  # (N, views, C)
    return logits.swapaxes(0, 1)


def score_influence(model: EMMA, images: Tensor, batch_size: int = 128) -> pd.DataFrame:
    """How far valence and arousal move when one score rises by its standard deviation, all other scores held.

        influence_k = mean_n d VA(s_n) / d s_k  x  std_n s_nk

    The mean of the head's linearisations at the scores s_n of the faces `images` (N, 3, H, W), normalised, on the
    model's device and in eval mode. Index (network, score), e.g. ("CNN", "happiness"), ("ViT", "AU12"), in the order of
    the head's inputs; columns valence, arousal (influence, in their own unit), deviation (of the score, logits).
    Raises AffectError for an EMMA whose valence and arousal are not regressed from scores.
    """
    names = _score_names(model)
    seen: list[Tensor] = []
    hook = model.va_head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        with torch.no_grad():
            for start in range(0, len(images), batch_size):
                model(images[start : start + batch_size])
    finally:
        hook.remove()
    scores = torch.cat(seen).float().requires_grad_()  # (N, K)
    deviation = scores.detach().std(dim=0, unbiased=False)
    with torch.enable_grad():
        valence_arousal = model.va_head(scores)
        gradients = [torch.autograd.grad(column.sum(), scores, retain_graph=True)[0].mean(dim=0)
                     for column in valence_arousal.unbind(dim=1)]  # fmt: skip
    columns = {name: (gradient * deviation).cpu().numpy()
               for name, gradient in zip(("valence", "arousal"), gradients, strict=True)}  # fmt: skip
    index = pd.MultiIndex.from_tuples(names, names=["network", "score"])
    return pd.DataFrame({**columns, "deviation": deviation.cpu().numpy()}, index=index)


def _score_names(model: EMMA) -> list[tuple[str, str]]:
    """(network, score) of each input of the valence-arousal head."""
    source = model.config.va_source
    if source == "vit_features":
        raise AffectError("this EMMA regresses valence and arousal from features, which have no names; see va_source")
    cnn = [("CNN", name) for name in AFFECTNET_EXPRESSIONS[: model.config.prior.num_classes]]
    vit = [("ViT", name) for name in (*EXPRESSIONS, *(f"AU{unit}" for unit in ACTION_UNITS))]
    return {"vit_scores": vit, "cnn_scores": cnn}.get(source, cnn + vit)
