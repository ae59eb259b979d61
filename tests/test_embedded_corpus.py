"""The corpus on disk: in the published formats, the same bytes every time, and whole after any interruption."""

import csv
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS, AFFECTNET_EXPRESSIONS, EXPRESSIONS
from affect_core.progress import ProgressBar
from affect_core.synthetic.annotation_gaps import annotated_rows, leave_none_empty
from affect_core.synthetic.embedded_corpus import EmbeddedCorpusConfig, write_embedded_corpus
from affect_core.synthetic.facs_coding import code_action_units
from affect_core.synthetic.job_pool import run_jobs
from affect_core.synthetic.writers import abaw4
from affect_core.synthetic.writers.staging import Staging

TINY = EmbeddedCorpusConfig(
    seed=3, size=32, abaw4_training_videos=6, abaw4_validation_videos=3, frames_per_video=6, affectnet_training=40,
    affectnet_validation=16, lsd_training=18, lsd_validation=12, faces=10,
)  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_embedded_corpus(tmp_path_factory.mktemp("embedded") / "corpus", TINY, workers=1)


def contents(root: Path) -> dict[str, str]:
    """Path -> digest of every visible file."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and ".writing" not in str(path.relative_to(root)))
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def label_rows(corpus: Path, split: str) -> list[list[str]]:
    with open(corpus / "abaw4" / f"{split}_set_annotations.txt", newline="") as file:
        return list(csv.reader(file))[1:]


# -- format ------------------------------------------------------------------------------------------------------------
def test_abaw4_files_have_a_header_and_sixteen_fields_and_name_every_image_once(corpus):
    listed = []
    for split, videos in (("training", 6), ("validation", 3)):
        rows = label_rows(corpus, split)
        assert len(rows) == videos * 6 and {len(row) for row in rows} == {16}
        for image, valence, arousal, expression, *units in rows:
            listed.append(image)
            assert (valence == "-5") == (arousal == "-5")
            assert valence == "-5" or max(abs(float(valence)), abs(float(arousal))) <= 1
            assert int(expression) in range(-1, 8)
            assert set(units) <= {"0", "1"} or set(units) == {"-1"}
    on_disk = {str(path.relative_to(corpus / "abaw4" / "cropped_aligned")) for path in corpus.glob("abaw4/*/*/*.jpg")}
    assert len(listed) == len(set(listed)) and set(listed) == on_disk


def test_abaw4_validation_is_annotated_for_valence_arousal_and_action_units_throughout(corpus):
    for _, valence, arousal, _, *units in label_rows(corpus, "validation"):
        assert "-5" not in (valence, arousal) and "-1" not in units


def test_annotations_agree_with_the_ground_truth(corpus):
    truth = pd.read_csv(corpus / "abaw4" / "ground_truth.csv").set_index("image")
    for image, valence, _, expression, *units in label_rows(corpus, "training"):
        row = truth.loc[f"cropped_aligned/{image}"]
        assert valence == "-5" or abs(float(valence) - row["valence"]) < 0.2
        assert expression == "-1" or EXPRESSIONS[int(expression)] == row["expression"]
        assert units[0] == "-1" or [int(unit) for unit in units] == [row[f"AU{unit}"] for unit in ACTION_UNITS]
        intensities = {unit: row[f"intensity_AU{unit}"] for unit in (1, 2, 4, 6, 7, 9, 10, 12, 15, 23, 24, 26)}
        again = dict(zip(ACTION_UNITS, code_action_units(intensities, row["lips_apart_mm"]), strict=True))
        assert all(again[unit] == row[f"AU{unit}"] for unit in ACTION_UNITS)


def test_affectnet_annotations_are_text_arrays_beside_each_image(corpus):
    for folder, count in (("train_set", 40), ("val_set", 16)):
        images = sorted((corpus / "affectnet" / folder / "images").glob("*.jpg"))
        assert len(images) == count
        codes = Counter()
        for image in images:
            read = {kind: np.load(corpus / "affectnet" / folder / "annotations" / f"{image.stem}_{kind}.npy")
                    for kind in ("exp", "val", "aro")}  # fmt: skip
            assert all(value.dtype.kind == "U" and value.shape == () for value in read.values())
            codes[AFFECTNET_EXPRESSIONS[int(read["exp"])]] += 1
            assert max(abs(float(read["val"])), abs(float(read["aro"]))) <= 1
        assert set(codes.values()) == {count // 8} and len(codes) == 8


def test_lsd_has_the_published_folders_and_a_mild_skew(corpus):
    for folder, count in (("training_set_synthetic_images", 18), ("validation_set_real_images", 12)):
        classes = {path.name: len(list(path.glob("*.jpg"))) for path in (corpus / "lsd" / folder).iterdir()}
        assert set(classes) == {"ANGRER", "DISGUST", "FEAR", "HAPPINESS", "SADNESS", "SURPRISE"}
        assert sum(classes.values()) == count
        assert max(classes.values()) == classes["SADNESS"] <= 3 * min(classes.values())


def test_every_image_decodes_at_the_size_asked_for_and_nothing_hidden_stays(corpus):
    images = list(corpus.rglob("*.jpg"))
    assert len(images) == sum(TINY.images().values())
    assert all(cv2.imread(str(path)).shape == (32, 32, 3) for path in images)
    assert not (corpus / ".writing").exists()


def test_nobody_appears_in_two_splits_or_two_corpora(corpus):
    truth = pd.concat([pd.read_csv(path).assign(corpus=path.parent.name) for path in corpus.glob("*/ground_truth.csv")])
    assert (truth.groupby("person")[["corpus", "split"]].nunique() == 1).all().all()
    stills = truth[truth["corpus"] != "abaw4"]
    assert stills["person"].is_unique
    videos = truth[truth["corpus"] == "abaw4"]
    assert videos["image"].str.split("/").str[1].groupby(videos["person"]).nunique().eq(1).all()
    assert videos["person"].nunique() == 9


def test_frames_of_a_video_are_alike_and_yet_move(corpus):
    paths = sorted(corpus.glob("abaw4/cropped_aligned/video001/*.jpg"))
    frames = [cv2.imread(str(path)).astype(float) for path in paths]
    other = cv2.imread(str(corpus / "abaw4/cropped_aligned/video002/00001.jpg")).astype(float)
    within = np.mean([np.abs(frame - frames[0]).mean() for frame in frames[1:]])
    assert 0 < within < np.abs(other - frames[0]).mean()


# -- proportions -------------------------------------------------------------------------------------------------------
def test_missing_labels_have_the_published_proportions_in_runs_and_leave_no_row_empty():
    config = replace(TINY, frames_per_video=40)
    for split, shares in abaw4.ANNOTATED.items():
        has = abaw4.draw_annotated(4800, config, split)
        for task, share in shares.items():
            assert has[task].mean() == pytest.approx(share, abs=1e-3)
        assert np.any(list(has.values()), axis=0).all()
    has = abaw4.draw_annotated(4800, config, "training")
    flips = np.mean(has["expression"][1:] != has["expression"][:-1])
    share = has["expression"].mean()
    assert flips < 0.6 * 2 * share * (1 - share)  # independent rows would change at 2 p (1 - p)


def test_gaps_handle_no_rows_and_no_labels():
    rng = np.random.default_rng(0)
    assert len(annotated_rows(rng, np.zeros(0, int), 0.5)) == 0
    assert not annotated_rows(rng, np.zeros(9, int), 0.0).any() and annotated_rows(rng, np.zeros(9, int), 1.0).all()
    nothing = {"expression": np.zeros(4, bool), "action_units": np.zeros(4, bool)}
    assert not any(mask.any() for mask in leave_none_empty(nothing).values())


def test_expressions_come_in_exact_proportions_and_random_order():
    order = TINY.expressions_in_random_order("faces", "unlabelled", 100, {"a": 1.0, "b": 3.0})
    assert Counter(order) == {"a": 25, "b": 75} and order != sorted(order)
    assert order == TINY.expressions_in_random_order("faces", "unlabelled", 100, {"a": 1.0, "b": 3.0})


# -- determinism and interruption --------------------------------------------------------------------------------------
def test_two_processes_write_the_same_bytes_as_one(corpus, tmp_path):
    assert contents(write_embedded_corpus(tmp_path / "again", TINY, workers=2)) == contents(corpus)


def test_another_seed_gives_other_people(corpus, tmp_path):
    small = replace(TINY, seed=4, abaw4_training_videos=0, abaw4_validation_videos=0, affectnet_training=0,
                    affectnet_validation=0, lsd_training=0, lsd_validation=0)  # fmt: skip
    other = write_embedded_corpus(tmp_path / "other", small, workers=1)
    assert sorted(path.name for path in other.iterdir() if path.is_dir()) == ["faces"]
    people = [set(pd.read_csv(root / "faces" / "ground_truth.csv")["person"]) for root in (corpus, other)]
    assert not people[0] & people[1]


def test_a_second_call_returns_at_once_and_touches_nothing(corpus):
    before = contents(corpus)
    started = time.perf_counter()
    assert write_embedded_corpus(corpus, TINY) == corpus
    assert time.perf_counter() - started < 0.2
    assert contents(corpus) == before


def test_a_killed_writer_leaves_whole_files_and_the_next_call_finishes_to_the_same_bytes(corpus, tmp_path):
    root = tmp_path / "killed"
    program = (
        "from pathlib import Path; import sys\n"
        "from affect_core.synthetic.embedded_corpus import EmbeddedCorpusConfig, write_embedded_corpus\n"
        f"write_embedded_corpus(Path(sys.argv[1]), {TINY!r}, workers=2)"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(root)], start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(root.glob(".writing/*-*.json")) and writer.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL, "the writer had finished before it could be killed"
    while _session_members(writer.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _session_members(writer.pid), "workers outlive their killed parent"
    assert not (root / "complete.json").exists()
    assert all(cv2.imread(str(path)) is not None for path in root.rglob("*.jpg"))

    done_before = sum(len(json.loads(path.read_text())) for path in root.glob(".writing/*-*.json"))
    bars = []

    def progress(total, description):
        bars.append(ProgressBar(total, description))
        return bars[-1]

    write_embedded_corpus(root, TINY, workers=1, progress=progress)
    assert contents(root) == contents(corpus)
    assert bars[0].done == bars[0].total == sum(TINY.images().values()) and bars[0]._done_at_start == done_before > 0


def _session_members(session: int) -> list[str]:
    """Processes of a session that still run (Linux)."""
    members = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            members.append(status.parent.name)
    return members


def test_a_worker_that_dies_gives_one_plain_sentence():
    with pytest.raises(AffectError, match="ended unexpectedly"):
        list(run_jobs(os._exit, [3, 3, 3], workers=2))
    assert not multiprocessing.active_children()


def test_an_error_in_a_worker_reaches_the_caller():
    with pytest.raises(ValueError, match="invalid literal"):
        list(run_jobs(int, ["1", "x", "2"], workers=2))


# -- refusals ----------------------------------------------------------------------------------------------------------
def test_another_configuration_in_the_same_folder_is_refused(corpus, tmp_path):
    with pytest.raises(AffectError, match="size 32, not 48"):
        write_embedded_corpus(corpus, replace(TINY, size=48))
    started = Staging(tmp_path / "started")
    started.save_bytes(".writing/config.json", json.dumps(TINY.record()).encode())
    with pytest.raises(AffectError, match="seed 3, not 5"):
        write_embedded_corpus(tmp_path / "started", replace(TINY, seed=5))


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "abaw4").mkdir()
    with pytest.raises(AffectError, match="already holds abaw4"):
        write_embedded_corpus(tmp_path, TINY)
    (tmp_path / "file").write_text("")
    with pytest.raises(AffectError, match="is a file"):
        write_embedded_corpus(tmp_path / "file", TINY)
    (tmp_path / "complete.json").write_text("{}")
    with pytest.raises(AffectError, match="does not say how"):
        write_embedded_corpus(tmp_path, TINY)


@pytest.mark.parametrize("wrong", [{"size": 8}, {"faces": -1}, {"frames_per_video": 0}, {"seed": 1.5},
                                   {"annotator_noise": -0.1}])  # fmt: skip
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(AffectError, match=next(iter(wrong))):
        EmbeddedCorpusConfig(**wrong)


def test_a_full_disk_is_reported_with_the_file(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(AffectError, match="a.jpg cannot be written: No space left"):
        Staging(tmp_path).save_image("a.jpg", np.zeros((8, 8, 3), np.uint8))
