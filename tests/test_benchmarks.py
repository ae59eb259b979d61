"""The baselines of the benchmarks compute what ours computes, and the counters count."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from affect_core.corpora import open_packed
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS, AffectPrediction
from affect_core.losses import cotex_loss
from affect_core.mae import MAEConfig
from affect_core.project_folders import project_root
from affect_core.vit import ViTConfig
from benchmarks import areas, colour_photographs, peers, photographs
from benchmarks.ceilings import counted_gflop
from benchmarks.corpus_reading import _shard_reading, measure_reading, write_sparse_corpus
from benchmarks.plain import PlainFaces, endless, plain_cotex_loss, write_faces
from benchmarks.timing import rates, ratios

VIT = ViTConfig(image_size=16, patch_size=4, width=16, depth=2, heads=2, drop_path=0.0)


@pytest.mark.parametrize("readout", ["class_token", "patch_tokens"])
def test_the_plain_cotex_loss_is_ours(readout):
    torch.manual_seed(0)
    model = CoTEX(CoTEXConfig(replace(VIT, readout=readout), mask_ratio=0.75)).train()
    images, target = torch.randn(6, 3, 16, 16), torch.arange(6)
    ours = cotex_loss(model(images, torch.Generator().manual_seed(1)), target, torch.ones(6, dtype=torch.bool))["total"]
    generator = torch.Generator().manual_seed(1)
    noise = [torch.rand(6, 16, generator=generator) for _ in model.views]
    torch.testing.assert_close(plain_cotex_loss(model, images, target, noise), ours, rtol=1e-5, atol=1e-5)


def test_the_plain_loader_gives_augmented_batches(tmp_path):
    store = write_faces(tmp_path, 6, 24)
    assert store.shape == (6, 24, 24, 3)
    batch = next(endless(PlainFaces(tmp_path, 24), 3, workers=0))
    assert batch.shape == (3, 3, 24, 24) and batch.dtype == torch.float32


def test_operations_are_counted_in_both_passes():
    layer = torch.nn.Linear(100, 50, bias=False)
    data = torch.randn(10, 100, requires_grad=True)
    assert counted_gflop(lambda: layer(data)) == pytest.approx(2 * 10 * 100 * 50 / 1e9)
    assert counted_gflop(lambda: layer(data).sum().backward()) == pytest.approx(3 * 2 * 10 * 100 * 50 / 1e9)


def test_ratios_are_to_the_baseline():
    measured = rates({"a": (lambda: None, 1), "b": (lambda: sum(range(20000)), 1)}, rounds=3)
    assert ratios(measured, "b")["b"]["times b"] == 1 and ratios(measured, "b")["a"]["times b"] > 1


@pytest.mark.parametrize("peer, package", [("TransformersMAE", "transformers"), ("LightlyMAE", "lightly")])
def test_a_missing_peer_is_said_in_a_sentence(peer, package, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(AffectError, match=r"pip install -e '\.\[bench\]'"):
        getattr(peers, peer)(MAEConfig(VIT, 16, 1, 2))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_sparse_corpus_takes_little_disk_and_is_read_like_any_other(tmp_path):
    write_sparse_corpus(tmp_path, 5000, 32, images_per_shard=2000)
    files = [path.stat() for path in tmp_path.glob("pixels-*.npy")]
    assert len(files) == 3 and sum(file.st_size for file in files) > 5000 * 32 * 32 * 3
    assert sum(512 * file.st_blocks for file in files) < 200_000
    corpus = open_packed(tmp_path)
    assert len(corpus) == len(corpus.table) == 5000 and len(corpus.split("validation")) == 500
    measured = measure_reading(tmp_path, 4)
    assert measured["batches"] == 4 and 0 < measured["open, s"] < 2 and measured["images per second, augmented"] > 0


def test_reading_shards_is_measured_against_the_stream():
    assert _shard_reading(16, count=64)["stream of shards"]["times stream of shards"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_memory_counts_the_children_of_a_command():
    script = ("import subprocess, sys; subprocess.run([sys.executable, '-c', "
              "'import time; b = bytearray(3 * 10**8); time.sleep(2.5)'])")  # fmt: skip
    command = [sys.executable, "-m", "benchmarks.memory", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert 0.3 <= float(done.stderr.split("peak memory ")[1].split()[0]) < 1.0


def test_what_faces_are_called_is_counted_by_crop(tmp_path):
    judged = pd.read_csv(project_root() / "benchmarks/orl_expressions.csv")
    for person, picture in judged[["person", "picture"]].to_numpy():
        (tmp_path / f"s{person}").mkdir(exist_ok=True)
        Image.new("L", (92, 112), 100).save(tmp_path / f"s{person}" / f"{picture}.pgm")
    faces, smiles, people = photographs.judged_faces(tmp_path)
    assert len(faces) == len(smiles) == 210 and smiles.sum() == 90 and len(set(people)) == 37

    @dataclass(frozen=True)
    class Knows:
        """Sees through the picture: the order of the judged faces is that of the file."""

        prevalence: tuple = (1.0,) * 8

        def __call__(self, pictures):
            logits = np.full((len(pictures), 8), -9.0)
            logits[np.arange(len(pictures)), np.where(smiles, EXPRESSIONS.index("happiness"), 0)] = 0.0
            return AffectPrediction(expression_logits=logits + np.log(self.prevalence))

    measured = photographs.measure(Knows(), faces, smiles, people)
    assert set(measured) == set(photographs.CROPS)
    for numbers in measured.values():
        assert numbers["area"] == 1.0 and numbers["faces"] == [90, 120] and numbers["people"] == [23, 24]
        assert 0.8 < numbers["95 %"][0] < 0.95 and numbers["95 %"][1] == 1.0
        assert numbers["smiling called, alike"] == dict.fromkeys(photographs.FIVE, 0) | {"happiness": 90}
        assert numbers["neutral called, everyday"] == dict.fromkeys(photographs.FIVE, 0) | {"neutral": 120}


def test_missing_photographs_are_named(tmp_path):
    with pytest.raises(AffectError, match=r"1\.pgm is not there"):
        photographs.judged_faces(tmp_path)
    with pytest.raises(AffectError, match=r"lfw_subset\.npy is not there"):
        photographs.judged_lfw_faces(tmp_path / "lfw_subset.npy")


def test_lfw_faces_are_those_that_were_judged(tmp_path):
    stored = np.repeat(np.arange(200) / 255.0, 625).reshape(200, 25, 25)  # picture n is of grey n
    np.save(tmp_path / "lfw_subset.npy", stored)
    faces, smiles, people = photographs.judged_lfw_faces(tmp_path / "lfw_subset.npy")
    greys = np.array([np.asarray(face)[0, 0, 0] for face in faces])
    assert len(faces) == 54 and smiles.sum() == 26 and len(set(people)) == 54
    assert set(greys[smiles]) >= {1, 52, 96} and set(greys[~smiles]) >= {6, 42, 98}


def test_intervals_of_the_area_narrow_with_people():
    rng = np.random.default_rng(0)
    few, many = (np.repeat([True, False], count) for count in (20, 500))
    bounds = {len(smiles): areas.area(smiles, smiles + rng.normal(0, 0.7, len(smiles)), np.arange(len(smiles)), 300)
              for smiles in (few, many)}  # fmt: skip
    (low, high), (lower, upper) = (bounds[count]["95 %"] for count in (40, 1000))
    truth = NormalDist().cdf(1 / 0.7 / 2**0.5)  # of two normals that are 1 / 0.7 standard deviations apart: 0.844
    assert low < truth < high and lower < truth < upper
    assert upper - lower < (high - low) / 3


@pytest.mark.parametrize("truth, positives, negatives", [(0.98, 22, 7), (0.95, 22, 7), (0.5, 10, 10)])
def test_the_interval_of_few_people_holds_the_true_area_as_often_as_it_says(truth, positives, negatives):
    rng, apart = np.random.default_rng(0), 2**0.5 * NormalDist().inv_cdf(truth)
    scores = rng.normal(apart, 1, (400, positives))[:, :, None] > rng.normal(0, 1, (400, negatives))[:, None]
    held = [low <= truth <= high for low, high in
            (areas.newcombe(value, positives, negatives) for value in scores.mean(axis=(1, 2)))]  # fmt: skip
    assert np.mean(held) > 0.92


def test_a_person_with_many_faces_is_one_person():
    positive, score = np.repeat([True, False], 60), np.r_[np.linspace(0.4, 1, 60), np.linspace(0, 0.6, 60)]
    alone, three = (areas.area(positive, score, people, 200) for people in (np.arange(120), np.arange(120) // 20))
    assert three["people"] == [3, 3] and alone["people"] == [60, 60] and three["area"] == alone["area"]
    assert np.diff(three["95 %"]) > 2 * np.diff(alone["95 %"])
    for value, end in ((1.0, 1), (0.0, 0)):
        assert areas.newcombe(value, 5, 7)[end] == value and 0 < abs(areas.newcombe(value, 5, 7)[1 - end] - value) < 1


def test_colour_photographs_are_cut_from_their_boxes_and_counted(tmp_path):
    table = pd.read_csv(Path(colour_photographs.__file__).with_name("colour_expressions.csv"))
    assert len(table) == 41 and set(table["expression"]) == set(colour_photographs.SEVEN)
    assert (table["right"] > table["left"]).all() and (table["lower"] > table["upper"]).all()
    for (archive, name), rows in table.groupby(["archive", "picture"]):
        picture = Image.new("RGB", (int(rows["right"].max()) + 5, int(rows["lower"].max()) + 5), (9, 9, 9))
        for row in rows.itertuples():  # each face is of the grey of its row
            picture.paste((100 + row.Index,) * 3, (row.left, row.upper, row.right, row.lower))
        (tmp_path / archive / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / archive / name, "PNG")  # whatever its ending says
    faces, read = colour_photographs.judged_faces(tmp_path)
    assert [np.unique(face).tolist() for face in faces] == [[100 + row] for row in range(41)]

    def knows(pictures):
        """Sees through the picture: right but that anger is called neutral, and neutral valence below all others."""
        said = read["expression"].iloc[[np.asarray(picture)[0, 0, 0] - 100 for picture in pictures]].to_numpy()
        logits = np.eye(8)[[EXPRESSIONS.index("neutral" if word == "anger" else word) for word in said]]
        valence = np.where(said == "happiness", 0.9, np.where(said == "neutral", -0.9, -0.5))
        return AffectPrediction(expression_logits=logits, valence_arousal=np.stack([valence, valence], axis=1))

    measured = colour_photographs.measure(knows, faces, read)
    assert set(measured) == {"1.0", "0.9", "0.8"}
    for numbers in measured.values():
        assert numbers["called"]["anger"] == {"neutral": 4} and numbers["called"]["happiness"] == {"happiness": 22}
        happier = numbers["happiness against neutral"]
        assert happier["area"] == 1.0 and happier["faces"] == [22, 7] and happier["people"] == [20, 7]
        assert happier["95 %"][0] < 0.9 and happier["95 %"][1] == 1.0
        assert numbers["valence, happiness against negative"]["area"] == 1.0
        worst = numbers["valence, neutral against negative"]
        assert worst["area"] == 0.0 == worst["95 %"][0] and worst["faces"] == [7, 10] and worst["people"] == [7, 7]


def test_a_missing_colour_photograph_is_named_and_central_squares_are_central(tmp_path):
    with pytest.raises(AffectError, match=r"happy_face_1\.jpg is not there"):
        colour_photographs.judged_faces(tmp_path)
    face = Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10))
    assert np.asarray(colour_photographs.central(face, 0.4)).tolist() == np.asarray(face)[3:7, 3:7].tolist()
