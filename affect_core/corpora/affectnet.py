"""AffectNet in its two editions, or as plain class folders.

    2021   affectnet/{train,val}_set/images/ID.jpg       affectnet/{train,val}_set/annotations/ID_{exp,val,aro,lnd}.npy
    CSV    affectnet/{training,validation}.csv           affectnet/Manually_Annotated_Images/<folder>/<name>.jpg

In both, expression codes above 7 (none, uncertain, no face) are not expressions and -2 is no valence or arousal: they
become masks and are counted. The names `_val`, `_aro`, `_lnd` and the code -2 are from memory, not verified. Nobody is
named: each image is its own group.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from affect_core.corpora.affectnet_arrays import read_scalars
from affect_core.corpora.folders import plain_splits, read_class_folders
from affect_core.corpora.image_files import ImageFiles, find_images
from affect_core.corpora.label_text import read_label_text
from affect_core.corpora.listing import LabelRows, Listing, unused_images_note
from affect_core.corpora.problems import ProblemLog
from affect_core.labels import AFFECTNET_EXPRESSIONS, AFFECTNET_INVALID_VALENCE_AROUSAL, AffectLabels

FOLDERS_2021 = {"training": "train_set", "validation": "val_set"}
CSV_FILES = {"training": "training.csv", "validation": "validation.csv"}
CSV_FIELDS = ("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks",
              "expression", "valence", "arousal")  # fmt: skip
CSV_COLUMNS = ("expression", "valence", "arousal", "face_x", "face_y", "face_width", "face_height")
CSV_LIST_FOLDERS = (".", "Manually_Annotated_file_lists")
CSV_IMAGE_FOLDERS = ("Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "images")


def read_affectnet(root: Path, name: str, log: ProblemLog) -> Listing:
    """The edition is told by what lies in `root/<name>`: a .csv list, train_set/val_set, or train/val class folders."""
    base = root / name
    for folder in CSV_LIST_FOLDERS:
        if any((base / folder / file).is_file() for file in CSV_FILES.values()):
            listing = _read_csv(root, name, base / folder, log)
            unread = [folder for folder in FOLDERS_2021.values() if (base / folder).is_dir()]
            note = f"{' and '.join(unread)} (the 2021 edition) not read: the .csv lists of the other edition are there"
            return replace(listing, notes=(*listing.notes, note)) if unread else listing
    if not any((base / folder).is_dir() for folder in FOLDERS_2021.values()) and (splits := plain_splits(base)):
        return read_class_folders(root, name, log, splits, AFFECTNET_EXPRESSIONS)
    return _read_2021(root, name, log)


def _read_2021(root: Path, name: str, log: ProblemLog) -> Listing:
    """Images of both sets, sorted; an image without any annotation file is not labelled and only counted."""
    listings, notes = [], []
    for split, folder in FOLDERS_2021.items():
        missing = [part for part in ("images", "annotations") if not (root / name / folder / part).is_dir()]
        for part in missing:
            log.add_missing_part(root / name / folder / part, "folder not found; see data/README.md, section Corpora")
        if missing:
            continue
        files = find_images(root, f"{name}/{folder}/images")
        annotations = root / name / folder / "annotations"
        scalars = read_scalars(annotations, ("exp", "val", "aro"))
        if not scalars.identifiers:
            log.add_missing_part(annotations, "holds no ID_exp.npy, ID_val.npy and ID_aro.npy")
            continue
        by_identifier: dict[str, list[str]] = {}
        for path in files.paths:
            by_identifier.setdefault(path.rpartition("/")[2].rpartition(".")[0], []).append(path)
        images, reasons = [], {}
        for row, identifier in enumerate(scalars.identifiers):
            candidates = by_identifier.get(identifier) or [f"{name}/{folder}/images/{identifier}.jpg"]
            images.append(candidates[0])
            if len(candidates) > 1:
                reasons[row] = [f"has {len(candidates)} images: {', '.join(candidates)}"]
        sources = [str(annotations / f"{identifier}_{{exp,val,aro}}.npy") for identifier in scalars.identifiers]
        rows = LabelRows(images, [split] * len(images), sources, np.zeros(len(images), np.int64))
        for row, reason in [*reasons.items(), *scalars.reasons.items()]:
            rows.reasons[row] += reason
        listings.append(_listing(rows, scalars.values, files, "annotation", log, notes))
        notes += files.notes()
    if not listings:
        log.raise_collected()
    return _joined(listings, notes)


def _read_csv(root: Path, name: str, lists: Path, log: ProblemLog) -> Listing:
    """Rows of both files in their order; faces are cut out along face_x, face_y, face_width, face_height."""
    parts = {split: read_label_text(lists / file, log, fields=CSV_FIELDS, columns=CSV_COLUMNS, is_header=_is_header)
             for split, file in CSV_FILES.items()}  # fmt: skip
    folder = next((folder for folder in CSV_IMAGE_FOLDERS if (root / name / folder).is_dir()), None)
    if folder is None:
        log.add_missing_part(root / name / CSV_IMAGE_FOLDERS[0], "folder not found; see data/README.md")
        log.raise_collected()
    files = find_images(root, f"{name}/{folder}")
    values = np.concatenate([part.values for part in parts.values()])
    rows = LabelRows(
        image=[f"{name}/{folder}/{image}" for part in parts.values() for image in part.name],
        split=[split for split, part in parts.items() for _ in part.name],
        source=[str(lists / CSV_FILES[split]) for split, part in parts.items() for _ in part.name],
        line=np.concatenate([part.line for part in parts.values()]),
    )
    boxes = values[:, 3:]
    unusable = ~(np.isfinite(boxes).all(1) & (np.abs(boxes) < 1e6).all(1) & (boxes[:, 2:] >= 1).all(1))
    for row in np.flatnonzero(unusable):
        rows.reasons[row].append(f"face box {','.join(f'{value:g}' for value in boxes[row])} has no area")
    boxes = np.where(unusable[:, None], (0, 0, 1, 1), boxes).round().astype(np.int64)
    notes: list[str] = []
    listing = _listing(rows, values[:, :3], files, "label file", log, notes, boxes)
    return _joined([listing], notes + files.notes())


def _is_header(fields: list[str]) -> bool:
    return fields[0].lower() == CSV_FIELDS[0].lower()


def _listing(
    rows: LabelRows, values: np.ndarray, files: ImageFiles, what: str, log: ProblemLog, notes: list[str], boxes=None
) -> Listing:
    labels = _labels(values, rows)
    found = rows.find(files)
    keep = rows.report(log)
    no_expression = int((keep & ~labels.expression_valid).sum())
    split = " and ".join(dict.fromkeys(rows.split))
    if no_expression:
        notes.append(f"{no_expression} {split} rows have an expression code above 7: no expression, masked")
    no_circumplex = int((keep[:, None] & ~labels.valence_arousal_valid).any(1).sum())
    if no_circumplex:
        notes.append(f"{no_circumplex} {split} rows have -2 for valence or arousal: masked")
    notes += unused_images_note(files, found, what)
    return rows.listing(files, found, labels, keep, boxes=boxes)


def _joined(listings: list[Listing], notes: list[str]) -> Listing:
    arrays = ("image", "split", "group", "source", "line", "keep", "sizes", "modified")
    boxes = [listing.boxes for listing in listings]
    return Listing(
        **{name: np.concatenate([getattr(listing, name) for listing in listings]) for name in arrays},
        labels=AffectLabels.concatenate([listing.labels for listing in listings]),
        boxes=None if boxes[0] is None else np.concatenate(boxes),
        notes=tuple(notes),
    )


def _labels(values: np.ndarray, rows: LabelRows) -> AffectLabels:
    """Labels of (N, 3) numbers expression, valence, arousal; rows with a number out of range get a reason."""
    n_expressions = len(AFFECTNET_EXPRESSIONS)
    already_bad = np.zeros(len(values), bool)
    already_bad[list(rows.reasons)] = True
    annotated = values[:, 1:] != AFFECTNET_INVALID_VALENCE_AROUSAL
    bad = np.zeros(values.shape, bool)
    bad[:, 0] = ~(values[:, 0] >= 0) | (values[:, 0] != np.round(values[:, 0])) | np.isinf(values[:, 0])
    bad[:, 1:] = annotated & ~(np.abs(values[:, 1:]) <= 1)  # NaN compares False, so it is bad
    allowed = ["an integer from 0 to 7 nor a code above 7 (no expression)"]
    allowed += [f"between -1 and 1 nor {AFFECTNET_INVALID_VALENCE_AROUSAL} (invalid)"] * 2
    for row, column in np.argwhere(bad & ~already_bad[:, None]):
        field = ("expression", "valence", "arousal")[column]
        rows.reasons[row].append(f"{field} is {values[row, column]:g}, neither {allowed[column]}")
    values = np.where(bad.any(1, keepdims=True), 0, values)
    expression_valid = values[:, 0] < n_expressions
    labels = AffectLabels.missing(len(values), AFFECTNET_EXPRESSIONS)
    labels.valence_arousal[:] = np.where(annotated, values[:, 1:], 0)
    labels.valence_arousal_valid[:] = annotated
    labels.expression[:] = np.where(expression_valid, values[:, 0], 0)
    labels.expression_valid[:] = expression_valid
    return labels
