"""Bad input gets one sentence with file and line before training; all at once, or without the bad rows, if asked."""

import shutil

import numpy as np
import pytest
from published_layouts import write_abaw4, write_lsd

from affect_core.corpora import BadRowsError, open_corpus
from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS

FIELDS = ("image", "valence", "arousal", "expression", *(f"AU{unit}" for unit in ACTION_UNITS))


@pytest.fixture
def root(tmp_path):
    write_abaw4(tmp_path, videos=2, frames=10)
    write_lsd(tmp_path, per_class=2)
    return tmp_path


def opened(root, name="abaw4", **options):
    return open_corpus(root, name, size=16, store_dir=root / "stores", **options)


def annotations(root, split="training"):
    return root / "abaw4" / f"{split}_set_annotations.txt"


def change_line(root, number, change, split="training"):
    lines = annotations(root, split).read_text().splitlines()
    lines[number - 1] = change(lines[number - 1])
    annotations(root, split).write_text("\n".join(lines) + "\n")


def change_field(root, number, field, value, split="training"):
    def change(line):
        values = line.split(",")
        values[FIELDS.index(field)] = value
        return ",".join(values)

    change_line(root, number, change, split)


def image_of(root, number, split="training"):
    name = annotations(root, split).read_text().splitlines()[number - 1].split(",")[0]
    return root / "abaw4/cropped_aligned" / name


def refused(root, *words, name="abaw4", on_bad_rows="refuse"):
    """The error's message, which holds each of `words` and is a single line when the first problem is refused."""
    with pytest.raises(AffectError) as error:
        opened(root, name, on_bad_rows=on_bad_rows)
    message = str(error.value)
    for word in words:
        assert word in message
    if on_bad_rows == "refuse":
        assert "\n" not in message
    return message


@pytest.mark.parametrize("mode", ["refuse", "list", "skip"])
@pytest.mark.parametrize("split", ["training", "validation"])
def test_missing_annotation_file_is_never_skipped(root, split, mode):
    annotations(root, split).unlink()
    refused(root, f"{split}_set_annotations.txt: not found; see data/README.md", on_bad_rows=mode)


def test_missing_image_folder_and_both_files_are_listed_together(root):
    shutil.rmtree(root / "abaw4")
    (root / "abaw4").mkdir()
    refused(root, "3 problems", "training_set", "validation_set", "cropped_aligned: folder", on_bad_rows="list")


def test_missing_corpus_says_where_to_read(root):
    shutil.rmtree(root / "abaw4")
    refused(root, "abaw4 not found; see data/README.md")


@pytest.mark.parametrize("content", ["", "image,valence,arousal,expression,aus\n", "\n\n"])
def test_annotation_file_without_rows(root, content):
    annotations(root).write_text(content)
    refused(root, "training_set_annotations.txt: holds no rows")


def test_annotation_file_that_is_no_text(root):
    annotations(root).write_bytes(annotations(root).read_text().encode("utf-16"))
    refused(root, "training_set_annotations.txt: is not UTF-8 text (line 1)")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line + ",0", "line 4: has 17 fields, not the 16 of image,valence"),
        (lambda line: line.rpartition(",")[0], "line 4: has 15 fields"),
        (lambda line: "hello", "line 4: has 1 fields"),
        (lambda line: "," + line.partition(",")[2], "line 4: names no image"),
        (lambda line: line.replace(",", ";"), "line 4: has 1 fields"),
    ],
)
def test_wrong_fields(root, change, words):
    change_line(root, 4, change)
    refused(root, "training_set_annotations.txt", words)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("valence", "1.01", "valence is 1.01, neither between -1 and 1 nor -5 (missing)"),
        ("valence", "nan", "valence is nan"),
        ("arousal", "-2", "arousal is -2"),
        ("arousal", "inf", "arousal is inf"),
        ("valence", "high", "valence is 'high', not a number"),
        ("arousal", "", "arousal is '', not a number"),
        ("expression", "8", "expression is 8, neither an integer from 0 to 7 nor -1 (missing)"),
        ("expression", "-2", "expression is -2"),
        ("expression", "1.5", "expression is 1.5"),
        ("expression", "nan", "expression is nan"),
        ("AU12", "2", "AU12 is 2, neither 0, 1 nor -1 (missing)"),
        ("AU26", "0.5", "AU26 is 0.5"),
        ("AU1", "nan", "AU1 is nan"),
        ("AU4", "-5", "AU4 is -5"),
    ],
)
def test_label_out_of_range(root, field, value, words):
    change_field(root, 5, field, value, "validation")
    refused(root, "validation_set_annotations.txt, line 5: ", words)


def test_refusing_takes_no_time_to_decode(root):
    change_field(root, 2, "valence", "3")
    refused(root, "line 2")
    assert not (root / "stores").exists()


def test_line_number_counts_blank_lines_and_crlf(root):
    lines = annotations(root).read_text().splitlines()
    lines[3] = lines[3].replace(",", ",nan,", 1).replace(lines[3].split(",")[1] + ",", "", 1)
    lines[2:2] = ["", "  "]
    annotations(root).write_bytes("\r\n".join(lines).encode())
    refused(root, "line 6: valence is nan")


def test_missing_image_is_named_with_its_line(root):
    path = image_of(root, 6)
    path.unlink()
    refused(root, "training_set_annotations.txt, line 6: ", f"{path.name} not found")


def test_other_suffix_is_pointed_out_not_guessed(root):
    path = image_of(root, 6)
    path.rename(path.with_suffix(".png"))
    refused(root, "line 6: ", f"{path.name} not found (there is ", path.with_suffix(".png").name)


def test_image_outside_the_corpus_is_not_found(root):
    change_field(root, 2, "image", "../../lsd/x.jpg")
    refused(root, "line 2: ", "not found")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda data: data[: len(data) // 2], "is truncated"),
        (lambda data: data[:-1], "is truncated"),
        (lambda data: b"<html>not found</html>", "is not an image"),
        (lambda data: b"", "is empty (0 bytes)"),
    ],
)
def test_unusable_image_is_named_with_its_line(root, content, reason):
    path = image_of(root, 7)
    path.write_bytes(content(path.read_bytes()))
    for _ in range(2):  # also when the store remembers
        refused(root, "training_set_annotations.txt, line 7: image ", f"{path.name} {reason}")


def test_folder_in_place_of_an_image(root):
    path = image_of(root, 7)
    path.unlink()
    path.mkdir()
    refused(root, "line 7: ", "not found")


def test_dangling_link_in_place_of_an_image(root):
    path = image_of(root, 7)
    path.unlink()
    path.symlink_to(root / "gone.jpg")
    refused(root, "line 7: ", "cannot be read (No such file or directory)")


@pytest.mark.parametrize("split", ["training", "validation"])
def test_repeated_image_is_named_with_both_lines(root, split):
    line = annotations(root).read_text().splitlines()[2]
    lines = annotations(root, split).read_text().splitlines()
    annotations(root, split).write_text("\n".join([*lines[:7], line, *lines[7:]]))
    if split == "training":
        message = refused(root, f"{split}_set_annotations.txt, line 8: ", "is named again (first in ")
        assert message.endswith("training_set_annotations.txt, line 3)")
        return
    for on_bad_rows in ("refuse", "list", "skip"):  # a video that would move from one split to the other in silence
        refused(root, "training_set_annotations.txt, line 3) and in validation (", "validation_set_annotations.txt, "
                "line 8)", on_bad_rows=on_bad_rows)  # fmt: skip


def test_unknown_class_folder(root):
    folder = root / "lsd/training_set_synthetic_images"
    (folder / "FEAR").rename(folder / "FEER")
    refused(root, "FEER: unknown class folder with 2 images; the classes are anger, disgust", name="lsd")


def test_class_that_lsd_does_not_have(root):
    folder = root / "lsd/validation_set_real_images"
    (folder / "FEAR").rename(folder / "NEUTRAL")
    refused(root, "NEUTRAL: unknown class folder", name="lsd")
    corpus = opened(root, "lsd", on_bad_rows="skip")
    assert [problem.rows for problem in corpus.problems] == [2] and len(corpus) == 22


def test_images_beside_the_class_folders(root):
    folder = root / "lsd/training_set_synthetic_images"
    shutil.copy(next((folder / "FEAR").iterdir()), folder / "stray.jpg")
    refused(root, "training_set_synthetic_images: 1 images lie outside the class folders", name="lsd")


def test_missing_or_empty_lsd_split(root):
    folder = root / "lsd/validation_set_real_images"
    for path in folder.rglob("*.*g"):
        path.unlink()
    refused(root, "validation_set_real_images: holds no images", name="lsd", on_bad_rows="skip")
    shutil.rmtree(folder)
    refused(root, "validation_set_real_images: no validation folder found", name="lsd")


def test_truncated_image_in_a_class_folder_is_its_own_place(root):
    path = root / "lsd/training_set_synthetic_images/FEAR/2_0000.jpg"
    path.write_bytes(path.read_bytes()[:-5])
    assert refused(root, name="lsd") == f"{path}: image is truncated"


def spoil(root):
    """Eight bad rows of many kinds; returns the lines of the training and validation files that are bad."""
    change_line(root, 3, lambda line: line + ",0")
    change_field(root, 4, "valence", "nan")
    change_field(root, 5, "expression", "9")
    change_field(root, 5, "AU1", "3")
    image_of(root, 6).unlink()
    image_of(root, 7).write_bytes(b"no image")
    change_field(root, 8, "arousal", "soft")
    truncated = image_of(root, 9, "validation")
    truncated.write_bytes(truncated.read_bytes()[:-3])
    change_field(root, 10, "AU26", "7", "validation")
    return [3, 4, 5, 6, 7, 8], [9, 10]


def test_listing_reports_every_problem_at_once(root):
    training, validation = spoil(root)
    message = refused(root, "8 problems:", "expression is 9", "AU1 is 3", on_bad_rows="list")
    for line in training:
        assert f"training_set_annotations.txt, line {line}: " in message
    for line in validation:
        assert f"validation_set_annotations.txt, line {line}: " in message
    assert len(message.splitlines()) == 9
    with pytest.raises(BadRowsError) as error:
        opened(root, on_bad_rows="list")
    assert len(error.value.problems) == 8


def test_skipping_continues_without_the_bad_rows_counted_and_named(root):
    clean = opened(root)
    training, validation = spoil(root)
    corpus = opened(root, on_bad_rows="skip")
    places = {(problem.file.rpartition("/")[2][:5], problem.line) for problem in corpus.problems}
    assert places == {*(("train", line) for line in training), *(("valid", line) for line in validation)}
    assert sum(problem.rows for problem in corpus.problems) == 8 == len(clean) - len(corpus)
    left = [row for row in range(40) if row + 2 not in training and row - 18 not in validation]
    assert corpus.table["image"].tolist() == clean.table["image"].iloc[left].tolist()
    assert np.array_equal(corpus.images[:], clean.images[left])
    for name in ("valence_arousal", "expression", "action_units", "expression_valid", "action_units_valid"):
        assert np.array_equal(getattr(corpus.labels, name), getattr(clean.labels, name)[left])
    assert corpus.split("validation").problems == corpus.problems


def test_row_that_is_bad_twice_counts_once(root):
    change_field(root, 4, "valence", "7")
    image_of(root, 4).write_bytes(b"no image")
    refused(root, "2 problems:", on_bad_rows="list")
    corpus = opened(root, on_bad_rows="skip")
    assert len(corpus) == 39 and sum(problem.rows for problem in corpus.problems) == 1


def test_skipping_everything_is_an_error(root):
    for number in range(2, 22):
        change_field(root, number, "valence", "7")
    refused(root, "has no usable training image; the first of 20 problems: ", on_bad_rows="skip")


def test_after_repair_the_same_call_succeeds(root):
    spoil(root)
    refused(root, "line 3")
    shutil.rmtree(root / "abaw4")
    write_abaw4(root, videos=2, frames=10)
    assert len(opened(root)) == 40
