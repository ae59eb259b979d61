"""A packed corpus is the corpus: rows, labels, pixels; half a packing is not one."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from affect_core.corpora import open_packed, pack_corpus
from affect_core.corpora import packed as module
from affect_core.corpora.problems import Problem
from affect_core.errors import AffectError
from affect_core.storage import write_json


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


def test_parts_of_a_packed_corpus_are_parts_of_the_corpus(corpus, folder):
    """Table, labels, pixels and fingerprint; rows that lie together, that do not, and as a mask."""
    opened, mask = open_packed(folder), np.arange(len(corpus)) % 3 == 0
    pd.testing.assert_frame_equal(opened.table, corpus.table)
    assert opened.splits == corpus.splits
    for rows in (np.arange(4, 20), np.array([9, 2, 5]), mask, np.array([], np.int64)):
        part, same = opened.select(rows), corpus.select(rows)
        assert len(part) == len(same) and part.splits == same.splits
        assert part.fingerprint == same.fingerprint
        assert part.table.to_numpy().tolist() == same.table.to_numpy().tolist()
        np.testing.assert_array_equal(part.labels.action_units, same.labels.action_units)
    part, same = opened.split("validation").select(np.arange(3, 9)), corpus.split("validation").select(np.arange(3, 9))
    assert part.fingerprint == same.fingerprint
    np.testing.assert_array_equal(part.images[:], same.images[:])
    with pytest.raises(AffectError, match="has no 'test' images, only"):
        opened.split("test")


def test_rows_that_lie_together_are_not_copied(folder):
    opened = open_packed(folder)
    part = opened.select(np.arange(5, 25))
    for ours, whole in ((part.labels.action_units, opened.labels.action_units), (part.images.rows, opened.images.rows)):
        assert np.shares_memory(ours, whole)
    part.labels.action_units[:] = 7
    assert open_packed(folder).labels.action_units.max() <= 1, "the file stays as it is"


def test_rows_left_out_of_the_corpus_are_still_named(corpus, tmp_path):
    problem = Problem("list.txt", 3, "names no image")
    pack_corpus(replace(corpus, problems=(problem,)), tmp_path)
    assert open_packed(tmp_path).problems == (problem,)


def test_names_with_line_breaks_are_refused(corpus, tmp_path):
    table = corpus.table.assign(group="two\nlines")
    with pytest.raises(AffectError, match="groups hold line breaks"):
        pack_corpus(replace(corpus, table=table), tmp_path)


def test_a_folder_of_an_earlier_format_says_so(folder):
    write_json(folder / "corpus.json", {"name": "abaw4"})
    with pytest.raises(AffectError, match="packed by another version"):
        open_packed(folder)


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
    (lambda folder: (folder / "expression.npy").write_bytes(b"no"), "is damaged"),
    (lambda folder: (folder / "images.txt").write_text("one"), "line ends"),
    (lambda folder: next(folder.glob("pixels-*")).unlink(), "lacks pixels-"),
])  # fmt: skip
def test_damage_is_said_in_a_sentence(folder, damage, message):
    damage(folder)
    with pytest.raises(AffectError, match=message):
        open_packed(folder)
