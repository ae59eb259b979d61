"""Submission files of the 4th ABAW competition, and whether they name the images of the published test list.

    MTL   image,valence,arousal,expression,aus      16 fields a row (the header has 5, as published)
    LSD   image,expression                          2 fields a row

A test list (`MTL_Challenge_test_set_release.txt`) names one image a line, under a header.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from affect_core.corpora.abaw import FIELDS as MTL_FIELDS
from affect_core.corpora.image_files import IMAGE_SUFFIXES
from affect_core.corpora.label_text import read_label_text
from affect_core.corpora.problems import ProblemLog
from affect_core.errors import AffectError
from affect_core.export.tables import active_units, rows_of_images
from affect_core.labels import EXPRESSIONS, LSD_EXPRESSIONS, VALENCE_RANGE, AffectPrediction
from affect_core.storage import write_text

MTL_HEADER = "image,valence,arousal,expression,aus"
LSD_HEADER = "image,expression"
LSD_FIELDS = ("image", "expression")


def read_test_list(path: str | Path) -> list[str]:
    """The images of a published test list, in its order: the first field of each line.

    The first line is a header unless it names an image file. Raises AffectError if the file is missing, is no text,
    names no image, or names one twice.
    """
    lines = [line.split(",")[0].strip() for line in _text(path).splitlines()]
    if lines and not lines[0].lower().endswith(IMAGE_SUFFIXES):
        lines = lines[1:]
    names = [name for name in lines if name]
    if not names:
        raise AffectError(f"{path} names no image")
    if repeated := _repeated(names):
        raise AffectError(f"{path} names {repeated[0]} more than once: it is no test list")
    return names


def compare_with_test_list(images: Sequence[str], test_list: Sequence[str]) -> list[str]:
    """What is wrong with a submission of `images`: a sentence each for missing, extra and repeated images and for
    order, with a number and the first case; empty if nothing is. Rows are counted from 1, without the header.
    """
    wanted, named = set(test_list), set(images)
    missing = [name for name in test_list if name not in named]
    extra = [name for name in dict.fromkeys(images) if name not in wanted]
    repeated = _repeated(images)
    sentences = []
    if missing:
        sentences.append(f"{_count(missing)} in the test list and missing here, the first is {missing[0]}.")
    if extra:
        sentences.append(f"{_count(extra)} not in the test list, the first is {extra[0]}.")
    if repeated:
        rows = [row for row, name in enumerate(images, 1) if name == repeated[0]]
        sentences.append(
            f"{_count(repeated)} named more than once, the first is {repeated[0]} in rows {', '.join(map(str, rows))}."
        )
    ours = [name for name in dict.fromkeys(images) if name in wanted]
    theirs = [name for name in test_list if name in named]
    if ours != theirs:
        at = next(index for index, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other)
        sentences.append(
            f"The order is not the test list's: {ours[at]} in row {images.index(ours[at]) + 1} stands where "
            f"{theirs[at]} should."
        )
    return sentences


def write_mtl_submission(
    path: str | Path,
    prediction: AffectPrediction,
    images: Sequence[str],
    *,
    test_list: Sequence[str] | None = None,
    thresholds: Sequence[float] | None = None,
) -> None:
    """Write a multi-task submission: for each image valence and arousal, clipped to [-1, 1], the most probable
    expression (0 to 7) and twelve action units (0 or 1).

    images      names as in the test list, one for each row of the prediction
    test_list   the images that must be named, in this order (`read_test_list`); None only forbids repeated names
    thresholds  (12,) probabilities above which an action unit is active; 0.5 by default
    Raises AffectError, and writes nothing, if a task or a number is missing, or if the names are not the list's.
    """
    prediction = _checked(prediction, images, test_list, EXPRESSIONS)
    if prediction.valence_arousal is None or prediction.action_unit_logits is None:
        raise AffectError("a multi-task submission needs valence, arousal, expressions and action units: use EMMA")
    valence_arousal = np.clip(prediction.valence_arousal, *VALENCE_RANGE)
    expression = prediction.expression_logits.argmax(axis=1)
    active = active_units(prediction, thresholds).astype(int)
    rows = (
        f"{name},{valence:.6f},{arousal:.6f},{code},{','.join(map(str, units))}"
        for name, (valence, arousal), code, units in zip(images, valence_arousal, expression, active, strict=True)
    )
    _write(path, MTL_HEADER, rows)


def write_lsd_submission(
    path: str | Path,
    prediction: AffectPrediction,
    images: Sequence[str],
    *,
    test_list: Sequence[str] | None = None,
) -> None:
    """Write a submission to the synthetic-data challenge: for each image the most probable expression, 0 to 5 in the
    order of LSD_EXPRESSIONS. Arguments and errors as in `write_mtl_submission`.
    """
    prediction = _checked(prediction, images, test_list, LSD_EXPRESSIONS)
    codes = prediction.expression_logits.argmax(axis=1)
    _write(path, LSD_HEADER, (f"{name},{code}" for name, code in zip(images, codes, strict=True)))


def check_submission(path: str | Path, test_list: Sequence[str]) -> None:
    """Raise an AffectError that lists all that is wrong with a submission file, of whichever challenge.

    Checked: header, number of fields, numbers and their ranges (nothing may be missing), and the images against
    `test_list`.
    """
    path = Path(path)
    header = (_text(path).splitlines() or [""])[0].strip()
    if header not in (MTL_HEADER, LSD_HEADER):
        raise AffectError(f"{path}: the first line is {header!r}, neither {MTL_HEADER!r} nor {LSD_HEADER!r}")
    fields = MTL_FIELDS if header == MTL_HEADER else LSD_FIELDS
    log = ProblemLog("list")
    rows = read_label_text(path, log, fields=fields, columns=fields[1:], is_header=lambda _: True)
    log.raise_collected()
    number = len(EXPRESSIONS if header == MTL_HEADER else LSD_EXPRESSIONS)
    sentences = _out_of_range(rows.values, rows.line, fields[1:], number) + compare_with_test_list(rows.name, test_list)
    if sentences:
        raise AffectError("\n".join([f"{path} is no valid submission:", *(f"  {sentence}" for sentence in sentences)]))


def _out_of_range(values: np.ndarray, line: np.ndarray, columns: Sequence[str], number: int) -> list[str]:
    """A sentence for each column of `values` (N, C) with a number that the challenge does not know."""
    sentences = []
    for name, column in zip(columns, values.T, strict=True):
        if name in ("valence", "arousal"):
            good, allowed = np.abs(column) <= 1, "between -1 and 1"  # NaN compares False, so it is bad
        elif name == "expression":
            good, allowed = np.isin(column, range(number)), f"an integer from 0 to {number - 1}"
        else:
            good, allowed = np.isin(column, (0, 1)), "0 or 1"
        if not good.all():
            first = int((~good).argmax())
            others = f" (and in {int((~good).sum()) - 1} more lines)" if (~good).sum() > 1 else ""
            sentences.append(f"Line {line[first]}: {name} is {column[first]:g}, not {allowed}{others}.")
    return sentences


def _checked(
    prediction: AffectPrediction, images: Sequence[str], test_list: Sequence[str] | None, vocabulary: tuple[str, ...]
) -> AffectPrediction:
    if prediction.expression_logits is None or prediction.vocabulary != vocabulary:
        raise AffectError(f"this challenge asks for the expressions {', '.join(vocabulary)}; the prediction has others")
    prediction = rows_of_images(prediction, images)
    for task in ("expression_logits", "action_unit_logits", "valence_arousal"):
        values = getattr(prediction, task)
        if values is not None and not np.isfinite(values).all():
            row = int((~np.isfinite(values).all(axis=1)).argmax())
            raise AffectError(f"the prediction for {images[row]} is not a number ({task})")
    for name in images:
        if not name or any(character in name for character in ",\r\n"):
            raise AffectError(f"{name!r} cannot stand in a submission: a name is not empty and has no comma in it")
    problems = compare_with_test_list(images, list(dict.fromkeys(images)) if test_list is None else test_list)
    if problems:
        raise AffectError("\n".join(["the submission would not be valid:", *(f"  {problem}" for problem in problems)]))
    return prediction


def _write(path: str | Path, header: str, rows: Iterable[str]) -> None:
    write_text(Path(path), "\n".join([header, *rows]) + "\n")


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise AffectError(f"{path} not found") from error
    except UnicodeDecodeError as error:
        raise AffectError(f"{path} is not UTF-8 text") from error
    except OSError as error:
        raise AffectError(f"{path} cannot be read: {error.strerror}") from error


def _repeated(names: Sequence[str]) -> list[str]:
    """Names that occur more than once, each once, in the order of their second occurrence."""
    seen: set[str] = set()
    return list(dict.fromkeys(name for name in names if name in seen or seen.add(name)))


def _count(names: list[str]) -> str:
    return f"{len(names)} image{'s are' if len(names) > 1 else ' is'}"
