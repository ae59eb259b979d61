"""CelebA as unlabelled faces, in the layout that torchvision writes.

    celeba/img_align_celeba/000001.jpg
    celeba/identity_CelebA.txt              "000001.jpg 2880"; may be missing

The names are those of torchvision.datasets.CelebA; the images were not seen (from memory, unverified).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from affect_core.corpora.folders import read_unlabelled
from affect_core.corpora.label_text import read_label_text
from affect_core.corpora.listing import Listing
from affect_core.corpora.problems import ProblemLog

IMAGES = "img_align_celeba"
IDENTITIES = "identity_CelebA.txt"


def read_celeba(root: Path, name: str, log: ProblemLog) -> Listing:
    """Every image of `root/<name>`, sorted, in the split "unlabelled"; the group is the person, "" where unknown.

    A person that is no whole number is a problem, but costs no image: with "skip" the image belongs to nobody.
    """
    if not (root / name / IMAGES).is_dir():
        log.add_missing_part(root / name / IMAGES, "folder not found; see affect_core.corpora.fetch_faces")
        log.raise_collected()
    listing = read_unlabelled(root, f"{name}/{IMAGES}", log)
    path = root / name / IDENTITIES
    if not path.is_file():
        note = f"{IDENTITIES} not found: nobody is known, and images are not grouped"
        return replace(listing, notes=(*listing.notes, note))
    text = read_label_text(path, log, fields=("image", "person"), columns=("person",), is_header=lambda _: False,
                           separator=None)  # fmt: skip
    for row in np.flatnonzero(~(text.values[:, 0] >= 0) | (text.values[:, 0] % 1 != 0)):
        what = f"person is {text.values[row, 0]:g}, not a whole number of 0 or more"
        log.add(path, int(text.line[row]), what, rows=0)
    person = {image: f"person {number:.0f}" for image, number in zip(text.name, text.values[:, 0], strict=True)
              if number >= 0 and number % 1 == 0}  # fmt: skip
    listing.group[:] = [person.get(image.rpartition("/")[2], "") for image in listing.image]
    return listing
