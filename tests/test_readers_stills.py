"""Class folders, FER and tables on literal lines: every column that is handed over, every note, every sentence."""

import os

import numpy as np
import pytest
from published_stills import FERPLUS_HEADER
from reader_cases import listed, put, skipping, write

from affect_core.corpora.fer import ferplus_distributions, ferplus_votes, read_fer2013, read_ferplus
from affect_core.corpora.folders import plain_splits, read_class_folders, read_frame_folders, read_unlabelled
from affect_core.corpora.problems import BadRowsError, ProblemLog
from affect_core.corpora.table import read_table
from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS, FERPLUS_EXPRESSIONS, LSD_EXPRESSIONS


# -- folders -----------------------------------------------------------------------------------------------------------
def test_class_folders_hand_over_every_column(tmp_path):
    put(tmp_path, "lsd/T/ANGRER/2.jpg", "lsd/T/fearful/deep/1.png", "lsd/T/readme.txt", "lsd/V/sad/3.jpg")
    splits = {"training": "T", "validation": "V"}
    listing, problems = skipping(read_class_folders, tmp_path, "lsd", splits, LSD_EXPRESSIONS)
    images = ["lsd/T/ANGRER/2.jpg", "lsd/T/fearful/deep/1.png", "lsd/V/sad/3.jpg"]
    assert listing.image.tolist() == listing.group.tolist() == images and problems == []
    assert listing.source.tolist() == [str(tmp_path / image) for image in images]
    assert listing.split.tolist() == ["training", "training", "validation"]
    assert listing.labels.expression.tolist() == [0, 2, 4] and listing.labels.expression_valid.all()
    assert listing.labels.vocabulary == LSD_EXPRESSIONS and not listing.labels.action_units_valid.any()
    assert listing.sizes.tolist() == [3, 4, 6] and listing.modified.tolist() == [10**9, 2 * 10**9, 4 * 10**9]
    assert listing.line.tolist() == [0] * 3 and listing.keep.all()
    empty = [f"lsd/T holds no image of {name}" for name in ("disgust", "happiness", "sadness", "surprise")]
    assert listing.notes[0].startswith("1 files are not images by their name") and list(listing.notes[1:5]) == empty
    assert len(listing.notes) == 10


def test_class_folders_may_be_named_by_the_adjective(tmp_path):
    adjectives = ("angry", "disgusted", "fearful", "happy", "sad", "surprised")
    put(tmp_path, *(f"lsd/T/{name}/1.jpg" for name in adjectives), "lsd/V/anger/1.jpg")
    splits = {"training": "T", "validation": "V"}
    listing, problems = skipping(read_class_folders, tmp_path, "lsd", splits, LSD_EXPRESSIONS)
    assert listing.labels.expression.tolist() == [0, 1, 2, 3, 4, 5, 0] and problems == []


def test_class_folders_tell_unknown_and_stray_images_folder_by_folder(tmp_path):
    put(tmp_path, "lsd/T/anger/1.jpg", "lsd/T/stray.jpg", "lsd/T/Zen/1.jpg", "lsd/T/Zen/2.jpg", "lsd/T/Joy/1.jpg",
        "lsd/V/sad/3.jpg")  # fmt: skip
    splits = {"training": "T", "validation": "V"}
    listing, problems = skipping(read_class_folders, tmp_path, "lsd", splits, LSD_EXPRESSIONS)
    known = ", ".join(LSD_EXPRESSIONS)
    assert problems == [
        ("T", None, f"1 images lie outside the class folders ({known})", 1),
        ("Joy", None, f"unknown class folder with 1 images; the classes are {known}", 1),
        ("Zen", None, f"unknown class folder with 2 images; the classes are {known}", 2),
    ]
    assert listing.image.tolist() == ["lsd/T/anger/1.jpg", "lsd/V/sad/3.jpg"] and listing.keep.all()
    assert listing.labels.expression.tolist() == [0, 4]


def test_class_folders_that_are_missing_or_empty_are_told_together(tmp_path):
    (tmp_path / "lsd/T").mkdir(parents=True)
    arguments = {"training": "T"}, LSD_EXPRESSIONS
    assert listed(read_class_folders, tmp_path, "lsd", *arguments) == [
        "lsd/T: holds no images; see data/README.md, section Corpora",
        "lsd: no validation folder found; see data/README.md, section Corpora",
    ]
    assert listed(read_class_folders, tmp_path, "lsd", {"training": "T", "validation": "V"}, LSD_EXPRESSIONS)[1] == (
        "lsd/V: no validation folder found; see data/README.md, section Corpora")  # fmt: skip


def test_plain_splits_are_told_by_the_names_of_folders(tmp_path):
    for folder in ("Train", "VALID", "other"):
        (tmp_path / folder).mkdir()
    (tmp_path / "val").write_text("a file")
    assert plain_splits(tmp_path) == {"training": "Train", "validation": "VALID"}
    (tmp_path / "training").mkdir()
    with pytest.raises(AffectError, match="has two training folders, Train and training; keep one of them"):
        plain_splits(tmp_path)


def test_unlabelled_faces_belong_to_nobody_and_frames_to_their_folder(tmp_path):
    put(tmp_path, "videos/b/x/2.jpg", "videos/a/1.jpg", "videos/0.png", "videos/notes.txt")
    images = ["videos/0.png", "videos/a/1.jpg", "videos/b/x/2.jpg"]
    for read, groups in ((read_unlabelled, ["", "", ""]), (read_frame_folders, ["videos/0.png", "a", "b/x"])):
        listing, problems = skipping(read, tmp_path, "videos")
        assert listing.image.tolist() == images and listing.group.tolist() == groups and problems == []
        assert listing.split.tolist() == ["unlabelled"] * 3 and listing.sizes.tolist() == [5, 4, 3]
        assert not listing.labels.expression_valid.any() and len(listing.notes) == 1
    (tmp_path / "empty").mkdir()
    assert listed(read_unlabelled, tmp_path, "empty") == ["empty: holds no images; see data/README.md, section Corpora"]


# -- FER2013 and FER+ --------------------------------------------------------------------------------------------------
def fer(root, *rows, folder="fer2013"):
    """fer2013.csv of (emotion, grey value, usage)."""
    write(root / folder / "fer2013.csv", "emotion,pixels,Usage",
          *(f"{emotion},{' '.join([str(grey)] * 2304)},{usage}" for emotion, grey, usage in rows))  # fmt: skip
    os.utime(root / folder / "fer2013.csv", (7, 7))


def test_fer2013_hands_over_every_column(tmp_path):
    fer(tmp_path, (6, 255, "Training"), (0, 3, "PrivateTest"), (3, 0, "PublicTest"))
    listing, problems = skipping(read_fer2013, tmp_path, "fer2013")
    images = [f"fer2013/fer2013.csv:{line}" for line in (2, 3, 4)]
    assert listing.image.tolist() == listing.group.tolist() == images and problems == []
    assert listing.split.tolist() == ["training", "test", "validation"] and listing.line.tolist() == [2, 3, 4]
    assert listing.source.tolist() == [str(tmp_path / "fer2013/fer2013.csv")] * 3
    assert listing.labels.expression.tolist() == [6, 0, 3] and listing.labels.expression_valid.all()
    assert listing.pixels.shape == (3, 48, 48) and listing.pixels.dtype == np.uint8
    assert listing.pixels[:, 0, 0].tolist() == [255, 3, 0] and (listing.pixels == listing.pixels[:, :1, :1]).all()
    size = (tmp_path / "fer2013/fer2013.csv").stat().st_size
    assert listing.sizes.tolist() == [size] * 3 and listing.modified.tolist() == [7 * 10**9] * 3
    assert listing.keep.all() and listing.notes == ()


def test_fer2013_says_everything_that_is_wrong_with_a_row(tmp_path):
    fer(tmp_path, ("x", 256, "Test"), (5, 1, "Training"), ("", 1, "PublicTest"))
    with open(tmp_path / "fer2013/fer2013.csv", "a") as file:
        file.write("3,1 2\n")
    listing, problems = skipping(read_fer2013, tmp_path, "fer2013")
    emotion = "not an integer from 0 (anger) to 6 (neutral)"
    assert problems == [
        ("fer2013.csv", 2, "Usage is 'Test', not one of Training, PublicTest, PrivateTest; "
                           f"pixels are not 2304 integers from 0 to 255; emotion is 'x', {emotion}", 1),
        ("fer2013.csv", 4, f"emotion is '', {emotion}", 1),
        ("fer2013.csv", 5, "has 2 fields, not the 3 of the header", 1),
    ]  # fmt: skip
    assert listing.keep.tolist() == [False, True, False, False] and listing.split.tolist()[1:3] == [
        "training", "validation"]  # fmt: skip
    assert listing.pixels[:, 0, 0].tolist() == [0, 1, 1, 0] and listing.labels.expression[1] == 5


def ferplus(root, *rows, images=None):
    fer(root, *(images or [(0, row, "Training") for row in range(len(rows))]), folder="ferplus")
    write(root / "ferplus/fer2013new.csv", FERPLUS_HEADER, *rows)


def test_ferplus_hands_over_every_column(tmp_path):
    ferplus(tmp_path, "Training,a.png,0,6,4,0,0,0,0,0,0,0", "Training,,0,0,0,0,0,0,0,0,0,10",
            "Training,b.png,5,5,0,0,0,0,0,0,0,0", "Training,c.png,0,0,0,0,0,0,0,9,1,0",
            "Training,d.png,0,0,0,0,0,0,0,0,9,1", "Training,e.png,0,0,0,0,0,0,0,0,0,0")  # fmt: skip
    listing, problems = skipping(read_ferplus, tmp_path, "ferplus")
    assert listing.image.tolist() == [f"ferplus/{name}.png" for name in "abcde"] and problems == []
    assert listing.line.tolist() == [2, 4, 5, 6, 7] and listing.pixels[:, 0, 0].tolist() == [0, 2, 3, 4, 5]
    assert listing.source.tolist() == [str(tmp_path / "ferplus/fer2013new.csv")] * 5
    assert listing.labels.expression.tolist() == [1, 0, 7, 0, 0]
    assert listing.labels.expression_valid.tolist() == [True, False, True, False, False]
    assert listing.notes == ("1 rows name no image (no face) and are left out",
                             "3 rows give no expression more than half of their votes: masked")  # fmt: skip
    votes = ferplus_votes(tmp_path)
    assert list(votes.index) == listing.image.tolist() and votes.loc["ferplus/a.png"].tolist() == [0, 6, 4] + [0] * 7
    assert list(votes.columns[-2:]) == ["unknown", "NF"] and votes.loc["ferplus/d.png", "NF"] == 1


def test_ferplus_without_anything_to_count_has_no_notes(tmp_path):
    ferplus(tmp_path, "Training,a.png,10,0,0,0,0,0,0,0,0,0")
    assert skipping(read_ferplus, tmp_path, "ferplus")[0].notes == ()


def test_ferplus_says_which_votes_and_usages_are_wrong(tmp_path):
    ferplus(tmp_path, "Training,a.png,x,0,0,0,0,0,0,0,0,-1", "PublicTest,b.png,10,0,0,0,0,0,0,0,0,0",
            "Training,c.png,10,0", "Training,d.png,10,0,0,0,0,0,0,0,0,0")  # fmt: skip
    listing, problems = skipping(read_ferplus, tmp_path, "ferplus")
    there = f"{tmp_path}/ferplus/fer2013.csv, line 3"
    assert problems == [
        ("fer2013new.csv", 2, "neutral is 'x'; NF is '-1', not a number of votes", 1),
        ("fer2013new.csv", 3, f"Usage is 'PublicTest', which is not that of {there}: the rows do not correspond", 1),
        ("fer2013new.csv", 4, "has 4 fields, not the 12 of the header", 1),
    ]
    assert listing.keep.tolist() == [False, False, False, True]
    with pytest.raises(BadRowsError) as error:
        ferplus_votes(tmp_path)
    assert [problem.line for problem in error.value.problems] == [2, 4]


def test_votes_become_distributions_over_the_expressions(tmp_path):
    ferplus(tmp_path, "Training,a.png,1,6,1,0,0,0,0,0,2,0", "Training,b.png,0,0,0,0,0,0,0,0,9,1",
            "Training,,0,0,0,0,0,0,0,0,0,10", "Training,c.png,0,0,0,0,0,0,0,3,0,0")  # fmt: skip
    shares = ferplus_distributions(tmp_path)
    assert list(shares.index) == [f"ferplus/{name}.png" for name in "abc"]
    assert list(shares.columns) == list(FERPLUS_EXPRESSIONS) and shares.dtypes.unique().tolist() == [np.float64]
    assert shares.loc["ferplus/a.png"].tolist() == [0.125, 0.75, 0.125, 0, 0, 0, 0, 0]
    assert shares.loc["ferplus/b.png"].isna().all() and shares.loc["ferplus/c.png", "contempt"] == 1


def test_soft_labels_of_ferplus_are_shares_of_those_who_named_an_expression_if_most_of_all_did(tmp_path):
    ferplus(tmp_path, "Training,a.png,1,6,1,0,0,0,0,0,2,0", "Training,,10,0,0,0,0,0,0,0,0,0",
            "Training,b.png,0,0,0,0,0,0,0,5,4,1", "Training,c.png,0,0,0,0,0,0,3,3,4,0",
            "Training,d.png,0,0,0,0,0,0,0,0,0,10", "Training,e.png,0,0,0,0,0,0,0,0,0,0",
            "Training,f.png,0,0,0,1,0,0,0,0,0,0", "Training,g.png,0,0,0,0,0,0,0,5,5,0")  # fmt: skip
    shares = skipping(read_ferplus, tmp_path, "ferplus")[0].labels.expression_shares
    assert shares.dtype == np.float32 and shares.shape == (7, 8)
    assert shares[0].tolist() == [0.125, 0.75, 0.125, 0, 0, 0, 0, 0]
    assert shares[2].tolist() == [0, 0, 0, 0, 0, 0, 0.5, 0.5], "six of ten"
    assert shares[5].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert shares.any(1).tolist() == [True, False, True, False, False, True, False], "five of ten are not most"
    distributions = ferplus_distributions(tmp_path).to_numpy(np.float32)
    np.testing.assert_array_equal(shares[[0, 2, 5]], distributions[[0, 2, 5]])


def test_fer_quotes_forty_characters_of_what_is_wrong_and_counts_have_nine_digits(tmp_path):
    long = "x" * 50
    fer(tmp_path, (long, 1, "Training"), (3, 1, long))
    assert [reason for _, _, reason, _ in skipping(read_fer2013, tmp_path, "fer2013")[1]] == [
        f"emotion is '{'x' * 40}', not an integer from 0 (anger) to 6 (neutral)",
        f"Usage is '{'x' * 40}', not one of Training, PublicTest, PrivateTest"]  # fmt: skip
    ferplus(tmp_path, f"{long},a.png,10,0,0,0,0,0,0,0,0,0", f"Training,b.png,{long},0,0,0,0,0,0,0,0,0",
            "Training,c.png,1000000000,0,0,0,0,0,0,0,0,0", "Training,d.png,999999999,0,0,0,0,0,0,0,0,0")  # fmt: skip
    listing, problems = skipping(read_ferplus, tmp_path, "ferplus")
    there = f"{tmp_path}/ferplus/fer2013.csv, line 2"
    assert [reason for _, _, reason, _ in problems] == [
        f"Usage is '{'x' * 40}', which is not that of {there}: the rows do not correspond",
        f"neutral is '{'x' * 40}', not a number of votes",
        "neutral is '1000000000', not a number of votes"]  # fmt: skip
    assert listing.keep.tolist() == [False, False, False, True] and listing.labels.expression_valid[3]


def test_ferplus_and_its_images_must_be_the_same_rows(tmp_path):
    ferplus(tmp_path, "Training,a.png,10,0,0,0,0,0,0,0,0,0", images=[(0, 1, "Training")] * 2)
    assert listed(read_ferplus, tmp_path, "ferplus") == [
        "ferplus/fer2013new.csv: has 1 rows, ferplus/fer2013.csv has 2; they must be the same rows"]  # fmt: skip
    (tmp_path / "fer2013").mkdir()
    fer(tmp_path, (0, 9, "Training"))
    (tmp_path / "ferplus/fer2013.csv").unlink()
    assert skipping(read_ferplus, tmp_path, "ferplus")[0].pixels[:, 0, 0].tolist() == [9]


# -- a table of one's own ----------------------------------------------------------------------------------------------
def table(root, *lines, vocabulary=("Happy", "", " pain ")):
    write(root / "mine/labels.csv", *lines)
    write(root / "mine/vocabulary.txt", *vocabulary)
    put(root, "mine/a.jpg", "mine/b.jpg", "mine/sub/c.jpg")


def test_table_hands_over_every_column(tmp_path):
    table(tmp_path, "AU26,image,expression,valence,arousal,AU1,split,group,age,name",
          "1,sub/c.jpg,HAPPINESS,-1,1,0,VAL,,3,x", ",a.jpg,1,,0.5,1,unlabelled,ann,4,y")  # fmt: skip
    listing, problems = skipping(read_table, tmp_path, "mine")
    assert listing.image.tolist() == ["mine/sub/c.jpg", "mine/a.jpg"] and problems == [] and listing.keep.all()
    assert listing.split.tolist() == ["validation", "unlabelled"] and listing.line.tolist() == [2, 3]
    assert listing.group.tolist() == ["mine/sub/c.jpg", "ann"]
    assert listing.source.tolist() == [str(tmp_path / "mine/labels.csv")] * 2
    assert listing.sizes.tolist() == [5, 3] and listing.modified.tolist() == [3 * 10**9, 10**9]
    labels = listing.labels
    assert labels.vocabulary == ("happiness", "pain")
    assert labels.expression.tolist() == [0, 1] and labels.expression_valid.all()
    assert labels.valence_arousal.tolist() == [[-1, 1], [0, 0.5]]
    assert labels.valence_arousal_valid.tolist() == [[True, True], [False, True]]
    assert labels.action_units[:, [0, -1]].tolist() == [[0, 1], [1, 0]]
    assert labels.action_units_valid[:, [0, -1]].tolist() == [[True, True], [True, False]]
    assert not labels.action_units_valid[:, 1:-1].any()
    assert listing.notes == ("1 images on disk are named by no labels.csv and are not used, for example mine/b.jpg",
                             "labels.csv has columns that are not read: age, name")  # fmt: skip


def test_table_without_expressions_needs_no_vocabulary_and_trains_by_default(tmp_path):
    table(tmp_path, "image,valence", "a.jpg,0", "b.jpg,", "sub/c.jpg,-0.5")
    (tmp_path / "mine/vocabulary.txt").unlink()
    listing, problems = skipping(read_table, tmp_path, "mine")
    assert listing.split.tolist() == ["training"] * 3 and listing.labels.vocabulary == EXPRESSIONS
    assert listing.group.tolist() == listing.image.tolist() and problems == [] and listing.notes == ()
    assert listing.labels.valence_arousal_valid.tolist() == [[True, False], [False, False], [True, False]]


def test_table_masks_each_task_by_its_own_columns(tmp_path):
    table(tmp_path, "image,expression,AU1,valence", "a.jpg,1,,", "b.jpg,,1,", "sub/c.jpg,,,0")
    labels = skipping(read_table, tmp_path, "mine")[0].labels
    assert labels.expression_valid.tolist() == [True, False, False] and labels.expression.tolist() == [1, 0, 0]
    assert labels.action_units_valid[:, 0].tolist() == [False, True, False]
    assert labels.valence_arousal_valid.tolist() == [[False, False], [False, False], [True, False]]


def test_table_says_everything_that_is_wrong_with_a_row(tmp_path):
    table(tmp_path, "image,expression,valence,AU2,split", "a.jpg,joy,2,0.5,dev", ",0,0,0,train", "b.jpg,2,x,2,test",
          "sub/c.jpg,0,1,1")  # fmt: skip
    listing, problems = skipping(read_table, tmp_path, "mine")
    circumplex, unit = "neither between -1 and 1 nor empty (missing)", "neither 0 nor 1 nor empty (missing)"
    code = "neither one of happiness, pain nor its place nor empty (missing)"
    assert problems == [
        ("labels.csv", 3, "names no image", 1),
        ("labels.csv", 5, "has 4 fields, not the 5 of the header", 1),
        ("labels.csv", 2, "split is 'dev', not training, validation, test or unlabelled; "
                          f"valence is '2', {circumplex}; expression is 'joy', {code}; AU2 is '0.5', {unit}", 1),
        ("labels.csv", 4, f"valence is 'x', {circumplex}; expression is '2', {code}; AU2 is '2', {unit}", 1),
    ]  # fmt: skip
    assert listing.keep.tolist() == [False, False] and not listing.labels.expression_valid.any()


def test_table_quotes_forty_characters_and_takes_no_number_of_any_length_for_a_code(tmp_path):
    long = "x" * 50
    table(tmp_path, "image,expression,split", f"a.jpg,{long},{long}", f"b.jpg,{'1' * 5000},test")
    reasons = [reason for _, _, reason, _ in skipping(read_table, tmp_path, "mine")[1]]
    code = "neither one of happiness, pain nor its place nor empty (missing)"
    assert reasons == [f"split is '{'x' * 40}', not training, validation, test or unlabelled; "
                       f"expression is '{'x' * 40}', {code}", f"expression is '{'1' * 40}', {code}"]  # fmt: skip


def test_table_tells_what_is_wrong_with_its_vocabulary_once(tmp_path):
    table(tmp_path, "image,expression", "a.jpg,", "b.jpg,", vocabulary=("sad", "sadness"))
    log = ProblemLog("list")
    read_table(tmp_path, "mine", log)
    assert [problem.reason for problem in log.problems] == ["names an expression twice: sadness, sadness"]


@pytest.mark.parametrize("split", ["train", "training", "val", "valid", "validation", "test", "unlabelled", ""])
def test_table_knows_the_splits_by_their_usual_names(tmp_path, split):
    table(tmp_path, "image,split", f"a.jpg,{split.upper()}")
    full = {"": "training", "train": "training", "val": "validation", "valid": "validation"}
    assert skipping(read_table, tmp_path, "mine")[0].split.tolist() == [full.get(split, split)]


@pytest.mark.parametrize(
    ("vocabulary", "sentence"),
    [
        (("", " "), "mine/vocabulary.txt: names no expression; it holds one a line, in the order of the codes"),
        (("sad", "fear", "SADNESS"), "mine/vocabulary.txt: names an expression twice: sadness, fear, sadness"),
    ],
)
def test_table_vocabulary_names_each_expression_once(tmp_path, vocabulary, sentence):
    table(tmp_path, "image,expression", "a.jpg,", vocabulary=vocabulary)
    log = ProblemLog("list")
    read_table(tmp_path, "mine", log)
    assert [str(problem).replace(f"{tmp_path}/", "") for problem in log.problems] == [sentence]
