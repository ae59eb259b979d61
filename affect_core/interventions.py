"""Change one thing and watch the answer: hide parts of a face from CoTEX, nudge a score that EMMA reads VA from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from affect_core.batches import predict_corpus
from affect_core.bootstrap import Interval, bootstrap_interval, group_numbers, resampled_scores
from affect_core.corpora import Corpus
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.explain import occlusion_sensitivity
from affect_core.labels import ACTION_UNITS, AFFECTNET_EXPRESSIONS, EXPRESSIONS, AffectPrediction
from affect_core.losses import generalized_js
from affect_core.patches import draw_visible


def half_face_drops(
    score: Callable[[Tensor], Tensor], images: Tensor, groups=None, *, window: int, stride: int, resamples: int = 2000,
    seed: int = 0, **options,
) -> dict[str, Interval]:  # fmt: skip
    """How much a score falls, on average, where the lower and where the upper half of a face is covered.

    {"lower", "upper", "lower minus upper"}: means over faces, with 95 % intervals over groups, of the halves of the
    maps of `explain.occlusion_sensitivity` (whose arguments `score`, window, stride and options are).
    images  (N, 3, H, W), normalised: best a random sample of faces that show what the score is about
    groups  (N,) video or person of each face; None: every face is its own
    """
    drops = occlusion_sensitivity(score, images, window=window, stride=stride, **options)
    half = images.shape[-2] // 2
    upper, lower = drops[:, :half].mean((1, 2)).cpu().numpy(), drops[:, half:].mean((1, 2)).cpu().numpy()
    groups = np.arange(len(images)) if groups is None else np.asarray(groups)
    options = {"resamples": resamples, "seed": seed}
    return {name: bootstrap_interval(lambda rows, of=values: float(of[rows].mean()), groups, **options)
            for name, values in (("lower", lower), ("upper", upper), ("lower minus upper", lower - upper))}  # fmt: skip


def masking_effects(
    model: CoTEX, corpus: Corpus, ratios: Sequence[float], *, mask_seeds: int = 3, resamples: int = 1000, seed: int = 0,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:  # fmt: skip
    """What is left of a CoTEX's answers when parts of the faces are hidden, over several drawings of the masks.

    Columns what, ratio, estimate, low, high: macro F1 of "added" views and of "view 1", "view 2", ..., the "divergence"
    of the views (nats) and their "agreement" (share of faces with one answer). Estimates are means over `mask_seeds`
    drawings; the 95 % intervals resample the corpus's groups and those drawings together. At ratio 0 there is one.
    """
    groups, rows = corpus.table["group"].to_numpy(), []
    for ratio in ratios:
        draws = [view_logits(model, corpus, ratio, seed=seed + k, device=device)
                 for k in range(mask_seeds if ratio else 1)]  # (views, N, C) each  # fmt: skip
        answers = {"added": [logits.sum(0) for logits in draws]}
        answers |= {f"view {v + 1}": [logits[v] for logits in draws] for v in range(len(model.views))}
        for what, logits in answers.items():
            said = [AffectPrediction(expression_logits=one, vocabulary=model.config.vocabulary) for one in logits]
            scored = [resampled_scores(one, corpus.labels, groups, resamples=resamples, seed=seed) for one in said]
            rows.append((what, ratio, np.mean([whole["expression_f1"] for whole, _ in scored]),
                         *_limits(np.stack([drawn["expression_f1"] for _, drawn in scored]), seed)))  # fmt: skip
        apart = np.stack([_divergence_of_each(logits) for logits in draws])  # (seeds, N)
        alike = np.stack([(logits.argmax(-1) == logits[0].argmax(-1)).all(0) for logits in draws]).astype(float)
        for what, values in (("divergence", apart), ("agreement", alike)):
            drawn = np.stack([_resampled_mean(one, groups, resamples, seed) for one in values])
            rows.append((what, ratio, values.mean(), *_limits(drawn, seed)))
    return pd.DataFrame(rows, columns=["what", "ratio", "estimate", "low", "high"])


def _divergence_of_each(logits: np.ndarray) -> np.ndarray:
    """`losses.generalized_js` of each face: (views, N, C) -> (N,), nats."""
    one = torch.vmap(lambda views: generalized_js(views[:, None], per="image"), in_dims=1)
    return one(torch.from_numpy(logits)).numpy()


def _resampled_mean(values: np.ndarray, groups: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Mean of values (N,) on each resample of the groups: (resamples,)."""
    index = group_numbers(groups)
    sums, sizes = np.bincount(index, values), np.bincount(index)
    draws = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    return draws @ sums / (draws @ sizes)


def _limits(values: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % limits of the mean over mask drawings, (drawings, resamples), the drawings resampled too."""
    number = len(values)
    counts = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=values.shape[1])
    low, high = np.nanquantile((counts.T * values).sum(axis=0) / number, [0.025, 0.975])
    return float(low), float(high)


@torch.no_grad()
def logits_from_parts(
    model: CoTEX, images: Tensor, mask_ratio: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """What each view says when it sees its own random part of each face: logits (views, N, C), masks (views, N, L).

    In a mask 1 is hidden. Patches are drawn as in training (`CoTEX.draw_patches`), whatever mask ratio the model was
    trained with; the model is in eval mode otherwise. images (N, 3, H, W), normalised; mask_ratio in [0, 1).
    """
    patches, logits, masks = model.config.vit.num_patches, [], []
    for view in model.views:
        ids_keep = draw_visible(len(images), patches, mask_ratio, images.device, generator)  # (N, K)
        logits.append(view.head(view.features(images, ids_keep)))
        masks.append(images.new_ones(len(images), patches).scatter(1, ids_keep, 0.0))
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
    classes = model.config.prior.num_classes
    named = AFFECTNET_EXPRESSIONS[:classes]  # a network of one's own may have more
    cnn = [("CNN", name) for name in (*named, *(f"class {number}" for number in range(len(named), classes)))]
    vit = [("ViT", name) for name in (*EXPRESSIONS, *(f"AU{unit}" for unit in ACTION_UNITS))]
    return {"vit_scores": vit, "cnn_scores": cnn}.get(source, cnn + vit)
