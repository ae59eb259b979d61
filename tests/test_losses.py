"""What each loss punishes, and what it must not."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from affect_core.errors import AffectError
from affect_core.labels import AFFECTNET_EXPRESSIONS, AffectLabels, AffectPrediction
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


def test_soft_labels_cost_what_the_sum_by_hand_says():
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0], [5.0, -5.0]])  # p = (1/4, 3/4), (4/5, 1/5), ...
    shares = torch.tensor([[0.4, 0.6], [0.5, 0.5], [0.0, 0.0]])
    first, second = 0.4 * math.log(4) + 0.6 * math.log(4 / 3), 0.5 * math.log(5 / 4) + 0.5 * math.log(5)
    loss = expression_loss(logits, shares, torch.tensor([True, True, False]))
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)
    assert expression_loss(logits, shares, torch.tensor([True, False, False])).item() == pytest.approx(first, rel=1e-6)


def test_one_hot_soft_labels_are_hard_labels_bit_for_bit():
    target, valid = torch.tensor([0, 1, 2, 7, 4, 5]), torch.tensor([1, 0, 1, 1, 0, 1]).bool()
    soft = F.one_hot(target, 8).float() * valid[:, None]
    results = []
    for truth in (target, soft):
        logits = random(6, 8).requires_grad_()
        loss = expression_loss(logits, truth, valid)
        loss.backward()
        results.append((loss, logits.grad))
    (hard, hard_gradient), (soft_loss, soft_gradient) = results
    assert hard == soft_loss and (soft_gradient[~valid] == 0).all()
    torch.testing.assert_close(hard_gradient, soft_gradient, rtol=0, atol=1e-8)


def test_soft_labels_take_the_place_of_the_one_expression_in_every_loss_of_expressions():
    hard = labels(6, valid=True)
    shares = random(6, 8, seed=5).softmax(dim=1)
    shares[2] = 0  # missing
    soft, known = replace(hard, expression_shares=shares), torch.arange(6) != 2
    guess = prediction(6)
    cost = -(shares * guess.expression_logits.log_softmax(dim=1)).sum(dim=1)
    parts = multitask_loss(guess, soft)
    torch.testing.assert_close(parts["expression"], cost[known].mean())
    assert parts["action_units"] == multitask_loss(guess, hard)["action_units"]
    torch.testing.assert_close(parts["total"], sum(value for name, value in parts.items() if name != "total"))
    views = torch.stack([guess.expression_logits, 2 * guess.expression_logits])
    loss = cotex_loss(views, *soft.expression_target)
    other = expression_loss(views[1], shares, known)
    torch.testing.assert_close(loss["cross_entropy"], (cost[known].mean() + other) / 2)
    assert loss["js"] == generalized_js(views)


def test_a_batch_without_soft_labels_costs_and_teaches_nothing():
    logits, soft = random(5, 8).requires_grad_(), replace(labels(5, valid=True), expression_shares=torch.zeros(5, 8))
    loss = expression_loss(logits, *soft.expression_target)
    loss.backward()
    assert loss == 0 and (logits.grad == 0).all()


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


# -- small numbers by hand ---------------------------------------------------------------------------------------------
def test_two_frames_are_enough_for_a_ccc():
    prediction, target = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 1.0])
    # means 0.5 and 0.75, variances 0.25 and 0.0625, covariance 0.125
    assert ccc_loss(prediction, target, all_valid(2)).item() == pytest.approx(1 - 0.25 / 0.375)
    # n - 1 = 1: squared lengths 0.5 and 0.125, rho = 0.25 / (0.25 + e)
    rho, product, e = 0.25 / 0.2501, 0.25, 1e-4
    expected = 1 - 2 * rho * product / (0.625 + 0.0625 + e)
    assert ccc_loss(prediction, target, all_valid(2), "published").item() == pytest.approx(expected, rel=1e-6)


def test_published_ccc_divides_by_one_frame_less():
    prediction, target = random(7, seed=1), random(7, seed=2)
    x, y = prediction.double(), target.double()
    e, dx, dy = 1e-4, x - x.mean(), y - y.mean()
    rho = (dx * dy).sum() / (dx.norm() * dy.norm() + e)
    spread = x.var() + y.var() + (x.mean() - y.mean()) ** 2 + e
    expected = 1 - 2 * rho * x.std() * y.std() / spread
    assert ccc_loss(prediction, target, all_valid(7), "published").item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_single_labelled_face_costs_its_cross_entropy():
    logits, valid = random(4, 8), torch.tensor([False, True, False, False])
    target = torch.tensor([0, 3, 0, 0])
    torch.testing.assert_close(expression_loss(logits, target, valid), F.cross_entropy(logits[1:2], target[1:2]))


def test_positive_weights_of_what_is_always_or_never_active_are_forty_and_its_inverse():
    units, valid = torch.zeros(100, 12), torch.ones(100, 12, dtype=torch.bool)
    units[:, 0] = 1
    units[0, 2] = 1  # 99 / 1, above the limit
    assert positive_weights(units, valid)[:3].tolist() == pytest.approx([1 / 40, 40, 40])


def test_an_empty_batch_of_action_units_costs_nothing():
    assert action_unit_loss(torch.zeros(0, 12), torch.zeros(0, 12), torch.zeros(0, 12, dtype=torch.bool)) == 0


def test_a_unit_counts_as_active_above_zero_only():
    logits, valid = torch.full((1, 12), -2.0), all_valid(12)[None]
    inactive = action_unit_loss(logits, torch.zeros(1, 12), valid, [1.0] * 12).item()
    assert inactive == pytest.approx(12 * math.log1p(math.exp(-2)), rel=1e-6)


def test_js_equals_a_slow_literal_sum_with_floored_logarithms():
    logits = torch.tensor([[[0.0, -4.0, -7.8, -9.5, -14.0]], [[-12.0, -8.0, 0.0, -9.0, -15.0]]])
    views = [[math.exp(value) / sum(map(math.exp, view[0])) for value in view[0]] for view in logits.tolist()]
    total = 0.0
    for c in range(5):
        m = sum(view[c] for view in views) / 2
        total += sum(view[c] * (math.log(max(view[c], 1e-4)) - math.log(max(m, 1e-4))) for view in views) / 2
    assert generalized_js(logits, per="image").item() == pytest.approx(total, rel=1e-5)
    assert generalized_js(logits).item() == pytest.approx(total / 5, rel=1e-5)


def test_cotex_weighs_the_divergence_by_a_hundred_unless_told():
    logits, target = random(2, 7, 6), torch.zeros(7, dtype=torch.int64)
    loss, light = cotex_loss(logits, target, all_valid(7)), cotex_loss(logits, target, all_valid(7), js_weight=3.0)
    assert loss["total"].item() == pytest.approx((loss["cross_entropy"] + 100 * loss["js"]).item(), rel=1e-6)
    assert light["total"].item() == pytest.approx((loss["cross_entropy"] + 3 * loss["js"]).item(), rel=1e-6)
    mean = torch.stack([F.cross_entropy(view, target) for view in logits]).mean()
    torch.testing.assert_close(loss["cross_entropy"], mean)


def test_a_task_that_the_model_does_not_have_adds_nothing():
    whole, target = prediction(9), labels(9, valid=True)
    for task, part in (("expression_logits", "expression"), ("action_unit_logits", "action_units"),
                       ("valence_arousal", "valence_arousal")):  # fmt: skip
        parts, rest = multitask_loss(whole, target), multitask_loss(replace(whole, **{task: None}), target)
        assert set(parts) - set(rest) == {part}
        torch.testing.assert_close(rest["total"], parts["total"] - parts[part])


def test_the_loss_names_the_models_order_before_the_labels():
    other = replace(labels(4, valid=True), vocabulary=AFFECTNET_EXPRESSIONS)
    with pytest.raises(AffectError, match="the model answers in the order neutral, anger, .* count neutral, happiness"):
        multitask_loss(prediction(4), other)


def test_the_ccc_loss_is_of_one_shape():
    row = torch.linspace(-1, 1, 5)
    with pytest.raises(ValueError, match="of one shape"):
        ccc_loss(row[:, None], row, torch.ones(5, dtype=torch.bool))
