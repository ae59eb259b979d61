"""Every trainable parameter is in one group, with the learning rate its depth deserves."""

import math

import pytest
import torch

from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA, EMMAConfig
from affect_core.mae import MAE, MAEConfig
from affect_core.optim import parameter_groups, scaled_lr, set_learning_rate, warmup_cosine
from affect_core.vit import ViTConfig

VIT = ViTConfig(image_size=32, patch_size=8, width=24, depth=3, heads=3)
PRIOR = DANConfig(width=4, num_heads=2)


def emma(**changes) -> EMMA:
    return EMMA(EMMAConfig(vit=VIT, hidden=16, va_hidden=8, **changes), DAN(PRIOR))


MODELS = {
    "mae": lambda: MAE(MAEConfig(VIT, decoder_width=16, decoder_depth=1, decoder_heads=2)),
    "dan": lambda: DAN(PRIOR),
    "emma": emma,
    "cotex": lambda: CoTEX(CoTEXConfig(vit=VIT)),
}


def group_of(model, groups, name: str) -> dict:
    parameter = dict(model.named_parameters())[name]
    (group,) = (group for group in groups if any(p is parameter for p in group["params"]))
    return group


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("layer_decay", [1.0, 0.65])
def test_every_trainable_parameter_is_in_exactly_one_group(name, layer_decay):
    model = MODELS[name]()
    grouped = [id(p) for group in parameter_groups(model, layer_decay=layer_decay) for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", MODELS)
def test_vectors_and_tokens_are_not_decayed(name):
    model = MODELS[name]()
    groups = parameter_groups(model, weight_decay=0.05)
    names = {id(p): n for n, p in model.named_parameters()}
    for group in groups:
        for parameter in group["params"]:
            exempt = parameter.ndim <= 1 or names[id(parameter)].endswith(("cls_token", "pos_embed", "mask_token"))
            if "fixed_lr" not in group:
                assert group["weight_decay"] == (0.0 if exempt else 0.05), names[id(parameter)]


@pytest.mark.parametrize(("build", "prefix"), [(emma, "vit"), (MODELS["cotex"], "views.1")])
def test_learning_rates_shrink_towards_the_stem(build, prefix):
    model = build()
    groups = parameter_groups(model, layer_decay=0.5)
    head = "head.2.weight" if prefix == "vit" else "head.weight"
    scales = [group_of(model, groups, f"{prefix}.{name}")["lr_scale"]
              for name in (head, "blocks.2.mlp.fc1.weight", "blocks.1.mlp.fc1.weight", "blocks.0.mlp.fc1.weight",
                           "patch_embed.proj.weight")]  # fmt: skip
    assert scales == [1, 0.5, 0.25, 0.125, 0.0625]


def test_one_layer_of_all_views_learns_at_one_rate():
    model = MODELS["cotex"]()
    groups = parameter_groups(model, layer_decay=0.65)
    names = ["views.0.blocks.1.attn.qkv.weight", "views.1.blocks.1.attn.qkv.weight"]
    assert group_of(model, groups, names[0]) is group_of(model, groups, names[1])


def test_the_va_head_keeps_its_own_rate_and_no_decay():
    model = emma()
    groups = parameter_groups(model, layer_decay=0.65)
    optimizer = torch.optim.AdamW(groups, lr=1.0)
    set_learning_rate(optimizer, 2e-3)
    group = group_of(model, optimizer.param_groups, "va_head.0.weight")
    assert (group["lr"], group["weight_decay"]) == (1e-4, 0.0)
    assert group_of(model, optimizer.param_groups, "vit.head.0.weight")["lr"] == 2e-3
    assert group_of(model, optimizer.param_groups, "vit.blocks.2.mlp.fc1.weight")["lr"] == pytest.approx(0.65 * 2e-3)


def test_the_va_head_can_follow_the_schedule_instead():
    assert not any("fixed_lr" in group for group in parameter_groups(emma(va_lr=None)))


def test_the_rate_warms_up_linearly_and_cools_along_a_cosine():
    rates = [warmup_cosine(step, 110, 10, 1.0, 0.1) for step in range(112)]
    assert rates[:11] == pytest.approx([step / 10 for step in range(11)])
    assert rates[60] == pytest.approx(0.55), "half way down"
    assert rates[110] == rates[111] == pytest.approx(0.1)
    assert all(later <= earlier for earlier, later in zip(rates[10:], rates[11:], strict=False))
    assert warmup_cosine(35, 110, 10, 1.0) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))


def test_no_warm_up_and_nothing_but_warm_up_are_possible():
    assert warmup_cosine(0, 10, 0, 1.0) == 1.0
    assert warmup_cosine(5, 10, 10, 1.0) == 0.5
    assert warmup_cosine(10, 10, 10, 1.0) == 1.0


def test_the_rate_grows_with_the_batch():
    assert scaled_lr(5e-4, 400) == pytest.approx(7.8125e-4)
