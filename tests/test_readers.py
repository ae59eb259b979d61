"""s-Aff-Wild2 and AffectNet on literal lines: every column that is handed over, every note, every sentence."""

import numpy as np
import pytest
from published_layouts import ABAW_HEADER, CSV_HEADER
from reader_cases import listed, put, skipping, write

from affect_core.corpora.abaw import read_abaw
from affect_core.corpora.affectnet import read_affectnet
from affect_core.labels import AFFECTNET_EXPRESSIONS, EXPRESSIONS

UNITS = "0,1,0,0,0,0,1,0,0,0,0,1"
NO_UNITS = ",".join(["-1"] * 12)


# -- s-Aff-Wild2 -------------------------------------------------------------------------------------------------------
def abaw(root, training, validation=(f"v/1.jpg,1,-1,7,{UNITS}",)):
    write(root / "abaw4/training_set_annotations.txt", ABAW_HEADER, *training)
    write(root / "abaw4/validation_set_annotations.txt", ABAW_HEADER, *validation)
    base = "abaw4/cropped_aligned"
    put(root, f"{base}/t/1.jpg", f"{base}/t/2.jpg", f"{base}/t/deep/3.jpg", f"{base}/v/1.jpg", f"{base}/v/9.jpg",
        f"{base}/notes.txt")  # fmt: skip


def test_abaw_hands_over_every_column(tmp_path):
    abaw(tmp_path, [f"t/2.jpg,0.5,-5,-1,{NO_UNITS}", f"t/deep/3.jpg,-5,0.25,0,{UNITS}", f"t/1.jpg,-5,-5,-1,{NO_UNITS}"])
    listing, problems = skipping(read_abaw, tmp_path, "abaw4")
    base = "abaw4/cropped_aligned"
    assert listing.image.tolist() == [f"{base}/{name}" for name in ("t/2.jpg", "t/deep/3.jpg", "t/1.jpg", "v/1.jpg")]
    assert listing.split.tolist() == ["training"] * 3 + ["validation"]
    assert listing.group.tolist() == ["t", "t/deep", "t", "v"]
    assert [name.rpartition("/")[2] for name in listing.source] == ["training_set_annotations.txt"] * 3 + [
        "validation_set_annotations.txt"]  # fmt: skip
    assert listing.line.tolist() == [2, 3, 4, 2] and listing.keep.all() and problems == []
    assert listing.sizes.tolist() == [4, 5, 3, 6]
    assert listing.modified.tolist() == [2 * 10**9, 3 * 10**9, 10**9, 4 * 10**9]
    labels = listing.labels
    assert labels.vocabulary == EXPRESSIONS
    assert labels.valence_arousal.tolist() == [[0.5, 0], [0, 0.25], [0, 0], [1, -1]]
    assert labels.valence_arousal_valid.tolist() == [[True, False], [False, True], [False, False], [True, True]]
    assert labels.expression.tolist() == [0, 0, 0, 7]
    assert labels.expression_valid.tolist() == [False, True, False, True]
    assert labels.action_units[1].tolist() == labels.action_units[3].tolist() == list(map(int, UNITS.split(",")))
    assert labels.action_units_valid.all(1).tolist() == [False, True, False, True]
    assert not labels.action_units_valid[[0, 2]].any() and not labels.action_units[[0, 2]].any()
    assert [array.dtype for array in (labels.valence_arousal, labels.expression, labels.action_units)] == [
        np.float32, np.int64, np.float32]  # fmt: skip
    assert listing.notes == (
        "1 images on disk are named by no label file and are not used, for example abaw4/cropped_aligned/v/9.jpg",
        "1 files are not images by their name (jpg/jpeg/png/bmp/tif/tiff/webp) and are not read, for example "
        "abaw4/cropped_aligned/notes.txt",
        "1 rows name an image without any label; they are kept",
    )


def test_abaw_says_which_numbers_are_outside_their_range(tmp_path):
    abaw(tmp_path, [f"t/1.jpg,1.5,nan,8,2{UNITS[1:]}", f"t/2.jpg,-1,1,-1,{UNITS}", f"t/deep/3.jpg,0,-1.01,0.5,{UNITS}",
                    f"gone.jpg,0,0,0,{UNITS}"])  # fmt: skip
    listing, problems = skipping(read_abaw, tmp_path, "abaw4")
    circumplex, file = "neither between -1 and 1 nor -5 (missing)", "training_set_annotations.txt"
    code = "neither an integer from 0 to 7 nor -1 (missing)"
    assert problems == [
        (file, 2, f"valence is 1.5, {circumplex}; arousal is nan, {circumplex}; expression is 8, {code}; "
                  "AU1 is 2, neither 0, 1 nor -1 (missing)", 1),
        (file, 4, f"arousal is -1.01, {circumplex}; expression is 0.5, {code}", 1),
        (file, 5, "image abaw4/cropped_aligned/gone.jpg not found", 1),
    ]  # fmt: skip
    assert listing.keep.tolist() == [False, True, False, True], "images of bad rows are still looked at"
    assert listing.labels.valence_arousal[1].tolist() == [-1, 1]
    assert "without any label" not in " ".join(listing.notes)


def test_abaw_rows_with_another_number_of_fields_are_told_what_belongs_there(tmp_path):
    abaw(tmp_path, ["t/1.jpg,0,0", f"t/2.jpg,0,0,0,{UNITS}"])
    problems = skipping(read_abaw, tmp_path, "abaw4")[1]
    fields = "image,valence,arousal,expression,AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"
    assert problems == [("training_set_annotations.txt", 2, f"has 3 fields, not the 16 of {fields}", 1)]


def test_abaw_parts_that_are_missing_are_told_together(tmp_path):
    (tmp_path / "abaw4").mkdir()
    assert listed(read_abaw, tmp_path, "abaw4") == [
        "abaw4/training_set_annotations.txt: not found; see data/README.md, section Corpora",
        "abaw4/validation_set_annotations.txt: not found; see data/README.md, section Corpora",
        "abaw4/cropped_aligned: folder not found; see data/README.md, section Corpora",
    ]


def test_abaw_header_is_any_first_line_that_is_no_row(tmp_path):
    abaw(tmp_path, [])
    for first, rows in ((f"t/1.jpg,0,0,0,{UNITS}", [1, 2]), (f"t/1.jpg,x,0,0,{UNITS}", [2]), ("anything", [2])):
        write(tmp_path / "abaw4/training_set_annotations.txt", first, f"t/2.jpg,0,0,0,{UNITS}")
        listing, problems = skipping(read_abaw, tmp_path, "abaw4")
        assert listing.line[listing.split == "training"].tolist() == rows and problems == []


# -- AffectNet ---------------------------------------------------------------------------------------------------------
def affectnet_csv(root, *training, folder="", images="Manually_Annotated_Images"):
    base = root / "affectnet"
    write(base / folder / "training.csv", CSV_HEADER, *training)
    write(base / folder / "validation.csv", CSV_HEADER, "2/c.png,0,0,9,9,,7,-1,1")
    put(root, f"affectnet/{images}/1/a.jpg", f"affectnet/{images}/1/b.JPG", f"affectnet/{images}/2/c.png",
        f"affectnet/{images}/2/d.bmp")  # fmt: skip


@pytest.mark.parametrize("folder", ["", "Manually_Annotated_file_lists"])
@pytest.mark.parametrize("images", ["Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images",
                                    "images"])  # fmt: skip
def test_affectnet_csv_hands_over_every_column(tmp_path, folder, images):
    affectnet_csv(tmp_path, "1/b.JPG,1.4,2.6,30,40,1;2,8,-2,-2", "1/a.jpg,5,6,7,8,1;2,3,0.5,-2", folder=folder,
                  images=images)  # fmt: skip
    listing, problems = skipping(read_affectnet, tmp_path, "affectnet")
    base = f"affectnet/{images}"
    assert problems == [] and listing.keep.all()
    assert listing.image.tolist() == listing.group.tolist() == [f"{base}/1/b.JPG", f"{base}/1/a.jpg", f"{base}/2/c.png"]
    assert listing.split.tolist() == ["training", "training", "validation"]
    assert listing.line.tolist() == [2, 3, 2]
    assert [name.rpartition("/")[2] for name in listing.source] == ["training.csv"] * 2 + ["validation.csv"]
    assert listing.sizes.tolist() == [4, 3, 5] and listing.modified.tolist() == [2 * 10**9, 10**9, 3 * 10**9]
    assert listing.boxes.tolist() == [[1, 3, 30, 40], [5, 6, 7, 8], [0, 0, 9, 9]] and listing.boxes.dtype == np.int64
    labels = listing.labels
    assert labels.vocabulary == AFFECTNET_EXPRESSIONS
    assert labels.expression.tolist() == [0, 3, 7] and labels.expression_valid.tolist() == [False, True, True]
    assert labels.valence_arousal.tolist() == [[0, 0], [0.5, 0], [-1, 1]]
    assert labels.valence_arousal_valid.tolist() == [[False, False], [True, False], [True, True]]
    assert not labels.action_units_valid.any()
    assert listing.notes == (
        "1 training and validation rows have an expression code above 7: no expression, masked",
        "2 training and validation rows have -2 for valence or arousal: masked",
        f"1 images on disk are named by no label file and are not used, for example {base}/2/d.bmp",
    )


CODE = "neither an integer from 0 to 7 nor a code above 7 (no expression)"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1/a.jpg,5,6,0.9,8,,3,0,0", "face box 5,6,0.9,8 has no area"),
        ("1/a.jpg,5,6,7,0,,3,0,0", "face box 5,6,7,0 has no area"),
        ("1/a.jpg,nan,6,7,8,,3,0,0", "face box nan,6,7,8 has no area"),
        ("1/a.jpg,5,1e6,7,8,,3,0,0", "face box 5,1e+06,7,8 has no area"),
        ("1/a.jpg,5,6,7,8,,-1,0,0", f"expression is -1, {CODE}"),
        ("1/a.jpg,5,6,7,8,,2.5,0,0", f"expression is 2.5, {CODE}"),
        ("1/a.jpg,5,6,7,8,,inf,0,0", f"expression is inf, {CODE}"),
        ("1/a.jpg,5,6,7,8,,3,1.1,0", "valence is 1.1, neither between -1 and 1 nor -2 (invalid)"),
        ("1/a.jpg,5,6,7,8,,3,0,nan", "arousal is nan, neither between -1 and 1 nor -2 (invalid)"),
        ("1/z.jpg,5,6,7,8,,3,0,0", "image affectnet/images/1/z.jpg not found"),
    ],
)  # fmt: skip
def test_affectnet_csv_says_what_is_wrong_with_a_row(tmp_path, row, reason):
    affectnet_csv(tmp_path, row, "1/b.JPG,0,0,1,1,,0,0,0", images="images")
    listing, problems = skipping(read_affectnet, tmp_path, "affectnet")
    assert problems == [("training.csv", 2, reason, 1)]
    assert listing.keep.tolist()[-2:] == [True, True] and not listing.keep[:-2].any()
    assert listing.boxes[-2].tolist() == [0, 0, 1, 1], "a box of one pixel has an area"
    assert not any("masked" in note for note in listing.notes)


def test_affectnet_csv_without_images_says_where_they_belong(tmp_path):
    affectnet_csv(tmp_path, "1/a.jpg,5,6,7,8,,3,0,0", images="pictures")
    assert listed(read_affectnet, tmp_path, "affectnet") == [
        "affectnet/Manually_Annotated_Images: folder not found; see data/README.md"]  # fmt: skip


def affectnet_2021(root, labels, images, folder="train_set"):
    put(root, *(f"affectnet/{folder}/images/{image}" for image in images))
    annotations = root / "affectnet" / folder / "annotations"
    annotations.mkdir(parents=True, exist_ok=True)
    for identifier, values in labels.items():
        for kind, value in zip(("exp", "val", "aro"), values, strict=True):
            if value is not None:
                np.save(annotations / f"{identifier}_{kind}.npy", np.array(value))


def test_affectnet_2021_hands_over_every_column(tmp_path):
    affectnet_2021(tmp_path, {"1": (3, 0.5, -2), "2": (9, -2, -2), "5": (0, 1, -1)}, ["1.png", "2.jpg", "4.jpg"])
    affectnet_2021(tmp_path, {"7": ("6", "0.25", "-1")}, ["7.jpg"], "val_set")
    listing, problems = skipping(read_affectnet, tmp_path, "affectnet")
    train = "affectnet/train_set/images"
    assert listing.image.tolist() == listing.group.tolist() == [f"{train}/1.png", f"{train}/2.jpg",
                                                                "affectnet/val_set/images/7.jpg"]  # fmt: skip
    assert listing.split.tolist() == ["training", "training", "validation"]
    assert listing.line.tolist() == [0, 0, 0] and listing.keep.all() and listing.boxes is None
    assert [name.rpartition("/")[2] for name in listing.source] == ["1_{exp,val,aro}.npy", "2_{exp,val,aro}.npy",
                                                                       "7_{exp,val,aro}.npy"]  # fmt: skip
    assert listing.sizes.tolist() == [3, 4, 3]
    assert listing.labels.expression.tolist() == [3, 0, 6]
    assert listing.labels.expression_valid.tolist() == [True, False, True]
    assert listing.labels.valence_arousal.tolist() == [[0.5, 0], [0, 0], [0.25, -1]]
    assert listing.labels.valence_arousal_valid.tolist() == [[True, False], [False, False], [True, True]]
    assert problems == [("5_{exp,val,aro}.npy", None, f"image {train}/5.jpg not found", 1)]
    assert listing.notes == (
        "1 training rows have an expression code above 7: no expression, masked",
        "2 training rows have -2 for valence or arousal: masked",
        f"1 images on disk are named by no annotation and are not used, for example {train}/4.jpg",
    )


def test_affectnet_2021_says_what_is_wrong_once(tmp_path):
    affectnet_2021(tmp_path, {"1": (3, None, 0), "2": (-1, 0, 0), "3": (1, 0, 0)}, ["1.jpg", "2.jpg", "3.jpg", "3.png"])
    affectnet_2021(tmp_path, {"7": (6, 0, 0)}, ["7.jpg"], "val_set")
    listing, problems = skipping(read_affectnet, tmp_path, "affectnet")
    files, reasons = zip(*((file, reason) for file, _, reason, _ in problems), strict=True)
    assert files == ("1_{exp,val,aro}.npy", "2_{exp,val,aro}.npy", "3_{exp,val,aro}.npy")
    assert reasons[0].endswith("1_val.npy not found") and "nan" not in reasons[0]
    assert reasons[1].startswith("expression is -1, neither")
    images = "affectnet/train_set/images"
    assert reasons[2] == f"has 2 images: {images}/3.jpg, {images}/3.png"
    assert listing.keep.tolist() == [False, False, False, True]


def test_affectnet_2021_folders_that_are_missing_or_empty_are_told_together(tmp_path):
    (tmp_path / "affectnet/val_set/images").mkdir(parents=True)
    (tmp_path / "affectnet/val_set/annotations").mkdir()
    assert listed(read_affectnet, tmp_path, "affectnet") == [
        "affectnet/train_set/images: folder not found; see data/README.md, section Corpora",
        "affectnet/train_set/annotations: folder not found; see data/README.md, section Corpora",
        "affectnet/val_set/annotations: holds no ID_exp.npy, ID_val.npy and ID_aro.npy",
    ]


def test_affectnet_class_folders_are_read_where_neither_edition_lies(tmp_path):
    put(tmp_path, "affectnet/train/Contempt/a.jpg", "affectnet/train/happy/b.jpg", "affectnet/val/fear/c.jpg")
    listing, _ = skipping(read_affectnet, tmp_path, "affectnet")
    assert [AFFECTNET_EXPRESSIONS[code] for code in listing.labels.expression] == ["contempt", "happiness", "fear"]
    affectnet_2021(tmp_path, {"1": (3, 0, 0)}, ["1.jpg"])
    affectnet_2021(tmp_path, {"7": (6, 0, 0)}, ["7.jpg"], "val_set")
    assert skipping(read_affectnet, tmp_path, "affectnet")[0].labels.expression.tolist() == [3, 6]
