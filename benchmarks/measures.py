"""What is measured: each function returns {alternative: {"per second", "times <baseline>"}}."""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from affect_core.augment import Augmentation, augment
from affect_core.bootstrap import mtl_bootstrap
from affect_core.cotex import CoTEX
from affect_core.dan import DAN
from affect_core.emma import EMMA
from affect_core.labels import AffectLabels, AffectPrediction
from affect_core.losses import cotex_loss, multitask_loss
from affect_core.mae import MAE
from affect_core.profiles import Profile
from affect_core.synthetic.degradation import degrade
from affect_core.synthetic.embedded_corpus import EmbeddedCorpusConfig, write_embedded_corpus
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.renderer import render
from affect_core.synthetic.scene import sample_scene
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
    """A batch of 128 augmented images: decoded one by one with PIL and torchvision, or from the store, batched."""
    size = profile.vit.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (128, size, size, 3), dtype=np.uint8)
    files = []
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=95)
        files.append(buffer.getvalue())
    one_by_one = v2.Compose([
        v2.Resize(round(1.04 * size)), v2.RandomCrop(size), v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.2), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
        v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])  # fmt: skip
    generator, store = torch.Generator().manual_seed(0), torch.from_numpy(pixels)
    config = Augmentation(enlarge=1.04, jitter_probability=0.2)
    measured = rates({
        "PIL and torchvision": (lambda: torch.stack([one_by_one(Image.open(io.BytesIO(f))) for f in files]), 128),
        "store and batched": (lambda: augment(store, config, size, generator), 128),
    })  # fmt: skip
    return ratios(measured, "PIL and torchvision")


def training_steps(profile: Profile) -> dict:
    """Images a second of a whole training step of each stage, fp32 and bf16 autocast, batch 64."""
    size, batch = profile.vit.image_size, 64
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    labels = AffectLabels.missing(batch).to("cpu")
    labels.valence_arousal_valid[:], labels.action_units_valid[:], labels.expression_valid[:] = True, True, True
    classes, known = torch.arange(batch) % len(profile.cotex.vocabulary), labels.expression_valid
    stages = {
        "MAE": (MAE(profile.mae), lambda model: model(images).loss),
        "prior": (DAN(profile.prior), lambda model: model(images).float().square().mean()),
        "EMMA": (EMMA(profile.emma, DAN(profile.prior)), lambda model: multitask_loss(model(images), labels)["total"]),
        "CoTEX": (CoTEX(profile.cotex), lambda model: cotex_loss(model(images), classes, known)["total"]),
    }  # fmt: skip
    return {
        name: ratios(
            rates({"fp32": (_step(model, loss, False), batch), "bf16": (_step(model, loss, True), batch)}), "fp32"
        )
        for name, (model, loss) in stages.items()
    }


def _step(model: nn.Module, loss, bf16: bool):
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])
    model.train()

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            value = loss(model)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

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
