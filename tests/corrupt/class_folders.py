"""Class folders that are unknown, empty, nested or misspelt; LSD's, whose training folder is spoilt."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from corrupt.case import Case, Counted, Harmless, Refused

TRAINING, VALIDATION = "lsd/training_set_synthetic_images", "lsd/validation_set_real_images"


def renamed(old: str, new: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        (root / TRAINING / new).parent.mkdir(parents=True, exist_ok=True)
        (root / TRAINING / old).rename(root / TRAINING / new)

    return spoil


def emptied(folder: str) -> Callable[[Path], None]:
    return lambda root: [path.unlink() for path in (root / folder).rglob("*.*")] and None


def is_whole(corpus) -> bool:
    """All six classes, once in each split."""
    return sorted(corpus.labels.expression.tolist()) == sorted([*range(6), *range(6)])


def case(name: str, spoil: Callable[[Path], None], treatment, look=None) -> Case:
    return Case("class folder", name, spoil, treatment, "lsd", look=look)


CASES = [
    case("misspelt as published, ANGRER", lambda root: None, Harmless("as anger"), is_whole),
    case("spelt right, ANGER", renamed("ANGRER", "ANGER"), Harmless("as anger"), is_whole),
    case("in small letters", renamed("SURPRISE", "surprise"), Harmless("as surprise"), is_whole),
    case("adjective, Happy", renamed("HAPPINESS", "Happy"), Harmless("as happiness"), is_whole),
    case("misspelt otherwise, FEER", renamed("FEAR", "FEER"),
         Refused("unknown class folder with 1 images; the classes are anger", "FEER", rows=1)),
    case("class that the corpus does not have", renamed("FEAR", "NEUTRAL"),
         Refused("unknown class folder", "NEUTRAL", rows=1)),
    case("spaces around the name", renamed("FEAR", " FEAR "), Refused("unknown class folder", " FEAR ", rows=1)),
    case("two classes one inside the other", renamed("FEAR", "ANGRER/FEAR"),
         Counted("lsd/training_set_synthetic_images holds no image of fear"),
         lambda corpus: (corpus.labels.expression == 0).sum() == 3),
    case("nested below its class", renamed("FEAR", "FEAR_/deep/er"), Refused("unknown class folder", "FEAR_", rows=1)),
    case("images deeper below their class",
         lambda root: (renamed("FEAR", "aside")(root), renamed("aside", "FEAR/a/b")(root)) and None,
         Harmless("as fear"), is_whole),
    case("empty class", emptied(f"{TRAINING}/FEAR"), Counted("holds no image of fear")),
    case("images beside the class folders",
         lambda root: shutil.copy(next((root / TRAINING / "FEAR").iterdir()), root / TRAINING / "stray.jpg") and None,
         Refused("1 images lie outside the class folders", "training_set_synthetic_images", rows=1),
         lambda corpus: is_whole(corpus)),
    case("files that are no images", lambda root: (root / TRAINING / "FEAR/Thumbs.db").write_bytes(b"x") and None,
         Counted("1 files are not images by their name")),
    case("hidden folder", lambda root: shutil.copytree(root / TRAINING / "FEAR", root / TRAINING / ".FEER") and None,
         Harmless(), is_whole),
    case("split without images", emptied(VALIDATION), Refused("holds no images", "validation_set_real_images")),
    case("split that is missing", lambda root: shutil.rmtree(root / VALIDATION),
         Refused("no validation folder found", "validation_set_real_images")),
    case("two folders for one split",
         lambda root: ((root / TRAINING).rename(root / "lsd/train"), (root / VALIDATION).rename(root / "lsd/val"),
                       shutil.copytree(root / "lsd/val", root / "lsd/valid")) and None,
         Refused("has two validation folders, val and valid", "lsd")),
]  # fmt: skip
