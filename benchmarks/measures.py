"""What is measured: each function returns {alternative: {"per second", "times <baseline>"}}."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from affect_core.augment import Augmentation, augment
from affect_core.bootstrap import mtl_bootstrap
from affect_core.cotex import CoTEX
from affect_core.dan import DAN
from affect_core.emma import EMMA
from affect_core.hardware import fastest_attention, has_bf16
from affect_core.labels import AffectLabels, AffectPrediction
from affect_core.losses import cotex_loss, multitask_loss
from affect_core.mae import MAE, MAEConfig
from affect_core.profiles import Profile, load_profile
from affect_core.synthetic.degradation import degrade
from affect_core.synthetic.embedded_corpus import EmbeddedCorpusConfig, write_embedded_corpus
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.renderer import render
from affect_core.synthetic.scene import sample_scene
from benchmarks.ceilings import ceilings, counted_gflop
from benchmarks.peers import LightlyMAE, TransformersMAE
from benchmarks.plain import PlainFaces, endless, plain_cotex_loss, write_faces
from benchmarks.timing import rates, ratios


def rendering(profile: Profile) -> dict:
    """Images a second of the whole corpus writer with one and with two processes, at the profile's size."""
    counts = dict(abaw4_training_videos=0, abaw4_validation_videos=0, affectnet_training=0, affectnet_validation=0,
                  lsd_training=0, lsd_validation=0, faces=400)  # fmt: skip
    measured = {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            config = EmbeddedCorpusConfig(size=profile.corpus.size, **counts)
            started = time.perf_counter()
            write_embedded_corpus(Path(folder) / "corpus", config, workers=workers)
            measured[f"{workers} process" + "es" * (workers - 1)] = 400 / (time.perf_counter() - started)
    return ratios(measured, "1 process")


def rendering_in_one_process(profile: Profile) -> dict:
    """Images a second of rendering alone, and with sampling and degradation."""
    rng = np.random.default_rng(0)
    person, scene, size = sample_person(rng, "faces"), sample_scene(rng, "wild"), profile.corpus.size
    return ratios(rates({
        "render one person": (lambda: render(person, {12: 0.8, 6: 0.6}, scene, size=size), 1),
        "sample, render, degrade": (lambda: degrade(
            render(sample_person(rng, "faces"), {12: 0.8}, sample_scene(rng, "wild"), size=size), rng, "wild"), 1),
    }, rounds=40), "render one person")  # fmt: skip


def input_pipeline(profile: Profile) -> dict:
    """Augmented training images a second: a DataLoader of 2 workers with PIL and torchvision, or our store, batched."""
    return {f"{size} px": _input_pipeline(size, batch) for size, batch in ((profile.vit.image_size, 128), (224, 32))}


def _input_pipeline(size: int, batch: int) -> dict:
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    config = Augmentation(enlarge=1.04, jitter_probability=0.2)
    with tempfile.TemporaryDirectory() as folder:
        store = write_faces(Path(folder), 8 * batch, size)
        loader = endless(PlainFaces(Path(folder), size), batch)

        def plain() -> None:  # long enough that what the workers had ready does not count
            for _ in range(8):
                next(loader)

        def ours() -> None:
            for _ in range(8):
                augment(torch.from_numpy(store[rng.integers(0, len(store), batch)]), config, size, generator)

        measured = rates({"PIL, torchvision, DataLoader": (plain, 8 * batch), "store, batched": (ours, 8 * batch)})
    return ratios(measured, "PIL, torchvision, DataLoader")


def mae_steps(profile: Profile) -> dict:
    """Images a second of a MAE training step: ours and two other packages', at the profile's size and ViT-B/16."""
    return {
        f"{profile.name} size": _mae_step(profile.mae, batch=64, rounds=9),
        "ViT-B/16 at 224 px": _mae_step(load_profile("gpu").mae, batch=16, rounds=3),
    }


def _mae_step(config: MAEConfig, batch: int, rounds: int) -> dict:
    size = config.vit.image_size
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    ours, transformers, lightly = MAE(config), TransformersMAE(config), LightlyMAE(config)
    bf16 = has_bf16("cpu")
    alternatives = {"ours": (_our_step(ours, lambda: ours.training_loss(images), bf16), batch)}
    for name, peer in (("transformers", transformers), ("lightly", lightly)):
        for precision in (False, True):
            label = f"{name}, {'bf16 autocast' if precision else 'fp32'}"
            alternatives[label] = (_plain_step(peer, lambda peer=peer: peer(images), precision), batch)
    with compiled(lambda: ours.training_loss(images)) as loss:
        step, seconds = _compiled_step(ours, loss, bf16)
        measured = rates(alternatives | {"ours, compiled": (step, batch)}, rounds)
    peers = {precision: max(rate for name, rate in measured.items() if name.endswith(precision))
             for precision in ("fp32", "bf16 autocast")}  # fmt: skip
    gflop = counted_gflop(_plain_step(ours, lambda: ours.training_loss(images), False)) / batch
    bound = ceilings()["bf16 matrix product, GFLOP/s"] / gflop
    result = {
        "batch": batch, "images per second": {name: round(rate, 2) for name, rate in measured.items()},
        "GFLOP per image": round(gflop, 3), "bound, images per second": round(bound, 2),
        "seconds to compile": round(seconds, 1),
    }  # fmt: skip
    for name in ("ours", "ours, compiled"):
        after = name.removeprefix("ours")
        for precision, rate in peers.items():
            result[f"times the faster peer, {precision}{after}"] = round(measured[name] / rate, 2)
        result[f"share of the bound{after}"] = round(measured[name] / bound, 2)
    return result


@contextmanager
def compiled(function):
    """`function` under torch.compile, with nothing compiled before to be found again."""
    with tempfile.TemporaryDirectory() as cache:
        earlier = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        torch.compiler.reset()
        try:
            yield torch.compile(function)
        finally:
            os.environ.pop("TORCHINDUCTOR_CACHE_DIR")
            if earlier is not None:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = earlier


def _compiled_step(model: nn.Module, loss, bf16: bool):
    """A step of ours whose loss is compiled, and the seconds of its first call beyond those of its second."""
    step, clock = _our_step(model, loss, bf16), [time.perf_counter()]
    for _ in range(2):
        step()
        clock.append(time.perf_counter())
    return step, (clock[1] - clock[0]) - (clock[2] - clock[1])


def finetuning_steps(profile: Profile) -> dict:
    """Images a second of EMMA's and CoTEX's training, loading included, against plain loops (`plain.py`)."""
    return {
        f"{profile.name} size": _finetuning(profile, batch=64, rounds=9),
        "ViT-B/16 at 224 px": _finetuning(load_profile("gpu"), batch=16, rounds=3),
    }


def _finetuning(profile: Profile, batch: int, rounds: int) -> dict:
    size, rng, generator = profile.vit.image_size, np.random.default_rng(0), torch.Generator().manual_seed(0)
    labels = AffectLabels.missing(batch).to("cpu")
    labels.valence_arousal_valid[:], labels.action_units_valid[:], labels.expression_valid[:] = True, True, True
    cotex_config = replace(profile.cotex, mask_ratio=0.75)
    classes, known = torch.arange(batch) % len(cotex_config.vocabulary), labels.expression_valid
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        store = write_faces(Path(folder), 16 * batch, size)
        plain_loader = endless(PlainFaces(Path(folder), size), batch)
        augmentation = Augmentation(enlarge=1.04, jitter_probability=0.2)

        def prepared() -> torch.Tensor:
            rows = rng.integers(0, len(store), batch)
            return augment(torch.from_numpy(store[rows]), augmentation, size, generator)

        plain_emma, emma = (EMMA(profile.emma, DAN(profile.prior)) for _ in range(2))
        results["EMMA"] = _against_plain(
            plain_emma, lambda: multitask_loss(plain_emma(next(plain_loader)), labels)["total"],
            emma, lambda images: multitask_loss(emma(images), labels)["total"], prepared, batch, rounds,
        )  # fmt: skip
        plain_cotex, cotex = CoTEX(cotex_config), CoTEX(cotex_config)
        results["CoTEX, mask ratio 0.75"] = _against_plain(
            plain_cotex, lambda: plain_cotex_loss(plain_cotex, next(plain_loader), classes),
            cotex, lambda images: cotex_loss(cotex(images, generator), classes, known, cotex_config.js_weight)["total"],
            prepared, batch, rounds,
        )  # fmt: skip
    return results


def _against_plain(plain_model, plain_loss, model, loss, prepared, batch: int, rounds: int) -> dict:
    bf16 = has_bf16("cpu")
    with compiled(loss) as compiled_loss:
        step, seconds = _compiled_step(model, lambda: compiled_loss(prepared()), bf16)
        measured = rates({
            "plain": (_plain_step(plain_model, plain_loss, False), batch),
            "ours": (_our_step(model, lambda: loss(prepared()), bf16), batch),
            "ours, compiled": (step, batch),
        }, rounds)  # fmt: skip
    return ratios(measured, "plain") | {"batch": batch, "seconds to compile": round(seconds, 1)}


def _plain_step(model: nn.Module, loss, bf16: bool):
    """A step as in any tutorial: autocast or not, AdamW as it comes."""
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])
    model.train()

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _our_step(model: nn.Module, loss, bf16: bool):
    """A step as `training.fit` does it."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
    model.train()

    def step() -> None:
        with fastest_attention(model, torch.device("cpu"), bf16):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                value = loss()
            value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def bootstrap_intervals(profile: Profile) -> dict:
    """Seconds for 2,000 resamples of 27,000 frames in 150 videos, all scores."""
    rng, n = np.random.default_rng(0), 27_000
    labels = AffectLabels(rng.uniform(-1, 1, (n, 2)).astype(np.float32), np.ones((n, 2), bool), rng.integers(0, 8, n),
                          np.ones(n, bool), (rng.random((n, 12)) < 0.2).astype(np.float32),
                          np.ones((n, 12), bool))  # fmt: skip
    prediction = AffectPrediction(rng.normal(size=(n, 8)), rng.normal(size=(n, 12)), rng.uniform(-1, 1, (n, 2)))
    started = time.perf_counter()
    mtl_bootstrap(prediction, labels, rng.integers(0, 150, n), resamples=2000)
    return {"seconds": round(time.perf_counter() - started, 2)}


def explorer_update(profile: Profile) -> dict:
    """Milliseconds of processor time from a slider of the action-unit mixer to the new picture, at 128 px."""
    from affect_core import explorers

    explorer = explorers.action_unit_mixer(EMMA(profile.emma, DAN(profile.prior)).eval(), size=128)
    spent = []
    for level in np.linspace(0, 0.9, 10):
        started = time.process_time()
        explorer.controls["au12"].value = level
        spent.append(1000 * (time.process_time() - started))
    return {"median": round(float(np.median(spent)), 1), "largest": round(max(spent), 1)}


def prediction(profile: Profile) -> dict:
    """Milliseconds a face of `predict` with the shipped weights on one thread: single faces, and batches of 32."""
    from affect_core.prediction import load_predictor

    predictor, threads = load_predictor(), torch.get_num_threads()
    faces = np.random.default_rng(0).integers(0, 256, (32, 112, 112, 3), dtype=np.uint8)
    torch.set_num_threads(1)
    try:
        measured = rates({"one by one": (lambda: predictor(faces[0]), 1),
                          "batches of 32": (lambda: predictor(faces), 32)})  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    return {name: round(1000 / rate, 1) for name, rate in measured.items()}
