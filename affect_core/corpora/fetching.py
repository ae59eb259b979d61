"""Downloads of unlabelled faces, only when they are asked for."""

from __future__ import annotations

from pathlib import Path

from affect_core.errors import AffectError

BY_HAND = {
    "celeba": "img_align_celeba.zip and identity_CelebA.txt of its authors' page into {folder} and unpack it there",
    "lfw": "lfw-funneled.tgz into {folder} and unpack it there",
}


def fetch_faces(root: Path, name: str) -> Path:
    """Download "celeba" or "lfw" into `root/<name>`, where `open_corpus(root, name)` reads it; returns that folder.

    celeba   202,599 aligned faces, 1.4 GB, through torchvision.datasets.CelebA (needs `gdown`)
    lfw      13,233 faces, 0.23 GB, through sklearn.datasets.fetch_lfw_people (funneled)
    Sizes from memory, unverified. What is there already is not downloaded again. The licences of both are the user's to
    read: CelebA is for non-commercial research. Raises AffectError if there is no network or a download fails.
    """
    if name not in BY_HAND:
        raise AffectError(f"{name!r} cannot be downloaded; {' and '.join(BY_HAND)} can")
    folder = Path(root) / name
    try:
        if name == "celeba":
            from torchvision.datasets import CelebA

            CelebA(str(root), split="all", download=True)
        else:
            from sklearn.datasets import fetch_lfw_people

            # at 500 photographs only one person is loaded into memory; the archive is unpacked whole
            fetch_lfw_people(data_home=str(folder), min_faces_per_person=500, n_retries=1)
    except Exception as error:  # the libraries let through whatever their own downloaders raise
        by_hand = BY_HAND[name].format(folder=folder)
        raise AffectError(f"{name} cannot be downloaded ({error or type(error).__name__}); put {by_hand}") from error
    return folder
