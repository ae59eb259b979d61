"""What is measured: each function returns {alternative: {"per second", "times <baseline>"}}."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from affect_core.augment import Augmentation, augment
from affect_core.bootstrap import mtl_bootstrap
from affect_core.dan import DAN
from affect_core.emma import EMMA
from affect_core.labels import AffectLabels, AffectPrediction
from affect_core.profiles import Profile
from affect_core.synthetic.degradation import degrade
from affect_core.synthetic.embedded_corpus import EmbeddedCorpusConfig, write_embedded_corpus
from affect_core.synthetic.people import sample_person
from affect_core.synthetic.renderer import render
from affect_core.synthetic.scene import sample_scene
from benchmarks.device import DEVICE, loader_workers
from benchmarks.plain import PlainFaces, endless, write_faces
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
    """Augmented training images a second, on the training device: a DataLoader with PIL and torchvision, or our store.

    The DataLoader has as many workers as the machine has cores, at most 8.
    """
    return {f"{size} px": _input_pipeline(size, batch) for size, batch in ((profile.vit.image_size, 128), (224, 32))}


def _input_pipeline(size: int, batch: int) -> dict:
    generator, rng = torch.Generator(DEVICE).manual_seed(0), np.random.default_rng(0)
    config = Augmentation(enlarge=1.04, jitter_probability=0.2)
    with tempfile.TemporaryDirectory() as folder:
        store = write_faces(Path(folder), 8 * batch, size)
        loader = endless(PlainFaces(Path(folder), size), batch, loader_workers())

        def plain() -> None:  # long enough that what the workers had ready does not count
            for _ in range(8):
                next(loader).to(DEVICE)

        def ours() -> None:
            for _ in range(8):
                rows = rng.integers(0, len(store), batch)
                augment(torch.from_numpy(store[rows]).to(DEVICE), config, size, generator)

        measured = rates({"PIL, torchvision, DataLoader": (plain, 8 * batch), "store, batched": (ours, 8 * batch)})
    return ratios(measured, "PIL, torchvision, DataLoader")


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
