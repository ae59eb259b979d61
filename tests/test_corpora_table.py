"""Tables of one's own, videos as folders, CelebA and LFW, and downloads that say why they fail."""

import socket

import numpy as np
import pytest
from published_stills import write_celeba, write_folders, write_table

from affect_core.corpora import BadRowsError, fetch_faces, open_corpus
from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS

ROWS = """image,AU12,expression,valence,arousal,AU1,split,group,comment
a.png,1,happy,0.5,-1,0,training,ann,"smiles, broadly"
sub/b.png,,2,,0.25,1,Val,ann,
c.png,0,,,,,test,,
"""


def opened(root, name="mine", **options):
    return open_corpus(root, name, size=16, store_dir=root / "stores", **options)


def test_table_of_ones_own_gives_masks_splits_and_groups(tmp_path):
    write_table(tmp_path / "mine", ROWS)
    corpus = opened(tmp_path)
    labels = corpus.labels
    assert labels.vocabulary == ("neutral", "happiness", "pain")
    assert labels.expression.tolist() == [1, 2, 0] and labels.expression_valid.tolist() == [True, True, False]
    assert labels.valence_arousal.tolist() == [[0.5, -1], [0, 0.25], [0, 0]]
    assert labels.valence_arousal_valid.tolist() == [[True, True], [False, True], [False, False]]
    smile, brow = ACTION_UNITS.index(12), ACTION_UNITS.index(1)
    assert labels.action_units_valid.sum(1).tolist() == [2, 1, 1]
    assert labels.action_units[0, smile] == 1 and labels.action_units[1, brow] == 1
    assert not labels.action_units_valid[1, smile] and labels.action_units[2, smile] == 0
    assert corpus.table["split"].tolist() == ["training", "validation", "test"]
    assert corpus.table["group"].tolist() == ["ann", "ann", "mine/c.png"]
    assert "labels.csv has columns that are not read: comment" in corpus.notes


def test_table_of_images_alone_is_training_without_labels(tmp_path):
    base = write_table(tmp_path / "mine", "image\na.png\n")
    (base / "vocabulary.txt").unlink()
    corpus = opened(tmp_path)
    assert corpus.splits == ("training",) and not corpus.labels.expression_valid.any()
    with pytest.raises(AffectError, match="no 'validation' images, only training"):
        corpus.split("validation")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("happy", "joy", "expression is 'joy', neither one of neutral, happiness, pain nor its place nor empty"),
        ("happy", "3", "expression is '3'"),
        ("happy", "-1", "expression is '-1'"),
        ("0.5", "-5", "valence is '-5', neither between -1 and 1 nor empty (missing)"),
        ("0.5", "nan", "valence is 'nan'"),
        ("-1,0", "-1,-1", "AU1 is '-1', neither 0 nor 1 nor empty"),
        ("-1,0", "-1,0.5", "AU1 is '0.5'"),
        ("training", "dev", "split is 'dev', not training, validation, test or unlabelled"),
        ("a.png,", ",", "names no image"),
        ("a.png,", "a.jpg,", "image mine/a.jpg not found (there is mine/a.png)"),
        (",ann", "", "has 8 fields, not the 9 of the header"),
    ],
)
def test_table_bad_rows_are_refused_or_skipped(tmp_path, field, value, words):
    base = write_table(tmp_path / "mine", ROWS)
    (base / "labels.csv").write_text(ROWS.replace(field, value, 1))
    with pytest.raises(BadRowsError) as error:
        opened(tmp_path)
    assert words in str(error.value) and "labels.csv, line " in str(error.value)
    corpus = opened(tmp_path, on_bad_rows="skip")
    assert len(corpus) == 2 and sum(problem.rows for problem in corpus.problems) == 1


@pytest.mark.parametrize("on_bad_rows", ["refuse", "list", "skip"])
def test_an_image_in_two_splits_is_refused_whatever_happens_to_bad_rows(tmp_path, on_bad_rows):
    base = write_table(tmp_path / "mine", ROWS)
    (base / "labels.csv").write_text(ROWS.replace("a.png,", "sub/b.png,", 1))
    with pytest.raises(AffectError, match=r"sub/b\.png is in training \(.*line 2\) and in validation \(.*line 3\)"):
        opened(tmp_path, on_bad_rows=on_bad_rows)


@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [("", "names no expression"), ("happy\nhappiness\n", "names an expression twice"), (None, "not found")],
)
def test_expressions_need_a_declared_vocabulary(tmp_path, vocabulary, words):
    base = write_table(tmp_path / "mine", ROWS, vocabulary or "")
    if vocabulary is None:
        (base / "vocabulary.txt").unlink()
    with pytest.raises(BadRowsError, match=f"vocabulary.txt: {words}"):
        opened(tmp_path, on_bad_rows="skip")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,valence\na,1\n", "has no column image in its first line"),
        ("image,AU1,AU1\na.png,1,0\n", "names the column AU1 twice"),
        ("image\n", "holds no rows"),
        ("", "has no column image"),
    ],
)
@pytest.mark.parametrize("mode", ["list", "skip"])
def test_table_that_is_no_table(tmp_path, text, words, mode):
    write_table(tmp_path / "mine", text)
    with pytest.raises(BadRowsError, match=words):
        opened(tmp_path, on_bad_rows=mode)


def test_table_in_another_encoding(tmp_path):
    base = write_table(tmp_path / "mine", ROWS)
    (base / "labels.csv").write_bytes(ROWS.encode("utf-16"))
    with pytest.raises(BadRowsError, match="is not UTF-8 text"):
        opened(tmp_path)


def test_skipping_every_row_of_a_table_is_an_error(tmp_path):
    write_table(tmp_path / "mine", "image,valence\na.png,7\n")
    with pytest.raises(AffectError, match="no usable training image; the first of 1 problems"):
        opened(tmp_path, on_bad_rows="skip")


def test_folders_of_frames_are_groups(tmp_path):
    write_folders(tmp_path / "videos", {"one": 2, "two/left": 3, "": 1})
    corpus = opened(tmp_path, "videos")
    assert corpus.splits == ("unlabelled",)
    assert corpus.table["group"].value_counts().to_dict() == {"one": 2, "two/left": 3, "videos/00001.jpg": 1}


def test_people_of_lfw_are_groups(tmp_path):
    write_folders(tmp_path / "lfw/lfw_home/lfw_funneled", {"Ann_A": 2, "Ben_B": 1})
    groups = opened(tmp_path, "lfw").table["group"]
    assert groups.str.rpartition("/")[2].value_counts().to_dict() == {"Ann_A": 2, "Ben_B": 1}


def test_people_of_celeba_are_groups(tmp_path):
    base = write_celeba(tmp_path)
    assert opened(tmp_path, "celeba").table["group"].tolist() == ["person 2880"] * 2 + ["person 2881"] * 2 + [""]
    (base / "identity_CelebA.txt").unlink()
    corpus = opened(tmp_path, "celeba")
    assert set(corpus.table["group"]) == {""} and any("nobody is known" in note for note in corpus.notes)
    (base / "img_align_celeba").rename(base / "images")
    with pytest.raises(BadRowsError, match="img_align_celeba: folder not found; see affect_core.corpora.fetch_faces"):
        opened(tmp_path, "celeba", on_bad_rows="list")


@pytest.mark.filterwarnings("ignore:Retry downloading:UserWarning")  # scikit-learn's, before it gives up
@pytest.mark.parametrize("name", ["celeba", "lfw"])
def test_download_without_a_network_says_what_to_do(tmp_path, monkeypatch, name):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(AffectError, match=f"^{name} cannot be downloaded \\(.*\\); put .* into {tmp_path}/{name} and"):
        fetch_faces(tmp_path, name)


def test_download_leaves_faces_where_they_are_read(tmp_path, monkeypatch):
    import torchvision.datasets

    def download(root, split, download):
        assert split == "all" and download
        write_celeba(root)

    monkeypatch.setattr(torchvision.datasets, "CelebA", download)
    assert fetch_faces(tmp_path, "celeba") == tmp_path / "celeba"
    assert len(opened(tmp_path, "celeba")) == 5
    with pytest.raises(AffectError, match="'affectnet' cannot be downloaded; celeba and lfw can"):
        fetch_faces(tmp_path, "affectnet")


def test_nothing_is_downloaded_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("a download was tried"))
    (tmp_path / "celeba").mkdir()
    with pytest.raises(BadRowsError):
        opened(tmp_path, "celeba")
    assert np.array_equal(list((tmp_path / "celeba").iterdir()), [])
