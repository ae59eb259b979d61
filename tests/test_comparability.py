"""Two runs say for themselves whether their scores may be set side by side."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import affect_core
from affect_core.comparability import compare_runs, main
from affect_core.errors import AffectError
from affect_core.record import RECORDED_PACKAGES, code_fingerprint
from affect_core.training import TrainConfig, fit

CONFIG = TrainConfig(epochs=2, batch_size=8, accumulation=1, warmup_epochs=0, precision="fp32")


class Line:
    """Points on a line; what `fit` takes as data."""

    fingerprint = "line"
    settings = {"name": "line", "corpus": "0123456789abcdef", "size": 16, "augmentation": {"flip": 0.5}}

    def __len__(self):
        return 16

    def batch(self, rows, generator):
        x = torch.from_numpy(rows).float()[:, None] / 16
        return x, 2 * x


def squared_error(model, batch, generator):
    return {"total": (model(batch[0]) - batch[1]).square().mean()}


def train(directory, config=CONFIG, validation="held-out", start=0):
    torch.manual_seed(start)
    fit(nn.Linear(1, 1), Line(), squared_error, config, directory, evaluate=lambda model: {"r2": 0.5}, monitor="r2",
        validation=validation)  # fmt: skip
    return directory


@pytest.fixture(scope="module", autouse=True)
def committed():
    """The checkout of these tests may hold changes; what is recorded here is a commit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("affect_core.record._git_commit", lambda: "4af0fc980be2")
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder with the stages mae and emma."""
    run = tmp_path_factory.mktemp("runs") / "one"
    train(run / "mae")
    train(run / "emma")
    return run


def copied(finished, tmp_path, **changes):
    """A copy of the run whose emma record has `changes`; a dotted name goes down, None takes the entry away."""
    run = tmp_path / "other"
    shutil.copytree(finished, run, dirs_exist_ok=True)
    path = run / "emma" / "record.json"
    record = json.loads(path.read_text())
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = record
        for parent in parents:
            place = place[parent]
        place[last] = value
        if value is None:
            del place[last]
    path.write_text(json.dumps(record))
    return run


def test_the_record_of_a_stage_holds_all_it_was_made_from(finished):
    record = json.loads((finished / "emma/record.json").read_text())
    assert record["training"]["seed"] == 0 and record["training"]["epochs"] == 2
    assert record["data"] == "line" and record["data_settings"] == Line.settings and record["images"] == 16
    assert record["validation"] == "held-out"
    assert record["code"] == code_fingerprint() and record["scoring_code"] == code_fingerprint(("bootstrap", "metrics"))
    assert len(record["initial_weights"]) == 64 and record["precision"] == "fp32" and record["processes"] == 1
    environment = record["environment"]
    assert set(environment) == {"python", "packages", "hardware", "commit"} and environment["commit"] == "4af0fc980be2"
    assert set(environment["packages"]) == set(RECORDED_PACKAGES) and environment["packages"]["numpy"] == np.__version__
    assert "cores" in environment["hardware"] or torch.cuda.is_available()


def test_a_run_and_its_copy_differ_in_nothing(finished, tmp_path):
    comparison = compare_runs(finished, copied(finished, tmp_path))
    assert comparison.comparable and comparison.differences == () and comparison.stages == ("emma", "mae")
    assert str(comparison) == "comparable\n- nothing differs"


def test_a_repetition_with_another_seed_is_comparable(finished, tmp_path):
    train(tmp_path / "seed1/emma", replace(CONFIG, seed=1), start=1)
    comparison = compare_runs(finished, tmp_path / "seed1")
    assert comparison.comparable and comparison.stages == ("emma",)
    assert comparison.differences == ("emma: seed differs: 0 and 1 (a repetition: comparable)",)


def test_another_validation_set_is_trained_anew_and_not_comparable(finished, tmp_path, record_property):
    record_property("reliability", {"part": "run record", "case": "two runs were validated on different faces",
                                    "treatment": "trained anew; compare_runs says not comparable"})  # fmt: skip
    directory = shutil.copytree(finished / "emma", tmp_path / "emma")
    train(directory, validation="other faces")
    assert (tmp_path / "emma.previous/record.json").exists(), "the best epoch is chosen on the validation set"
    comparison = compare_runs(finished / "emma", directory)
    assert not comparison.comparable
    assert comparison.differences == ("validation sets differ: scores cannot be set side by side",)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training__epochs": 6}, "setting training.epochs differs: 2 and 6"),
        ({"model": {"vit": {"width": 64}}}, "setting model differs: None and {'vit': {'width': 64}}"),
        ({"data": "x", "data_settings__corpus": "fedcba9876543210"},
         "data differ: line 01234567 (16 images) and line fedcba98 (16 images)"),
        ({"data": "x", "data_settings__augmentation__flip": 0}, "setting data.augmentation.flip differs: 0.5 and 0"),
        ({"data": "x", "data_settings": None}, "data differ (images, labels, size or augmentation; which is not rec"),
        ({"initial_weights": "x"}, "initial weights differ at the same seed"),
        ({"code": "x"}, "the training code differs"),
        ({"precision": "bf16"}, "precision differs: fp32 and bf16"),
        ({"processes": 4}, "processes differs: 1 and 4"),
        ({"environment__packages__torch": "2.6", "environment__packages__timm": "1.0"}, "packages differ: torch "),
        ({"environment__python": "3.12.1"}, "python differs: "),
        ({"environment__hardware": "abacus"}, "hardware differs: "),
        ({"environment__commit": "abc-dirty"}, "commit differs: "),
    ],
)  # fmt: skip
def test_what_may_explain_a_difference_is_said_and_forbids_nothing(finished, tmp_path, changes, sentence):
    comparison = compare_runs(finished, copied(finished, tmp_path, **changes))
    assert comparison.comparable
    assert comparison.differences[0].startswith(f"emma: {sentence}")
    assert len(comparison.differences) == (2 if "environment__commit" in changes else 1)


def test_uncommitted_changes_are_pointed_out(finished, tmp_path, record_property):
    record_property("reliability", {"part": "run record", "case": "a run was made with changes that were not committed",
                                    "treatment": "said by compare_runs"})  # fmt: skip
    comparison = compare_runs(finished, copied(finished, tmp_path, environment__commit="abc-dirty"))
    assert "emma: a commit is marked -dirty: changes that were not committed took part" in comparison.differences


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"validation": None}, "validation sets are not recorded: scores cannot be set side by side"),
        ({"scoring_code": "x"}, "programs of the scores differ: scores cannot be set side by side"),
        ({"scoring_code": None}, "programs of the scores are not recorded"),
        ({"log": [{"epoch": 1, "validation_p_mtl": 1.0}]}, "the scores are of another kind: r2 and p_mtl"),
        ({"log": [{"epoch": 1}]}, "the scores are of another kind: r2 and none"),
    ],
)
def test_scores_that_do_not_mean_the_same_are_not_comparable(finished, tmp_path, changes, sentence):
    other = copied(finished, tmp_path, training__epochs=3, **changes)
    comparison = compare_runs(other, finished)
    assert not comparison.comparable
    assert sentence.replace("r2 and p_mtl", "p_mtl and r2").replace("r2 and none", "none and r2") in \
        comparison.differences[0], "reasons against come first"  # fmt: skip
    assert "emma: setting training.epochs differs: 3 and 2" in comparison.differences
    assert str(comparison).startswith("not comparable\n- emma: ")


def test_stages_are_compared_by_folder_or_record_whatever_their_names(finished):
    comparison = compare_runs(finished / "emma", finished / "mae/record.json")
    assert comparison.comparable and comparison.stages == ("",)


def test_what_cannot_be_compared_is_told_in_a_sentence(finished, tmp_path):
    with pytest.raises(AffectError, match="nowhere holds no record.json of a finished stage"):
        compare_runs(finished, tmp_path / "nowhere")
    train(tmp_path / "run/cotex")
    with pytest.raises(AffectError, match="have no finished stage in common"):
        compare_runs(finished, tmp_path / "run")
    (tmp_path / "record.json").write_text("[1]")
    with pytest.raises(AffectError, match="is not the record of a training stage"):
        compare_runs(finished, tmp_path / "record.json")


def test_the_command_prints_and_its_status_says_it_too(finished, tmp_path, capsys):
    assert main([str(finished), str(copied(finished, tmp_path))]) == 0
    assert capsys.readouterr().out == "comparable\n- nothing differs\n"
    assert main([str(finished), str(copied(finished, tmp_path, validation="x"))]) == 1
    assert capsys.readouterr().out.startswith("not comparable\n- emma: validation sets differ")
    assert main([str(finished), str(tmp_path / "nowhere")]) == 1
    assert "holds no record.json" in capsys.readouterr().err


def test_it_is_a_public_name():
    assert affect_core.compare_runs is compare_runs
    assert {"compare_runs", "check_splits"} <= set(affect_core.__all__)
