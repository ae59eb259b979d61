"""Images that are all but the same picture, found by a perceptual hash of the decoded store.

The hash is the DCT hash known as pHash, with more frequencies: the image in grey at 64 x 64, its 12 x 12 lowest cosine
frequencies without the constant one, and of each of these 143 whether it is above their median. Two images are
near-duplicates if at most `THRESHOLD` bits differ.

Where 12 comes from, on rendered faces of 64 px (nothing was measured on photographs). Of copies as JPEG of quality
50, at half the size, with noise of 6 grey levels or with 20 % less contrast, 95 in 100 differed in at most 8 bits and
all in at most 16; of faces that were blurred first by 1.5 px, in at most 10 and 16. Of 20.8 million pairs of other
faces (AffectNet, faces and LSD as rendered) none came within 12; the closest differed in 16. So a few copies are
missed, and among billions of pairs a few that are none may be named: look at the sheet of pairs. Most copies that are
cropped by 3 % on each side are not found (22 to 40 bits); frames of one video can be as close as 4 bits and count as
near-duplicates. The 63 bits of the usual pHash do not part copies (up to 6) from other faces (from 4), and 255 do not
survive a blur.
"""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pandas as pd
from scipy.fft import dctn

from affect_core.corpora import Corpus
from affect_core.progress import Progress, no_progress

SIDE, FREQUENCIES = 64, 12
BITS = FREQUENCIES**2 - 1
THRESHOLD = 12
"""Of 143 bits."""
CHUNK = 512
"""Images that are hashed at a time."""
BLOCK = 2048, 4096
"""Hashes that are compared at a time."""


def perceptual_hashes(images, progress: Progress = no_progress) -> np.ndarray:
    """(N, 18) uint8: 143 bits of each image, and a last one that is 0.

    images  (N, size, size, 3) uint8, or an image store: it is read 512 images at a time, so that memory grows by 18
            bytes an image. Stores of less than 64 px are enlarged; their hashes say less.
    """
    hashes = np.zeros((len(images), (BITS + 1) // 8), np.uint8)
    with progress(len(images), "hashing") as bar:
        for start in range(0, len(images), CHUNK):
            faces = images[start : start + CHUNK]
            grey = [cv2.resize(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32), (SIDE, SIDE),
                               interpolation=cv2.INTER_AREA) for face in faces]  # fmt: skip
            low = dctn(np.stack(grey), axes=(1, 2))[:, :FREQUENCIES, :FREQUENCIES].reshape(len(faces), -1)[:, 1:]
            hashes[start : start + len(faces)] = np.packbits(low > np.median(low, axis=1, keepdims=True), axis=1)
            bar.update(len(faces))
    return hashes


def nearest_hashes(hashes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of `hashes` (M, 18) the closest of `others` (N, 18): its index (M,) int64 and how many bits differ (M,).

    Every pair is compared, as a product of matrices of +1 and -1, in blocks: memory does not grow with M or N.
    """
    index, distance = np.zeros(len(hashes), np.int64), np.full(len(hashes), 8 * hashes.shape[1] + 1, np.int64)
    for start in range(0, len(hashes), BLOCK[0]):
        mine = _signs(hashes[start : start + BLOCK[0]])
        rows = np.arange(start, start + len(mine))
        for first in range(0, len(others), BLOCK[1]):
            agreement = mine @ _signs(others[first : first + BLOCK[1]]).T
            best = agreement.argmax(1)
            differing = ((mine.shape[1] - agreement[np.arange(len(mine)), best]) / 2).astype(np.int64)
            closer = differing < distance[rows]
            index[rows[closer]], distance[rows[closer]] = first + best[closer], differing[closer]
    return index, distance


def duplicates_across_splits(
    corpus: Corpus, threshold: int = THRESHOLD, progress: Progress = no_progress
) -> pd.DataFrame:
    """Images that have a near-duplicate in an earlier split of the corpus, with the closest one; sorted by distance.

    Columns: split, row, image, other_split, other_row, other_image, distance (bits of 143). Rows count in
    `corpus.table`. An image with several near-duplicates in one other split is named once, with the closest.
    """
    splits, names = corpus.table["split"].to_numpy(), corpus.table["image"].to_numpy()
    found = []
    if len(corpus.splits) > 1:
        hashes = perceptual_hashes(corpus.images, progress)
        for other_split, split in combinations(corpus.splits, 2):
            rows, others = np.flatnonzero(splits == split), np.flatnonzero(splits == other_split)
            nearest, distance = nearest_hashes(hashes[rows], hashes[others])
            for place in np.flatnonzero(distance <= threshold):
                row, other = rows[place], others[nearest[place]]
                found.append((split, row, names[row], other_split, other, names[other], distance[place]))
    columns = ["split", "row", "image", "other_split", "other_row", "other_image", "distance"]
    return pd.DataFrame(found, columns=columns).sort_values(["distance", "row"], ignore_index=True)


def _signs(hashes: np.ndarray) -> np.ndarray:
    return np.unpackbits(hashes, axis=1).astype(np.float32) * 2 - 1
