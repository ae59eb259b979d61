"""The audit counts what the masks say, compares with the released sets, and names what is suspicious."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from published_layouts import write_abaw4, write_faces, write_image, write_lsd
from published_stills import write_fer2013, write_table

from affect_core.audit import audit
from affect_core.corpora import open_corpus
from affect_core.corpora.released import RELEASED, compare_with_released
from affect_core.labels import EXPRESSIONS, LSD_EXPRESSIONS, AffectLabels


@pytest.fixture
def root(tmp_path):
    write_abaw4(tmp_path, videos=2, frames=24)
    return tmp_path


def opened(root, name="abaw4", **options):
    return open_corpus(root, name, size=32, store_dir=root / "stores", **options)


def test_counts_and_cooccurrence_are_those_of_the_labels(root):
    corpus = opened(root)
    report = audit(corpus)
    labels = corpus.split("training").labels
    assert report.counts.loc[("expression", "fear"), "training"] == (
        labels.expression_valid & (labels.expression == EXPRESSIONS.index("fear"))
    ).sum()
    units, known = corpus.labels.action_units, corpus.labels.action_units_valid
    both = sum(known[row, 0] and known[row, 6] and units[row, 0] == units[row, 6] == 1 for row in range(len(corpus)))
    assert report.cooccurrence.loc["AU1", "AU12"] == report.cooccurrence.loc["AU12", "AU1"] == both > 0


def test_report_says_what_is_there_and_what_is_missing(root):
    corpus = opened(root)
    text = audit(corpus, source="synthetic").to_markdown()
    labels = corpus.split("validation").labels
    active = int((labels.action_units_valid & (labels.action_units == 1))[:, 6].sum())
    assert text.startswith("# Corpus abaw4 (synthetic)\n")
    assert f"{active} / {int(labels.action_units_valid[:, 6].sum())} |" in text
    assert f"| {int((~labels.expression_valid).sum())} |" in text.split("| missing |")[1].splitlines()[0] + " |"
    assert "Nothing." in text and "Every file can still be opened." in text
    assert "most frequent (width x height: files): 112 x 112: 96" in text


def test_report_places_valence_and_arousal_and_counts_pairs_of_units(root):
    corpus = opened(root)
    report = audit(corpus)
    text, labels, split = report.to_markdown(), corpus.labels, corpus.table["split"].to_numpy()
    known = labels.valence_arousal_valid.all(axis=1)
    valence, arousal = labels.valence_arousal.T
    far = known & (valence**2 + arousal**2 >= 0.04)
    for words, inside in (("pleasant, active", (valence >= 0) & (arousal >= 0)),
                          ("unpleasant, active", (valence < 0) & (arousal >= 0)),
                          ("pleasant, passive", (valence >= 0) & (arousal < 0)),
                          ("within 0.2 of the middle", None)):  # fmt: skip
        rows = known & ~far if inside is None else far & inside
        counts = [int((rows & (split == name)).sum()) for name in corpus.splits]
        assert f"\n| {words} | {' | '.join(map(str, counts))} |" in text
    table = report.cooccurrence.to_numpy()
    most = max(table[i, k] for i in range(12) for k in range(i))
    assert f": {most} images; " in text.split("On together most often:")[1].splitlines()[2]


def test_figures_are_those_the_corpus_has_data_for(root):
    figures = audit(opened(root)).figures()
    assert set(figures) == {"labels", "circumplex", "action_units", "sizes", "samples"}
    assert all(isinstance(figure, Figure) for figure in figures.values())
    write_faces(root, images=6)
    faces = audit(opened(root, "faces"))
    assert set(faces.figures()) == {"sizes", "samples"}
    assert faces.to_markdown().count("There is one split only.") == 2


def test_samples_depend_on_the_seed_alone(root):
    report = audit(opened(root))

    def captions(seed):
        return [text.get_text() for text in report.figures(samples=8, seed=seed)["samples"].axes[0].texts]

    assert captions(1) == captions(1) != captions(2)


def test_copies_across_splits_are_in_report_and_figures(root):
    base = root / "abaw4/cropped_aligned"
    shutil.copy(base / "training_00/00005.jpg", base / "validation_01/00009.jpg")
    corpus = open_corpus(root, "abaw4", size=64, store_dir=root / "stores")
    report = audit(corpus)
    assert report.duplicates[["image", "other_image", "distance"]].to_numpy().tolist() == [
        ["abaw4/cropped_aligned/validation_01/00009.jpg", "abaw4/cropped_aligned/training_00/00005.jpg", 0]
    ]
    assert "1 of 48 validation images have one in training (2.1 %)" in report.to_markdown()
    assert "duplicates" in report.figures()


def test_groups_in_two_splits_are_counted(tmp_path):
    rows = "image,split,group\na.png,train,ann\nbb.png,val,ann\nccc.png,val,ben\ndddd.png,test,ben\n"
    write_table(tmp_path / "mine", rows)
    report = audit(opened(tmp_path, "mine"))
    assert report.shared_groups == {("training", "validation"): 1, ("training", "test"): 0, ("validation", "test"): 1}
    assert "training and validation share 1 groups (videos, people): ann; 1 validation images" in report.to_markdown()
    assert "- training and test share no group" in report.to_markdown()


def test_bad_rows_are_in_the_report(root):
    base = root / "abaw4/cropped_aligned/training_00"
    (base / "00003.jpg").write_bytes(b"no image")
    (base / "00004.jpg").unlink()
    report = audit(opened(root, on_bad_rows="skip"))
    text = report.to_markdown()
    assert "2 rows, 2 problems." in text and "00003.jpg is not an image" in text and "00004.jpg not found" in text


def test_files_that_went_bad_since_are_named(root):
    corpus = opened(root)
    (root / "abaw4/cropped_aligned/training_00/00003.jpg").write_bytes(b"no image")
    (root / "abaw4/cropped_aligned/training_00/00004.jpg").unlink()
    report = audit(corpus)
    assert [name.rpartition("/")[2] for name in report.unreadable] == ["00003.jpg", "00004.jpg"]
    assert "2 files cannot be read any more: abaw4/" in report.to_markdown()


def test_image_sizes_are_those_of_the_files(root):
    base = write_faces(root, images=3)
    write_image(base / "small.png", np.random.default_rng(0), 0, size=20)
    Image.new("RGB", (300, 50)).save(base / "wide.png")
    report = audit(opened(root, "faces"))
    assert report.sizes.set_index(["width", "height"])["images"].to_dict() == {(112, 112): 3, (20, 20): 1, (300, 50): 1}
    text = report.to_markdown()
    assert "3 different sizes; shorter side from 20 to 112 px" in text
    assert "1 of 5 files are smaller than the 32 px they become" in text


def test_images_in_a_table_have_no_files(tmp_path):
    write_fer2013(tmp_path)
    report = audit(opened(tmp_path, "fer2013"))
    assert report.sizes is None and "There are no image files to look at." in report.to_markdown()
    assert "No published counts of a corpus of this name are kept here." in report.to_markdown()
    assert set(report.figures()) >= {"labels", "samples"}


def released(root, name):
    """A corpus without pixels that has every published count, and its labels."""
    corpus, parts, splits = opened(root, name), [], []
    words = LSD_EXPRESSIONS if name == "lsd" else EXPRESSIONS
    for split, counts in RELEASED[name].items():
        n = counts["images with a label"]
        labels = AffectLabels.missing(n, words)
        numbers = [counts.get(word, 0) for word in words]
        known = counts.get("images with an expression", n)
        labels.expression_valid[:known] = True
        labels.expression[: sum(numbers)] = np.repeat(np.arange(len(words)), numbers)
        labels.valence_arousal_valid[: counts.get("images with valence and arousal", 0)] = True
        labels.action_units_valid[n - counts.get("images with action units", 0) :] = True
        parts.append(labels)
        splits += [split] * n
    return replace(corpus, labels=AffectLabels.concatenate(parts), table=pd.DataFrame({"split": splits}))


@pytest.mark.parametrize(("name", "compared"), [("abaw4", 16), ("lsd", 8)])
def test_a_complete_copy_matches_the_released_set(root, name, compared):
    write_lsd(root, per_class=1)
    corpus = released(root, name)
    assert compare_with_released(corpus) == (f"matches the released set: all {compared} published counts agree",)


def test_what_differs_from_the_released_set_is_said_in_words(root):
    write_lsd(root, per_class=1)
    corpus = released(root, "lsd")
    short = replace(corpus, labels=corpus.labels[1:], table=corpus.table[1:])
    assert compare_with_released(short) == (
        "training, images with a label: 277,250, 1 fewer than the released 277,251",
        "training, anger: 18,285, 1 fewer than the released 18,286",
    )
    text = audit(opened(root, "lsd")).to_markdown()
    assert "validation, images with a label: 6, 4,664 fewer than the released 4,670" in text


def test_released_counts_of_s_aff_wild2_are_the_published_numbers():
    """FORMATS: what the mask of each task leaves, and the training expressions by index."""
    expressions = {"neutral": 23976, "anger": 4555, "disgust": 3168, "fear": 3122, "happiness": 18135, "sadness": 7609,
                   "surprise": 5228, "other": 24852}  # fmt: skip
    kinds = ("images with a label", "images with valence and arousal", "images with an expression",
             "images with action units")  # fmt: skip
    assert RELEASED["abaw4"]["training"] == {
        **dict(zip(kinds, (142_333, 103_917, 90_645, 103_316), strict=True)), **expressions
    }
    assert RELEASED["abaw4"]["validation"] == dict(zip(kinds, (26_876, 26_876, 15_440, 26_876), strict=True))


def test_published_classes_add_up():
    for name, words in (("abaw4", EXPRESSIONS), ("lsd", LSD_EXPRESSIONS)):
        counts = RELEASED[name]["training"]
        total = counts["images with an expression"] if name == "abaw4" else counts["images with a label"]
        assert sum(counts[word] for word in words) == total


def test_an_audit_of_a_combined_corpus(root):
    from affect_core.corpora import combine_corpora

    write_lsd(root, per_class=2)
    report = audit(combine_corpora([opened(root), opened(root, "lsd")], EXPRESSIONS))
    assert report.counts.loc[("all", "images"), "training"] == 48 + 12 and report.comparison == ()
    assert report.sizes["images"].sum() == len(report.corpus)
