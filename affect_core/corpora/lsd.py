"""Learning from synthetic data (LSD), as published for the 4th ABAW competition, or as plain class folders.

    lsd/training_set_synthetic_images/{ANGRER,DISGUST,FEAR,HAPPINESS,SADNESS,SURPRISE}/*.jpg
    lsd/validation_set_real_images/<CLASS>/*.jpg
"""

from __future__ import annotations

from pathlib import Path

from affect_core.corpora.folders import plain_splits, read_class_folders
from affect_core.corpora.listing import Listing
from affect_core.corpora.problems import ProblemLog
from affect_core.labels import LSD_EXPRESSIONS

PUBLISHED_FOLDERS = {"training": "training_set_synthetic_images", "validation": "validation_set_real_images"}


def read_lsd(root: Path, name: str, log: ProblemLog) -> Listing:
    """Class folders of LSD's six expressions, in the published folders or in train/ and val/."""
    published = any((root / name / folder).is_dir() for folder in PUBLISHED_FOLDERS.values())
    splits = (not published and plain_splits(root / name)) or PUBLISHED_FOLDERS
    return read_class_folders(root, name, log, splits, LSD_EXPRESSIONS)
