"""RAF-DB, FER2013 and FER+: codes, splits and votes become labels, and bad rows get one sentence."""

import numpy as np
import pytest
from published_stills import write_fer2013, write_ferplus, write_rafdb

from affect_core.corpora import BadRowsError, describe, ferplus_distributions, ferplus_votes, open_corpus
from affect_core.errors import AffectError
from affect_core.labels import FER2013_EXPRESSIONS, FERPLUS_EXPRESSIONS, RAFDB_EXPRESSIONS

VOTES = [
    (0, 0, 0, 0, 0, 0, 0, 10, 0, 0),  # contempt
    (5, 5, 0, 0, 0, 0, 0, 0, 0, 0),  # a tie
    (4, 3, 3, 0, 0, 0, 0, 0, 0, 0),  # first, but not more than half
    (0, 0, 0, 0, 0, 0, 0, 0, 6, 4),  # unknown
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 10),  # no face
    (0, 0, 0, 6, 4, 0, 0, 0, 0, 0),  # sadness
]
NAMES = ["fer0000000.png", "fer0000001.png", "fer0000002.png", "fer0000003.png", "", "fer0000004.png"]


def opened(root, name, **options):
    return open_corpus(root, name, size=16, store_dir=root / "stores", **options)


def change(path, line, edit):
    lines = path.read_text().splitlines()
    lines[line - 1] = edit(lines[line - 1])
    path.write_text("\n".join(lines) + "\n")


def test_rafdb_counts_from_one_and_its_test_set_validates(tmp_path):
    write_rafdb(tmp_path)
    corpus = opened(tmp_path, "rafdb")
    assert corpus.labels.vocabulary == RAFDB_EXPRESSIONS and corpus.splits == ("training", "validation")
    assert corpus.table["image"][1] == "rafdb/Image/aligned/train_00002_aligned.jpg"
    assert [RAFDB_EXPRESSIONS[code] for code in corpus.labels.expression[:7]] == [
        "surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"]  # fmt: skip
    assert (describe(corpus).loc["expression"].drop("missing") == 2).all(axis=None)
    assert corpus.labels.expression_valid.all() and not corpus.labels.valence_arousal_valid.any()
    assert "the published test set is the split validation" in corpus.notes


def test_rafdb_may_lie_in_fewer_folders(tmp_path):
    base = write_rafdb(tmp_path)
    before = opened(tmp_path, "rafdb").labels.expression
    (base / "Image/aligned").rename(base / "aligned")
    (base / "EmoLabel/list_patition_label.txt").rename(base / "list_patition_label.txt")
    assert np.array_equal(opened(tmp_path, "rafdb").labels.expression, before)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda line: "train_00003.jpg 0", "line 3: label is 0, not an integer from 1"),
        (lambda line: "train_00003.jpg 8", "line 3: label is 8"),
        (lambda line: "train_00003.jpg 1.5", "line 3: label is 1.5"),
        (lambda line: "train_00003.jpg", "line 3: has 1 fields"),
        (lambda line: "train_00003.jpg fear", "line 3: label is 'fear', not a number"),
        (lambda line: "dev_00003.jpg 3", "line 3: dev_00003.jpg starts neither with train_ nor with test_"),
        (lambda line: "train_00099.jpg 3", "line 3: image rafdb/Image/aligned/train_00099_aligned.jpg not found"),
        (lambda line: "train_00001.jpg 3", "is named again"),
    ],
)
def test_rafdb_bad_rows_are_refused_or_skipped(tmp_path, edit, words):
    base = write_rafdb(tmp_path)
    change(base / "EmoLabel/list_patition_label.txt", 3, edit)
    with pytest.raises(BadRowsError) as error:
        opened(tmp_path, "rafdb")
    assert words in str(error.value) and "list_patition_label.txt, line 3" in str(error.value)
    corpus = opened(tmp_path, "rafdb", on_bad_rows="skip")
    assert len(corpus) == 27 and len(corpus.problems) == 1


def test_rafdb_without_its_list_or_images(tmp_path):
    base = write_rafdb(tmp_path)
    (base / "Image").rename(base / "Pictures")
    (base / "EmoLabel/list_patition_label.txt").unlink()
    with pytest.raises(BadRowsError, match="2 problems") as error:
        opened(tmp_path, "rafdb", on_bad_rows="list")
    assert "EmoLabel/list_patition_label.txt: not found" in str(error.value)


def test_fer2013_pixels_become_images_and_usage_the_split(tmp_path):
    write_fer2013(tmp_path)
    corpus = opened(tmp_path, "fer2013")
    assert corpus.splits == ("training", "validation", "test") and len(corpus.split("test")) == 14
    assert corpus.labels.vocabulary == FER2013_EXPRESSIONS
    assert corpus.labels.expression.tolist() == [row % 14 % 7 for row in range(42)]
    assert (corpus.images[:] == np.arange(42)[:, None, None, None]).all()
    assert corpus.table["image"][0] == "fer2013/fer2013.csv:2" and corpus.root is None


def test_fer2013_image_store_follows_the_file(tmp_path):
    base = write_fer2013(tmp_path)
    first = opened(tmp_path, "fer2013")
    assert opened(tmp_path, "fer2013").images.path == first.images.path
    change(base / "fer2013.csv", 2, lambda line: line.replace(" 0 ", " 255 "))
    assert opened(tmp_path, "fer2013").images[0].mean() > 100


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda line: "7" + line[1:], "emotion is '7', not an integer from 0"),
        (lambda line: line.replace("Training", "Train"), "Usage is 'Train', not one of Training"),
        (lambda line: line.replace(" 1 ", " ", 1), "pixels are not 2304 integers from 0 to 255"),
        (lambda line: line.replace(" 1 ", " 256 ", 1), "pixels are not"),
        (lambda line: line.replace(" 1 ", " x ", 1), "pixels are not"),
        (lambda line: "0,1", "has 2 fields, not the 3 of the header"),
    ],
)
def test_fer2013_bad_rows_are_refused_or_skipped(tmp_path, edit, words):
    base = write_fer2013(tmp_path)
    change(base / "fer2013.csv", 3, edit)
    with pytest.raises(BadRowsError) as error:
        opened(tmp_path, "fer2013")
    assert f"fer2013.csv, line 3: {words}" in str(error.value)
    corpus = opened(tmp_path, "fer2013", on_bad_rows="skip")
    assert len(corpus) == 41 and [problem.rows for problem in corpus.problems] == [1]
    assert corpus.labels.expression[:3].tolist() == [0, 2, 3]


@pytest.mark.parametrize("mode", ["refuse", "list", "skip"])
def test_fer2013_without_a_column_or_rows(tmp_path, mode):
    base = write_fer2013(tmp_path)
    (base / "fer2013.csv").write_text("emotion,pixels\n0,1\n")
    with pytest.raises(BadRowsError, match="has no column Usage in its first line"):
        opened(tmp_path, "fer2013", on_bad_rows=mode)
    (base / "fer2013.csv").write_text("emotion,pixels,Usage\n")
    with pytest.raises(BadRowsError, match="holds no rows"):
        opened(tmp_path, "fer2013", on_bad_rows=mode)
    (base / "fer2013.csv").unlink()
    with pytest.raises(BadRowsError, match="fer2013.csv: not found"):
        opened(tmp_path, "fer2013", on_bad_rows=mode)


def test_ferplus_expression_is_the_one_with_more_than_half_of_the_votes(tmp_path):
    write_ferplus(tmp_path, VOTES, NAMES)
    corpus = opened(tmp_path, "ferplus")
    assert corpus.labels.vocabulary == FERPLUS_EXPRESSIONS and len(corpus) == 41
    assert corpus.labels.expression_valid[:5].tolist() == [True, False, False, False, True]
    assert FERPLUS_EXPRESSIONS[corpus.labels.expression[0]] == "contempt"
    assert FERPLUS_EXPRESSIONS[corpus.labels.expression[4]] == "sadness"
    assert corpus.notes == ("1 rows name no image (no face) and are left out",
                            "3 rows give no expression more than half of their votes: masked")  # fmt: skip


def test_ferplus_hands_over_soft_labels_only_if_asked_and_only_the_training_changes(tmp_path):
    write_ferplus(tmp_path, VOTES, NAMES)
    hard, soft = opened(tmp_path, "ferplus"), opened(tmp_path, "ferplus", soft_labels=True)
    assert hard.labels.expression_shares is None
    shares = ferplus_distributions(tmp_path).loc[soft.table["image"]].to_numpy(np.float32)
    known = np.arange(41) != 3  # unknown has most of its votes
    np.testing.assert_array_equal(soft.labels.expression_shares[known], shares[known])
    assert not soft.labels.expression_shares[3].any()
    np.testing.assert_array_equal(soft.labels.expression, hard.labels.expression)
    np.testing.assert_array_equal(soft.labels.expression_valid, hard.labels.expression_valid)
    assert set(soft.notes) - set(hard.notes) == {"40 images have soft labels, the shares of votes"}
    assert soft.fingerprint != hard.fingerprint
    change(tmp_path / "ferplus/fer2013new.csv", 3, lambda line: line.replace(",5,5,", ",6,4,"))
    assert opened(tmp_path, "ferplus", soft_labels=True).fingerprint != soft.fingerprint


def test_a_corpus_of_single_answers_has_no_soft_labels(tmp_path):
    write_fer2013(tmp_path)
    with pytest.raises(AffectError, match="corpus fer2013 has no soft labels: no shares of votes; of the published"):
        opened(tmp_path, "fer2013", soft_labels=True)
    assert not (tmp_path / "stores").exists(), "said before anything is decoded"


def test_a_bad_row_takes_its_soft_label_with_it(tmp_path):
    base = write_ferplus(tmp_path, VOTES, NAMES)
    whole = opened(tmp_path, "ferplus", soft_labels=True)
    change(base / "fer2013new.csv", 3, lambda line: line.replace(",5,5,", ",x,5,"))
    part = opened(tmp_path, "ferplus", soft_labels=True, on_bad_rows="skip")
    left = np.arange(41) != 1
    np.testing.assert_array_equal(part.labels.expression_shares, whole.labels.expression_shares[left])


def test_ferplus_rows_join_by_order_not_by_the_number_in_the_name(tmp_path):
    write_ferplus(tmp_path, VOTES, NAMES)
    corpus = opened(tmp_path, "ferplus")
    assert corpus.table["image"][4] == "ferplus/fer0000004.png"
    assert corpus.images[[3, 4]].max(axis=(1, 2, 3)).tolist() == [3, 5]


def test_ferplus_votes_have_the_rows_of_the_corpus(tmp_path):
    write_ferplus(tmp_path, VOTES, NAMES)
    corpus = opened(tmp_path, "ferplus")
    votes = ferplus_votes(tmp_path).loc[corpus.table["image"]]
    assert votes.to_numpy()[:5].tolist() == [list(VOTES[row]) for row in (0, 1, 2, 3, 5)]
    assert len(votes) == len(corpus) and list(votes)[7:] == ["contempt", "unknown", "NF"]


def test_ferplus_finds_the_images_in_the_folder_of_fer2013(tmp_path):
    base = write_ferplus(tmp_path, VOTES, NAMES)
    before = opened(tmp_path, "ferplus")
    (tmp_path / "fer2013").mkdir()
    (base / "fer2013.csv").rename(tmp_path / "fer2013/fer2013.csv")
    assert np.array_equal(opened(tmp_path, "ferplus").images[:], before.images[:])


def test_ferplus_files_that_do_not_correspond(tmp_path):
    base = write_ferplus(tmp_path, VOTES, NAMES)
    path = base / "fer2013new.csv"
    change(path, 2, lambda line: line.replace("Training", "PublicTest"))
    with pytest.raises(BadRowsError, match="fer2013new.csv, line 2: Usage is 'PublicTest', which is not that of"):
        opened(tmp_path, "ferplus")
    change(path, 2, lambda line: line.replace("PublicTest", "Training").replace(",10,", ",ten,"))
    with pytest.raises(BadRowsError, match="line 2: contempt is 'ten', not a number of votes"):
        opened(tmp_path, "ferplus")
    assert len(opened(tmp_path, "ferplus", on_bad_rows="skip")) == 40
    with pytest.raises(BadRowsError, match="contempt is 'ten'"):
        ferplus_votes(tmp_path)
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    with pytest.raises(BadRowsError, match="has 41 rows, .* has 42; they must be the same rows"):
        opened(tmp_path, "ferplus", on_bad_rows="skip")
