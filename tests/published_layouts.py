"""Writes small corpora in the published layouts, from images that are no faces (112 px, JPEG and PNG).

Each expression has a colour of its own, so that a model can learn something; every class occurs in every split.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from affect_core.labels import ACTION_UNITS, AFFECTNET_EXPRESSIONS, EXPRESSIONS, LSD_EXPRESSIONS

ABAW_HEADER = "image,valence,arousal,expression,aus"  # as published: 5 fields over rows of 16
LSD_FOLDERS = {"anger": "ANGRER"}  # as published; the others are the expression in capitals
CSV_HEADER = ("subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,"
              "arousal")  # fmt: skip


def write_all(root: Path, *, seed: int = 0) -> Path:
    """abaw4, affectnet (2021), lsd and faces under `root`: about 700 images, about a second."""
    write_abaw4(root, seed=seed)
    write_affectnet_2021(root, seed=seed + 1)
    write_lsd(root, seed=seed + 2)
    write_faces(root, seed=seed + 3)
    return Path(root)


def write_abaw4(root: Path, *, videos: int = 6, frames: int = 24, seed: int = 0) -> Path:
    """`videos` in each split; in turn every label of a frame is missing now and then, and one frame has none."""
    rng = np.random.default_rng(seed)
    base = Path(root) / "abaw4"
    for split in ("training", "validation"):
        lines = [ABAW_HEADER]
        for video in range(videos):
            for frame in range(frames):
                index = video * frames + frame
                expression = index % len(EXPRESSIONS)
                valence, arousal = (f"{value:.3f}" for value in rng.uniform(-1, 1, 2))
                units = [str(int(value)) for value in rng.random(len(ACTION_UNITS)) < 0.4]
                if index % 7 == 3:
                    units[int(rng.integers(len(units)))] = "-1"
                if index % 5 == 1:
                    expression_code = -1
                elif index % 11 == 4:
                    expression_code, valence, arousal = expression, "-5", "-5"
                else:
                    expression_code = expression
                if index == 40:
                    valence = arousal = "-5"
                    expression_code, units = -1, ["-1"] * len(ACTION_UNITS)
                suffix = "png" if video % 3 == 2 else "jpg"
                name = f"{split}_{video:02d}/{frame + 1:05d}.{suffix}"
                lines.append(",".join([name, valence, arousal, str(expression_code), *units]))
                write_image(base / "cropped_aligned" / name, rng, expression)
        (base / f"{split}_set_annotations.txt").write_text("\n".join(lines) + "\n")
    return base


def write_lsd(root: Path, *, per_class: int = 16, seed: int = 0) -> Path:
    """The published folders, "ANGRER" included; JPEG training images, PNG and JPEG validation images."""
    rng = np.random.default_rng(seed)
    base = Path(root) / "lsd"
    for folder in ("training_set_synthetic_images", "validation_set_real_images"):
        for index, name in enumerate(LSD_EXPRESSIONS):
            for number in range(per_class):
                suffix = "png" if folder.startswith("validation") and number % 2 else "jpg"
                path = base / folder / LSD_FOLDERS.get(name, name.upper()) / f"{index}_{number:04d}.{suffix}"
                write_image(path, rng, EXPRESSIONS.index(name))
    return base


def write_affectnet_2021(root: Path, *, per_class: int = 12, seed: int = 0) -> Path:
    """Labels as arrays of text (training) and of numbers (validation); code 8 and -2 occur once a split."""
    rng = np.random.default_rng(seed)
    base = Path(root) / "affectnet"
    for folder in ("train_set", "val_set"):
        (base / folder / "annotations").mkdir(parents=True, exist_ok=True)
        for index in range(per_class * len(AFFECTNET_EXPRESSIONS) + 1):
            code = index % len(AFFECTNET_EXPRESSIONS)
            valence, arousal = rng.uniform(-1, 1, 2).round(4)
            if index == per_class * len(AFFECTNET_EXPRESSIONS):
                code, valence, arousal = 8, -2.0, -2.0
            write_image(base / folder / "images" / f"{index}.jpg", rng, code)
            values = {"exp": code, "val": valence, "aro": arousal}
            landmarks = ";".join(f"{value:.1f}" for value in rng.uniform(0, 112, 136))
            for kind, value in {**values, "lnd": landmarks}.items():
                array = np.array(str(value) if folder == "train_set" else value)
                np.save(base / folder / "annotations" / f"{index}_{kind}.npy", array)
    return base


def write_affectnet_csv(root: Path, *, per_class: int = 6, seed: int = 0) -> Path:
    """The CSV edition: face boxes inside the images, codes 8 to 10 with -2."""
    rng = np.random.default_rng(seed)
    base = Path(root) / "affectnet"
    for split in ("training", "validation"):
        lines = [CSV_HEADER]
        for index in range(per_class * len(AFFECTNET_EXPRESSIONS) + 3):
            code = index % len(AFFECTNET_EXPRESSIONS)
            valence, arousal = rng.uniform(-1, 1, 2).round(4)
            if index >= per_class * len(AFFECTNET_EXPRESSIONS):
                code, valence, arousal = 8 + index % 3, -2, -2
            name = f"{index % 3 + 1}/{split}{index:04d}.{('jpg', 'JPG', 'png')[index % 3]}"
            write_image(base / "Manually_Annotated_Images" / name, rng, code)
            lines.append(f"{name},8,8,96,96,{10.5};{20.5};{30.5};{40.5},{code},{valence},{arousal}")
        (base / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return base


def write_faces(root: Path, *, images: int = 96, seed: int = 0) -> Path:
    """Unlabelled images at several depths."""
    rng = np.random.default_rng(seed)
    base = Path(root) / "faces"
    for index in range(images):
        folder = ("", "a", "a/b/c")[index % 3]
        write_image(base / folder / f"{index:05d}.{('jpg', 'png')[index % 2]}", rng, index % len(EXPRESSIONS))
    return base


def write_image(path: Path, rng: np.random.Generator, colour: int, *, size: int = 112) -> Path:
    """A noisy blob whose hue is `colour` in eighths of the colour circle."""
    hue = 2 * np.pi * (colour % 8) / 8 + np.array([0, 2, 4]) * np.pi / 3
    coarse = 128 + 90 * np.cos(hue) + rng.normal(0, 25, (7, 7, 3))
    image = Image.fromarray(coarse.clip(0, 255).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path
