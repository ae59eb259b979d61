"""Two processes train as one does: shares of rows, global losses, the same weights, and a change of number midway."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from affect_core.augment import Augmentation, augment
from affect_core.distributed import Share, from_main, is_main, lost_a_process, main_first, share_of, world
from affect_core.errors import AffectError
from affect_core.patches import random_noise
from affect_core.storage import read_json
from affect_core.train import main as train_command


@pytest.mark.parametrize("total, processes", [(8, 2), (7, 2), (5, 4), (3, 1)])
def test_shares_cover_every_row_once(total, processes):
    rows = [np.arange(total)[Share(total, rank, processes).rows] for rank in range(processes)]
    assert np.concatenate(rows).tolist() == list(range(total))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_alone_there_is_one_process_that_does_everything():
    assert world() == (0, 1) and is_main() and share_of(5) == Share(5)
    assert from_main({"a": 1}) == {"a": 1}
    value = torch.ones(3, requires_grad=True)
    assert Share(3).together(value) is value and Share(3).mean(value) is value
    with main_first():
        pass


def test_a_share_of_a_batch_is_augmented_as_in_the_whole_batch():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8))
    config = Augmentation(crop_area=(0.3, 1.0), jitter_probability=0.6, grayscale_probability=0.3)
    whole = augment(images, config, 16, torch.Generator().manual_seed(0))
    for rank in range(2):
        share = Share(7, rank, 2)
        part = augment(images[share.rows], config, 16, torch.Generator().manual_seed(0), share)
        torch.testing.assert_close(part, whole[share.rows], atol=1e-6, rtol=0)


def test_a_share_gets_the_noise_it_has_in_the_whole_batch():
    draw = lambda n, share: random_noise(n, 9, torch.device("cpu"), torch.Generator().manual_seed(1), share)  # noqa: E731
    whole = draw(6, None)
    torch.testing.assert_close(torch.cat([draw(3, Share(6, rank, 2)) for rank in range(2)]), whole)


def test_more_processes_than_rows_is_refused(monkeypatch):
    monkeypatch.setattr("affect_core.distributed.world", lambda: (0, 3))
    with pytest.raises(AffectError, match="2 images cannot be divided among 3"):
        share_of(2)


# -- real processes ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """The smoke profile in fp32, whose sums differ least, saved after every step."""
    text = (resources.files("affect_core.profiles") / "smoke.toml").read_text()
    path = tmp_path_factory.mktemp("profile") / "smoke.toml"
    path.write_text(text.replace("\nepochs = 2\n", '\nepochs = 2\nprecision = "fp32"\ncheckpoint_seconds = 0.0\n'))
    return str(path)


def launch(processes, profile, run_dir, stages=("mae", "prior", "emma", "cotex"), timeout=240):
    command = ["-m", "affect_core.train", *stages, "--profile", profile, "--run-dir", str(run_dir)]
    if processes > 1:
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), *command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def alone(smoke_book, profile, tmp_path_factory):
    for corpus in ("faces", "affectnet", "abaw4", "lsd"):
        smoke_book.corpus(corpus)
    run_dir = tmp_path_factory.mktemp("alone")
    launch(1, profile, run_dir)
    return run_dir


def losses(run_dir, stage):
    return [entry["train_total"] for entry in read_json(run_dir / stage / "record.json")["log"]]


@pytest.mark.slow
def test_two_processes_give_the_losses_and_weights_of_one(alone, profile, tmp_path):
    """MAE, EMMA and CoTEX. The prior is copied: its batch normalisation sees the images of its own process only."""
    shutil.copytree(alone / "prior", tmp_path / "prior")
    launch(2, profile, tmp_path)
    for stage in ("mae", "emma", "cotex"):
        assert [read_json(run / stage / "record.json")["processes"] for run in (alone, tmp_path)] == [1, 2]
        np.testing.assert_allclose(losses(tmp_path, stage), losses(alone, stage), rtol=1e-4)
        one, two = (load_file(run / stage / "last.safetensors") for run in (alone, tmp_path))
        for name, tensor in one.items():
            torch.testing.assert_close(two[name], tensor, atol=2e-3, rtol=1e-2, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_with_two(alone, profile, tmp_path):
    """Killed in the middle with one process, finished with two: the weights of the run left in peace."""
    script = f"""
import os
import affect_core.training_loop as training
from affect_core.train import main

save = training.TrainingLoop._save_resume

def save_and_die(self):
    save(self)
    if self.step == self.total_steps // 2:
        os._exit(9)

training.TrainingLoop._save_resume = save_and_die
main({["mae", "--profile", profile, "--run-dir", str(tmp_path)]!r})
"""
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=200).returncode == 9
    assert (tmp_path / "mae" / "resume.pt").exists()
    launch(2, profile, tmp_path, ("mae",))
    np.testing.assert_allclose(losses(tmp_path, "mae"), losses(alone, "mae"), rtol=1e-4)


def test_a_process_whose_companion_is_killed_says_so_and_leaves_what_was_saved(profile, smoke_book, tmp_path,
                                                                               record_property):  # fmt: skip
    record_property("reliability", {"part": "several processes", "case": "one of two training processes is killed",
                                    "treatment": "the other stops with a sentence; the last checkpoint is whole"})
    smoke_book.corpus("faces")  # rendered
    longer = tmp_path / "long.toml"
    longer.write_text(Path(profile).read_text().replace("\nepochs = 2\n", "\nepochs = 4000\n"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "affect_core.train", "mae", "--profile", str(longer), "--run-dir", str(tmp_path)]
    first, second = (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={
            **os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "RANK": f"{rank}",
            "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": f"{port}"})
        for rank in range(2)
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not (tmp_path / "mae/resume.pt").exists():
            assert first.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        second.kill()
        said = first.communicate(timeout=60)[1]
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()
    assert first.returncode == 1 and "Traceback" not in said, said
    assert "Another process of this training has ended, so it stops. What was saved is whole" in said
    torch.load(tmp_path / "mae/resume.pt", weights_only=True)


def test_other_faults_are_not_taken_for_a_lost_process(monkeypatch):
    assert not lost_a_process(RuntimeError("Connection closed by peer")), "alone there is nobody to lose"
    monkeypatch.setattr("affect_core.distributed.world", lambda: (0, 2))
    assert lost_a_process(RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:40001"))
    assert not lost_a_process(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_the_command_says_an_error_in_a_sentence(capsys):
    assert train_command(["mae", "--profile", "nowhere"]) == 1
    assert "There is no profile 'nowhere'" in capsys.readouterr().err


@pytest.mark.slow
def test_cells_run_as_jobs_of_submitit(tmp_path, smoke_book):
    """The executor that needs no cluster; a job is what Slurm would start."""
    submitit = pytest.importorskip("submitit")
    from affect_core import evidence
    from affect_core.experiments import Cell, Setting

    cell = Cell(Setting("cotex", start="random", labels=0.5, changes=(("views", 1),)), 0)
    executor = submitit.AutoExecutor(folder=tmp_path / "jobs", cluster="local")
    executor.update_parameters(timeout_min=5)
    job = executor.submit(evidence._job, "smoke", "", str(smoke_book.run_dir), cell, tmp_path / "results", 32)
    assert job.result()["stage"] == "cotex"
    assert json.loads((tmp_path / "results" / "cells" / f"{cell.name}.json").read_text())["seed"] == 0
