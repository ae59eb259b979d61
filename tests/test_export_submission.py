"""A submission says what the model said about the images of the test list, in its order, or it is not written."""

import numpy as np
import pytest
import torch
from published_layouts import ABAW_HEADER, write_image

from affect_core.corpora.abaw import read_abaw
from affect_core.corpora.problems import ProblemLog
from affect_core.errors import AffectError
from affect_core.export import (
    check_submission,
    compare_with_test_list,
    read_test_list,
    write_lsd_submission,
    write_mtl_submission,
)
from affect_core.labels import LSD_EXPRESSIONS, AffectPrediction

IMAGES = [f"video_{video}/{frame:05d}.jpg" for video in (7, 3) for frame in (1, 2, 5)]


def prediction(n: int = 6, **changes) -> AffectPrediction:
    generator = torch.Generator().manual_seed(0)
    shapes = {"expression_logits": 8, "action_unit_logits": 12, "valence_arousal": 2}
    tasks = {name: torch.randn(n, width, generator=generator) for name, width in shapes.items()}
    return AffectPrediction(**tasks | changes)


def lsd_prediction(n: int = 6) -> AffectPrediction:
    return AffectPrediction(np.eye(6, dtype=np.float32)[np.arange(n) % 6], vocabulary=LSD_EXPRESSIONS)


def rows(path):
    header, *lines = path.read_text().splitlines()
    return header, [line.split(",") for line in lines]


def test_a_row_of_the_multi_task_challenge_by_hand(tmp_path):
    one = AffectPrediction(
        expression_logits=np.float32([[0, 0, 0, 0, 0, 3, 0, 0]]),
        action_unit_logits=np.float32([[2, -2, 0.1, -0.1, 0, 5, 5, 5, -5, -5, -5, 1]]),
        valence_arousal=np.float32([[-1.5, 0.25]]),
    )
    write_mtl_submission(tmp_path / "a.txt", one, ["v/00001.jpg"])
    assert (tmp_path / "a.txt").read_text() == (
        "image,valence,arousal,expression,aus\nv/00001.jpg,-1.000000,0.250000,5,1,0,1,0,0,1,1,1,0,0,0,1\n"
    )


def test_rows_of_the_synthetic_data_challenge(tmp_path):
    write_lsd_submission(tmp_path / "a.txt", lsd_prediction(3), ["a.jpg", "b.jpg", "c.jpg"])
    assert (tmp_path / "a.txt").read_text() == "image,expression\na.jpg,0\nb.jpg,1\nc.jpg,2\n"


def test_a_submission_reads_back_as_a_label_file_of_the_corpus(tmp_path):
    said = prediction()
    names = [f"video_{i}/00001.jpg" for i in range(12)]
    for name in names:
        write_image(tmp_path / "abaw4" / "cropped_aligned" / name, np.random.default_rng(0), 1, size=16)
    for split, part in (("training", names[:6]), ("validation", names[6:])):
        write_mtl_submission(tmp_path / "abaw4" / f"{split}_set_annotations.txt", said, part)
    labels = read_abaw(tmp_path, "abaw4", ProblemLog("refuse")).labels[:6]
    np.testing.assert_array_equal(labels.expression, said.expression_logits.argmax(1))
    np.testing.assert_array_equal(labels.action_units, (said.action_unit_logits > 0).float())
    np.testing.assert_allclose(labels.valence_arousal, said.valence_arousal.clamp(-1, 1), atol=1e-6)


def test_thresholds_decide_about_action_units(tmp_path):
    write_mtl_submission(tmp_path / "a.txt", prediction(), IMAGES, thresholds=[1.0] * 11 + [0.0])
    units = np.array([row[4:] for row in rows(tmp_path / "a.txt")[1]]).astype(int)
    assert units[:, :11].sum() == 0 and units[:, 11].all()
    for wrong in ([0.5] * 11, [0.5] * 11 + [1.5]):
        with pytest.raises(AffectError, match="12 probabilities"):
            write_mtl_submission(tmp_path / "b.txt", prediction(), IMAGES, thresholds=wrong)


@pytest.mark.parametrize("header", [ABAW_HEADER + "\n", "image\n", "\ufeffimage_location\r\n", ""])
def test_a_test_list_is_read_under_any_header_or_none(tmp_path, header):
    path = tmp_path / "MTL_Challenge_test_set_release.txt"
    path.write_bytes((header + "\r\n".join(IMAGES) + "\n\n").encode())
    assert read_test_list(path) == IMAGES
    path.write_text(header + "".join(f"{name},-5,-5,-1\n" for name in IMAGES))
    assert read_test_list(path) == IMAGES


def test_what_is_no_test_list_is_refused_in_words(tmp_path):
    path = tmp_path / "list.txt"
    with pytest.raises(AffectError, match="not found"):
        read_test_list(path)
    for content, message in ((b"image\n", "names no image"), (b"a.jpg\nb.jpg\na.jpg", "names a.jpg more than once"),
                             (b"\xff\xfe\x00", "not UTF-8")):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(AffectError, match=message):
            read_test_list(path)


def test_a_folder_in_place_of_the_list_is_refused(tmp_path):
    with pytest.raises(AffectError, match="cannot be read: Is a directory"):
        read_test_list(tmp_path)


def test_each_fault_has_one_sentence_of_its_own():
    a, b, c, d, e, f = IMAGES
    assert compare_with_test_list(IMAGES, IMAGES) == []
    assert compare_with_test_list([a, b, d, f], IMAGES) == [
        f"2 images are in the test list and missing here, the first is {c}."
    ]
    assert compare_with_test_list([*IMAGES, "x.jpg"], IMAGES) == [
        "1 image is not in the test list, the first is x.jpg."
    ]
    assert compare_with_test_list([a, b, c, b, d, e, f], IMAGES) == [
        f"1 image is named more than once, the first is {b} in rows 2, 4."
    ]
    assert compare_with_test_list([a, c, b, d, e, f], IMAGES) == [
        f"The order is not the test list's: {c} in row 2 stands where {b} should."
    ]


def test_several_faults_are_told_together_and_a_gap_is_not_disorder():
    a, b, c, d, e, f = IMAGES
    assert len(compare_with_test_list([b, "x", d, d, c], IMAGES)) == 4
    assert len(compare_with_test_list([b, "x", d, "x"], IMAGES)) == 3, "missing, extra, repeated; the order is right"


@pytest.mark.parametrize(
    ("names", "message"),
    [(IMAGES[::-1], "order"), ([*IMAGES[:5], "x.jpg"], "missing"), ([*IMAGES[:5], IMAGES[0]], "more than once")],
)
def test_nothing_is_written_for_names_that_are_not_the_lists(tmp_path, names, message):
    with pytest.raises(AffectError, match=message):
        write_mtl_submission(tmp_path / "a.txt", prediction(), names, test_list=IMAGES)
    with pytest.raises(AffectError, match=message):
        write_lsd_submission(tmp_path / "a.txt", lsd_prediction(), names, test_list=IMAGES)
    assert list(tmp_path.iterdir()) == []


def test_repeated_names_are_refused_without_a_list_too(tmp_path):
    with pytest.raises(AffectError, match="more than once"):
        write_mtl_submission(tmp_path / "a.txt", prediction(), [*IMAGES[:5], IMAGES[0]])


def test_a_prediction_of_something_else_is_refused(tmp_path):
    nan = torch.zeros(6, 2)
    nan[3, 1] = float("nan")
    for said, names, message in (
        (prediction(), IMAGES[:5], "6 rows of expression_logits, but 5 images"),
        (prediction(valence_arousal=None), IMAGES, "use EMMA"),
        (prediction(valence_arousal=nan), IMAGES, f"{IMAGES[3]} is not a number"),
        (prediction(expression_logits=None), IMAGES, "asks for the expressions neutral"),
        (lsd_prediction(), IMAGES, "asks for the expressions neutral"),
        (prediction(), ["a,b.jpg", *IMAGES[1:]], "has no comma"),
    ):
        with pytest.raises(AffectError, match=message):
            write_mtl_submission(tmp_path / "a.txt", said, names)
    with pytest.raises(AffectError, match="asks for the expressions anger"):
        write_lsd_submission(tmp_path / "a.txt", prediction(), IMAGES)
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_passes_the_check(tmp_path):
    write_mtl_submission(tmp_path / "mtl.txt", prediction(), IMAGES, test_list=IMAGES)
    write_lsd_submission(tmp_path / "lsd.txt", lsd_prediction(), IMAGES, test_list=IMAGES)
    check_submission(tmp_path / "mtl.txt", IMAGES)
    check_submission(tmp_path / "lsd.txt", IMAGES)
    with pytest.raises(AffectError, match="2 images are in the test list and missing here"):
        check_submission(tmp_path / "lsd.txt", [*IMAGES, "x.jpg", "y.jpg"])


def test_a_file_of_others_is_checked_field_by_field(tmp_path):
    good = ",0.5,-0.5,3" + ",0,1" * 6
    path = tmp_path / "a.txt"
    path.write_text("\n".join([ABAW_HEADER, *(name + good for name in IMAGES)]))
    check_submission(path, IMAGES)
    for line, message in (
        ("0.5,-0.5,3" + ",0,1" * 5, "has 14 fields"),
        ("1.5,-0.5,3" + ",0,1" * 6, "Line 3: valence is 1.5, not between -1 and 1"),
        ("nan,-0.5,3" + ",0,1" * 6, "Line 3: valence is nan"),
        ("0.5,-5,3" + ",0,1" * 6, "Line 3: arousal is -5"),
        ("0.5,-0.5,8" + ",0,1" * 6, "Line 3: expression is 8, not an integer from 0 to 7"),
        ("0.5,-0.5,2.5" + ",0,1" * 6, "expression is 2.5"),
        ("0.5,-0.5,3" + ",0,-1" * 6, "Line 3: AU26 is -1, not 0 or 1"),
    ):
        path.write_text("\n".join([ABAW_HEADER, *(name + good for name in IMAGES)]).replace(
            IMAGES[1] + good, f"{IMAGES[1]},{line}"))  # fmt: skip
        with pytest.raises(AffectError, match=message):
            check_submission(path, IMAGES)


def test_many_wrong_lines_make_one_sentence(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(["image,expression", *(f"{name},6" for name in IMAGES)]))
    with pytest.raises(AffectError, match=r"Line 2: expression is 6, not an integer from 0 to 5 \(and in 5 more"):
        check_submission(tmp_path / "a.txt", IMAGES)


def test_a_wrong_header_is_quoted(tmp_path):
    (tmp_path / "a.txt").write_text("name,expression\na.jpg,0\n")
    with pytest.raises(AffectError, match="'name,expression'"):
        check_submission(tmp_path / "a.txt", ["a.jpg"])
