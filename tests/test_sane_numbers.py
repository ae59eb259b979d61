"""No loss, gradient, score or reported value that is not a number: any scale, bf16, nothing labelled, constants."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_losses import labels, random

from affect_core import stage_losses, stages
from affect_core.batches import Batch
from affect_core.dan import DAN
from affect_core.distributed import Share
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.export import prediction_table
from affect_core.labels import AffectLabels, AffectPrediction
from affect_core.losses import cotex_loss, multitask_loss
from affect_core.metrics import ccc, lsd_score, mtl_score
from affect_core.profiles import load_profile

TASKS = {"valence_arousal": "valence_arousal_valid", "expression": "expression_valid",
         "action_units": "action_units_valid"}  # fmt: skip
N = 12


def gappy(n=N):
    """Labels of which about half are missing, never all of a kind."""
    known, generator = labels(n, valid=True), torch.Generator().manual_seed(1)
    masks = {name: torch.rand(getattr(known, name).shape, generator=generator) < 0.5 for name in TASKS.values()}
    assert all(mask.any() and not mask.all() for mask in masks.values())
    return replace(known, **masks)


def without(known, task):
    return replace(known, **{TASKS[task]: torch.zeros_like(getattr(known, TASKS[task]))})


# -- losses ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e-6, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("formula", ["population", "published"])
def test_losses_and_gradients_are_finite_at_any_scale_of_scores(scale, kind, formula):
    guess = [(random(N, width, seed=width) * scale).to(kind).requires_grad_() for width in (8, 12, 2)]
    views = (random(2, N, 6) * scale).to(kind).requires_grad_()
    for known in (gappy(), labels(N, valid=True), labels(N, valid=False)):
        parts = multitask_loss(AffectPrediction(*guess), known, ccc_formula=formula)
        masked = cotex_loss(views, known.expression.clamp(max=5), known.expression_valid)
        (parts["total"] + masked["total"]).backward()
        assert all(part.isfinite() for part in (*parts.values(), *masked.values()))
        assert all(leaf.grad.isfinite().all() for leaf in (*guess, views))


@pytest.fixture(scope="module")
def emma():
    profile = load_profile("smoke")
    torch.manual_seed(0)
    return EMMA(profile.emma, DAN(profile.prior)).train()


def gradients(model, loss):
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_a_task_without_labels_adds_exactly_nothing_to_loss_and_gradient_of_emma(emma, task, bf16, record_property):
    images, known = random(N, 3, 32, 32), gappy()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        parts = multitask_loss(emma(images), without(known, task))
    assert parts[task] == 0 and parts["total"] == sum(parts[other] for other in TASKS if other != task) > 0
    with_zero = gradients(emma, parts["total"])
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        parts = multitask_loss(emma(images), without(known, task))
    alone = gradients(emma, sum(parts[other] for other in TASKS if other != task))
    for name, gradient in with_zero.items():
        assert torch.equal(gradient, alone.get(name, torch.zeros_like(gradient))), name
    record_property("reliability", {"part": "losses", "case": f"a batch has no labels of {task}",
                                    "treatment": "its loss and its gradient are exactly 0"})  # fmt: skip


@pytest.mark.parametrize("bf16", [False, True])
def test_a_batch_without_any_label_has_zero_gradients_in_every_stage(emma, bf16):
    unknown = AffectLabels.missing(N).to("cpu")
    batch = Batch(random(N, 3, 32, 32), unknown, Share(N))
    prior = DAN(load_profile("smoke").prior).train()
    losses = {emma: lambda: stage_losses.emma_loss(emma, batch, None, pos_weight=torch.ones(12)),
              prior: lambda: stage_losses.prior_loss(prior, batch, None)}  # fmt: skip
    for model, loss in losses.items():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            total = loss()["total"]
        assert total == 0
        assert all((gradient == 0).all() for gradient in gradients(model, total).values())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("pixels", [0.0, 1.0])
def test_faces_of_one_colour_give_finite_losses_and_gradients(emma, bf16, pixels):
    """MAE divides by the contrast of a patch, batch normalisation by that of a batch: both are 0 here."""
    profile = load_profile("smoke")
    batch = Batch(torch.full((N, 3, 32, 32), pixels), gappy(), Share(N))
    torch.manual_seed(0)
    models = {"mae": stages.MAE(profile.mae), "prior": DAN(profile.prior), "cotex": stages.CoTEX(profile.cotex)}
    losses = {"mae": stage_losses.mae_loss, "prior": stage_losses.prior_loss, "cotex": stage_losses.cotraining_loss}
    batch = replace(batch, labels=replace(batch.labels, expression=batch.labels.expression.clamp(max=5)))
    for stage, model in models.items():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            total = losses[stage](model.train(), batch, torch.Generator().manual_seed(0))["total"]
        assert total.isfinite()
        assert all(gradient.isfinite().all() for gradient in gradients(model, total).values())


# -- scores ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("x", "y"), [
    ([0.3, 0.3, 0.3], [0.1, 0.2, 0.4]), ([0.1, 0.2, 0.4], [0.3, 0.3, 0.3]), ([0.3, 0.3], [0.3, 0.3]),
    ([0.0, 1e-200], [0.0, 1e-200]), ([0.0, 5e-324], [0.0, 0.0]),
])  # fmt: skip
def test_the_ccc_of_constants_and_of_what_varies_below_float64_is_zero(x, y):
    assert ccc(np.array(x), np.array(y)) == 0


def test_the_ccc_stays_in_its_range_in_spite_of_rounding():
    rng = np.random.default_rng(0)
    for scale in (1e-150, 1e-8, 1.0, 1e8, 1e150):
        x = rng.normal(size=7) * scale
        for y in (x, -x, x * (1 + 1e-16)):
            assert -1 <= ccc(x, y) <= 1
        assert ccc(x, x) == pytest.approx(1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("task", ["expression_logits", "action_unit_logits", "valence_arousal"])
def test_predictions_that_are_no_numbers_get_no_score(task, value):
    known = labels(N, valid=True).numpy()
    guess = AffectPrediction(*(random(N, width).numpy() for width in (8, 12, 2)))
    mtl_score(guess, known)
    getattr(guess, task)[3, 1] = value
    with pytest.raises(AffectError, match=rf"1 of {N} predictions \({task}\) are not finite"):
        mtl_score(guess, known)
    if task == "expression_logits":
        with pytest.raises(AffectError, match="not finite"):
            lsd_score(guess, known)


def test_a_logit_of_minus_infinity_is_a_probability_of_zero():
    known, guess = labels(N, valid=True).numpy(), random(N, 8).numpy()
    guess[:, 7] = -np.inf
    assert np.isfinite(mtl_score(AffectPrediction(expression_logits=guess), known)["expression_f1"])


def test_valence_and_arousal_are_reported_within_their_scale():
    table = prediction_table(AffectPrediction(valence_arousal=np.float32([[-3, 0.5], [2, 1e9]])), ["a", "b"])
    assert table["valence"].tolist() == [-1, 1] and table["arousal"].tolist() == [0.5, 1]
