"""Every stage, killed at over a hundred moments and started again, ends with the bytes of a run left in peace.

The kills are real (SIGKILL), inside and around every write of a file that has to be whole, and at moments of the clock;
see `killing`. After each, what lies in the folder is read: a file is whole or not there.
"""

import json
import os
import shutil
import time
import zipfile
from importlib import resources

import cv2
import numpy as np
import pytest
import torch
from killing import MOMENTS, Clock, Fault, Suicide, TornWrite, forks, is_running
from safetensors.torch import load_file
from test_runner import write_notebook

from affect_core.corpora import open_corpus
from affect_core.experiments import Cell, Setting
from affect_core.storage import read_json
from affect_core.synthetic.embedded_corpus import EmbeddedCorpusConfig

STAGES = {"mae": "pretrain_mae", "prior": "train_prior", "emma": "train_emma", "cotex": "train_cotex"}
CELL = Cell(Setting("cotex", start="random", labels=0.5, changes=(("views", 2), ("mask_ratio", 0.5))), 0)
CELL_IMAGES = 180
CLOCKS = 4
SMALL_CORPUS = EmbeddedCorpusConfig(
    seed=3, size=16, abaw4_training_videos=1, abaw4_validation_videos=0, frames_per_video=2, affectnet_training=2,
    affectnet_validation=0, lsd_training=0, lsd_validation=0, faces=8,
)  # fmt: skip


def kills_of(stage, seconds):
    """The moments at which a stage is killed, in the order of its life; `seconds` of processor time for all of it."""
    rng = np.random.default_rng(sum(stage.encode()))

    def inside(file, occurrence=1):
        return Fault(file, str(rng.choice(MOMENTS)), occurrence, rng.random())

    def around(file):
        return [Fault(file, str(moment), share=rng.random()) for moment in rng.permutation(MOMENTS[:2])] + [
            Fault(file, "renamed")
        ]

    # around a file: the last moment is "renamed", after which it is not written again in the same epoch
    start = [inside("state.json"), inside("config.json")]
    middle = [*around("resume.pt"), *around("best.safetensors"), *around("log.jsonl"), inside("resume.pt", 2)]
    clocks = [Clock(rng.uniform(0.02, 0.12) * seconds) for _ in range(CLOCKS)]
    return [*start, *middle, *clocks, *around("last.safetensors"), *around("record.json")]


def kills_of_cell(seconds):
    clocks = [Clock(0.1 * seconds), Clock(0.2 * seconds)]
    inside = [Fault("resume.pt", "half"), Fault("best.safetensors", "whole"), *clocks]
    stored = [Fault(f"{CELL.name}.{kind}", moment) for kind in ("npz", "json") for moment in MOMENTS]
    return [*inside, *stored]


def kills_of_rendering(seconds):
    rng = np.random.default_rng(5)
    pictures = [Fault("config.json", "half"), *(Fault("*.jpg", moment, 2, rng.random()) for moment in MOMENTS)]
    jobs = [Fault("*-*-*.json", moment) for moment in MOMENTS]
    clocks = [Clock(rng.uniform(0.05, 0.3) * seconds) for _ in range(3)]
    labels = [Fault("ground_truth.csv", "half"), Fault("training_set_annotations.txt", "whole")]
    return [*pictures, *jobs, *clocks, *labels, *(Fault("complete.json", moment) for moment in MOMENTS)]


KILLS_OF_STORE = [
    Fault("*.chunks", "half"), Fault("*.chunks", "renamed"), TornWrite(1), TornWrite(2), TornWrite(2),
    *(Fault("*.json", moment) for moment in MOMENTS), Fault("*.npy", "whole"),
]  # fmt: skip
KILLS_OF_NOTEBOOK = [
    Fault("00_first.html", "half"), Fault("00_first.json", "half"), Fault("00_first.json", "whole"),
    Fault("index.html", "half"),
]  # fmt: skip


def run_stage(stage, profile, run_dir):
    from affect_core.evidence import train_cell
    from affect_core.workbook import open_workbook

    book = open_workbook(profile, run_dir=run_dir)
    if stage == "cell":
        train_cell(book, CELL, run_dir / "results", CELL_IMAGES)
    else:
        getattr(book, STAGES[stage])()


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
    changes = {
        "epochs = 2": "epochs = 4\ncheckpoint_seconds = 0.0", "width = 48": "width = 24", "depth = 2": "depth = 1",
        "heads = 3": "heads = 2", "width = 8": "width = 4",
    }  # fmt: skip
    for old, new in changes.items():
        text = text.replace(f"\n{old}", f"\n{new}")
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


def report(record_property, part, kills, treatment):
    clocks = sum(isinstance(kill, Clock) for kill in kills)
    case = f"killed {len(kills)} times: {len(kills) - clocks} in or around a write, {clocks} at a random moment"
    record_property("reliability", {"part": part, "case": case, "treatment": treatment})


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
        read_everything(run_dir / stage)
    processes.run(run_stage, stage, profile, run_dir)
    assert result(run_dir / stage) == result(reference / stage)
    report(record_property, f"training, {stage}", kills, "each start goes on; weights, log and record are the same")


@pytest.mark.slow
def test_a_killed_ablation_cell_ends_with_the_same_bytes(whole, profile, processes, tmp_path, record_property):
    reference, seconds = whole
    kills = kills_of_cell(seconds["cell"])
    for kill in kills:
        processes.kill(kill, run_stage, "cell", profile, tmp_path)
        read_everything(tmp_path)
    processes.run(run_stage, "cell", profile, tmp_path)
    assert result(tmp_path / "results") == result(reference / "results")
    assert not (tmp_path / "evidence" / CELL.name).exists(), "weights of a finished cell"
    report(record_property, "ablation cells", kills, "each start goes on; same answers and record, bit for bit")


# -- data --------------------------------------------------------------------------------------------------------------
def render(root):
    from affect_core.synthetic.embedded_corpus import write_embedded_corpus
    from affect_core.synthetic.writers import staging

    staging.STILLS_PER_JOB = 2
    write_embedded_corpus(root, SMALL_CORPUS, workers=1)


def decode(root, store_dir, on_bad_rows="refuse"):
    from affect_core.corpora import store_building

    store_building._CHUNK_ROWS = 2
    open_corpus(root, "faces", size=16, store_dir=store_dir, workers=1, on_bad_rows=on_bad_rows)


@pytest.fixture(scope="module")
def rendered(processes, tmp_path_factory):
    root = tmp_path_factory.mktemp("rendered") / "corpus"
    return root, processes.run(render, root)


@pytest.mark.slow
def test_a_killed_rendering_ends_with_the_same_bytes(rendered, processes, tmp_path, record_property):
    root, seconds = rendered
    kills = kills_of_rendering(seconds)
    for kill in kills:
        processes.kill(kill, render, tmp_path / "corpus")
        assert all(cv2.imread(str(path)) is not None for path in (tmp_path / "corpus").rglob("*.jpg"))
    processes.run(render, tmp_path / "corpus")
    assert result(tmp_path / "corpus") == result(root)
    report(record_property, "rendering the embedded corpus", kills, "each start goes on; the same files, byte for byte")


@pytest.mark.slow
def test_a_killed_store_building_ends_with_the_same_bytes(rendered, processes, tmp_path, record_property):
    root, _ = rendered
    processes.run(decode, root, tmp_path / "whole")
    for kill in KILLS_OF_STORE:
        processes.kill(kill, decode, root, tmp_path / "killed")
    processes.run(decode, root, tmp_path / "killed")
    assert result(tmp_path / "killed") == result(tmp_path / "whole")
    report(record_property, "image stores", KILLS_OF_STORE, "each start goes on; the same store, byte for byte")


@pytest.mark.slow
@pytest.mark.parametrize("kill", [Fault("*.json", moment) for moment in MOMENTS] + [Fault("*.npy", "whole")])
def test_pixels_of_an_older_store_are_never_read_with_a_newer_record(kill, rendered, processes, tmp_path):
    """An image that was bad has become good again, and the rebuilding is killed."""
    shutil.copytree(rendered[0], tmp_path / "corpus")
    victim = sorted((tmp_path / "corpus" / "faces").rglob("*.jpg"))[3]
    good, times = victim.read_bytes(), victim.stat()
    for content in (good[:12] + bytes(len(good) - 12), good):
        victim.write_bytes(content)
        os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
        if content != good:
            processes.run(decode, tmp_path / "corpus", tmp_path / "store", "skip")
    processes.kill(kill, decode, tmp_path / "corpus", tmp_path / "store")
    faces = open_corpus(tmp_path / "corpus", "faces", size=16, store_dir=tmp_path / "store", workers=1)
    assert faces.images[3].any(), "the black picture of the bad image"


# -- notebooks ---------------------------------------------------------------------------------------------------------
CODE = """
import os, signal, time
from pathlib import Path
Path(run_dir, "kernel").write_text(str(os.getpid()))
order = Path(run_dir, "order")
if order.exists():
    parent = int(Path(f"/proc/{os.getppid()}/stat").read_text().split()[3])
    victim = {"kernel": os.getpid(), "process": os.getppid(), "runner": parent}[order.read_text()]
    order.unlink()
    os.kill(victim, signal.SIGKILL)
    time.sleep(60)
Path(run_dir, "value").write_text("41")
6 * 7
"""


def run_notebook(folder, order=None, expected=None):
    from affect_core import runner
    from affect_core.errors import AffectError

    runner.NEEDS = {"00_first": ()}
    run_dir = folder / "run"
    run_dir.mkdir(exist_ok=True)
    if order:
        (run_dir / "order").write_text(order)
    parameters = {"profile": "smoke", "corpus_root": "", "run_dir": str(run_dir), "seed": 0}
    try:
        runner.run_workbook(folder / "nb", run_dir, parameters)
    except AffectError as error:
        assert expected and expected in str(error), error
    else:
        assert not expected


def outputs(folder):
    cells = read_json(folder / "run" / "notebooks" / "00_first.ipynb")["cells"]
    return [output["data"] for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]


@pytest.mark.slow
def test_a_killed_notebook_execution_is_done_again(processes, tmp_path, record_property):
    write_notebook(tmp_path / "nb" / "00_first.ipynb", CODE)
    run_dir = tmp_path / "run"
    processes.run(run_notebook, tmp_path, "kernel", "its kernel died")
    processes.run(run_notebook, tmp_path, "process", "the process that executed it was killed")
    processes.kill(Suicide(), run_notebook, tmp_path, "runner")
    kernel, deadline = int((run_dir / "kernel").read_text()), time.monotonic() + 60
    while is_running(kernel) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(kernel), "a kernel outlives its killed runner"
    for kill in KILLS_OF_NOTEBOOK:
        processes.kill(kill, run_notebook, tmp_path)
        assert not list((run_dir / "notebooks").glob("[!.]*.json")) or kill.file == "index.html"
    processes.run(run_notebook, tmp_path)
    assert outputs(tmp_path) == [{"text/plain": ["42"]}] and (run_dir / "value").read_text() == "41"
    assert "42" in (run_dir / "notebooks" / "00_first.html").read_text() and (run_dir / "index.html").exists()
    assert not list(run_dir.rglob("*.tmp"))
    kills = [Suicide(), Suicide(), Suicide(), *KILLS_OF_NOTEBOOK]  # the kernel, the process above it, the runner
    report(record_property, "notebooks", kills, "a dead kernel is said in a sentence; the notebook is executed again")


def test_there_are_more_than_a_hundred_kills():
    trainings = [kill for stage in STAGES for kill in kills_of(stage, 1)]
    others = [*kills_of_cell(1), *kills_of_rendering(1), *KILLS_OF_STORE, *KILLS_OF_NOTEBOOK]
    assert len(trainings) + len(others) >= 100
    assert sum(isinstance(kill, Clock) for kill in trainings + others) >= 20
