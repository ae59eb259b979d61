"""LSD class folders, plain class folders and unlabelled trees."""

import os

import numpy as np
import pytest
from published_layouts import write_faces, write_image, write_lsd

from affect_core.corpora import affectnet_arrays, describe, image_files, open_corpus
from affect_core.corpora.image_files import find_images
from affect_core.errors import AffectError
from affect_core.labels import LSD_EXPRESSIONS


def opened(root, name="lsd", **options):
    return open_corpus(root, name, size=16, store_dir=root / "stores", **options)


def test_published_lsd_folders_give_six_alphabetical_classes(tmp_path):
    write_lsd(tmp_path, per_class=3)
    assert (tmp_path / "lsd/training_set_synthetic_images/ANGRER").is_dir()
    corpus = opened(tmp_path)
    assert corpus.labels.vocabulary == LSD_EXPRESSIONS
    for split in ("training", "validation"):
        assert np.bincount(corpus.split(split).labels.expression).tolist() == [3] * 6
    folder = corpus.table["image"].str.split("/").str[2]
    assert set(corpus.labels.expression[folder == "ANGRER"]) == {LSD_EXPRESSIONS.index("anger")}
    assert set(corpus.labels.expression[folder == "SURPRISE"]) == {LSD_EXPRESSIONS.index("surprise")}
    assert not corpus.labels.valence_arousal_valid.any() and not corpus.labels.action_units_valid.any()


@pytest.mark.parametrize("spelling", ["ANGER", "anger", "Angrer", "angry"])
def test_every_spelling_of_anger_is_anger(tmp_path, spelling):
    write_lsd(tmp_path, per_class=1)
    folder = tmp_path / "lsd/training_set_synthetic_images"
    (folder / "ANGRER").rename(folder / spelling)
    assert describe(opened(tmp_path)).loc[("expression", "anger"), "training"] == 1


def test_plain_train_and_val_folders_are_the_same_corpus(tmp_path):
    base = write_lsd(tmp_path, per_class=2)
    (base / "training_set_synthetic_images").rename(base / "train")
    (base / "validation_set_real_images").rename(base / "Val")
    assert len(opened(tmp_path).split("validation")) == 12


def test_stills_are_their_own_group(tmp_path):
    write_lsd(tmp_path, per_class=1)
    table = opened(tmp_path).table
    assert table["group"].equals(table["image"])


def test_images_in_folders_below_a_class_belong_to_it(tmp_path):
    base = write_lsd(tmp_path, per_class=1)
    write_image(base / "training_set_synthetic_images/FEAR/more/deep.png", np.random.default_rng(0), 3)
    assert describe(opened(tmp_path)).loc[("expression", "fear"), "training"] == 2


def test_class_without_images_and_other_files_are_noted(tmp_path):
    base = write_lsd(tmp_path, per_class=1)
    folder = base / "training_set_synthetic_images"
    next((folder / "FEAR").iterdir()).unlink()
    (folder / "FEAR/Thumbs.db").write_bytes(b"x")
    (folder / "SADNESS/._0.jpg").write_bytes(b"x")  # what macOS leaves on foreign disks
    corpus = opened(tmp_path)
    assert "lsd/training_set_synthetic_images holds no image of fear" in corpus.notes
    assert any(note.startswith("2 files are not images by their name") for note in corpus.notes)


def test_unlabelled_tree_is_read_at_any_depth_in_path_order(tmp_path):
    write_faces(tmp_path, images=9)
    corpus = opened(tmp_path, "faces")
    assert corpus.splits == ("unlabelled",) and len(corpus) == 9
    assert corpus.table["image"].tolist() == sorted(corpus.table["image"])
    assert "faces/a/b/c/00002.jpg" in set(corpus.table["image"])
    assert set(corpus.table["group"]) == {""}
    assert not corpus.labels.expression_valid.any()


def test_linked_folders_are_followed_and_loops_end(tmp_path):
    write_faces(tmp_path, images=3)
    outside = tmp_path / "outside"
    write_image(outside / "face.jpg", np.random.default_rng(0), 0)
    (tmp_path / "faces/linked").symlink_to(outside)
    (tmp_path / "faces/a/loop").symlink_to(tmp_path / "faces")
    assert len(opened(tmp_path, "faces")) == 4


def test_links_that_lead_nowhere_or_to_themselves_are_images_that_cannot_be_read(tmp_path):
    write_image(tmp_path / "faces/a.png", np.random.default_rng(0), 90)
    (tmp_path / "faces/gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "faces/loop.png").symlink_to("loop.png")
    (tmp_path / "faces/ring").symlink_to("ring")
    found = find_images(tmp_path, "faces")
    assert found.paths == ["faces/a.png", "faces/gone.png", "faces/loop.png"] and found.other_files == ("faces/ring",)
    assert found.sizes.tolist()[1:] == [-1, -1]
    assert len(opened(tmp_path, "faces", on_bad_rows="skip")) == 1


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    write_image(tmp_path / "faces/shut/a.png", np.random.default_rng(0), 90)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(image_files.os, "scandir", refuse)
    with pytest.raises(AffectError, match="faces/shut cannot be read: Permission denied"):
        find_images(tmp_path, "faces")
    monkeypatch.setattr(affectnet_arrays.os, "listdir", refuse)
    with pytest.raises(AffectError, match="shut cannot be read: Permission denied"):
        affectnet_arrays.read_scalars(tmp_path / "shut", ("exp",))


def test_empty_folder_and_unknown_names_are_one_sentence(tmp_path):
    (tmp_path / "faces").mkdir()
    with pytest.raises(ValueError, match="faces: holds no images"):
        opened(tmp_path, "faces")
    with pytest.raises(ValueError, match="lsd not found; see data/README.md"):
        opened(tmp_path)
    with pytest.raises(ValueError, match="corpus 'casme' is not known"):
        opened(tmp_path, "casme")
    with pytest.raises(ValueError, match="on_bad_rows is 'ignore'"):
        opened(tmp_path, "faces", on_bad_rows="ignore")


def test_unknown_split_names_the_known_ones(tmp_path):
    write_lsd(tmp_path, per_class=1)
    with pytest.raises(ValueError, match="no 'test' images, only training, validation"):
        opened(tmp_path).split("test")
