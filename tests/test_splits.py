"""Splits that share videos or people are found by name, told, and refused before training."""

import numpy as np
import pytest
from published_layouts import write_abaw4, write_faces
from published_stills import write_table

from affect_core.corpora import combine_corpora, open_corpus
from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS
from affect_core.splits import check_splits, drop_shared_groups, refuse_shared_groups
from affect_core.stages import train_cotex, train_emma, train_prior

ROWS = ("image,split,group,expression\na.png,train,ann,0\nbb.png,train,ben,1\nccc.png,val,ann,0\ndddd.png,val,ann,1\n"
        "eeeee.png,val,cleo,2\nffffff.png,test,ben,0\n")  # fmt: skip


def opened(root, name="mine"):
    return open_corpus(root, name, size=16, store_dir=root / "stores")


@pytest.fixture
def leaking(tmp_path):
    write_table(tmp_path / "mine", ROWS)
    return opened(tmp_path)


def test_each_pair_of_splits_is_compared_and_shared_groups_are_named(leaking):
    found = {(overlap.split, overlap.other): (overlap.groups, overlap.rows) for overlap in check_splits(leaking)}
    assert found == {("training", "validation"): (("ann",), 2), ("training", "test"): (("ben",), 1),
                     ("validation", "test"): ((), 0)}  # fmt: skip
    sentences = [str(overlap) for overlap in check_splits(leaking)]
    assert sentences[0] == ("training and validation share 1 groups (videos, people): ann; "
                            "2 validation images belong to them")  # fmt: skip
    assert sentences[2] == "validation and test share no group"


def test_many_shared_groups_are_counted_and_five_are_named(tmp_path):
    names = [f"p{number}" for number in range(7)]
    rows = [f"{split}{name}.png,{split},{name},0" for split in ("train", "val") for name in names]
    write_table(tmp_path / "mine", "\n".join(["image,split,group,expression", *rows]) + "\n")
    (overlap,) = check_splits(opened(tmp_path))
    assert overlap.groups == tuple(names) and overlap.rows == 7
    assert "share 7 groups (videos, people): p0, p1, p2, p3, p4 and 2 more; 7 validation" in str(overlap)


def test_published_layouts_share_nothing_and_one_split_has_no_pair(tmp_path):
    write_abaw4(tmp_path, videos=2, frames=12)
    write_faces(tmp_path, images=6)
    (overlap,) = check_splits(opened(tmp_path, "abaw4"))
    assert overlap.groups == ()
    refuse_shared_groups(opened(tmp_path, "abaw4"))
    assert check_splits(opened(tmp_path, "faces")) == ()


def test_rows_of_nobody_known_are_in_no_overlap(leaking):
    leaking.table["group"] = ["", "ben", "", "", "cleo", ""]
    assert all(not overlap.groups for overlap in check_splits(leaking))


def test_a_person_stays_one_person_in_a_combined_corpus_and_two_corpora_share_nobody(tmp_path, leaking):
    write_table(tmp_path / "other", ROWS.replace("ann", "ben", 1).replace(",ann", ",dora"))
    both = combine_corpora([leaking, opened(tmp_path, "other")], EXPRESSIONS)
    assert next(iter(check_splits(both))).groups == ("mine/ann",)


def test_the_training_stages_refuse_a_leak_before_anything_is_built(leaking, tmp_path, record_property):
    record_property("reliability", {"part": "splits", "case": "a video or person is in training and in validation",
                                    "treatment": "refused before training, with the names"})  # fmt: skip
    words = "corpus mine: training and validation share 1 groups .*: ann; 2 validation images .* faces seen in training"
    with pytest.raises(AffectError, match=words):
        train_prior(None, None, None, leaking, 16, tmp_path / "prior")
    for train, parts in ((train_emma, {"prior": None, "mae": None}), (train_cotex, {"mae": None})):
        with pytest.raises(AffectError, match=words):
            train(None, None, None, leaking, tmp_path / "stage", **parts)
    assert not (tmp_path / "prior").exists() and not (tmp_path / "stage").exists()


def test_only_the_two_splits_in_question_are_refused_in_either_order(leaking):
    refuse_shared_groups(leaking, "validation", "test")
    for pair in (("training", "test"), ("test", "training")):
        with pytest.raises(AffectError, match="training and test share 1 groups .*: ben"):
            refuse_shared_groups(leaking, *pair)


def test_dropping_shared_groups_leaves_the_other_split_whole(leaking):
    clean = drop_shared_groups(leaking)
    assert clean.table["image"].tolist() == [f"mine/{name}.png" for name in ("bb", "ccc", "dddd", "eeeee", "ffffff")]
    assert np.array_equal(clean.images[:], leaking.images[np.arange(1, 6)])
    refuse_shared_groups(clean)
    assert len(drop_shared_groups(clean)) == 5
    assert drop_shared_groups(leaking, "training", "test").table["group"].tolist() == ["ann", "ann", "ann", "cleo",
                                                                                      "ben"]  # fmt: skip
