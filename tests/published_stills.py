"""Writes RAF-DB, FER2013, FER+, CelebA, LFW, videos and a free table in the layouts that the readers know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from published_layouts import write_image

from affect_core.labels import FER2013_EXPRESSIONS, RAFDB_EXPRESSIONS

FERPLUS_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def write_rafdb(root: Path, *, per_class: int = 2, seed: int = 0) -> Path:
    """Training images first; the code of an image is its number modulo 7, plus 1."""
    rng = np.random.default_rng(seed)
    base = Path(root) / "rafdb"
    lines = []
    for split in ("train", "test"):
        for number in range(per_class * len(RAFDB_EXPRESSIONS)):
            write_image(base / f"Image/aligned/{split}_{number + 1:05d}_aligned.jpg", rng, number % 7, size=100)
            lines.append(f"{split}_{number + 1:05d}.jpg {number % 7 + 1}")
    (base / "EmoLabel").mkdir()
    (base / "EmoLabel/list_patition_label.txt").write_text("\n".join(lines) + "\n")
    return base


def write_fer2013(root: Path, *, per_class: int = 2, seed: int = 0, folder: str = "fer2013") -> Path:
    """fer2013.csv; the code of a row is its number modulo 7, and every pixel of row k is k."""
    lines = ["emotion,pixels,Usage"]
    for usage in ("Training", "PublicTest", "PrivateTest"):
        for number in range(per_class * len(FER2013_EXPRESSIONS)):
            lines.append(f"{number % 7},{' '.join([str(len(lines) - 1)] * 48 * 48)},{usage}")
    base = Path(root) / folder
    base.mkdir(parents=True)
    (base / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return base


def write_ferplus(root: Path, votes: list[tuple[int, ...]], names: list[str]) -> Path:
    """FER2013 of 42 rows, and FER+ with `votes` (10 numbers) for the first rows; the others are unanimously neutral."""
    base = write_fer2013(root, folder="ferplus")
    lines = [FERPLUS_HEADER]
    for row in range(42):
        usage = ("Training", "PublicTest", "PrivateTest")[row // 14]
        counts = votes[row] if row < len(votes) else (10, *[0] * 9)
        name = names[row] if row < len(names) else f"fer{row - 1:07d}.png"
        lines.append(f"{usage},{name},{','.join(map(str, counts))}")
    (base / "fer2013new.csv").write_text("\n".join(lines) + "\n")
    return base


def write_celeba(root: Path) -> Path:
    """Four images of two people and one of nobody known."""
    rng = np.random.default_rng(0)
    base = Path(root) / "celeba"
    for number in range(5):
        write_image(base / f"img_align_celeba/{number + 1:06d}.jpg", rng, number)
    people = "".join(f"{number + 1:06d}.jpg {2880 + number // 2}\n" for number in range(4))
    (base / "identity_CelebA.txt").write_text(people)
    return base


def write_folders(base: Path, folders: dict[str, int]) -> Path:
    """`folders`: name -> number of frames."""
    rng = np.random.default_rng(0)
    for folder, frames in folders.items():
        for frame in range(frames):
            write_image(Path(base) / folder / f"{frame + 1:05d}.jpg", rng, frame)
    return Path(base)


def write_table(base: Path, rows: str, vocabulary: str = "neutral\nhappy\npain\n") -> Path:
    """labels.csv with `rows` (header included), and a picture for each name that ends in .png."""
    rng = np.random.default_rng(0)
    for line in rows.strip().splitlines()[1:]:
        if (name := line.split(",")[0].strip()).endswith(".png"):
            write_image(Path(base) / name, rng, len(name))
    Path(base).mkdir(exist_ok=True)
    (Path(base) / "labels.csv").write_text(rows)
    (Path(base) / "vocabulary.txt").write_text(vocabulary)
    return Path(base)
