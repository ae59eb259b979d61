"""Disks that are full or read-only, two runs in one folder, clocks that run backwards, workers that die.

Each gives one sentence, leaves earlier results as they were, and a later start goes on. The full and the read-only disk
are real where the tests may mount one (root on Linux); a limit on the size of files, and an error put in the way of the
first write, stand in for them everywhere.
"""

import errno
import hashlib
import multiprocessing
import os
import resource
import signal
import subprocess
import tempfile
import time

import numpy as np
import pytest
import torch
from test_runner import write_notebook
from test_training import CONFIG, Killed, KilledAt, Numbers, evaluate, same_weights, squared_error
from test_training import network as small_network
from torch import nn

from affect_core import runner
from affect_core.corpora import open_corpus
from affect_core.errors import AffectError
from affect_core.evidence import train_cell
from affect_core.experiments import Cell, Setting
from affect_core.progress import ProgressBar
from affect_core.storage import exclusive
from affect_core.synthetic.corpus_config import EmbeddedCorpusConfig
from affect_core.synthetic.embedded_corpus import write_embedded_corpus
from affect_core.training import fit
from affect_core.workbook import open_workbook

CORPUS = EmbeddedCorpusConfig(
    seed=3, size=16, abaw4_training_videos=3, abaw4_validation_videos=0, frames_per_video=1, affectnet_training=0,
    affectnet_validation=0, lsd_training=0, lsd_validation=0, faces=8,
)  # fmt: skip


def wide_network():
    """Weights of 96 kB, a checkpoint of three times that."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4000), nn.Dropout(0.1), nn.ReLU(), nn.Linear(4000, 1))


def train(directory, model, data=None):
    fit(model, data or Numbers(), squared_error, CONFIG, directory, evaluate=evaluate, monitor="r2")
    return model


def forbidden(*_):
    raise AssertionError("trained again")


def contents(root):
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mount(folder, options):
    if os.name != "posix" or os.geteuid() != 0:
        return False
    return subprocess.run(["mount", *options, str(folder)], capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path):
    """A folder that is a file system of its own, of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, ["-t", "tmpfs", "-o", "size=256k", "tmpfs"]):
        pytest.skip("mounting a small disk needs root and the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(params=["a tmpfs of 256 kB", "a limit of 100 kB a file"])
def full(request, tmp_path):
    """(folder, sentence, function that makes room)."""
    if "tmpfs" in request.param:
        folder = request.getfixturevalue("disk")
        yield folder, "No space left on device", lambda: mount(folder, ["-o", "remount,size=8m"])
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield tmp_path, "File too large", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    return write_embedded_corpus(tmp_path_factory.mktemp("rendered") / "corpus", CORPUS, workers=1)


def noted(record_property, part, case, treatment):
    record_property("reliability", {"part": part, "case": case, "treatment": treatment})


# -- disks -------------------------------------------------------------------------------------------------------------
def test_a_disk_that_fills_up_in_training(full, tmp_path_factory, record_property):
    folder, sentence, make_room = full
    earlier = train(folder / "earlier", small_network())
    before = contents(folder / "earlier")
    for _ in range(2):
        with pytest.raises(AffectError, match=rf"run/\S+ cannot be written: {sentence}; an earlier file is intact"):
            train(folder / "run", wide_network())
        assert not list((folder / "run").glob(".*.tmp")), "half a file takes room that is needed"
    assert contents(folder / "earlier") == before
    assert same_weights(train(folder / "earlier", small_network(), KilledAt(1)), earlier), "still read, not trained"
    make_room()
    expected = train(tmp_path_factory.mktemp("elsewhere") / "run", wide_network())
    assert same_weights(train(folder / "run", wide_network()), expected)
    noted(record_property, "training", f"disk full ({sentence})", "one sentence; earlier results stay; goes on")


def test_a_disk_that_fills_up_while_faces_are_rendered_and_decoded(disk, rendered, record_property):
    assert mount(disk, ["-o", "remount,size=32k"])
    with pytest.raises(AffectError, match=r"cannot be written: No space left on device"):
        write_embedded_corpus(disk / "corpus", CORPUS, workers=1)
    assert mount(disk, ["-o", "remount,size=1m"])
    write_embedded_corpus(disk / "corpus", CORPUS, workers=1)
    assert contents(disk / "corpus") == contents(rendered)
    (disk / "ballast").write_bytes(bytes(2**20 - 2**12 - sum(f.stat().st_blocks * 512 for f in disk.rglob("*"))))
    with pytest.raises(AffectError, match="no room for the image store"):
        open_corpus(disk / "corpus", "faces", size=64, store_dir=disk / "stores")
    (disk / "ballast").unlink()
    assert len(open_corpus(disk / "corpus", "faces", size=64, store_dir=disk / "stores")) == 8
    noted(record_property, "rendering, image stores", "disk full (tmpfs)", "one sentence; goes on when there is room")


def test_a_disk_that_has_become_read_only(disk, rendered, record_property):
    with pytest.raises(Killed):
        train(disk / "run", small_network(), KilledAt(9))
    before = contents(disk)
    assert mount(disk, ["-o", "remount,ro"])
    attempts = {
        "training": lambda: train(disk / "run", small_network()),
        "workbook": lambda: open_workbook("smoke", run_dir=disk / "book"),
        "rendering": lambda: write_embedded_corpus(disk / "corpus", CORPUS, workers=1),
        "image stores": lambda: open_corpus(rendered, "faces", size=16, store_dir=disk / "stores"),
        "notebooks": lambda: runner.run_workbook(disk, disk / "book", {"corpus_root": ""}),
    }
    for part, attempt in attempts.items():
        with pytest.raises(AffectError, match="cannot be written.*Read-only file system"):
            attempt()
        noted(record_property, part, "read-only disk (tmpfs)", "one sentence naming the file; goes on when writable")
    assert contents(disk) == before
    assert mount(disk, ["-o", "remount,rw"])
    assert same_weights(train(disk / "run", small_network()), train(disk / "whole", small_network()))


def test_a_read_only_disk_without_the_right_to_mount_one(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        train(tmp_path / "run", small_network(), KilledAt(9))
    before = contents(tmp_path)

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", refuse)
        with pytest.raises(AffectError, match=r"run/\S+ cannot be written: Read-only file system"):
            train(tmp_path / "run", small_network())
    assert contents(tmp_path) == before
    assert same_weights(train(tmp_path / "run", small_network()), train(tmp_path / "whole", small_network()))


def fill(disk, free):
    """Leave `free` bytes on a tmpfs."""
    status = os.statvfs(disk)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    assert mount(disk, ["-o", f"remount,size={used + free}"])


@pytest.mark.slow
def test_an_ablation_cell_on_a_disk_that_fills_up_or_becomes_read_only(disk, smoke_book, record_property):
    assert mount(disk, ["-o", "remount,size=64m"])
    book = open_workbook("smoke", run_dir=disk / "run")
    setting = Setting("cotex", start="random", labels=0.5, changes=(("views", 1),))
    earlier, cell = Cell(setting, 1), Cell(setting, 0)
    train_cell(book, earlier, disk / "results", 32)
    before = contents(disk / "results")
    fill(disk, 8192)
    with pytest.raises(AffectError, match=r"\S+ cannot be written: No space left on device"):
        train_cell(book, cell, disk / "results", 32)
    assert contents(disk / "results") == before and not list(disk.rglob(".*.tmp"))
    assert mount(disk, ["-o", "remount,size=64m,ro"])
    with pytest.raises(AffectError, match=r"\S+ cannot be written: Read-only file system"):
        train_cell(book, cell, disk / "results", 32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("affect_core.evidence.train_cotex", forbidden)
        assert train_cell(book, earlier, disk / "results", 32)["seed"] == 1, "what is there is read"
    assert contents(disk / "results") == before
    assert mount(disk, ["-o", "remount,rw"])
    train_cell(book, cell, disk / "results", 32)
    train_cell(book, cell, disk / "elsewhere", 32)
    answers = [disk / place / "cells" / f"{cell.name}.npz" for place in ("results", "elsewhere")]
    assert answers[0].read_bytes() == answers[1].read_bytes()
    assert {name: digest for name, digest in contents(disk / "results").items() if name in before} == before
    for case in ("disk full (tmpfs)", "read-only disk (tmpfs)"):
        noted(record_property, "ablation cells", case, "one sentence; earlier cells stay; goes on to the same answers")


@pytest.mark.slow
def test_a_disk_that_fills_up_or_becomes_read_only_while_notebooks_are_executed(
    disk, tmp_path, monkeypatch, record_property
):
    monkeypatch.setattr(runner, "NEEDS", {"00_first": (), "01_second": ()})
    for name in runner.NEEDS:
        write_notebook(tmp_path / "nb" / f"{name}.ipynb", "6 * 7")
    assert mount(disk, ["-o", "remount,size=8m"])
    run_dir = disk / "run"
    parameters = {"profile": "smoke", "corpus_root": "", "run_dir": str(run_dir), "seed": 0}

    def execute():
        return [run.status for run in runner.run_workbook(tmp_path / "nb", run_dir, parameters)]

    def first():
        return {name: digest for name, digest in contents(run_dir).items() if "00_first" in name}

    assert execute() == ["executed", "executed"]
    before = first()
    write_notebook(tmp_path / "nb" / "01_second.ipynb", "6 * 8")
    fill(disk, 0)
    with pytest.raises(AffectError, match="cannot be written: No space left on device"):
        execute()
    assert first() == before and not (run_dir / "notebooks" / "01_second.json").exists()
    assert mount(disk, ["-o", "remount,size=8m,ro"])
    with pytest.raises(AffectError, match="cannot be written: Read-only file system"):
        execute()
    assert first() == before
    assert mount(disk, ["-o", "remount,rw"])
    assert execute() == ["unchanged", "executed"]
    assert first() == before and "48" in (run_dir / "notebooks" / "01_second.html").read_text()
    for case in ("disk full (tmpfs)", "disk becomes read-only between two runs (tmpfs)"):
        noted(record_property, "notebooks", case, "one sentence; notebooks that are done stay; the others go on")


# -- two runs in one folder --------------------------------------------------------------------------------------------
def test_a_second_training_in_the_same_folder_is_refused_and_the_first_is_not_disturbed(tmp_path, record_property):
    other = small_network()

    class Meddling(Numbers):
        def batch(self, rows, generator):
            with pytest.raises(AffectError, match="run is in use by another run; wait for it or choose another name"):
                train(tmp_path / "run", other)
            return super().batch(rows, generator)

    first = train(tmp_path / "run", small_network(), Meddling())
    assert same_weights(first, train(tmp_path / "alone", small_network()))
    noted(record_property, "training", "two runs in one folder", "the second is refused, the first goes on")


def test_a_second_run_of_notebooks_or_rendering_is_refused(tmp_path, record_property):
    with exclusive(tmp_path / "run" / ".workbook.lock", "x"):
        with pytest.raises(AffectError, match="run is in use by another run"):
            runner.run_workbook(tmp_path, tmp_path / "run", {"corpus_root": ""})
    with exclusive(tmp_path / "corpus" / ".writing.lock", "x"):
        with pytest.raises(AffectError, match="embedded corpus in .* is in use by another run"):
            write_embedded_corpus(tmp_path / "corpus", CORPUS, workers=1)
    noted(record_property, "notebooks, rendering", "two runs in one folder", "the second is refused in a sentence")


# -- clocks ------------------------------------------------------------------------------------------------------------
def test_a_clock_that_runs_backwards_and_files_from_the_future(tmp_path, monkeypatch, record_property):
    expected = train(tmp_path / "whole", small_network())
    ticks = iter(range(10**6, 0, -1000))
    for clock in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, clock, lambda: float(next(ticks)))
    for step in (3, 9):
        with pytest.raises(Killed):
            train(tmp_path / "run", small_network(), KilledAt(step))
        for path in (tmp_path / "run").iterdir():
            os.utime(path, (2**32, 2**32))  # the year 2106
    model = small_network()
    record = fit(model, Numbers(), squared_error, CONFIG, tmp_path / "run", evaluate=evaluate, monitor="r2",
                 progress=ProgressBar)  # fmt: skip
    assert same_weights(model, expected)
    seconds = [entry["seconds"] for entry in record.log]
    assert seconds == sorted(seconds) and seconds[0] >= 0
    noted(record_property, "training", "clock runs backwards, files from the future", "same weights, no negative times")


def test_images_from_the_future_are_decoded_once(rendered, tmp_path, record_property):
    for path in (rendered / "faces").rglob("*.jpg"):
        os.utime(path, (2**32, 2**32))
    first = open_corpus(rendered, "faces", size=16, store_dir=tmp_path)
    written = first.images.path.stat().st_mtime_ns
    again = open_corpus(rendered, "faces", size=16, store_dir=tmp_path)
    assert again.images.path.stat().st_mtime_ns == written and np.array_equal(first.images[:], again.images[:])
    noted(record_property, "image stores", "images from the future", "decoded once, as others")


# -- workers -----------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_worker_of_the_rendering_that_is_killed(rendered, tmp_path, record_property):
    class Killing(ProgressBar):
        def update(self, n=1, **postfix):
            victims = multiprocessing.active_children()
            assert victims
            os.kill(victims[0].pid, signal.SIGKILL)

    with pytest.raises(AffectError, match="ended unexpectedly: killed, out of memory.*call again to go on"):
        write_embedded_corpus(tmp_path / "corpus", CORPUS, workers=2, progress=Killing)
    assert list((tmp_path / "corpus" / ".writing").glob("*-*.json")), "finished jobs are kept"
    write_embedded_corpus(tmp_path / "corpus", CORPUS, workers=1)
    assert contents(tmp_path / "corpus") == contents(rendered)
    noted(record_property, "rendering", "a worker is killed", "one sentence; finished pictures are kept; goes on")
