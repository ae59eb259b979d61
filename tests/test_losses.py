"""What each loss punishes, and what it must not."""

import math

import pytest
import torch
from torch.nn import functional as F

from affect_core.labels import AffectLabels, AffectPrediction
from affect_core.losses import (
    action_unit_loss,
    ccc_loss,
    cotex_loss,
    expression_loss,
    generalized_js,
    multitask_loss,
    positive_weights,
    valence_arousal_loss,
)
from affect_core.metrics import ccc

FORMULAS = ["population", "published"]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def all_valid(n: int) -> torch.Tensor:
    return torch.ones(n, dtype=torch.bool)


def labels(n: int, *, valid: bool) -> AffectLabels:
    generator = torch.Generator().manual_seed(3)
    return AffectLabels(
        valence_arousal=torch.rand(n, 2, generator=generator) * 2 - 1,
        valence_arousal_valid=torch.full((n, 2), valid),
        expression=torch.randint(8, (n,), generator=generator),
        expression_valid=torch.full((n,), valid),
        action_units=torch.randint(2, (n, 12), generator=generator).float(),
        action_units_valid=torch.full((n, 12), valid),
    )


def prediction(n: int) -> AffectPrediction:
    return AffectPrediction(*(random(n, width, seed=width).requires_grad_() for width in (8, 12, 2)))


# -- CCC ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("formula", FORMULAS)
def test_perfect_prediction_costs_nothing_and_its_opposite_two(formula):
    target = random(50)
    assert ccc_loss(target, target, all_valid(50), formula).item() == pytest.approx(0, abs=5e-4)
    centred = target - target.mean()
    assert ccc_loss(-centred, centred, all_valid(50), formula).item() == pytest.approx(2, abs=5e-4)


@pytest.mark.parametrize("formula", FORMULAS)
def test_constant_shift_and_wrong_scale_penalized(formula):
    target = random(50)
    for wrong in (target + 0.5, 0.5 * target):
        assert ccc_loss(wrong, target, all_valid(50), formula) > 0.05


def test_the_loss_is_one_minus_the_metric():
    prediction, target, valid = random(50, seed=1), random(50, seed=2), random(50, seed=3) > 0
    assert 1 - ccc_loss(prediction, target, valid).item() == pytest.approx(ccc(prediction, target, valid), abs=1e-6)


@pytest.mark.parametrize("formula", FORMULAS)
def test_missing_entries_do_not_matter(formula):
    prediction, target, valid = random(50, seed=1), random(50, seed=2), random(50, seed=3) > 0
    painted = torch.where(valid, prediction, torch.full_like(prediction, 1e6))
    masked = ccc_loss(painted, torch.where(valid, target, torch.full_like(target, -5)), valid, formula)
    torch.testing.assert_close(masked, ccc_loss(prediction[valid], target[valid], all_valid(int(valid.sum())), formula))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("entries", [0, 1])
def test_too_few_entries_for_a_variance_cost_nothing_and_teach_nothing(formula, entries):
    prediction = random(5).requires_grad_()
    loss = ccc_loss(prediction, random(5, seed=1), torch.arange(5) < entries, formula)
    loss.backward()
    assert loss.item() == 0
    assert (prediction.grad == 0).all()


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize(("x", "y"), [(0.3, None), (None, 0.3), (0.3, 0.3), (0.3, -0.2)])
def test_constants_have_loss_one_and_finite_gradients(formula, x, y):
    prediction = (random(9) if x is None else torch.full((9,), x)).requires_grad_()
    loss = ccc_loss(prediction, random(9, seed=1) if y is None else torch.full((9,), y), all_valid(9), formula)
    loss.backward()
    assert loss.item() == pytest.approx(1, abs=1e-5)
    assert prediction.grad.isfinite().all()


def test_an_unknown_formula_is_refused():
    with pytest.raises(ValueError, match="population"):
        ccc_loss(random(3), random(3), all_valid(3), "lin")


def test_valence_and_arousal_are_masked_separately():
    prediction, target, valid = random(9, 2), random(9, 2, seed=1), torch.ones(9, 2, dtype=torch.bool)
    valid[:, 1] = False
    loss = valence_arousal_loss(prediction, target, valid)
    assert loss == ccc_loss(prediction[:, 0], target[:, 0], all_valid(9))


# -- expression and action units ---------------------------------------------------------------------------------------
def test_expression_loss_is_the_mean_over_labelled_faces():
    logits, target, valid = random(6, 8), torch.tensor([0, 1, 2, 3, 4, 5]), torch.tensor([1, 0, 1, 1, 0, 0]).bool()
    torch.testing.assert_close(expression_loss(logits, target, valid), F.cross_entropy(logits[valid], target[valid]))


def test_action_unit_loss_equals_a_slow_literal_sum():
    logits, target, valid = random(4, 12), (random(4, 12, seed=1) > 0).float(), random(4, 12, seed=2) > 0
    weights, total = [float(k + 1) for k in range(12)], 0.0
    for i in range(4):
        for k in range(12):
            if valid[i, k]:
                p = 1 / (1 + math.exp(-logits[i, k].item()))
                total -= weights[k] * math.log(p) if target[i, k] else math.log(1 - p)
    assert action_unit_loss(logits, target, valid, weights).item() == pytest.approx(total / 4, rel=1e-5)


def test_positive_weights_are_inactive_over_active_frames():
    units, valid = torch.zeros(10, 12), torch.ones(10, 12, dtype=torch.bool)
    units[:2, 0] = 1  # 8 / 2
    units[:9, 1] = 1  # 1 / 9
    valid[:, 2] = False
    valid[5:, 3], units[0, 3] = False, 1  # 4 / 1
    weights = positive_weights(units, valid, limit=20)
    torch.testing.assert_close(weights[:5], torch.tensor([4, 1 / 9, 1, 4, 20]))


# -- multi-task --------------------------------------------------------------------------------------------------------
def test_total_is_the_sum_of_the_three_tasks():
    parts = multitask_loss(prediction(9), labels(9, valid=True))
    assert list(parts) == ["total", "valence_arousal", "expression", "action_units"]
    assert parts["total"] == parts["valence_arousal"] + parts["expression"] + parts["action_units"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_batch_without_labels_gives_zero_loss_and_zero_gradients(formula):
    guess = prediction(5)
    parts = multitask_loss(guess, labels(5, valid=False), ccc_formula=formula)
    parts["total"].backward()
    assert all(part.item() == 0 for part in parts.values())
    for tensor in (guess.expression_logits, guess.action_unit_logits, guess.valence_arousal):
        assert (tensor.grad == 0).all()


def test_a_task_without_prediction_adds_nothing():
    guess = AffectPrediction(expression_logits=random(5, 8))
    assert list(multitask_loss(guess, labels(5, valid=True))) == ["total", "expression"]


def test_losses_are_float32_under_bf16_autocast():
    guess = AffectPrediction(*(random(9, width).bfloat16() for width in (8, 12, 2)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        parts = multitask_loss(guess, labels(9, valid=True))
        parts |= cotex_loss(random(2, 9, 6).bfloat16(), torch.zeros(9, dtype=torch.int64), all_valid(9))
    assert {part.dtype for part in parts.values()} == {torch.float32}


# -- CoTEX -------------------------------------------------------------------------------------------------------------
def test_js_is_zero_for_twins_and_positive_otherwise():
    view = random(7, 6)
    assert generalized_js(torch.stack([view, view])).item() == pytest.approx(0, abs=1e-7)
    assert generalized_js(random(2, 7, 6)) > 1e-3


def test_js_does_not_know_the_order_of_the_views():
    logits = random(3, 7, 6)
    torch.testing.assert_close(generalized_js(logits), generalized_js(logits[[2, 0, 1]]))


@pytest.mark.parametrize("views", [2, 3])
def test_js_of_an_image_is_at_most_log_views(views):
    certain_and_different = 60 * torch.eye(6)[:views, None]  # (V, 1, 6)
    assert generalized_js(certain_and_different, per="image").item() == pytest.approx(math.log(views), abs=1e-3)
    assert generalized_js(20 * random(views, 99, 6), per="image") <= math.log(views) + 1e-3


def test_published_js_is_the_js_of_an_image_over_the_number_of_classes():
    logits = random(2, 7, 6)
    torch.testing.assert_close(generalized_js(logits) * 6, generalized_js(logits, per="image"))
    with pytest.raises(ValueError, match="element"):
        generalized_js(logits, per="batch")


def test_cotex_loss_without_labels_still_pulls_the_views_together():
    logits = random(2, 7, 6).requires_grad_()
    loss = cotex_loss(logits, torch.zeros(7, dtype=torch.int64), ~all_valid(7), js_weight=100.0)
    assert loss["cross_entropy"] == 0
    assert loss["total"] == 100 * loss["js"]
    loss["total"].backward()
    assert logits.grad.abs().sum() > 0


def test_one_view_has_no_divergence():
    assert cotex_loss(random(1, 7, 6), torch.zeros(7, dtype=torch.int64), all_valid(7))["js"].item() == pytest.approx(
        0, abs=1e-7
    )
