"""RAF-DB, basic set: seven expressions of photographs from the web.

    rafdb/EmoLabel/list_patition_label.txt      "train_00001.jpg 5", 1 surprise to 7 neutral (the name is published so)
    rafdb/Image/aligned/train_00001_aligned.jpg
    the list may also lie in rafdb/, the images in rafdb/aligned/, and both below rafdb/basic/

Names and codes agree with public code that reads them; the corpus itself was not seen (from memory, unverified).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from affect_core.corpora.image_files import find_images
from affect_core.corpora.label_text import read_label_text
from affect_core.corpora.listing import LabelRows, Listing, unused_images_note
from affect_core.corpora.problems import ProblemLog
from affect_core.labels import RAFDB_EXPRESSIONS, AffectLabels

LIST = "list_patition_label.txt"
LIST_FOLDERS = ("EmoLabel/", "", "basic/EmoLabel/", "basic/")
IMAGE_FOLDERS = ("Image/aligned", "aligned", "basic/Image/aligned", "basic/aligned")
SPLITS = {"train": "training", "test": "validation"}


def read_rafdb(root: Path, name: str, log: ProblemLog) -> Listing:
    """Rows of the list in its order. The published test set is the split "validation": the corpus has no other.

    Nobody is named: each image is its own group. A code outside 1 to 7, a name that starts neither with train_ nor
    with test_, and a missing image are problems.
    """
    base = root / name
    path = next((base / folder / LIST for folder in LIST_FOLDERS if (base / folder / LIST).is_file()),
                base / LIST_FOLDERS[0] / LIST)  # fmt: skip
    text = read_label_text(path, log, fields=("image", "label"), columns=("label",), is_header=lambda _: False,
                           separator=None)  # fmt: skip
    folder = next((folder for folder in IMAGE_FOLDERS if (base / folder).is_dir()), None)
    if folder is None:
        log.add_missing_part(base / IMAGE_FOLDERS[0], "folder not found; see data/README.md, section Corpora")
        log.raise_collected()
    files = find_images(root, f"{name}/{folder}")
    split = [SPLITS.get(image.partition("_")[0], "") for image in text.name]
    rows = LabelRows([f"{name}/{folder}/{_aligned(image)}" for image in text.name], split,
                     [str(path)] * len(text.name), text.line)  # fmt: skip
    code = text.values[:, 0]
    good = np.isin(code, np.arange(1, len(RAFDB_EXPRESSIONS) + 1))
    for row in np.flatnonzero(~good):
        rows.reasons[row].append(f"label is {code[row]:g}, not an integer from 1 (surprise) to 7 (neutral)")
    for row, known in enumerate(split):
        if not known:
            rows.reasons[row].append(f"{text.name[row]} starts neither with train_ nor with test_")
    labels = AffectLabels.missing(len(code), RAFDB_EXPRESSIONS)
    labels.expression[:] = np.where(good, code - 1, 0)
    labels.expression_valid[:] = good
    found = rows.find(files)
    notes = ["the published test set is the split validation", *unused_images_note(files, found, "row of the list")]
    return rows.listing(files, found, labels, rows.report(log), notes + files.notes())


def _aligned(image: str) -> str:
    stem, dot, suffix = image.rpartition(".")
    return f"{stem}_aligned{dot}{suffix}"
