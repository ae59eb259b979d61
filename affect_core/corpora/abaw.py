"""s-Aff-Wild2 as published for the multi-task challenge of the 4th ABAW competition.

    abaw4/training_set_annotations.txt      image,valence,arousal,expression,AU1,...,AU26 (16 fields a row)
    abaw4/validation_set_annotations.txt
    abaw4/cropped_aligned/<video>/<frame>.jpg
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from affect_core.corpora.image_files import find_images
from affect_core.corpora.label_text import is_number, read_label_text
from affect_core.corpora.listing import LabelRows, Listing, unused_images_note
from affect_core.corpora.problems import ProblemLog
from affect_core.labels import (
    ACTION_UNITS,
    EXPRESSIONS,
    MISSING_ACTION_UNIT,
    MISSING_EXPRESSION,
    MISSING_VALENCE_AROUSAL,
    AffectLabels,
)

ANNOTATIONS = {"training": "training_set_annotations.txt", "validation": "validation_set_annotations.txt"}
IMAGES = "cropped_aligned"
FIELDS = ("image", "valence", "arousal", "expression", *(f"AU{unit}" for unit in ACTION_UNITS))


def read_abaw(root: Path, name: str, log: ProblemLog) -> Listing:
    """Rows of `root/<name>` in the order of the label files, training first.

    The first line of each file is a header whatever it says, unless it is a complete row of labels itself. The group
    of a row is its video (the folder of its image). Missing codes (-5, -1) become masks, for valence and arousal
    separately. Frames that no label file names (the published folder also holds the test set) are counted in `notes`.
    """
    parts = {split: read_label_text(root / name / file, log, fields=FIELDS, columns=FIELDS[1:], is_header=_is_header)
             for split, file in ANNOTATIONS.items()}  # fmt: skip
    if not (root / name / IMAGES).is_dir():
        log.add_missing_part(root / name / IMAGES, "folder not found; see data/README.md, section Corpora")
        log.raise_collected()
    files = find_images(root, f"{name}/{IMAGES}")
    rows = LabelRows(
        image=[f"{name}/{IMAGES}/{image}" for part in parts.values() for image in part.name],
        split=[split for split, part in parts.items() for _ in part.name],
        source=[str(root / name / ANNOTATIONS[split]) for split, part in parts.items() for _ in part.name],
        line=np.concatenate([part.line for part in parts.values()]),
    )
    values = np.concatenate([part.values for part in parts.values()])
    labels = _labels(values, rows)
    found = rows.find(files)
    keep = rows.report(log)
    nothing = ~(labels.valence_arousal_valid.any(1) | labels.expression_valid | labels.action_units_valid.any(1))
    notes = unused_images_note(files, found, "label file") + files.notes()
    if (nothing & keep).any():
        notes.append(f"{int((nothing & keep).sum())} rows name an image without any label; they are kept")
    videos = [image.split("/", 2)[2].rpartition("/")[0] for image in rows.image]
    return rows.listing(files, found, labels, keep, notes, videos)


def _is_header(fields: list[str]) -> bool:
    return not (len(fields) == len(FIELDS) and all(map(is_number, fields[1:])))


def _labels(values: np.ndarray, rows: LabelRows) -> AffectLabels:
    """Labels of (N, 15) numbers; rows with a number outside its range get a reason."""
    valence_arousal, expression, action_units = values[:, :2], values[:, 2], values[:, 3:]
    annotated = valence_arousal != MISSING_VALENCE_AROUSAL
    bad = np.zeros(values.shape, bool)
    bad[:, :2] = annotated & ~(np.abs(valence_arousal) <= 1)  # NaN compares False, so it is bad
    bad[:, 2] = ~np.isin(expression, (MISSING_EXPRESSION, *range(len(EXPRESSIONS))))
    bad[:, 3:] = ~np.isin(action_units, (MISSING_ACTION_UNIT, 0, 1))
    allowed = [f"between -1 and 1 nor {MISSING_VALENCE_AROUSAL} (missing)"] * 2
    allowed += [f"an integer from 0 to {len(EXPRESSIONS) - 1} nor {MISSING_EXPRESSION} (missing)"]
    allowed += [f"0, 1 nor {MISSING_ACTION_UNIT} (missing)"] * len(ACTION_UNITS)
    for row, column in np.argwhere(bad):
        rows.reasons[row].append(f"{FIELDS[column + 1]} is {values[row, column]:g}, neither {allowed[column]}")
    values = np.where(bad.any(1, keepdims=True), -1, values)  # any legal numbers: these rows are left out
    valence_arousal, expression, action_units = values[:, :2], values[:, 2], values[:, 3:]
    return AffectLabels(
        valence_arousal=np.where(annotated, valence_arousal, 0).astype(np.float32),
        valence_arousal_valid=annotated,
        expression=np.maximum(expression, 0).astype(np.int64),
        expression_valid=expression != MISSING_EXPRESSION,
        action_units=np.maximum(action_units, 0).astype(np.float32),
        action_units_valid=action_units != MISSING_ACTION_UNIT,
        vocabulary=EXPRESSIONS,
    )
