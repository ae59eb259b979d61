"""Every stage, killed at over two hundred moments and started again, ends with the bytes of a run left in peace.

The kills are real (SIGKILL): around every write of a file that has to be whole, in an order that is listed here, and at
more than a hundred moments that are drawn anew in each session: times, and places inside and around drawn writes; see
`killing`. After each, what lies in the folder is read: a file is whole or not there.
"""

import json
import os
import shutil
import time
import zipfile
from collections import Counter
from importlib import resources

import cv2
import numpy as np
import pytest
import torch
from killing import (
    MOMENTS,
    SEED,
    Clock,
    Fault,
    Grown,
    Suicide,
    Torn,
    TornWrite,
    Wall,
    drawn_moments,
    draws,
    forks,
    is_running,
    sooner,
)
from safetensors.torch import load_file
from test_runner import write_notebook

from affect_core.corpora import open_corpus
from affect_core.experiments import Cell, Setting
from affect_core.storage import read_json
from affect_core.synthetic.embedded_corpus import EmbeddedCorpusConfig

STAGES = {"mae": "pretrain_mae", "prior": "train_prior", "emma": "train_emma", "cotex": "train_cotex"}
CELL = Cell(Setting("cotex", start="random", labels=0.5, changes=(("views", 2), ("mask_ratio", 0.5))), 0)
CELL_IMAGES = 180
DRAWN = {"training": 6, "cell": 5, "rendering": 5, "store": 4, "notebook": 8}
"""Moments that are drawn by the clock for each stage; as many again inside writes, and around them."""

SMALL_CORPUS = EmbeddedCorpusConfig(
    seed=3, size=16, abaw4_training_videos=1, abaw4_validation_videos=0, frames_per_video=2, affectnet_training=2,
    affectnet_validation=0, lsd_training=0, lsd_validation=0, faces=8,
)  # fmt: skip


def kills_of(stage):
    """The moments at which a stage is killed, in the order of its life."""
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
    return [*start, *middle, *around("last.safetensors"), *around("record.json")]


def kills_of_cell():
    inside = [Fault("resume.pt", "half"), Fault("best.safetensors", "whole")]
    stored = [Fault(f"{CELL.name}.{kind}", moment) for kind in ("npz", "json") for moment in MOMENTS]
    return [*inside, *stored]


def kills_of_rendering():
    rng = np.random.default_rng(5)
    pictures = [Fault("config.json", "half"), *(Fault("*.jpg", moment, 2, rng.random()) for moment in MOMENTS)]
    jobs = [Fault("*-*-*.json", moment) for moment in MOMENTS]
    labels = [Fault("ground_truth.csv", "half"), Fault("training_set_annotations.txt", "whole")]
    return [*pictures, *jobs, *labels, *(Fault("complete.json", moment) for moment in MOMENTS)]


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
        elif path.suffix == ".npy":
            np.load(path)
        elif path.suffix == ".jpg":
            assert cv2.imread(str(path)) is not None
        elif path.suffix == ".html":
            assert "</html>" in path.read_text()[-20:]
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
    """A run folder with all stages, none interrupted, and the processor seconds and written files of each."""
    folder, notes = tmp_path_factory.mktemp("runs") / "whole", tmp_path_factory.mktemp("notes")
    for corpus in ("faces", "affectnet", "abaw4", "lsd"):
        smoke_book.corpus(corpus)  # rendered and decoded here, so that the kills fall into the training
    lives = {s: processes.written(notes / s, run_stage, s, profile, folder) for s in (*STAGES, "cell")}
    return folder, lives


@pytest.fixture(autouse=True)
def seed_of_the_kills():
    """pytest shows it when a test fails."""
    print(f"to repeat the drawn moments: AFFECT_KILL_SEED={SEED}")


def report(record_property, part, kills, treatment, drawn=False):
    """Note a row of the page, and the kills by kind for its summary."""
    kinds = Counter(type(kill) for kill in kills)
    clock, inside = kinds[Clock] + kinds[Wall], kinds[Torn] + kinds[TornWrite] + kinds[Grown]
    parts = {"inside a write": inside, "by the clock": clock, "around a write": len(kills) - inside - clock}
    case = f"killed {len(kills)} times{' at drawn moments' if drawn else ''}: " + ", ".join(
        f"{number} {name}" for name, number in parts.items() if number
    )
    record_property("reliability", {"part": part, "case": case, "treatment": treatment})
    counts = {"kills": len(kills), "kills at drawn moments": len(kills) * drawn, "kills by the clock": clock,
              "kills inside a write": inside}  # fmt: skip
    record_property("reliability counts", counts)


def kill_at_drawn(processes, moments, start, folder, same):
    """Kill at each of the moments; returns those at which a process was killed, in their order.

    A life that ends before its moment has come must leave what `same` asserts; then `folder` is emptied, and the moment
    is waited for in a whole life, and then a sooner one.
    """
    killed = []
    for moment in moments:
        whole_life = not folder.exists()
        for _ in range(8):
            if processes.kills(moment, *start):
                killed.append(moment)
                if folder.exists():
                    read_everything(folder)
                break
            same()
            shutil.rmtree(folder)
            moment = sooner(moment) if whole_life else moment
            whole_life = True
    processes.run(*start)
    same()
    assert len(killed) >= 0.9 * len(moments), "moments that were missed"
    return killed


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_training_ends_with_the_same_bytes(stage, whole, profile, processes, tmp_path, record_property):
    reference, _ = whole
    run_dir = with_earlier_stages(reference, stage, tmp_path / "killed")
    kills = kills_of(stage)
    for kill in kills:
        processes.kill(kill, run_stage, stage, profile, run_dir)
        read_everything(run_dir / stage)
    processes.run(run_stage, stage, profile, run_dir)
    assert result(run_dir / stage) == result(reference / stage)
    report(record_property, f"training, {stage}", kills, "each start goes on; weights, log and record are the same")


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_training_killed_at_drawn_moments(stage, whole, profile, processes, tmp_path, record_property):
    reference, lives = whole
    run_dir = with_earlier_stages(reference, stage, tmp_path / "killed")

    def same():
        assert result(run_dir / stage) == result(reference / stage)

    moments = drawn_moments(draws(stage), *lives[stage], DRAWN["training"])
    killed = kill_at_drawn(processes, moments, (run_stage, stage, profile, run_dir), run_dir / stage, same)
    report(record_property, f"training, {stage}", killed, "the same weights, log and record", drawn=True)


def with_earlier_stages(reference, stage, run_dir):
    for earlier in list(STAGES)[: list(STAGES).index(stage)]:
        shutil.copytree(reference / earlier, run_dir / earlier)
    return run_dir


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resume.pt", "best.safetensors", "last.safetensors", "log.jsonl", "record.json"])
def test_a_kill_inside_a_serialisation_leaves_a_part_that_nobody_reads(
    name, whole, profile, processes, tmp_path, record_property
):
    """The write itself is cut in the middle, whether Python, torch or safetensors makes it."""
    reference, lives = whole
    written = lives["mae"][1]
    after = [file for file, _ in written].index(name)
    part = max(1, draws(name).randrange(written[after][1]))
    kill = Torn(part, after)
    processes.kill(kill, run_stage, "mae", profile, tmp_path)
    parts = {path.name: path.stat().st_size for path in (tmp_path / "mae").glob(".*") if path.suffix != ".lock"}
    expected = part if not name.endswith(".safetensors") else 0  # which stops at the allocation of its file
    assert expected in parts.values(), parts
    read_everything(tmp_path / "mae")
    processes.run(run_stage, "mae", profile, tmp_path)
    assert result(tmp_path / "mae") == result(reference / "mae")
    report(record_property, f"training, {name}", [kill], "the part is removed; weights, log and record are the same")


def save_large_weights(folder, value):
    from affect_core.checkpoints import save_weights
    from affect_core.storage import exclusive, remove_unfinished

    with exclusive(folder / ".lock", "the folder"):
        remove_unfinished(folder)
        save_weights(folder / "model.safetensors", torch.nn.ParameterDict({"w": torch.full((2**24,), value)}))


@pytest.mark.slow
def test_a_kill_while_safetensors_writes_leaves_the_earlier_weights(processes, tmp_path, record_property):
    """64 MB, so that a part of them is on the disk when the kill comes."""
    processes.run(save_large_weights, tmp_path, 1.0)
    shares = draws("large")
    kills = [Grown(tmp_path, int(shares.uniform(0.02, 0.8) * 2**26)) for _ in range(3)]
    torn = 0
    for kill in kills:
        processes.kill(kill, save_large_weights, tmp_path, 2.0)
        assert load_file(tmp_path / "model.safetensors")["w"].eq(1.0).all()
        torn += sum(kill.size <= path.stat().st_blocks * 512 < 2**26 for path in tmp_path.glob(".*"))
    assert torn >= 2, "kills that came when all was written"
    processes.run(save_large_weights, tmp_path, 3.0)
    assert load_file(tmp_path / "model.safetensors")["w"].eq(3.0).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "model.safetensors"], "parts stay behind"
    report(record_property, "weights of 64 MB", kills, "the earlier weights are whole; the part is removed", drawn=True)


@pytest.mark.slow
def test_a_killed_ablation_cell_ends_with_the_same_bytes(whole, profile, processes, tmp_path, record_property):
    reference, _ = whole
    kills = kills_of_cell()
    for kill in kills:
        processes.kill(kill, run_stage, "cell", profile, tmp_path)
        read_everything(tmp_path)
    processes.run(run_stage, "cell", profile, tmp_path)
    assert result(tmp_path / "results") == result(reference / "results")
    assert not (tmp_path / "evidence" / CELL.name).exists(), "weights of a finished cell"
    report(record_property, "ablation cells", kills, "each start goes on; same answers and record, bit for bit")


@pytest.mark.slow
def test_an_ablation_cell_killed_at_drawn_moments(whole, profile, processes, tmp_path, record_property):
    reference, lives = whole

    def same():
        assert result(tmp_path / "run" / "results") == result(reference / "results")

    start = (run_stage, "cell", profile, tmp_path / "run")
    killed = kill_at_drawn(processes, drawn_moments(draws("cell"), *lives["cell"], DRAWN["cell"]), start,
                           tmp_path / "run", same)  # fmt: skip
    report(record_property, "ablation cells", killed, "the same answers and record, bit for bit", drawn=True)


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
    folder = tmp_path_factory.mktemp("rendered")
    return folder / "corpus", processes.written(folder / "notes", render, folder / "corpus")


@pytest.mark.slow
def test_a_killed_rendering_ends_with_the_same_bytes(rendered, processes, tmp_path, record_property):
    root, _ = rendered
    kills = kills_of_rendering()
    for kill in kills:
        processes.kill(kill, render, tmp_path / "corpus")
        assert all(cv2.imread(str(path)) is not None for path in (tmp_path / "corpus").rglob("*.jpg"))
    processes.run(render, tmp_path / "corpus")
    assert result(tmp_path / "corpus") == result(root)
    report(record_property, "rendering the embedded corpus", kills, "each start goes on; the same files, byte for byte")


@pytest.mark.slow
def test_a_rendering_killed_at_drawn_moments(rendered, processes, tmp_path, record_property):
    root, life = rendered

    def same():
        assert result(tmp_path / "corpus") == result(root)

    moments = drawn_moments(draws("rendering"), *life, DRAWN["rendering"])
    killed = kill_at_drawn(processes, moments, (render, tmp_path / "corpus"), tmp_path / "corpus", same)
    report(record_property, "rendering the embedded corpus", killed, "the same files, byte for byte", drawn=True)


@pytest.mark.slow
def test_a_killed_store_building_ends_with_the_same_bytes(rendered, processes, tmp_path, record_property):
    root, _ = rendered
    processes.run(decode, root, tmp_path / "whole")
    for kill in KILLS_OF_STORE:
        processes.kill(kill, decode, root, tmp_path / "killed")
    processes.run(decode, root, tmp_path / "killed")
    assert result(tmp_path / "killed") == result(tmp_path / "whole")
    report(record_property, "image stores", KILLS_OF_STORE, "each start goes on; the same store, byte for byte")


def moments_of_store(seconds, written):
    rng, count = draws("store"), DRAWN["store"]
    torn = [TornWrite(rng.randint(1, SMALL_CORPUS.faces // 2), rng.random()) for _ in range(count)]
    moments = [*drawn_moments(rng, seconds, written, count), *torn]
    rng.shuffle(moments)
    return moments


@pytest.mark.slow
def test_a_store_building_killed_at_drawn_moments(rendered, processes, tmp_path, record_property):
    root, _ = rendered
    life = processes.written(tmp_path / "notes", decode, root, tmp_path / "whole")

    def same():
        assert result(tmp_path / "killed") == result(tmp_path / "whole")

    start = decode, root, tmp_path / "killed"
    killed = kill_at_drawn(processes, moments_of_store(*life), start, tmp_path / "killed", same)
    report(record_property, "image stores", killed, "the same store, byte for byte", drawn=True)


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


def run_notebook_that_may_be_stopped(folder):
    """As `run_notebook`, where a process below may be killed at any time: that has to be said in a sentence."""
    from affect_core import runner
    from affect_core.errors import AffectError

    runner.NEEDS = {"00_first": ()}
    parameters = {"profile": "smoke", "corpus_root": "", "run_dir": str(folder / "run"), "seed": 0}
    (folder / "run").mkdir(exist_ok=True)
    try:
        runner.run_workbook(folder / "nb", folder / "run", parameters)
    except AffectError as error:
        assert "its kernel died" in str(error) or "was killed" in str(error), error


def moments_of_notebook(seconds, written):
    rng, count = draws("notebook"), DRAWN["notebook"]
    moments = [moment for moment in drawn_moments(rng, 1, written, count // 4) if not isinstance(moment, Clock)]
    moments += [Wall(rng.uniform(0, 0.9 * seconds), rng.random()) for _ in range(count)]
    rng.shuffle(moments)
    return moments


@pytest.mark.slow
def test_a_notebook_killed_at_drawn_moments(processes, tmp_path, record_property):
    """The runner, the process that executes or the kernel, as drawn."""
    write_notebook(tmp_path / "nb" / "00_first.ipynb", CODE)
    run_dir, start = tmp_path / "run", (run_notebook_that_may_be_stopped, tmp_path)
    began = time.monotonic()
    _, written = processes.written(tmp_path / "notes", *start)
    seconds = time.monotonic() - began

    def same():
        assert outputs(tmp_path) == [{"text/plain": ["42"]}] and (run_dir / "value").read_text() == "41"
        assert "42" in (run_dir / "notebooks" / "00_first.html").read_text() and (run_dir / "index.html").exists()
        assert not list(run_dir.rglob("*.tmp"))

    same()
    shutil.rmtree(run_dir)
    killed = kill_at_drawn(processes, moments_of_notebook(seconds, written), start, run_dir, same)
    report(record_property, "notebooks", killed, "executed again, the same outputs and pages", drawn=True)


def test_there_are_more_than_two_hundred_kills_and_more_than_a_hundred_of_them_drawn():
    listed = [kill for stage in STAGES for kill in kills_of(stage)]
    listed += [*kills_of_cell(), *kills_of_rendering(), *KILLS_OF_STORE, *KILLS_OF_NOTEBOOK]
    life = 1.0, [("a", 9), ("b", 9)]
    drawn = [moment for part in ("cell", "rendering") for moment in drawn_moments(draws(part), *life, DRAWN[part])]
    drawn += [moment for stage in STAGES for moment in drawn_moments(draws(stage), *life, DRAWN["training"])]
    drawn += [*moments_of_store(*life), *moments_of_notebook(*life)]
    assert len(listed) + len(drawn) >= 200
    assert 0.9 * len(drawn) >= 100, "the share that may be missed is taken off"
    assert sum(isinstance(moment, Clock | Wall) for moment in drawn) >= 40


def test_drawn_moments_are_repeated_by_their_seed(monkeypatch):
    draw = lambda: drawn_moments(draws("a stage"), 2.0, [("a", 100), ("b", 900)], 5)  # noqa: E731
    first = draw()
    assert draw() == first and len(first) == 15
    monkeypatch.setattr("killing.SEED", SEED + 1)
    assert draw() != first
