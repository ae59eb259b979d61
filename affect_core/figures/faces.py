"""Faces on a sheet: samples, grids, masked views."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from affect_core.figures.arrays import as_array, as_images
from affect_core.figures.mosaic import Mosaic
from affect_core.figures.style import (
    EXPRESSION_COLOURS,
    INK,
    MUTED,
    count,
    expression_colour,
    figure_function,
    subtitle_of,
)

HIDDEN = np.array([0.86, 0.875, 0.89], np.float32)
"""Colour of a hidden patch."""


def pixel_mask(mask, height: int, width: int) -> np.ndarray:
    """Patch masks (..., L), 1 = hidden, as boolean pixel masks (..., height, width); L is a square number."""
    mask = as_array(mask) > 0.5
    side = math.isqrt(mask.shape[-1])
    if side * side != mask.shape[-1]:
        raise ValueError(f"a mask of {mask.shape[-1]} patches is not a square grid")
    grid = mask.reshape(*mask.shape[:-1], side, side)
    rows, columns = np.arange(height) * side // height, np.arange(width) * side // width
    return grid[..., rows[:, None], columns[None, :]]


def hide(images, mask) -> np.ndarray:
    """Faces (N, H, W, 3) with the patches of `mask` (N, L) painted over; float in [0, 1]."""
    images = as_images(images)
    hidden = pixel_mask(mask, *images.shape[1:3])
    return np.where(hidden[..., None], HIDDEN, images)


@figure_function
def face_sheet(
    images,
    titles: Sequence[str] | None = None,
    columns: int = 8,
    *,
    annotated: Sequence[str] | None = None,
    title: str = "Faces",
    source: str = "",
    cell: float = 1.0,
    unit: str = "faces",
) -> Figure:
    """A sheet of faces, `columns` a row.

    images  (N, H, W, 3) uint8 or float in [0, 1] (also (N, 3, H, W); numpy or torch)
    titles  N captions
    annotated  the N annotated expressions: each face gets a rule in the colour of its annotation, whatever the caption
            says first. None: captions that start with an expression's name are taken to start with the annotation
    source  where the faces come from, e.g. "synthetic corpus"

    >>> face_sheet(np.zeros((2, 64, 64, 3), np.uint8), ["neutral", "anger"], title="Two faces", source="synthetic")
    <Figure size ...>
    """
    images = as_images(images)
    columns = max(1, min(columns, len(images)))
    lines = 0 if titles is None else max((str(text).count("\n") + 1 for text in titles), default=0)
    rules = [_expression_of(name) for name in (annotated if annotated is not None else titles or ())]
    said = annotated is not None or (lines > 1 and any(rules))  # a caption that says more than the annotation
    sheet = Mosaic(
        math.ceil(len(images) / columns),
        columns,
        title=title,
        subtitle=subtitle_of(count(len(images), unit), source, "coloured bar: annotated" if said else ""),
        cell=cell,
        caption=0.07 + 0.124 * lines if lines else 0.0,
    )
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        sheet.show(row, column, image)
        if titles is not None:
            sheet.caption(row, column, str(titles[index]), swatch=EXPRESSION_COLOURS.get(rules[index]))
    return sheet.figure


def _expression_of(words: str) -> str:
    """The expression that `words` start with, or ''."""
    first = (str(words).replace(",", " ").split() or [""])[0].lower()
    return first if first in EXPRESSION_COLOURS else ""


@figure_function
def face_grid(
    images,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    *,
    captions=None,
    parts: Sequence[str] | None = None,
    title: str = "Faces",
    source: str = "",
    cell: float = 1.0,
    left: float = 0.95,
    unit: str = "faces",
) -> Figure:
    """Faces in a table: what a row has in common stands left of it, what a column has in common above it.

    images    (R, C, H, W, 3) uint8 or float in [0, 1]
    rows      R heads or None, in a margin of `left` inches;  columns  C heads or None (an expression gets its colour)
    captions  (R, C) words below each face, or None; what is wider than its cell is broken, at spaces and behind "+"
    parts     C words "whole", "upper" or "lower": only that part of the column's faces is shown, enlarged; or None

    >>> face_grid(faces, ["Ann", "Ben"], ["neutral", "anger"], title="Two people", source="synthetic faces")
    <Figure size ...>
    """
    images = np.asarray(images)
    height, width = images.shape[:2]
    words = None if captions is None else [[_broken(str(one), round(15 * cell)) for one in row] for row in captions]
    lines = 0 if words is None else max(one.count("\n") + 1 for row in words for one in row)
    sheet = Mosaic(
        height,
        width,
        title=title,
        subtitle=subtitle_of(count(height * width, unit), source),
        cell=cell,
        caption=0.066 + 0.124 * lines if lines else 0.0,
        head=0.26 if columns is not None else 0.0,
        left=left if rows is not None else 0.0,
    )
    for column, head in enumerate(columns or ()):
        sheet.column_head(column, head, bold=head in EXPRESSION_COLOURS, colour=EXPRESSION_COLOURS.get(head, INK))
    for row, pictures in enumerate(images):
        if rows is not None:
            sheet.row_head(row, rows[row])
        for column, picture in enumerate(as_images(pictures)):
            sheet.show(row, column, part_of(picture, parts[column] if parts is not None else "whole"))
            if words is not None:
                sheet.caption(row, column, words[row][column])
    return sheet.figure


PARTS = {"whole": (0.0, 0.0, 1.0), "upper": (0.1, 0.2, 0.6), "lower": (0.4, 0.2, 0.6)}
"""Top, left and side of the square that shows a part of a face cropped from forehead to chin, in picture sides."""


def part_of(picture: np.ndarray, part: str) -> np.ndarray:
    """The square of `picture` (H, W, 3) that `PARTS` names."""
    top, left, side = (round(share * picture.shape[0]) for share in PARTS[part])
    return picture[top : top + side, left : left + side]


def _broken(words: str, width: int) -> str:
    """`words` in lines of at most `width` letters where spaces or plus signs allow it; line breaks of its own stay."""
    lines = []
    for line in words.split("\n"):
        start = ""
        for piece in re.findall(r"[^ +]*[ +]?", line):
            if start and len((start + piece).rstrip()) > width:
                lines.append(start.rstrip())
                start = ""
            start += piece
        lines.append(start.rstrip())
    return "\n".join(lines)


@figure_function
def masked_views(
    images,
    masks,
    *,
    probabilities=None,
    vocabulary: Sequence[str] = (),
    divergence=None,
    source: str = "",
    title: str = "Each view sees its own patches",
) -> Figure:
    """One row a face: the whole face, then each view's share of it, and below a view what it predicts.

    images         (N, H, W, 3)
    masks          (V, N, L) 1 = hidden, one mask a view and face
    probabilities  (V, N, C) softmax of each view's logits, or None; needs `vocabulary` (C names)
    divergence     (N,) Jensen-Shannon divergence between the views in nats, or None

    >>> masked_views(images, np.stack([mask1, mask2]), probabilities=p, vocabulary=LSD_EXPRESSIONS, divergence=js)
    <Figure size ...>
    """
    images, masks = as_images(images), as_array(masks)
    views = len(masks)
    caption = 0.33 if probabilities is not None else 0.0
    sheet = Mosaic(
        len(images),
        1 + views,
        title=title,
        cell=1.3,
        caption=caption,
        head=0.26,
        right=1.0 if divergence is not None else 0.0,
        subtitle=subtitle_of(count(len(images)), f"{views} views", f"{masks.mean():.0%} of patches hidden", source),
    )
    sheet.column_head(0, "whole face")
    for row, image in enumerate(images):
        sheet.show(row, 0, image)
        if divergence is not None:
            x, y = sheet.corner(row, views)
            sheet.axes.text(
                x + 1.08,
                y + 0.5,
                f"JS {as_array(divergence)[row]:.3f}\nof {np.log(views):.3f} nats",
                va="center",
                fontsize=8,
                color=MUTED,
            )
    for view in range(views):
        sheet.column_head(1 + view, f"view {view + 1}")
        for row, picture in enumerate(hide(images, masks[view])):
            sheet.show(row, 1 + view, picture)
            if probabilities is not None:
                _ribbon(sheet, row, 1 + view, as_array(probabilities)[view, row], vocabulary)
    return sheet.figure


def _ribbon(sheet: Mosaic, row: int, column: int, probability: np.ndarray, vocabulary: Sequence[str]) -> None:
    """A stacked ribbon of class probabilities below a picture, and the winner's name."""
    x, y = sheet.corner(row, column)
    edge = x + np.concatenate([[0.0], np.cumsum(probability / probability.sum())])
    sheet.axes.barh(
        np.full(len(probability), y + 1.06),
        np.diff(edge),
        left=edge[:-1],
        height=0.06,
        color=[expression_colour(name) for name in vocabulary],
    )
    best = int(probability.argmax())
    sheet.axes.text(
        x + 0.5, y + 1.2, f"{vocabulary[best]} {probability[best]:.0%}", ha="center", va="baseline", fontsize=8
    )
