"""Faces on a sheet: samples, masked views, reconstructions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from affect_core.figures.mosaic import Mosaic
from affect_core.figures.style import (
    EXPRESSION_COLOURS,
    INK,
    MUTED,
    as_array,
    as_images,
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
    title: str = "Faces",
    source: str = "",
    cell: float = 1.0,
) -> Figure:
    """A sheet of faces, `columns` a row.

    images  (N, H, W, 3) uint8 or float in [0, 1] (also (N, 3, H, W); numpy or torch)
    titles  N captions; one that starts with an expression's name gets that expression's colour as a rule
    source  where the faces come from, e.g. "synthetic corpus"

    >>> face_sheet(np.zeros((2, 64, 64, 3), np.uint8), ["neutral", "anger"], title="Two faces", source="synthetic")
    <Figure size ...>
    """
    images = as_images(images)
    columns = max(1, min(columns, len(images)))
    lines = 0 if titles is None else max((str(text).count("\n") + 1 for text in titles), default=0)
    sheet = Mosaic(
        math.ceil(len(images) / columns),
        columns,
        title=title,
        subtitle=subtitle_of(count(len(images)), source),
        cell=cell,
        caption=0.07 + 0.124 * lines if lines else 0.0,
    )
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        sheet.show(row, column, image)
        if titles is not None:
            words = str(titles[index]).replace(",", " ").split()
            swatch = EXPRESSION_COLOURS.get(words[0].lower()) if words else None
            sheet.caption(row, column, str(titles[index]), swatch=swatch)
    return sheet.figure


@figure_function
def face_grid(
    images,
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    *,
    captions=None,
    title: str = "Faces",
    source: str = "",
    cell: float = 1.0,
    left: float = 0.95,
) -> Figure:
    """Faces in a table: what a row has in common stands left of it, what a column has in common above it.

    images    (R, C, H, W, 3) uint8 or float in [0, 1]
    rows      R heads or None, in a margin of `left` inches;  columns  C heads or None (an expression gets its colour)
    captions  (R, C) words below each face, or None

    >>> face_grid(faces, ["Ann", "Ben"], ["neutral", "anger"], title="Two people", source="synthetic faces")
    <Figure size ...>
    """
    images = np.asarray(images)
    height, width = images.shape[:2]
    sheet = Mosaic(
        height,
        width,
        title=title,
        subtitle=subtitle_of(count(height * width), source),
        cell=cell,
        caption=0.19 if captions is not None else 0.0,
        head=0.26 if columns is not None else 0.0,
        left=left if rows is not None else 0.0,
    )
    for column, words in enumerate(columns or ()):
        sheet.column_head(column, words, bold=words in EXPRESSION_COLOURS, colour=EXPRESSION_COLOURS.get(words, INK))
    for row, pictures in enumerate(images):
        if rows is not None:
            sheet.row_head(row, rows[row])
        for column, picture in enumerate(as_images(pictures)):
            sheet.show(row, column, picture)
            if captions is not None:
                sheet.caption(row, column, captions[row][column])
    return sheet.figure


@figure_function
def reconstruction_sheet(
    images, reconstructions, masks, *, source: str = "", title: str = "What the masked auto-encoder fills in"
) -> Figure:
    """One row a face: the input, then for each mask ratio what is seen, what the decoder paints, and the two pasted.

    images           (N, H, W, 3)
    reconstructions  (R, N, H, W, 3) the decoder's full picture (norm_pix undone), float in [0, 1]
    masks            (R, N, L) 1 = hidden
    The head of each group gives the ratio and the mean squared error over hidden pixels (pixel values in [0, 1]),
    beside that of painting every hidden pixel with the face's visible mean colour.

    >>> reconstruction_sheet(images, np.stack([painted50, painted75]), np.stack([mask50, mask75]), source="synthetic")
    <Figure size ...>
    """
    images = as_images(images)
    masks = as_array(masks)
    ratios = len(masks)
    sheet = Mosaic(
        len(images),
        1 + 3 * ratios,
        title=title,
        cell=0.92,
        head=0.62,
        breaks=[1 + 3 * r for r in range(ratios)],
        subtitle=subtitle_of(
            count(len(images)), source, "MSE over hidden pixels, in brackets: painting the visible mean colour"
        ),
    )
    sheet.column_head(0, "input")
    for row, image in enumerate(images):
        sheet.show(row, 0, image)
    for group in range(ratios):
        painted = as_images(reconstructions[group])
        hidden = pixel_mask(masks[group], *images.shape[1:3])
        seen, pasted = hide(images, masks[group]), np.where(hidden[..., None], painted, images)
        first = 1 + 3 * group
        for offset, (name, pictures) in enumerate((("seen", seen), ("painted", painted), ("pasted", pasted))):
            sheet.column_head(first + offset, name)
            for row, picture in enumerate(pictures):
                sheet.show(row, first + offset, picture)
        error, flat = _hidden_error(images, painted, hidden)
        sheet.column_head(first, f"{masks[group].mean():.0%} hidden", span=3, height=0.39, bold=True, size=9)
        sheet.column_head(first, f"MSE {error:.4f} ({flat:.4f})", span=3, height=0.215, size=8)
    return sheet.figure


def _hidden_error(images: np.ndarray, painted: np.ndarray, hidden: np.ndarray) -> tuple[float, float]:
    """Mean squared error over hidden pixels of `painted`, and of each face's visible mean colour."""
    if not hidden.any():
        return 0.0, 0.0
    weight = ~hidden[..., None]
    mean = (images * weight).sum((1, 2), keepdims=True) / np.maximum(weight.sum((1, 2), keepdims=True), 1)
    return tuple(
        float(((images - guess) ** 2)[hidden].mean()) for guess in (painted, np.broadcast_to(mean, images.shape))
    )


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
