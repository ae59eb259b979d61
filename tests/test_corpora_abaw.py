"""s-Aff-Wild2 label files become masks, columns and groups."""

import numpy as np
import pytest
from published_layouts import write_abaw4

from affect_core.corpora import available_corpora, describe, open_corpus
from affect_core.labels import ACTION_UNITS, EXPRESSIONS


@pytest.fixture
def root(tmp_path):
    write_abaw4(tmp_path, videos=2, frames=12)
    return tmp_path


def labels_file(root, split="training"):
    return root / "abaw4" / f"{split}_set_annotations.txt"


def rewrite(root, edit):
    """Apply `edit` to the list of lines of the training annotations."""
    path = labels_file(root)
    path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n")


def replace_fields(root, line, **values):
    names = ("image", "valence", "arousal", "expression", *(f"AU{unit}" for unit in ACTION_UNITS))

    def edit(lines):
        fields = lines[line - 1].split(",")
        for name, value in values.items():
            fields[names.index(name)] = str(value)
        lines[line - 1] = ",".join(fields)
        return lines

    rewrite(root, edit)


def opened(root, **options):
    return open_corpus(root, "abaw4", size=16, store_dir=root / "stores", **options)


def test_rows_keep_the_order_of_the_label_files_and_the_video_is_the_group(root):
    corpus = opened(root)
    named = [line.split(",")[0] for split in ("training", "validation")
             for line in labels_file(root, split).read_text().splitlines()[1:]]  # fmt: skip
    assert corpus.table["image"].tolist() == [f"abaw4/cropped_aligned/{name}" for name in named]
    assert corpus.table["group"].tolist() == [name.split("/")[0] for name in named]
    assert corpus.splits == ("training", "validation")
    assert corpus.labels.vocabulary == EXPRESSIONS


def test_five_field_header_over_sixteen_field_rows_is_skipped(root):
    assert labels_file(root).read_text().splitlines()[0].count(",") == 4
    assert len(opened(root).split("training")) == 24


def test_first_line_that_is_a_complete_row_is_not_lost(root):
    rewrite(root, lambda lines: lines[1:])
    assert len(opened(root).split("training")) == 24


def test_missing_codes_become_masks_column_by_column(root):
    units = {f"AU{unit}": 1 for unit in ACTION_UNITS}
    replace_fields(root, 2, valence=-5, arousal=0.25, expression=-1, **{**units, "AU4": -1})
    replace_fields(root, 3, valence=-1, arousal=1, expression=7, **{**units, "AU1": 0})
    labels = opened(root).labels
    assert labels.valence_arousal_valid[0].tolist() == [False, True]
    assert labels.valence_arousal[0].tolist() == [0, 0.25]
    assert not labels.expression_valid[0] and labels.expression[0] == 0
    assert np.flatnonzero(~labels.action_units_valid[0]).tolist() == [ACTION_UNITS.index(4)]
    assert labels.action_units[0].tolist() == [0 if unit == 4 else 1 for unit in ACTION_UNITS]
    assert labels.valence_arousal[1].tolist() == [-1, 1] and labels.valence_arousal_valid[1].all()
    assert labels.expression[1] == 7 and labels.expression_valid[1]
    assert labels.action_units[1].tolist() == [0] + [1] * 11
    assert labels.valence_arousal.dtype == np.float32 and labels.expression.dtype == np.int64


def test_crlf_bom_spaces_and_blank_lines_change_nothing(root):
    before = opened(root)
    text = labels_file(root).read_text().replace(",", " , ").replace("\n", " \r\n") + "\r\n\r\n"
    labels_file(root).write_bytes(b"\xef\xbb\xbf" + text.encode())
    after = opened(root)
    assert after.fingerprint == before.fingerprint


def test_images_no_label_names_are_counted_not_dropped_in_silence(root):
    rewrite(root, lambda lines: lines[:-3])
    corpus = opened(root)
    assert len(corpus.split("training")) == 21
    assert any(note.startswith("3 images on disk are named by no label file") for note in corpus.notes)
    assert corpus.problems == ()


def test_rows_without_any_label_are_kept_and_counted(root):
    replace_fields(root, 2, valence=-5, arousal=-5, expression=-1, **{f"AU{unit}": -1 for unit in ACTION_UNITS})
    corpus = opened(root)
    assert len(corpus) == 48
    assert "1 rows name an image without any label; they are kept" in corpus.notes


def test_split_is_a_view_with_its_own_fingerprint(root):
    corpus = opened(root)
    part = corpus.split("validation")
    assert len(part) == len(part.images) == len(part.labels) == 24
    assert part.images.path == corpus.images.path
    assert np.array_equal(part.images[[0, 5]], corpus.images[[24, 29]])
    assert part.table.index.tolist() == list(range(24))
    assert len({corpus.fingerprint, part.fingerprint, corpus.split("training").fingerprint}) == 3


def test_fingerprint_ignores_the_place_and_follows_the_labels(root, tmp_path_factory):
    import shutil

    corpus = opened(root)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(root / "abaw4", elsewhere / "abaw4")
    assert opened(elsewhere).fingerprint == corpus.fingerprint
    replace_fields(root, 2, valence=0.123)
    changed = opened(root)
    assert changed.fingerprint != corpus.fingerprint
    assert changed.images.path == corpus.images.path  # no image changed, none is decoded again


def test_description_counts_what_the_masks_say(root):
    corpus = opened(root)
    table = describe(corpus)
    training = corpus.split("training").labels
    assert table.loc[("all", "images"), "training"] == 24 and table.loc[("all", "groups"), "training"] == 2
    assert table.loc["expression", "training"].sum() == 24
    assert table.loc[("expression", "missing"), "training"] == (~training.expression_valid).sum()
    assert table.loc[("action unit", "AU12"), "training"] == training.action_units[:, 6].sum()
    assert table.loc[("valence", "annotated"), "training"] == training.valence_arousal_valid[:, 0].sum()


def test_available_corpora_names_what_is_there(root):
    assert available_corpora(root) == {"abaw4": root / "abaw4"}
    assert available_corpora(root / "nowhere") == {}


def test_fast_columns_equal_a_literal_row_by_row_reading(root):
    labels = opened(root).split("training").labels
    for row, line in enumerate(labels_file(root).read_text().splitlines()[1:]):
        _, valence, arousal, expression, *units = line.split(",")
        for column, text in enumerate((valence, arousal)):
            assert labels.valence_arousal_valid[row, column] == (float(text) != -5)
            assert labels.valence_arousal[row, column] == np.float32(0 if float(text) == -5 else float(text))
        assert labels.expression_valid[row] == (expression != "-1")
        assert labels.expression[row] == max(int(expression), 0)
        assert labels.action_units[row].tolist() == [max(int(unit), 0) for unit in units]
        assert labels.action_units_valid[row].tolist() == [unit != "-1" for unit in units]
