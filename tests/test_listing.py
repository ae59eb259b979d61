"""Rows of label files are matched with the images on disk, and what does not match is told."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from affect_core.corpora.image_files import ImageFiles
from affect_core.corpora.listing import LabelRows, Listing, strings, unused_images_note
from affect_core.corpora.problems import BadRowsError, ProblemLog
from affect_core.errors import AffectError
from affect_core.labels import AffectLabels

FILES = ImageFiles(["a/1.jpg", "a/2.PNG", "a/2.jpg", "b/3.jpg"], np.array([5, 6, 7, 8]), np.array([1, 2, 3, 4]))


def rows(*images):
    return LabelRows(list(images), ["training"] * len(images), [f"list{k % 2}.txt" for k in range(len(images))],
                     np.arange(len(images)) + 10)  # fmt: skip


def test_rows_find_their_files_wherever_they_stand():
    wanted = rows("b/3.jpg", "a/1.jpg", "a/2.jpg")
    found = wanted.find(FILES)
    assert found.dtype == np.int64 and found.tolist() == [3, 0, 2]
    assert not wanted.reasons
    assert wanted.report(ProblemLog("refuse")).tolist() == [True] * 3


def test_missing_images_are_told_with_what_is_there_instead():
    wanted = rows("a/2.jpeg", "a/9.jpg", "A/1.JPEG", "b/1.jpg", "a/1")
    assert wanted.find(FILES).tolist() == [-1] * 5
    assert {row: reason for row, (reason,) in wanted.reasons.items()} == {
        0: "image a/2.jpeg not found (there is a/2.PNG, a/2.jpg)",
        1: "image a/9.jpg not found",
        2: "image A/1.JPEG not found (there is a/1.jpg)",
        3: "image b/1.jpg not found",
        4: "image a/1 not found",
    }


def test_a_file_of_a_kind_that_is_not_read_is_told_with_the_kinds_that_are():
    wanted, files = rows("a/1.gif"), replace(FILES, other_files=("a/1.gif",))
    assert wanted.find(files).tolist() == [-1]
    assert wanted.reasons[0] == ["image a/1.gif not found among the images: the file is there, but only jpg, jpeg, "
                                 "png, bmp, tif, tiff, webp are read"]  # fmt: skip


def test_every_repetition_is_told_with_the_first_place():
    wanted = rows("a/1.jpg", "b/3.jpg", "a/1.jpg", "a/1.jpg", "gone.jpg", "gone.jpg")
    assert wanted.find(FILES).tolist() == [0, 3, 0, 0, -1, -1]
    again = "image a/1.jpg is named again (first in list0.txt, line 10)"
    assert dict(wanted.reasons) == {
        2: [again], 3: [again], 4: ["image gone.jpg not found"],
        5: ["image gone.jpg not found", "image gone.jpg is named again (first in list0.txt, line 14)"],
    }  # fmt: skip


def test_an_image_of_two_splits_is_refused_with_both_places():
    wanted = rows("a/1.jpg", "b/3.jpg", "a/1.jpg")
    wanted.split[2] = "validation"
    with pytest.raises(AffectError) as error:
        wanted.find(FILES)
    assert str(error.value) == (
        "image a/1.jpg is in training (list0.txt, line 10) and in validation (list0.txt, line 12): a score would be "
        "partly one on faces seen before. Take it out of one of them."
    )


def test_reasons_are_reported_in_the_order_of_the_rows_and_their_rows_left_out():
    wanted = rows("a", "b", "c", "d")
    wanted.line[2] = 0
    wanted.reasons[2].append("is odd")
    wanted.reasons[0] += ["is even", "is first"]
    log = ProblemLog("skip")
    assert wanted.report(log).tolist() == [False, True, False, True]
    assert [str(problem) for problem in log.problems] == ["list0.txt, line 10: is even; is first", "list0.txt: is odd"]
    assert [problem.rows for problem in log.problems] == [1, 1]
    with pytest.raises(BadRowsError, match="line 10: is even; is first"):
        wanted.report(ProblemLog("refuse"))


def test_unused_images_are_counted_with_an_example():
    assert unused_images_note(FILES, np.array([0, 1, 2, 3]), "list") == []
    assert unused_images_note(FILES, np.array([0, -1, 3]), "list") == [
        "2 images on disk are named by no list and are not used, for example a/2.PNG"]  # fmt: skip
    assert unused_images_note(FILES, np.array([-1]), "file")[0].startswith("4 images on disk are named by no file")
    assert unused_images_note(FILES, np.array([], np.int64), "file")[0].endswith("for example a/1.jpg")


def test_rows_of_a_listing_are_taken_of_every_column():
    numbers = np.arange(3)
    listing = Listing(
        image=strings(["a", "b", "c"]), split=strings(["x", "y", "z"]), group=strings(["g", "h", "i"]),
        source=strings(["s", "t", "u"]), line=numbers, labels=AffectLabels.missing(3), keep=numbers > 0,
        sizes=numbers + 10, modified=numbers + 20, boxes=np.arange(12).reshape(3, 4), notes=("counted",),
    )  # fmt: skip
    part = listing[[2, 0]]
    assert len(part) == 2 and len(part.labels) == 2
    assert [part.image.tolist(), part.split.tolist(), part.group.tolist(), part.source.tolist()] == [
        ["c", "a"], ["z", "x"], ["i", "g"], ["u", "s"]]  # fmt: skip
    assert part.line.tolist() == [2, 0] and part.keep.tolist() == [True, False]
    assert part.sizes.tolist() == [12, 10] and part.modified.tolist() == [22, 20]
    assert part.boxes.tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]]
    assert part.pixels is None and part.notes == ("counted",)
    with pytest.raises(FrozenInstanceError):
        part.line = numbers


def test_strings_stay_whole_python_strings():
    array = strings(["short", "a much longer name", ""])
    assert array.dtype == object and array.tolist() == ["short", "a much longer name", ""]
