"""A packed corpus is the corpus: rows, labels, pixels; half a packing is not one."""

from dataclasses import fields

import numpy as np
import pytest

from affect_core.corpora import open_packed, pack_corpus
from affect_core.corpora import packed as module
from affect_core.errors import AffectError


@pytest.fixture
def corpus(smoke_book):
    return smoke_book.corpus("abaw4")


@pytest.fixture
def folder(corpus, tmp_path):
    return pack_corpus(corpus, tmp_path / "packed", images_per_shard=10)


def test_what_is_packed_is_opened_again(corpus, folder):
    opened = open_packed(folder)
    assert opened.fingerprint == corpus.fingerprint and opened.name == corpus.name
    for column in ("image", "split", "group"):
        assert list(opened.table[column]) == list(corpus.table[column])
    for item in fields(corpus.labels):
        np.testing.assert_array_equal(getattr(opened.labels, item.name), getattr(corpus.labels, item.name))
    rows = np.random.default_rng(0).permutation(len(corpus))
    np.testing.assert_array_equal(opened.images[rows], corpus.images[rows])
    np.testing.assert_array_equal(opened.images[3], corpus.images[3])
    part, same = opened.split("validation"), corpus.split("validation")
    np.testing.assert_array_equal(part.images[np.arange(5)], same.images[np.arange(5)])
    assert len(list(folder.glob("pixels-*.npy"))) > 1


def test_an_interrupted_packing_goes_on(corpus, tmp_path, monkeypatch):
    write, calls = module._write_pixels, []

    def fail_at_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(module, "_write_pixels", fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        pack_corpus(corpus, tmp_path, images_per_shard=10)
    with pytest.raises(AffectError, match="interrupted"):
        open_packed(tmp_path)
    pack_corpus(corpus, tmp_path, images_per_shard=10)
    assert len(calls) == 3 + -(-len(corpus) // 10) - 2, "the two finished shards were kept"
    rows = np.arange(len(corpus))
    np.testing.assert_array_equal(open_packed(tmp_path).images[rows], corpus.images[rows])


def test_a_folder_with_another_corpus_is_left_alone(corpus, folder):
    with pytest.raises(AffectError, match="another packed corpus"):
        pack_corpus(corpus.split("validation"), folder)


@pytest.mark.parametrize("damage, message", [
    (lambda folder: (folder / "labels.npz").write_bytes(b"no"), "is damaged"),
    (lambda folder: (folder / "images.txt").write_text("one"), "files of"),
    (lambda folder: next(folder.glob("pixels-*")).unlink(), "lacks pixels-"),
])  # fmt: skip
def test_damage_is_said_in_a_sentence(folder, damage, message):
    damage(folder)
    with pytest.raises(AffectError, match=message):
        open_packed(folder)
