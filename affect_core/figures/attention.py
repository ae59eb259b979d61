"""Where a model looks: attention maps and occlusion laid over faces.

Attention says where a layer gathers from, not what decides an answer (Jain and Wallace 2019); occlusion says which
pixels the answer depends on. Show one beside the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.ndimage import zoom

from affect_core.figures.arrays import as_array, as_images
from affect_core.figures.mosaic import Mosaic
from affect_core.figures.style import DIVERGING, HEAT, count, figure_function, subtitle_of

COARSE = 8
"""Cells a side below which a map is not interpolated: 4 x 4 cells smoothed would show what nobody measured."""


def overlay(image: np.ndarray, heat: np.ndarray, *, strength: float = 0.75) -> np.ndarray:
    """A greyed face (H, W, 3) under a map (g, g) in [0, 1]: the hotter, the more opaque. Float (H, W, 3).

    A map of fewer than `COARSE` cells a side is drawn as the cells it is made of, finer ones are interpolated.
    """
    smooth = _stretch(np.clip(heat, 0, 1), image.shape[:2])[..., None]  # (H, W, 1)
    grey = image.mean(axis=-1, keepdims=True) * np.ones(3)
    opacity = strength * smooth**1.2
    return np.clip((1 - opacity) * (0.35 * image + 0.65 * grey) + opacity * HEAT(smooth[..., 0])[..., :3], 0, 1)


def common_range(maps: np.ndarray, together: Sequence[int]) -> np.ndarray:
    """`unit_range` of maps (N, M, g, g), except that the columns `together` of a face share one range, from 0 on."""
    ranged, chosen = unit_range(maps), list(together)
    if chosen:
        shared = maps[:, chosen]
        top = shared.max((1, 2, 3), keepdims=True)
        ranged[:, chosen] = np.where(top > 0, shared / np.maximum(top, 1e-12), 0.0)
    return ranged


def unit_range(maps: np.ndarray) -> np.ndarray:
    """Each (g, g) map of (..., g, g) stretched to [0, 1]; a flat map becomes 0."""
    low, high = maps.min((-2, -1), keepdims=True), maps.max((-2, -1), keepdims=True)
    return np.where(high > low, (maps - low) / np.maximum(high - low, 1e-12), 0.0)


@figure_function
def attention_over_faces(
    images,
    maps,
    columns: Sequence[str],
    *,
    rows: Sequence[str] | None = None,
    together: Sequence[int] = (),
    cell: float = 1.1,
    unit: str = "faces",
    note: str = "",
    source: str = "",
    title: str = "Where the answer gathers from",
) -> Figure:
    """One row a face, one column a map (layers, heads, or methods side by side).

    images   (N, H, W, 3)
    maps     (N, M, g, g) non-negative relevance per patch; each map is stretched to its own range
    columns  M names;  rows N names (e.g. "annotated fear,\nsaid anger"), or None
    together columns, from 0, of one quantity: they share one range, so that a map of next to nothing stays dark
    note     a sentence under the sheet

    >>> attention_over_faces(images, maps, ["layer 1", "layer 6", "rollout"], source="synthetic corpus")
    <Figure size ...>
    """
    images, maps = as_images(images), as_array(maps)
    ranges = "each map on its own range" + (", those of one quantity on one" if together else "")
    sheet = Mosaic(
        len(images),
        1 + maps.shape[1],
        title=title,
        cell=cell,
        head=0.3,
        breaks=[1],
        left=0.95 if rows else 0.0,
        subtitle=subtitle_of(count(len(images), unit), source, f"bright: most; {ranges}"),
        note=note,
    )
    sheet.column_head(0, "face")
    for column, name in enumerate(columns):
        sheet.column_head(1 + column, name)
    for row, (image, heats) in enumerate(zip(images, common_range(maps, together), strict=True)):
        sheet.show(row, 0, image)
        if rows is not None:
            sheet.row_head(row, str(rows[row]))
        for column, heat in enumerate(heats):
            sheet.show(row, 1 + column, overlay(image, heat))
    return sheet.figure


@figure_function
def attention_heads(
    image, maps, *, layers: Sequence[int] | None = None, source: str = "", title: str = "One face, every head"
) -> Figure:
    """Layers down, heads across: the class token's attention to the patches of one face.

    image   (H, W, 3);  maps (layers, heads, g, g), each stretched to its own range
    layers  numbers to print beside the rows (default 1, 2, ...)

    >>> attention_heads(image, maps[0], source="synthetic corpus")
    <Figure size ...>
    """
    image, maps = as_images(np.asarray(image)[None])[0], as_array(maps)
    depth, heads = maps.shape[:2]
    sheet = Mosaic(
        depth,
        heads,
        title=title,
        cell=0.92,
        head=0.26,
        left=0.62,
        subtitle=subtitle_of(f"{depth} layers x {heads} heads", source, "each map on its own range"),
    )
    for head in range(heads):
        sheet.column_head(head, f"head {head + 1}", size=7.5)
    for layer, row in enumerate(unit_range(maps)):
        sheet.row_head(layer, f"layer {(layers or range(1, depth + 1))[layer]}")
        for head, heat in enumerate(row):
            sheet.show(layer, head, overlay(image, heat))
    return sheet.figure


def _signed_overlay(image: np.ndarray, signed: np.ndarray) -> np.ndarray:
    """A pale grey face (H, W, 3) under a map (g, g) in [-1, 1]: orange for, blue against, opaque where it matters."""
    smooth = _stretch(signed, image.shape[:2])[..., None]
    grey = 0.35 + 0.6 * image.mean(axis=-1, keepdims=True) * np.ones(3)
    opacity = 0.9 * np.abs(smooth) ** 0.6
    return np.clip(
        (1 - opacity) * grey + opacity * DIVERGING((np.sign(smooth[..., 0]) + smooth[..., 0] + 2) / 4)[..., :3], 0, 1
    )


def _stretch(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    factors = (shape[0] / values.shape[0], shape[1] / values.shape[1])
    order = 0 if min(values.shape) < COARSE else 1
    return np.clip(zoom(values, factors, order=order, grid_mode=True, mode="nearest"), -1, 1)


@figure_function
def occlusion_over_faces(
    images,
    drops,
    *,
    score_name: str = "score",
    captions: Sequence[str] | None = None,
    source: str = "",
    columns: int = 4,
    unit: str = "faces",
    title: str = "What the answer depends on",
) -> Figure:
    """Pairs of face and map: how much the score falls when a square around that place is covered.

    images      (N, H, W, 3)
    drops       (N, h, w) maps of `explain.occlusion_sensitivity`, of any size; orange: the place supports the
                answer, blue: it speaks against. One symmetric range for all faces, that of a middling face; the largest
                change of each stands under its map, so a pale map can be told from a strong one beyond the range.
    score_name  what falls, with unit, e.g. "logit of AU12" or "arousal". A probability near 0 or 1 is saturated and
                shows nothing: watch its logit

    >>> occlusion_over_faces(images, drops, score_name="P(happiness)", captions=["0.93", "0.71"], source="synthetic")
    <Figure size ...>
    """
    images, drops = as_images(images), as_array(drops)
    columns = min(columns, len(images))
    most = drops.reshape(len(drops), -1)[np.arange(len(drops)), np.abs(drops).reshape(len(drops), -1).argmax(1)]
    limit = float(np.median(np.abs(most))) or float(np.abs(most).max()) or 1.0
    places = ".1f" if limit >= 1 else ".2g"
    sheet = Mosaic(
        -(-len(images) // columns),
        2 * columns,
        title=title,
        cell=1.05,
        right=1.0,
        caption=0.2,
        breaks=range(2, 2 * columns, 2),
        subtitle=subtitle_of(
            count(len(images), unit), source, f"drop of {score_name} when the place is covered; number: the largest"
        ),
    )
    for index, (image, drop) in enumerate(zip(images, drops, strict=True)):
        row, column = divmod(index, columns)
        sheet.show(row, 2 * column, image)
        sheet.show(row, 2 * column + 1, _signed_overlay(image, drop / limit))
        sheet.caption(row, 2 * column + 1, f"{most[index]:+{places}}".replace("-", "−"))
        if captions is not None:
            sheet.caption(row, 2 * column, str(captions[index]))
    width, height = sheet.figure.get_size_inches()
    bar = sheet.figure.add_axes((1 - 0.86 / width, 0.3 / height, 0.12 / width, min(0.8, 1.05 / height)))
    scale = ScalarMappable(Normalize(-limit, limit), DIVERGING)
    sheet.figure.colorbar(scale, cax=bar, extend="both").outline.set_visible(False)
    bar.tick_params(labelsize=7)
    return sheet.figure
