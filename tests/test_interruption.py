"""Every stage, killed at over a hundred moments and started again, ends with the bytes of a run left in peace.

The kills are real (SIGKILL), inside and around every write of a file that has to be whole, and at moments of the clock;
see `killing`. After each, what lies in the folder is read: a file is whole or not there.
"""

import json
import re
import shutil
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from killing import MOMENTS, Clock, Fault, forks
from safetensors.torch import load_file

from affect_core.experiments import Cell, Setting
from affect_core.storage import read_json

STAGES = {"mae": "pretrain_mae", "prior": "train_prior", "emma": "train_emma", "cotex": "train_cotex"}
CELL = Cell(Setting("cotex", start="random", labels=0.5, changes=(("views", 2), ("mask_ratio", 0.5))), 0)
CELL_IMAGES = 180
EPOCHS = 6
CLOCKS = 4

BEFORE_TRAINING = ["state.json", "config.json"]
IN_TRAINING = ["resume.pt", "best.safetensors", "log.jsonl", "resume.pt"]
AT_THE_END = ["last.safetensors", "record.json"]


def kills_of(stage, seconds):
    """The moments at which a stage is killed, in the order of its life; `seconds` of processor time for all of it."""
    rng = np.random.default_rng(sum(stage.encode()))

    def inside(file):
        return Fault(file, str(rng.choice(MOMENTS)), int(rng.integers(1, 3)) if file == "resume.pt" else 1, rng.random())

    def around(file):
        return [Fault(file, str(moment), share=rng.random()) for moment in rng.permutation(MOMENTS[:2])] + [
            Fault(file, "renamed")
        ]

    # around a file: the last moment is "renamed", after which it is not written again in the same epoch
    start = [inside(file) for file in BEFORE_TRAINING]
    middle = [*around("resume.pt"), *around("best.safetensors"), *around("log.jsonl"), inside("resume.pt")]
    clocks = [Clock(rng.uniform(0.02, 0.15) * seconds) for _ in range(CLOCKS)]
    end = [kill for file in AT_THE_END for kill in around(file)]
    return [*start, *middle, *clocks, *end]


def run_stage(stage, profile, run_dir):
    from affect_core.evidence import train_cell
    from affect_core.workbook import open_workbook

    book = open_workbook(profile, run_dir=run_dir)
    if stage == "cell":
        train_cell(book, CELL, run_dir / "results", CELL_IMAGES)
    else:
        getattr(book, STAGES[stage])()


def folder_of(stage, run_dir):
    return run_dir / "evidence" / CELL.name if stage == "cell" else run_dir / stage


def read_everything(folder):
    """Every visible file, by a reader that fails on half of one."""
    for path in folder.rglob("[!.]*"):
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            [json.loads(line) for line in path.read_text().splitlines()]
        elif path.suffix == ".safetensors":
            load_file(path)
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
        elif path.suffix == ".npz":
            assert zipfile.ZipFile(path).testzip() is None


def without_times(value):
    """A record without what the clock says."""
    if isinstance(value, dict):
        return {name: without_times(part) for name, part in value.items() if name not in ("seconds", "environment")}
    return [without_times(part) for part in value] if isinstance(value, list) else value


def result(folder):
    """Name -> content of every file that a finished stage leaves, hidden ones included."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"):
        content = path.read_bytes()
        if path.suffix == ".json":
            content = without_times(read_json(path))
        elif path.suffix == ".jsonl":
            content = [without_times(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.suffix == ".safetensors":
            content = {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}
        found[str(path.relative_to(folder))] = content
    return found


@pytest.fixture(scope="module")
def processes(data_dir):
    with forks() as server:
        yield server


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """The smoke profile with small models that save themselves after every step."""
    text = (resources.files("affect_core.profiles") / "smoke.toml").read_text()
    changes = {"epochs": f"{EPOCHS}\ncheckpoint_seconds = 0.0", "width": "24", "depth": "1", "heads": "2",
               "image_size": "16", "decoder_width": "16", "decoder_heads": "2"}  # fmt: skip
    for name, value in changes.items():
        text = re.sub(rf"(?m)^{name} = .*", f"{name} = {value}", text)
    path = tmp_path_factory.mktemp("profile") / "smoke.toml"
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="module")
def whole(smoke_book, profile, processes, tmp_path_factory):
    """A run folder with all stages, none of them interrupted, and the processor seconds that each took."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    for corpus in ("faces", "affectnet", "abaw4", "lsd"):
        smoke_book.corpus(corpus)  # rendered and decoded here, so that the kills fall into the training
    return folder, {stage: processes.run(run_stage, stage, profile, folder) for stage in (*STAGES, "cell")}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_training_ends_with_the_same_bytes(stage, whole, profile, processes, tmp_path, record_property):
    reference, seconds = whole
    run_dir = tmp_path / "killed"
    for earlier in list(STAGES)[: list(STAGES).index(stage)]:
        shutil.copytree(reference / earlier, run_dir / earlier)
    kills = kills_of(stage, seconds[stage])
    for kill in kills:
        processes.kill(kill, run_stage, stage, profile, run_dir)
        read_everything(run_dir)
    processes.run(run_stage, stage, profile, run_dir)
    assert result(run_dir / stage) == result(reference / stage)
    clocks = sum(isinstance(kill, Clock) for kill in kills)
    record_property("reliability", {
        "part": f"training, {stage}",
        "case": f"killed {len(kills)} times: {len(kills) - clocks} inside or around writes, {clocks} at random moments",
        "treatment": "each start goes on; the end has the same weights, log and record, bit for bit",
    })  # fmt: skip
