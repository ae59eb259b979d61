"""The command `affect-core`: what it teaches, what it does, what its exit codes mean."""

import os
import shutil
import subprocess
import sys
import time
import tomllib
import tracemalloc
from importlib import import_module, resources

import numpy as np
import pandas as pd
import pytest
import torch
from export_models import cotex, emma
from PIL import Image
from published_layouts import write_all
from published_stills import write_table

from affect_core import command_line, folder_prediction, prediction
from affect_core.batches import predict_corpus
from affect_core.bootstrap import mtl_bootstrap, paired_differences
from affect_core.calibration import fit_thresholds, published_thresholds
from affect_core.checkpoints import save_weights
from affect_core.command_line import main
from affect_core.dan import DAN, DANConfig
from affect_core.errors import AffectError
from affect_core.evaluation import THRESHOLDS, evaluate_model
from affect_core.folder_prediction import predict_folder
from affect_core.labels import AffectPrediction
from affect_core.metrics import lsd_score, mtl_score
from affect_core.picture_files import find_pictures
from affect_core.prediction import Predictor
from affect_core.project_folders import project_root
from affect_core.smoothing import frame_numbers, smooth_prediction
from affect_core.workbook import open_workbook

COMMANDS = ("render", "audit", "train", "evaluate", "predict", "submit", "export", "run")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run with a tiny EMMA and CoTEX."""
    folder = tmp_path_factory.mktemp("run")
    for name, model in {"emma": emma(), "cotex": cotex()}.items():
        save_weights(folder / name / "best.safetensors", model)
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Five pictures in two folders, a broken one, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "more").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "more/c.png", "more/d.PNG", "more/e.jpg"):
        Image.fromarray(rng.integers(0, 256, (40, 52, 3), np.uint8)).save(folder / name)
    (folder / "broken.jpg").write_bytes((folder / "b.jpg").read_bytes()[:200])
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_the_console_script_is_this_command():
    scripts = tomllib.loads((project_root() / "pyproject.toml").read_text())["project"]["scripts"]
    module, function = scripts["affect-core"].split(":")
    assert getattr(import_module(module), function) is main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example_that_parses(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0 and command_line.EXIT_CODES in text
    example = next(line for line in text.splitlines() if line.startswith("  affect-core "))
    options = command_line.parser().parse_args(example.split()[1:])
    assert options.name == name and callable(options.command)


def test_the_help_lists_every_command_and_every_exit_code(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"\n    {name}" in text for name in COMMANDS)
    codes = (command_line.FINE, command_line.FAILED, command_line.USAGE, command_line.UNREADABLE,
             command_line.INTERRUPTED)  # fmt: skip
    assert codes == (0, 1, 2, 3, 130)
    assert all(f"\n  {code} " in text for code in codes)


@pytest.mark.parametrize("arguments", [
    [], ["paint"], ["predict", "a.jpg"], ["predict", "a.jpg", "--out", "a.csv", "--batch-size", "0"],
    ["train", "dan"], ["run", "--weights", "bought"], ["run", "--only"], ["submit", "emotions", "list.txt"],
])  # fmt: skip
def test_what_is_not_understood_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == command_line.USAGE and "usage: affect-core" in capsys.readouterr().err


def test_predict_writes_a_row_a_picture_and_says_what_it_left_out(
    photographs, run_dir, tmp_path, capsys, record_property
):
    out = tmp_path / "predictions.csv"
    code = main(["predict", str(photographs), "--run-dir", str(run_dir), "--out", str(out), "--batch-size", "2"])
    said = capsys.readouterr()
    assert code == command_line.UNREADABLE
    assert "5 rows" in said.out and f"{photographs}/broken.jpg is truncated" in said.err
    assert "1 file left out" in said.err and f"1 file, first {photographs}/notes.txt" in said.err
    record_property("reliability", {"part": "affect-core predict", "case": "some images cannot be read",
                                    "treatment": "listed, left out of the table, exit code 3"})  # fmt: skip
    table = pd.read_csv(out)
    names = ["a.png", "b.jpg", "more/c.png", "more/d.PNG", "more/e.jpg"]
    assert list(table["image"]) == [f"{photographs}/{name}" for name in names]
    everyday = Predictor(emma(), cotex(), prevalence=tuple(prediction.EVERYDAY.values()))
    direct = everyday(list(table["image"]))
    np.testing.assert_allclose(table[["valence", "arousal"]], direct.valence_arousal, atol=1e-4)
    np.testing.assert_allclose(table["uncertainty"], direct.uncertainty, atol=1e-4)


def test_predict_of_readable_pictures_alone_is_fine_and_gives_parquet_too(photographs, run_dir, tmp_path):
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    arguments = ["predict", str(photographs / "more"), str(photographs / "a.png"), "--run-dir", str(run_dir), "--alike"]
    assert main([*arguments, "--out", str(tmp_path / "a.csv")]) == command_line.FINE
    assert main([*arguments, "--out", str(tmp_path / "a.parquet"), "--batch-size", "3"]) == command_line.FINE
    csv, parquet = pd.read_csv(tmp_path / "a.csv"), pd.read_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(csv, parquet, check_dtype=False, atol=1e-4)
    assert len(csv) == 4


@pytest.mark.parametrize(("name", "case", "message"), [
    ("nowhere", "a path that is not there", "nowhere not found"),
    ("empty", "a folder without an image", "there is no image under"),
    ("broken", "a folder of unreadable images alone", "none of 2 images can be read"),
])  # fmt: skip
def test_what_cannot_be_predicted_is_an_error_in_a_sentence_and_leaves_no_table(
    name, case, message, run_dir, tmp_path, capsys, record_property
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    for file in ("a.jpg", "b.png"):
        (tmp_path / "broken" / file).write_bytes(b"x" * 40)
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "a.csv"
    assert main(["predict", str(tmp_path / name), "--run-dir", str(run_dir), "--out", str(out)]) == command_line.FAILED
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    record_property("reliability", {"part": "affect-core predict", "case": case,
                                    "treatment": "one sentence, exit code 1, no table"})  # fmt: skip


def test_an_unwritable_suffix_is_refused_before_anything_is_predicted(photographs, tmp_path):
    def never(pictures):
        raise AssertionError("predicted")

    with pytest.raises(AffectError, match=r"written as \.csv or \.parquet"):
        predict_folder([photographs], tmp_path / "a.xlsx", never)


def test_an_interruption_leaves_no_table_and_exits_with_130(photographs, run_dir, tmp_path, monkeypatch, capsys,
                                                            record_property):  # fmt: skip
    original, calls = Predictor.predict_batch, []

    def interrupted(self, pictures):
        calls.append(len(pictures))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, pictures)

    monkeypatch.setattr(Predictor, "predict_batch", interrupted)
    arguments = ["predict", str(photographs), "--run-dir", str(run_dir), "--out", str(tmp_path / "a.csv")]
    assert main([*arguments, "--batch-size", "2"]) == command_line.INTERRUPTED
    assert "interrupted" in capsys.readouterr().err and len(calls) == 2
    assert list(tmp_path.iterdir()) == []
    record_property("reliability", {"part": "affect-core predict", "case": "Ctrl-C half way",
                                    "treatment": "exit code 130, no half table"})  # fmt: skip


def test_a_picture_named_twice_is_one_row(photographs):
    images = find_pictures([photographs / "a.png", photographs, photographs / "more"]).images
    assert len(images) == len(set(images)) == 6 and images[0] == f"{photographs}/a.png"


def test_the_shipped_predictor_is_the_default(photographs, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(prediction, "load_predictor", lambda device: asked.append(device) or Predictor(emma(), cotex()))
    assert main(["predict", str(photographs / "a.png"), "--out", str(tmp_path / "a.csv")]) == command_line.FINE
    assert asked == ["cpu"]


def test_action_units_are_cut_at_the_predictors_thresholds(photographs, tmp_path):
    for threshold in (0.0, 1.0):
        predictor = Predictor(emma(), cotex(), thresholds=(threshold,) * 12)
        predict_folder([photographs / "a.png"], tmp_path / "a.csv", predictor)
        active = pd.read_csv(tmp_path / "a.csv").filter(like="active_AU")
        assert active.shape == (1, 12) and (active == (threshold == 0.0)).all(axis=None)


def test_a_device_that_is_not_there_is_said_in_a_sentence(photographs, run_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = ["predict", str(photographs), "--run-dir", str(run_dir), "--out", str(tmp_path / "a.csv")]
    assert main([*arguments, "--device", "cuda"]) == command_line.FAILED
    assert "there is no CUDA device here" in capsys.readouterr().err


def test_export_writes_each_form(run_dir, tmp_path, capsys):
    model = str(run_dir / "emma" / "best.safetensors")
    assert main(["export", model, str(tmp_path / "encoder.safetensors")]) == command_line.FINE
    assert (tmp_path / "encoder.json").exists()
    assert main(["export", model, str(tmp_path / "folder")]) == command_line.FAILED
    assert "say what the model was trained on, --trained-on" in capsys.readouterr().err
    assert main(["export", model, str(tmp_path / "folder"), "--trained-on", "Noise."]) == command_line.FINE
    assert (tmp_path / "folder" / "config.json").exists()
    assert "folder: weights, config.json and a model card" in capsys.readouterr().out


def test_export_of_a_cotex_to_timm_says_that_it_is_the_first_view(run_dir, tmp_path, capsys):
    model = str(run_dir / "cotex" / "best.safetensors")
    assert main(["export", model, str(tmp_path / "encoder.safetensors")]) == command_line.FINE
    assert "CoTEX has 2 encoders, one for each view; this is the first\n" in capsys.readouterr().out


def test_export_to_another_suffix_names_the_kinds_of_output(run_dir, tmp_path, capsys):
    model = str(run_dir / "emma" / "best.safetensors")
    assert main(["export", model, str(tmp_path / "mae.pth")]) == command_line.FAILED
    said = capsys.readouterr().err
    assert all(kind in said for kind in ("NAME.onnx", "NAME.safetensors", "folder")) and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_export_to_onnx_says_how_far_it_is_from_pytorch(run_dir, tmp_path, capsys):
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    model = str(run_dir / "cotex" / "best.safetensors")
    assert main(["export", model, str(tmp_path / "a.onnx")]) == command_line.FINE
    assert "expression_logits: at most" in capsys.readouterr().out and (tmp_path / "a.onnx").exists()
    assert main(["export", model, str(tmp_path / "b.onnx"), "--int8"]) == command_line.FINE
    assert "b.onnx: 8-bit weights," in capsys.readouterr().out
    assert (tmp_path / "b.onnx").stat().st_size != (tmp_path / "a.onnx").stat().st_size


def test_render_then_audit(tmp_path, capsys):
    profile = (project_root() / "affect_core" / "profiles" / "smoke.toml").read_text()
    for name in ("abaw4_training_videos", "abaw4_validation_videos", "frames_per_video", "affectnet_training",
                 "affectnet_validation", "lsd_training", "lsd_validation", "faces"):  # fmt: skip
        profile = "\n".join(f"{name} = 2" if line.startswith(f"{name} ") else line for line in profile.splitlines())
    (tmp_path / "tiny.toml").write_text(profile)
    corpora = tmp_path / "corpora"
    assert main(["render", str(corpora), "--profile", str(tmp_path / "tiny.toml"), "--workers", "1"]) == 0
    assert main(["audit", str(corpora), "lsd", "--out", str(tmp_path / "a.md"), "--figures", str(tmp_path / "f")]) == 0
    assert "# Corpus lsd (synthetic)" in (tmp_path / "a.md").read_text() and list((tmp_path / "f").glob("*.png"))
    assert main(["audit", str(corpora), "lsd"]) == 0
    assert capsys.readouterr().out == (tmp_path / "a.md").read_text()
    assert main(["audit", str(corpora), "paintings"]) == command_line.FAILED
    assert "corpus 'paintings' is not known" in capsys.readouterr().err


def test_train_and_run_hand_their_arguments_on(monkeypatch):
    from affect_core import runner, train

    handed = {}
    monkeypatch.setattr(train, "main", lambda arguments: handed.setdefault("train", arguments) and 0)
    monkeypatch.setattr(runner, "main", lambda arguments: (handed.setdefault("run", arguments) and 0) or 1)
    assert main(["train", "mae", "emma", "--profile", "smoke", "--run-dir", "r", "--seed", "3"]) == 0
    assert main(["run", "--corpus-root", "c", "--only", "04_emma"]) == 1, "the runner's exit code is the command's"
    common = ["--profile", "smoke", "--corpus-root", "", "--run-dir", "r", "--seed", "3"]
    assert handed["train"] == ["mae", "emma", *common]
    assert handed["run"] == ["--profile", "laptop", "--corpus-root", os.path.abspath("c"), "--run-dir", "",
                             "--seed", "0", "--weights", "fresh", "--only", "04_emma"]  # fmt: skip


def test_evaluate_scores_a_file_on_the_corpus_it_is_meant_for(smoke_book, run_dir, tmp_path, capsys):
    model = str(run_dir / "cotex" / "best.safetensors")
    assert main(["evaluate", model, "--profile", "smoke", "--out", str(tmp_path / "a.csv")]) == command_line.FINE
    row = pd.read_csv(tmp_path / "a.csv").iloc[0]
    assert (row["model"], row["corpus"], row["source"], row["score"]) == ("CoTEX", "lsd", "synthetic", "expression_f1")
    validation = smoke_book.corpus("lsd").split("validation")
    score = lsd_score(predict_corpus(cotex().predict, validation, 32), validation.labels)
    assert row["estimate"] == pytest.approx(score["expression_f1"]) and row["images"] == len(validation)
    assert row["low"] <= row["estimate"] <= row["high"]
    assert main(["evaluate", model, "--profile", "smoke"]) == command_line.FINE
    assert f"{row['estimate']:.3f}" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "none.safetensors")]) == command_line.FAILED
    assert "none.safetensors not found" in capsys.readouterr().err


def test_evaluate_scores_an_emma_and_a_dan_and_refuses_the_rest(smoke_book):
    scores = evaluate_model(emma(), smoke_book).set_index("score")
    assert {"p_mtl", "expression_f1", "action_unit_f1"} <= set(scores.index)
    assert scores["groups"].iloc[0] < scores["images"].iloc[0], "the bootstrap is over videos"
    prior = DAN(DANConfig(width=8, num_heads=2, small_images=True))
    assert list(evaluate_model(prior, smoke_book)["score"]) == ["expression_f1"]
    with pytest.raises(AffectError, match="tells 7 expressions apart, the corpus 8"):
        evaluate_model(DAN(DANConfig(width=8, num_classes=7)), smoke_book)
    with pytest.raises(AffectError, match="a Linear has no score"):
        evaluate_model(torch.nn.Linear(1, 1), smoke_book)


def test_evaluate_tells_scores_without_and_with_options_and_their_difference(smoke_book, run_dir, tmp_path, capsys):
    model, out = str(run_dir / "emma" / "best.safetensors"), tmp_path / "a.csv"
    options = ["--smooth", "6", "--thresholds", "fitted", "--profile", "smoke"]
    assert main(["evaluate", model, *options, "--out", str(out)]) == command_line.FINE
    table = pd.read_csv(out)
    corpus = smoke_book.corpus("abaw4")
    training, validation = corpus.split("training"), corpus.split("validation")
    with_both = f"smoothed 6 frames, thresholds fitted to {len(training)} training frames"
    assert list(table["options"].unique()) == ["none", with_both, "difference"]
    plain, seen = (predict_corpus(emma(), part, 32) for part in (validation, training))
    fitted = fit_thresholds(seen.action_unit_logits, training.labels.action_units, training.labels.action_units_valid)
    videos, frames = validation.table["group"], frame_numbers(validation.table["image"])
    smoothed = smooth_prediction(plain, videos, frames, width=6)
    before, after = mtl_score(plain, validation.labels), mtl_score(smoothed, validation.labels, fitted)
    estimate = table.set_index(["options", "score"])["estimate"]
    for score in ("p_mtl", "valence_ccc", "arousal_ccc", "expression_f1", "action_unit_f1"):
        assert estimate["none", score] == pytest.approx(before[score])
        assert estimate[with_both, score] == pytest.approx(after[score])
        assert estimate["difference", score] == pytest.approx(after[score] - before[score])
    assert after["valence_ccc"] != before["valence_ccc"] and after["action_unit_f1"] != before["action_unit_f1"]
    paired = paired_differences(plain, smoothed, validation.labels, videos, other_thresholds=fitted)["p_mtl"]
    row = table[(table["options"] == "difference") & (table["score"] == "p_mtl")].iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((paired.low, paired.high))
    assert main(["evaluate", model, "--profile", "smoke"]) == command_line.FINE
    assert "options" not in capsys.readouterr().out


def test_each_option_of_evaluate_changes_its_own_scores(smoke_book):
    validation = smoke_book.corpus("abaw4").split("validation")
    plain, frames = predict_corpus(emma(), validation, 32), frame_numbers(validation.table["image"])
    smoothed = smooth_prediction(plain, validation.table["group"], frames, width=3.5)
    for options, said, cut, words in (({"smooth": 3.5}, smoothed, None, "smoothed 3.5 frames"),
                                      ({"thresholds": "published"}, plain, published_thresholds(),
                                       "published thresholds")):  # fmt: skip
        table = evaluate_model(emma(), smoke_book, **options).set_index(["options", "score"])
        intervals = mtl_bootstrap(said, validation.labels, validation.table["group"], cut)
        assert set(table.index.get_level_values("options")) == {"none", words, "difference"}
        for score, interval in intervals.items():
            assert table.loc[(words, score), ["estimate", "low", "high"]].tolist() == pytest.approx(list(interval))
    choices = command_line.parser().parse_args(["evaluate", "a", "--thresholds", THRESHOLDS[1]]).thresholds
    assert choices == "fitted" and THRESHOLDS[0] == command_line.parser().parse_args(["evaluate", "a"]).thresholds


def test_evaluate_refuses_a_profile_that_prepares_other_faces_than_the_training_saw(run_dir, tmp_path, capsys):
    shutil.copytree(run_dir / "cotex", tmp_path / "cotex")
    model = tmp_path / "cotex" / "best.safetensors"
    for size, code in ((64, command_line.FAILED), (32, command_line.FINE)):
        (tmp_path / "cotex" / "record.json").write_text(f'{{"data_settings": {{"size": {size}}}}}')
        assert main(["evaluate", str(model), "--profile", "smoke"]) == code
        said = "was trained on faces of 64 px, profile smoke prepares them for 32: give the profile of that training"
        assert (said in capsys.readouterr().err) == (size == 64)


def test_evaluate_says_which_rows_were_left_out(run_dir, tmp_path, capsys):
    root = write_all(tmp_path / "real")
    sorted((root / "lsd").rglob("*.jpg"))[0].write_bytes(b"")
    text = (resources.files("affect_core.profiles") / "smoke.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace('on_bad_rows = "refuse"', 'on_bad_rows = "skip"'))
    model = str(run_dir / "cotex" / "best.safetensors")
    assert main(["evaluate", model, "--profile", str(tmp_path / "mine.toml"), "--corpus-root", str(root)]) == 0
    error = capsys.readouterr().err
    assert "note: 1 problems: their rows are left out of lsd\n" in error and "is empty (0 bytes)" in error
    arguments = ["train", "cotex", "--profile", str(tmp_path / "mine.toml"), "--corpus-root", str(root)]
    assert main([*arguments, "--run-dir", str(tmp_path / "run")]) == 0
    listed = tmp_path / "run" / "problems-lsd.json"
    assert f"note: 1 problems: their rows are left out of lsd; {listed} names them\n" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [
    ["audit", "corpora", "lsd", "--out", "FOLDER"], ["predict", "a.png", "--out", "FOLDER"],
    ["evaluate", "model", "--out", "FOLDER"], ["submit", "mtl", "list", "--images", "i", "--out", "FOLDER"],
])  # fmt: skip
def test_an_output_that_is_a_folder_is_refused_before_anything_is_done(arguments, tmp_path, capsys):
    assert main([str(tmp_path) if word == "FOLDER" else word for word in arguments]) == command_line.FAILED
    assert f"{tmp_path} is a folder; give the name of a file" in capsys.readouterr().err


def test_a_negative_seed_is_a_usage_error(capsys):
    with pytest.raises(SystemExit):
        main(["train", "mae", "--seed", "-1"])
    assert "-1 is not a whole number of 0 or more" in capsys.readouterr().err


def test_a_run_is_found_where_a_training_puts_it(run_dir, photographs, tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(run_dir, tmp_path / "project" / "runs" / "try")
    monkeypatch.setattr("affect_core.project_folders.project_root", lambda: tmp_path / "project")
    monkeypatch.chdir(tmp_path / "elsewhere")
    arguments = ["predict", str(photographs / "a.png"), "--run-dir", "runs/try", "--out", str(tmp_path / "a.csv")]
    assert main(arguments) == command_line.FINE


def test_options_of_evaluate_that_cannot_be_meant_are_refused_in_the_users_words(smoke_book, run_dir, capsys):
    model = str(run_dir / "cotex" / "best.safetensors")
    assert main(["evaluate", model, "--profile", "smoke", "--smooth", "2"]) == command_line.FAILED
    assert "a CoTEX is scored on lsd, whose images are stills: nothing can be smoothed" in capsys.readouterr().err
    assert main(["evaluate", model, "--profile", "smoke", "--thresholds", "fitted"]) == command_line.FAILED
    assert "a CoTEX names expressions alone: it has no action units, which thresholds" in capsys.readouterr().err
    with pytest.raises(AffectError, match="abaw4 lie 10 or more apart, smoothing with a width of 2 reaches 8: nothing"):
        evaluate_model(emma(), smoke_book, smooth=2)
    for width in (-1.0, float("nan"), float("inf")):
        with pytest.raises(AffectError, match=f"is a number of frames, 0 or more, not {width}"):
            evaluate_model(emma(), smoke_book, smooth=width)
    with pytest.raises(AffectError, match="thresholds are half, fitted, published, not 'best'"):
        evaluate_model(emma(), smoke_book, thresholds="best")


def test_evaluate_smooths_nothing_without_videos_and_fits_nothing_without_action_units(tmp_path, data_dir):
    """A table of one's own in the place of s-Aff-Wild2."""
    rows = ["image,expression,valence,arousal,AU1,split,group"]
    rows += [f"{split}{number}.png,{number % 2},0.{number},0.1,{{unit}},{split},{{group}}"
             for split in ("training", "validation") for number in range(1, 5)]  # fmt: skip
    text, root = (resources.files("affect_core.profiles") / "smoke.toml").read_text(), tmp_path / "real"
    (tmp_path / "mine.toml").write_text(f'{text}\n[corpora]\nabaw4 = ["mine"]\n')

    def book(**columns):
        write_table(root / "mine", "\n".join(rows).format(**columns))
        return open_workbook(str(tmp_path / "mine.toml"), str(root), str(tmp_path / "run"))

    with pytest.raises(AffectError, match="corpus mine names no videos, each of its 4 validation images stands alone"):
        evaluate_model(emma(), book(group="", unit="1"), smooth=2)
    with pytest.raises(AffectError, match="no training image of corpus mine is labelled with action units"):
        evaluate_model(emma(), book(group="", unit=""), thresholds="fitted")
    named = book(group="ann", unit="1")
    assert "smoothed 2 frames" in set(evaluate_model(emma(), named, smooth=2)["options"])
    for path in (root / "mine").glob("*.png"):
        path.rename(path.with_name(path.name.translate(str.maketrans("1234", "abcd"))))
    table = (root / "mine/labels.csv").read_text().splitlines()
    table = [table[0], *(line.split(",", 1)[0].translate(str.maketrans("1234", "abcd")) + "," + line.split(",", 1)[1]
                         for line in table[1:])]  # fmt: skip
    (root / "mine/labels.csv").write_text("\n".join(table))
    with pytest.raises(AffectError, match="holds no frame number"):
        evaluate_model(emma(), named, smooth=2)


def test_the_command_in_a_process_of_its_own(photographs, run_dir, tmp_path):
    out = tmp_path / "a.csv"
    command = [sys.executable, "-m", "affect_core.command_line", "predict", str(photographs), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(project_root())}
    done = subprocess.run([*command, "--run-dir", str(run_dir)], capture_output=True, text=True, timeout=400,
                          env=environment)  # fmt: skip
    assert done.returncode == command_line.UNREADABLE, done.stderr
    assert len(pd.read_csv(out)) == 5 and "broken.jpg is truncated" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_thousand_pictures_take_the_memory_of_two_hundred(tmp_path, record_property):
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "face.png")
    for number in range(1000):
        (tmp_path / "all" / f"{number // 200}").mkdir(parents=True, exist_ok=True)
        os.link(tmp_path / "face.png", tmp_path / "all" / f"{number // 200}" / f"{number:04d}.png")

    def says_little(pictures):
        tasks = np.zeros((len(pictures), 8), np.float32), None, np.zeros((len(pictures), 2), np.float32)
        return AffectPrediction(*tasks)

    predict_folder([tmp_path / "face.png"], tmp_path / "warm.csv", says_little)
    peaks, rows = {}, {}
    for name in ("all/0", "all"):
        tracemalloc.start()
        try:
            rows[name] = predict_folder([tmp_path / name], tmp_path / "out.csv", says_little).written
            peaks[name] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert rows == {"all/0": 200, "all": 1000} and len(pd.read_csv(tmp_path / "out.csv")) == 1000
    batch = 32 * prediction.STORED_SIZE**2 * 3
    assert peaks["all"] - peaks["all/0"] < 2 * batch, peaks  # 800 pictures kept would be 25 batches
    record_property("reliability", {"part": "affect-core predict", "case": "1,000 images in a folder",
                                    "treatment": "memory of two batches, as for 200"})  # fmt: skip


def test_speed_from_files_beside_speed_from_arrays_is_measured(tmp_path, record_property):
    """Printed (pytest -s) and recorded, not judged: a loaded machine would decide."""
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    for number in range(96):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    predictor = Predictor(emma(), cotex())
    started = time.perf_counter()
    assert predict_folder([tmp_path], tmp_path / "out.csv", predictor).written == 96
    middle = time.perf_counter()
    assert len(predictor(np.broadcast_to(picture, (96, *picture.shape))).expression_logits) == 96
    seconds = middle - started, time.perf_counter() - middle
    speed = "{:.0f} images/s from files, {:.0f} images/s from arrays".format(*(96 / took for took in seconds))
    print(speed)
    record_property("measured", f"tiny models: {speed}")


def test_files_are_read_while_the_model_works(photographs, tmp_path, monkeypatch):
    """The batch after next is not touched before the first answer is in: two batches in memory, no more."""
    read, seen = [], []
    original = folder_prediction.read_image
    monkeypatch.setattr(folder_prediction, "read_image", lambda *given: read.append(given) or original(*given))
    predictor = Predictor(emma(), cotex())

    def watched(pictures):
        seen.append(len(read))
        return predictor.predict_batch(pictures)

    predict_folder([photographs], tmp_path / "a.csv", watched, batch_size=1)
    assert seen[0] <= 2 and seen == sorted(seen) and len(read) == 6
