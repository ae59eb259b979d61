"""Every training stage, killed at five random moments and started again, ends with the weights of a run left in peace.

The kills are real (SIGKILL to another process). The processes are forked from a server that has imported the package
but computed nothing, so that a start costs little and the kills fall into the training.
"""

import multiprocessing
import os
import shutil
import signal
import time
from importlib import resources

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from affect_core.storage import read_json

STAGES = {"mae": "pretrain_mae", "prior": "train_prior", "emma": "train_emma", "cotex": "train_cotex"}
KILLS = 5


def run_stage(method, profile, run_dir):
    from affect_core.workbook import open_workbook

    getattr(open_workbook(profile, run_dir=run_dir), method)()


def log_without_times(stage):
    log = read_json(stage / "record.json")["log"]
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in log]


@pytest.fixture(scope="module")
def processes(data_dir):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["affect_core.workbook"])
    return context


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """The smoke profile with stages of some seconds that save themselves inside epochs too."""
    text = (resources.files("affect_core.profiles") / "smoke.toml").read_text()
    path = tmp_path_factory.mktemp("profile") / "smoke.toml"
    path.write_text(text.replace("\nepochs = 2\n", "\nepochs = 16\ncheckpoint_seconds = 0.02\n"))
    return str(path)


@pytest.fixture(scope="module")
def whole(smoke_book, profile, processes, tmp_path_factory):
    """A run folder with all four stages, none of them interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    for corpus in ("faces", "affectnet", "abaw4", "lsd"):
        smoke_book.corpus(corpus)  # rendered and decoded here, so that the kills fall into the training
    for method in STAGES.values():
        process = processes.Process(target=run_stage, args=(method, profile, folder))
        process.start()
        process.join()
        assert process.exitcode == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_killed_and_restarted_ends_with_the_same_weights(stage, whole, profile, processes, tmp_path):
    run_dir = tmp_path / "killed"
    for earlier in list(STAGES)[: list(STAGES).index(stage)]:
        shutil.copytree(whole / earlier, run_dir / earlier)
    rng = np.random.default_rng(sum(stage.encode()))
    duration = read_json(whole / stage / "record.json")["seconds"]
    resume, steps = run_dir / stage / "resume.pt", []
    for _ in range(KILLS):
        before = resume.stat().st_mtime_ns if resume.exists() else 0
        process = processes.Process(target=run_stage, args=(STAGES[stage], profile, run_dir))
        process.start()
        while process.is_alive() and not (resume.exists() and resume.stat().st_mtime_ns > before):
            time.sleep(0.005)  # until this process has trained and saved
        time.sleep(rng.uniform(0.0, 0.12) * duration)
        assert process.is_alive(), "the stage finished before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        steps.append(torch.load(resume, weights_only=True)["step"])
    assert steps == sorted(steps) and len(set(steps)) >= 3, f"kills must fall at different steps, not {steps}"
    assert not (run_dir / stage / "record.json").exists()
    process = processes.Process(target=run_stage, args=(STAGES[stage], profile, run_dir))
    process.start()
    process.join()
    assert process.exitcode == 0
    for name in ("best.safetensors", "last.safetensors"):
        expected, found = load_file(whole / stage / name), load_file(run_dir / stage / name)
        assert expected.keys() == found.keys()
        differing = [key for key in expected if not expected[key].equal(found[key])]
        assert not differing
    assert log_without_times(whole / stage) == log_without_times(run_dir / stage)
