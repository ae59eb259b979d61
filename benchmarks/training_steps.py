"""Training steps of MAE, EMMA and CoTEX, ours beside other packages' and beside plain loops, on the device at hand.

The first CUDA device if there is one, else the CPU: batches and the number of steps a turn are sized for it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from affect_core.augment import Augmentation, augment
from affect_core.cotex import CoTEX
from affect_core.dan import DAN
from affect_core.emma import EMMA
from affect_core.hardware import fastest_attention, has_bf16
from affect_core.labels import AffectLabels
from affect_core.losses import cotex_loss, multitask_loss
from affect_core.mae import MAE, MAEConfig
from affect_core.profiles import Profile, load_profile
from benchmarks.ceilings import ceilings, counted_gflop
from benchmarks.device import DEVICE, ON_GPU, loader_workers, wait_for_device
from benchmarks.peers import LightlyMAE, TransformersMAE
from benchmarks.plain import PlainFaces, WholeViT, endless, plain_cotex_loss, write_faces
from benchmarks.timing import rates, ratios

CALLS = 5 if ON_GPU else 1
"""Steps of a timed turn."""

PEER_PRECISIONS = ("bf16 autocast",) if ON_GPU else ("fp32", "bf16 autocast")


def mae_steps(profile: Profile) -> dict:
    """Images a second of a MAE training step: ours and two other packages', at the profile's size and ViT-B/16."""
    large = load_profile("gpu").mae
    return {
        f"{profile.name} size": _mae_step(profile.mae, batch=1024 if ON_GPU else 64, rounds=9, graphs=ON_GPU),
        "ViT-B/16 at 224 px": _mae_step(large, batch=512 if ON_GPU else 16, rounds=5 if ON_GPU else 3),
    }


def _mae_step(config: MAEConfig, batch: int, rounds: int, graphs: bool = False) -> dict:
    """graphs: compiled as `fit` does where a batch is a whole step, with CUDA graphs."""
    size = config.vit.image_size
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    generator = torch.Generator(DEVICE).manual_seed(0)
    ours, transformers, lightly = (kind(config).to(DEVICE) for kind in (MAE, TransformersMAE, LightlyMAE))
    bf16 = has_bf16(DEVICE)
    alternatives = {"ours": (_our_step(ours, lambda: ours.training_loss(images, generator=generator), bf16), batch)}
    for name, peer in (("transformers", transformers), ("lightly", lightly)):
        for precision in PEER_PRECISIONS:
            step = _plain_step(peer, lambda peer=peer: peer(images), precision != "fp32")
            alternatives[f"{name}, {precision}"] = step, batch
    products = _rate_of_products(alternatives["ours"][0], batch)
    with compiled(lambda: ours.training_loss(images, generator=generator), graphs) as loss:
        step, seconds = _compiled_step(ours, loss, bf16)
        measured = rates(alternatives | {"ours, compiled": (step, batch)}, rounds, CALLS, wait_for_device)
    peers = {precision: max(rate for name, rate in measured.items() if name.endswith(precision))
             for precision in PEER_PRECISIONS}  # fmt: skip
    few = images[:16]
    gflop = counted_gflop(_plain_step(ours, lambda: ours.training_loss(few), False)) / len(few)
    bound = ceilings()["bf16 matrix product, GFLOP/s"] / gflop
    result = {
        "batch": batch, "images per second": {name: round(rate, 2) for name, rate in measured.items()},
        "GFLOP per image": round(gflop, 3), "bound, images per second": round(bound, 2),
        "matrix products alone, share of the bound": round(products / bound, 2),
        "seconds to compile": round(seconds, 1),
    }  # fmt: skip
    for name in ("ours", "ours, compiled"):
        after = name.removeprefix("ours")
        for precision, rate in peers.items():
            result[f"times the faster peer, {precision}{after}"] = round(measured[name] / rate, 2)
        result[f"share of the bound{after}"] = round(measured[name] / bound, 2)
    return result


def _rate_of_products(step, batch: int) -> float:
    """Images a second if a step were nothing but its matrix products, in their own shapes and types."""
    with _MatrixProducts() as recorder:
        step()
    products = [(product, [_like(given) if isinstance(given, tuple) else given for given in inputs])
                for product, inputs in recorder.calls]  # fmt: skip

    def all_products() -> None:
        for product, inputs in products:
            product(*inputs)

    return rates({"products": (all_products, batch)}, rounds=9, calls=CALLS, wait=wait_for_device)["products"]


class _MatrixProducts(TorchDispatchMode):
    """Keeps the matrix products that run within: the operator, and (shape, strides, type) of each tensor."""

    def __init__(self):
        super().__init__()
        self.calls: list[tuple[Callable, list]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in ("mm", "addmm", "bmm"):
            inputs = [(given.shape, given.stride(), given.dtype) if torch.is_tensor(given) else given for given in args]
            self.calls.append((function, inputs))
        return function(*args, **(kwargs or {}))


def _like(described: tuple) -> torch.Tensor:
    shape, stride, dtype = described
    return torch.empty_strided(shape, stride, dtype=dtype, device=DEVICE).normal_()


@contextmanager
def compiled(function, graphs: bool = False):
    """`function` under torch.compile, with nothing compiled before to be found again."""
    with tempfile.TemporaryDirectory() as cache:
        earlier = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        torch.compiler.reset()
        try:
            yield torch.compile(function, mode="reduce-overhead" if graphs else "default")
        finally:
            os.environ.pop("TORCHINDUCTOR_CACHE_DIR")
            if earlier is not None:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = earlier


def _compiled_step(model: nn.Module, loss, bf16: bool):
    """A step of ours whose loss is compiled, and the seconds of its first call beyond those of its second."""
    step, clock = _our_step(model, loss, bf16), [time.perf_counter()]
    for _ in range(2):
        step()
        wait_for_device()
        clock.append(time.perf_counter())
    return step, (clock[1] - clock[0]) - (clock[2] - clock[1])


def finetuning_steps(profile: Profile) -> dict:
    """Images a second of EMMA's and CoTEX's training, loading included, against plain loops (`plain.py`).

    CoTEX has batches in the paper's relation, four times as many masked faces as whole ones (METHOD), and at the
    profile's size also as many.
    """
    large = load_profile("gpu")
    small, whole = (256, 128) if ON_GPU else (64, 16)
    short, long = {"rounds": 5, "calls": 10, "warm_up": 5, "pause": 0.5}, {"rounds": 3}
    if ON_GPU:
        short, long = short | {"rounds": 3}, {"rounds": 3, "calls": CALLS}
    return {
        f"{profile.name} size": {
            "EMMA": _emma(profile, small, short), _MASKED: _cotex(profile, small, short),
            f"{_MASKED}, batch enlarged": _cotex(profile, 4 * small, short),
        },
        "ViT-B/16 at 224 px": {"EMMA": _emma(large, whole, long), _MASKED: _cotex(large, 4 * whole, long)},
    }  # fmt: skip


_MASKED = "CoTEX, mask ratio 0.75"


def _emma(profile: Profile, batch: int, turns: dict) -> dict:
    plain, ours = (EMMA(profile.emma, DAN(profile.prior)).to(DEVICE) for _ in range(2))
    plain.vit.__class__ = WholeViT
    labels = AffectLabels.missing(batch).to(DEVICE)
    labels.valence_arousal_valid[:], labels.action_units_valid[:], labels.expression_valid[:] = True, True, True
    return _against_plain(
        plain, lambda images: multitask_loss(plain(images), labels)["total"],
        ours, lambda images: multitask_loss(ours(images), labels)["total"], profile, batch, turns,
    )  # fmt: skip


def _cotex(profile: Profile, batch: int, turns: dict) -> dict:
    config, generator = replace(profile.cotex, mask_ratio=0.75), torch.Generator(DEVICE).manual_seed(0)
    plain, ours = (CoTEX(config).to(DEVICE) for _ in range(2))
    classes, known = torch.arange(batch, device=DEVICE) % len(config.vocabulary), torch.ones(batch, dtype=torch.bool)
    known = known.to(DEVICE)
    return _against_plain(
        plain, lambda images: plain_cotex_loss(plain, images, classes),
        ours, lambda images: cotex_loss(ours(images, generator), classes, known, config.js_weight)["total"],
        profile, batch, turns,
    )  # fmt: skip


def _against_plain(plain_model, plain_loss, model, loss, profile: Profile, batch: int, turns: dict) -> dict:
    """Losses take images (N, 3, S, S), which a DataLoader and our store bring; the loaders' time counts.

    turns: arguments of `rates`.
    """
    size, bf16, rng = profile.vit.image_size, has_bf16(DEVICE), np.random.default_rng(0)
    augmentation, generator = Augmentation(enlarge=1.04, jitter_probability=0.2), torch.Generator(DEVICE).manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        store = write_faces(Path(folder), 4 * batch, size)
        loader = endless(PlainFaces(Path(folder), size), batch, loader_workers())

        def prepared() -> torch.Tensor:
            pixels = torch.from_numpy(store[rng.integers(0, len(store), batch)]).to(DEVICE)
            return augment(pixels, augmentation, size, generator)

        alternatives = {
            "plain": (_plain_step(plain_model, lambda: plain_loss(next(loader).to(DEVICE)), False), batch),
            "ours": (_our_step(model, lambda: loss(prepared()), bf16), batch),
        }
        if ON_GPU:  # time on a GPU is lent by the minute: what compiling gains is measured for MAE alone
            return ratios(rates(alternatives, wait=wait_for_device, **turns), "plain") | {"batch": batch}
        with compiled(loss) as compiled_loss:
            step, seconds = _compiled_step(model, lambda: compiled_loss(prepared()), bf16)
            measured = rates(alternatives | {"ours, compiled": (step, batch)}, **turns)
    return ratios(measured, "plain") | {"batch": batch, "seconds to compile": round(seconds, 1)}


def _plain_step(model: nn.Module, loss, bf16: bool):
    """A step as in any tutorial: autocast or not, AdamW as it comes."""
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])
    model.train()

    def step() -> None:
        with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=bf16):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _our_step(model: nn.Module, loss, bf16: bool):
    """A step as `training.fit` does it but, like the peers', without a look at the loss and the gradients."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
    model.train()

    def step() -> None:
        with fastest_attention(model, DEVICE, bf16):
            with torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=bf16):
                value = loss()
            value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step
