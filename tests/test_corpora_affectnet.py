"""Both editions of AffectNet, and AffectNet as class folders."""

import numpy as np
import pytest
from PIL import Image
from published_layouts import write_affectnet_2021, write_affectnet_csv, write_image

from affect_core.corpora import open_corpus
from affect_core.errors import AffectError
from affect_core.labels import AFFECTNET_EXPRESSIONS


def opened(root, **options):
    return open_corpus(root, "affectnet", size=16, store_dir=root / "stores", **options)


def annotation(root, identifier, kind, folder="train_set"):
    return root / "affectnet" / folder / "annotations" / f"{identifier}_{kind}.npy"


@pytest.mark.parametrize("write", [write_affectnet_2021, write_affectnet_csv])
def test_codes_above_seven_and_minus_two_are_masked_and_counted(tmp_path, write):
    write(tmp_path, per_class=1)
    corpus = opened(tmp_path)
    training = corpus.split("training").labels
    extra = len(training) - 8
    assert training.vocabulary == AFFECTNET_EXPRESSIONS
    assert (~training.expression_valid).sum() == extra
    assert (~training.valence_arousal_valid).all(1).sum() == extra
    assert sorted(training.expression[training.expression_valid]) == list(range(8))
    assert not training.action_units_valid.any()
    assert any("expression code above 7" in note for note in corpus.notes)
    assert any("-2 for valence or arousal" in note for note in corpus.notes)


def test_arrays_of_text_and_of_numbers_in_any_one_element_shape_are_read(tmp_path):
    write_affectnet_2021(tmp_path, per_class=1)
    values = [np.array("5"), np.array(5), np.array([5], np.uint8), np.array([["5"]]), np.array(b"5"), np.array(5.0)]
    for identifier, value in enumerate(values):
        np.save(annotation(tmp_path, identifier, "exp"), value)
        np.save(annotation(tmp_path, identifier, "val"), np.array("-0.5" if identifier % 2 else "0.25"))
    labels = opened(tmp_path).labels
    assert labels.expression[:6].tolist() == [5] * 6
    assert labels.valence_arousal[:6, 0].tolist() == [0.25, -0.5] * 3


def test_one_invalid_coordinate_leaves_the_other(tmp_path):
    write_affectnet_2021(tmp_path, per_class=1)
    np.save(annotation(tmp_path, 0, "val"), np.array("-2"))
    labels = opened(tmp_path).labels
    assert labels.valence_arousal_valid[0].tolist() == [False, True]


@pytest.mark.parametrize(
    ("kind", "array", "sentence"),
    [
        ("exp", np.array("happy"), "is not one number"),
        ("exp", np.array([1, 2]), "it holds 2 values"),
        ("exp", np.array(-3), "expression is -3"),
        ("exp", np.array(2.5), "expression is 2.5"),
        ("val", np.array("nan"), "valence is nan"),
        ("aro", np.array(1.5), "arousal is 1.5"),
    ],
)
def test_bad_arrays_are_named(tmp_path, kind, array, sentence):
    write_affectnet_2021(tmp_path, per_class=1)
    np.save(annotation(tmp_path, 3, kind), array)
    with pytest.raises(ValueError, match=sentence) as error:
        opened(tmp_path)
    assert "3_{exp,val,aro}.npy" in str(error.value)
    corpus = opened(tmp_path, on_bad_rows="skip")
    assert len(corpus) == 17 and len(corpus.problems) == 1


def test_pickled_arrays_are_refused(tmp_path):
    write_affectnet_2021(tmp_path, per_class=1)
    np.save(annotation(tmp_path, 3, "exp"), np.array({"not": "a number"}), allow_pickle=True)
    with pytest.raises(ValueError, match="is not one number"):
        opened(tmp_path)


def test_truncated_array_missing_array_and_missing_image_are_listed_together(tmp_path):
    write_affectnet_2021(tmp_path, per_class=1)
    path = annotation(tmp_path, 1, "exp")
    path.write_bytes(path.read_bytes()[:-2])
    annotation(tmp_path, 2, "val").unlink()
    (tmp_path / "affectnet/train_set/images/4.jpg").unlink()
    with pytest.raises(ValueError, match="3 problems") as error:
        opened(tmp_path, on_bad_rows="list")
    for words in ("1_exp.npy is not one number", "2_val.npy not found", "images/4.jpg not found"):
        assert words in str(error.value)


def test_image_without_annotation_is_counted_and_two_images_of_one_row_refused(tmp_path):
    write_affectnet_2021(tmp_path, per_class=1)
    images = tmp_path / "affectnet/train_set/images"
    write_image(images / "99.jpg", np.random.default_rng(0), 0)
    corpus = opened(tmp_path)
    assert any("1 images on disk are named by no annotation" in note for note in corpus.notes)
    write_image(images / "3.png", np.random.default_rng(0), 0)
    with pytest.raises(ValueError, match="has 2 images"):
        opened(tmp_path)


def test_csv_faces_are_cut_out_along_their_box(tmp_path):
    write_affectnet_csv(tmp_path, per_class=1)
    path = tmp_path / "affectnet/Manually_Annotated_Images/1/training0000.jpg"
    pixels = np.zeros((400, 600, 3), np.uint8)
    pixels[100:300, 200:400] = (0, 255, 0)
    Image.fromarray(pixels).save(path, quality=95)
    listing = tmp_path / "affectnet/training.csv"
    listing.write_text(listing.read_text().replace("training0000.jpg,8,8,96,96", "training0000.jpg,210,110,180,180"))
    face = opened(tmp_path).images[0].astype(int)
    assert np.abs(face - (0, 255, 0)).max() < 12


def test_csv_without_header_loses_no_row(tmp_path):
    write_affectnet_csv(tmp_path, per_class=1)
    path = tmp_path / "affectnet/validation.csv"
    path.write_text("\n".join(path.read_text().splitlines()[1:]))
    assert len(opened(tmp_path).split("validation")) == 11


def test_of_two_editions_in_one_folder_the_one_left_aside_is_said(tmp_path):
    write_affectnet_csv(tmp_path, per_class=1)
    alone = opened(tmp_path)
    assert not any("not read" in note for note in alone.notes)
    write_affectnet_2021(tmp_path, per_class=1)
    both = opened(tmp_path)
    assert len(both) == len(alone), "the lists are read"
    assert any(note.startswith("train_set and val_set (the 2021 edition) not read") for note in both.notes)


@pytest.mark.parametrize(
    ("written", "there"),
    [('"{}"', "1/training0000.jpg"), ("'{}'", "1/training0000.jpg"), ("1\\training0000.jpg", "1/training0000.jpg")],
)
def test_quotation_marks_and_backslashes_around_names_are_pointed_out(tmp_path, written, there):
    write_affectnet_csv(tmp_path, per_class=1)
    path = tmp_path / "affectnet/training.csv"
    path.write_text(path.read_text().replace(there, written.format(there)))
    with pytest.raises(AffectError) as refusal:
        opened(tmp_path)
    hint = f"(there is affectnet/Manually_Annotated_Images/{there}: write it without quotation marks"
    assert hint in str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (",8,8,96,96,", ",8,8,0,96,", "has no area"),
        (",8,8,96,96,", ",500,8,96,96,", "does not contain the face box"),
        (",8,8,96,96,", ",8,8,NULL,96,", "face_width is 'NULL', not a number"),
    ],
)
def test_csv_bad_boxes_are_named_by_line(tmp_path, old, new, sentence):
    write_affectnet_csv(tmp_path, per_class=1)
    path = tmp_path / "affectnet/training.csv"
    lines = path.read_text().splitlines()
    lines[4] = lines[4].replace(old, new)
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=f"training.csv, line 5: .*{sentence}"):
        opened(tmp_path)


def test_plain_class_folders_use_affectnet_order(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for index, name in enumerate(("Neutral", "happy", "SAD", "surprise", "fear", "disgust", "angry", "contempt")):
            write_image(tmp_path / "affectnet" / split / name / "face.JPG", rng, index)
    labels = opened(tmp_path).labels
    assert sorted(labels.expression[:8].tolist()) == list(range(8))
    table = opened(tmp_path).table
    happy = table.index[table["image"].str.contains("train/happy")][0]
    assert labels.expression[happy] == AFFECTNET_EXPRESSIONS.index("happiness")


def test_neither_edition_there_says_where_to_look(tmp_path):
    (tmp_path / "affectnet").mkdir()
    with pytest.raises(ValueError, match="train_set.* not found; see data/README.md"):
        opened(tmp_path)
