"""All cases, in one list."""

from corrupt import annotations, checkpoints, class_folders, configuration, images

PART = "corrupt input"
CASES = [*images.CASES, *annotations.CASES, *class_folders.CASES, *checkpoints.CASES, *configuration.CASES]
