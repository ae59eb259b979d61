"""From a test list and a folder of images to a submission that the checker takes. Lists and images are made here."""

import shutil

import numpy as np
import pytest
import torch
from export_models import cotex, emma
from published_layouts import ABAW_HEADER, write_image

from affect_core import challenge_submission, command_line
from affect_core.augment import prepare
from affect_core.challenge_submission import challenge_model, submit
from affect_core.checkpoints import save_weights
from affect_core.corpora.image_decoding import read_image
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.errors import AffectError
from affect_core.export import check_submission
from affect_core.labels import RAFDB_EXPRESSIONS
from affect_core.metrics import probabilities
from affect_core.smoothing import smooth_prediction

NAMES = [f"video_{video}/{frame:05d}.jpg" for video in (7, 3) for frame in (1, 2, 3, 40)]
"""Neither in the order of the alphabet nor all of the folder."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The images of the list, and others."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for number, name in enumerate([*NAMES, "video_3/00099.jpg"]):
        write_image(folder / name, rng, number)
    return folder


@pytest.fixture
def test_list(tmp_path):
    path = tmp_path / "MTL_Challenge_test_set_release.txt"
    path.write_text("\n".join([ABAW_HEADER, *NAMES]) + "\n")
    return path


def moderate_emma():
    """The tiny EMMA, with a valence and arousal that stay within [-1, 1]."""
    model = emma()
    with torch.no_grad():
        model.va_head[2].weight.mul_(0.01)
    return model


def rows(path):
    return [line.split(",") for line in path.read_text().splitlines()[1:]]


def prepared(images, names=NAMES):
    """The images as validation shows them to the models, normalised (N, 3, 32, 32)."""
    return prepare(torch.from_numpy(np.stack([read_image(images / name, 96) for name in names])), 32)


@torch.no_grad()
def test_each_image_of_the_list_has_the_answer_of_emma_in_the_lists_order(images, test_list, tmp_path):
    thresholds = np.linspace(0.2, 0.8, 12)
    out = tmp_path / "predictions.txt"
    assert submit("mtl", test_list, images, out, moderate_emma(), thresholds=thresholds, batch_size=3) == 8
    check_submission(out, NAMES)
    said, expected = rows(out), moderate_emma()(prepared(images)).numpy()
    assert [row[0] for row in said] == NAMES and {len(row) for row in said} == {16}
    numbers = np.array([row[1:] for row in said], float)
    assert np.abs(numbers[:, :2]).max() < 1 and np.ptp(numbers[:, 0]) > 0.01, "else the next line would show nothing"
    np.testing.assert_allclose(numbers[:, :2], expected.valence_arousal.clip(-1, 1), atol=1e-4)
    np.testing.assert_array_equal(numbers[:, 2], expected.expression_logits.argmax(1))
    np.testing.assert_array_equal(numbers[:, 3:], probabilities(expected.action_unit_logits) > thresholds)


@torch.no_grad()
def test_the_synthetic_data_challenge_is_answered_by_cotex_in_the_published_order_of_classes(images, tmp_path):
    flat = [name.replace("/", "_") for name in NAMES]
    for name, other in zip(NAMES, flat, strict=True):
        (images / other).write_bytes((images / name).read_bytes())
    (tmp_path / "list.txt").write_text("\n".join(["image", *flat]))
    out = tmp_path / "predictions.txt"
    assert submit("lsd", tmp_path / "list.txt", images, out, cotex()) == 8
    codes = cotex().predict(prepared(images)).expression_logits.argmax(1)
    assert out.read_text() == "image,expression\n" + "".join(
        f"{name},{code}\n" for name, code in zip(flat, codes, strict=True)
    )


@torch.no_grad()
def test_smoothing_is_within_the_videos_of_the_list(images, test_list, tmp_path):
    submit("mtl", test_list, images, tmp_path / "plain.txt", moderate_emma())
    submit("mtl", test_list, images, tmp_path / "smooth.txt", moderate_emma(), smooth=2.0)
    plain, smooth = (np.array([row[1:] for row in rows(tmp_path / f"{name}.txt")], float)
                     for name in ("plain", "smooth"))  # fmt: skip
    videos, frames = np.repeat(["video_7", "video_3"], 4), [1, 2, 3, 40] * 2
    expected = smooth_prediction(moderate_emma()(prepared(images)), videos, frames, width=2.0)
    np.testing.assert_allclose(smooth[:, :2], expected.valence_arousal, atol=1e-4)
    np.testing.assert_allclose(smooth[[3, 7]], plain[[3, 7]], atol=1e-5, err_msg="beyond a cut of 30 frames")
    assert np.ptp(smooth[:3, 0]) < np.ptp(plain[:3, 0])


def test_images_that_are_missing_are_said_before_anything_is_predicted(images, test_list, tmp_path, record_property):
    def never(*_):
        raise AssertionError("predicted")

    test_list.write_text("\n".join([ABAW_HEADER, *NAMES, "video_3/00041.jpg", "video_9/00001.jpg"]))
    model = moderate_emma()
    model.forward = never
    with pytest.raises(AffectError, match=r"2 of the 10 images of .* are not in .*, the first is video_3/00041.jpg"):
        submit("mtl", test_list, images, tmp_path / "out.txt", model)
    assert not (tmp_path / "out.txt").exists()
    record_property("reliability", {"part": "affect-core submit", "case": "an image of the list is missing",
                                    "treatment": "refused with its name before anything is predicted"})  # fmt: skip


def test_images_that_cannot_be_read_are_named_and_nothing_is_written(images, test_list, tmp_path, record_property):
    images = shutil.copytree(images, tmp_path / "images")
    for name in ("video_9/00001.jpg", "video_9/00002.jpg"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes((images / NAMES[0]).read_bytes()[:300])
    test_list.write_text("\n".join([ABAW_HEADER, *NAMES, "video_9/00001.jpg", "video_9/00002.jpg"]))
    with pytest.raises(AffectError, match=r"2 of the 10 listed .*00001.jpg is truncated; .*00002.jpg is truncated$"):
        submit("mtl", test_list, images, tmp_path / "out.txt", moderate_emma(), batch_size=2)
    assert not (tmp_path / "out.txt").exists()
    record_property("reliability", {"part": "affect-core submit", "case": "an image of the list cannot be read",
                                    "treatment": "refused with its name, nothing is written"})  # fmt: skip


def test_what_would_fail_at_the_end_fails_at_the_start(images, test_list, tmp_path):
    raf = CoTEX(CoTEXConfig(cotex().config.vit, vocabulary=RAFDB_EXPRESSIONS)).eval()
    for challenge, model, smooth, message in (
        ("mtl", moderate_emma(), float("nan"), "is a number of frames, 0 or more, not nan"),
        ("mtl", moderate_emma(), float("inf"), "is a number of frames, 0 or more, not inf"),
        ("lsd", raf, 0, "CoTEX was trained on surprise, fear"), ("lsd", cotex(), 1, "are no videos"),
        ("mtl", moderate_emma(), -1, "0 or more, not -1"),
    ):  # fmt: skip
        with pytest.raises(AffectError, match=message):
            submit(challenge, test_list, images, tmp_path / "out.txt", model, smooth=smooth)
    test_list.write_text("video/one.jpg\nvideo/two.jpg\n")
    with pytest.raises(AffectError, match="holds no frame number"):
        submit("mtl", test_list, images, tmp_path / "out.txt", moderate_emma(), smooth=1)


def test_the_models_are_the_shipped_ones_or_those_of_a_run(tmp_path):
    model, thresholds = challenge_model("mtl")
    assert type(model).__name__ == "EMMA" and len(thresholds) == 12 and thresholds != (0.5,) * 12
    model, thresholds = challenge_model("lsd")
    assert type(model).__name__ == "CoTEX" and thresholds is None
    save_weights(tmp_path / "emma" / "best.safetensors", moderate_emma())
    said = []
    model, thresholds = challenge_model("mtl", tmp_path, say=said.append)
    assert model.config.vit.image_size == 32 and thresholds == (0.5,) * 12 and "above 0.5" in said[0]
    with pytest.raises(AffectError, match="train cotex"):
        challenge_model("lsd", tmp_path)


def test_the_command_from_the_list_to_the_file(images, test_list, tmp_path, capsys):
    for stage, model in {"emma": moderate_emma(), "cotex": cotex()}.items():
        save_weights(tmp_path / stage / "best.safetensors", model)
    out = tmp_path / "predictions.txt"
    arguments = [str(test_list), "--images", str(images), "--out", str(out), "--run-dir", str(tmp_path)]
    for challenge, fields in (("mtl", 16), ("lsd", 2)):
        assert command_line.main(["submit", challenge, *arguments]) == command_line.FINE
        assert f"8 rows in {out}" in capsys.readouterr().out
        check_submission(out, NAMES)
        assert {len(row) for row in rows(out)} == {fields}
    arguments[2] = str(tmp_path / "elsewhere")
    assert command_line.main(["submit", "mtl", *arguments]) == command_line.FAILED
    assert "8 of the 8 images" in capsys.readouterr().err


def test_every_challenge_has_its_model_and_the_command_knows_it():
    parser = command_line.parser()
    for challenge in challenge_submission.CHALLENGES:
        assert parser.parse_args(["submit", challenge, "l", "--images", "i", "--out", "o"]).challenge == challenge
