"""Parameter groups and learning rates; timm and torch do the rest.

A group may carry `lr_scale`, which multiplies the scheduled learning rate (layer-wise decay), or `fixed_lr`, which
replaces it (EMMA's valence-arousal head). `set_learning_rate` applies both, once per step.
"""

from __future__ import annotations

import math

from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import nn
from torch.optim import Optimizer

NOT_DECAYED = ("cls_token", "reg_token", "pos_embed", "mask_token", "decoder_pos_embed")


def parameter_groups(model: nn.Module, *, weight_decay: float = 0.05, layer_decay: float = 1.0) -> list[dict]:
    """Groups of the trainable parameters for AdamW, each a dict of params, weight_decay and lr_scale or fixed_lr.

    Vectors (biases, norms), tokens and position embeddings are not decayed. With layer_decay < 1 the learning rate of
    transformer block k of n is multiplied by layer_decay^(n - k), the stem's by layer_decay^(n + 1), and heads keep 1;
    the model says which parameter is in which layer (`group_matcher`), a model that does not has one layer. The final
    norm belongs to the last block, as in timm's own models; MAE's published code gives it the head's rate.
    Parameters under a prefix in `model.fixed_lr` get that learning rate and, as published, no weight decay.
    Source: timm's param_groups_layer_decay (after BEiT); MAE and the paper use 0.65.
    """
    names = [name for name, _ in model.named_parameters()]
    not_decayed = [name for name in names if name.rsplit(".", 1)[-1] in NOT_DECAYED]
    if layer_decay == 1.0 or not hasattr(model, "group_matcher"):
        groups = param_groups_weight_decay(model, weight_decay, no_weight_decay_list=not_decayed)
    else:
        groups = param_groups_layer_decay(
            model, weight_decay, no_weight_decay_list=not_decayed, layer_decay=layer_decay
        )
    for prefix, learning_rate in getattr(model, "fixed_lr", {}).items():
        apart = [parameter for name, parameter in model.named_parameters() if name.startswith(prefix)]
        groups = _without(groups, apart)
        groups.append({"params": apart, "weight_decay": 0.0, "fixed_lr": learning_rate})
    return groups


def scaled_lr(base_lr: float, effective_batch: int) -> float:
    """Linear scaling rule: base_lr x effective batch / 256; effective batch = batch x accumulation x processes."""
    return base_lr * effective_batch / 256


def warmup_cosine(step: float, total: float, warmup: float, base: float, minimum: float = 0.0) -> float:
    """Learning rate at `step` of `total`: linear from 0 to base over `warmup`, then half a cosine down to minimum.

    `training.fit` asks for the end of a step, so that the first one moves and the last one has the minimum; MAE's
    published code asks for its beginning.

    Steps or epochs, whole or fractional, as long as all three use one unit.
    """
    if step < warmup:
        return base * step / warmup
    progress = min((step - warmup) / max(total - warmup, 1e-12), 1.0)
    return minimum + (base - minimum) * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Give every group its rate: fixed_lr if it has one, else learning_rate x lr_scale."""
    for group in optimizer.param_groups:
        group["lr"] = group.get("fixed_lr", learning_rate * group.get("lr_scale", 1.0))


def _without(groups: list[dict], parameters: list[nn.Parameter]) -> list[dict]:
    taken = {id(parameter) for parameter in parameters}
    kept = [{**group, "params": [p for p in group["params"] if id(p) not in taken]} for group in groups]
    return [group for group in kept if group["params"]]
