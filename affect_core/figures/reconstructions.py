"""What a masked auto-encoder paints, beside what could be painted without knowing faces."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from affect_core.augment import IMAGENET_MEAN, IMAGENET_STD
from affect_core.figures.arrays import as_array, as_images
from affect_core.figures.faces import hide, pixel_mask
from affect_core.figures.mosaic import Mosaic
from affect_core.figures.style import count, figure_function, subtitle_of


@figure_function
def reconstruction_sheet(
    images, reconstructions, masks, *, unit: str = "faces", source: str = "",
    title: str = "What the masked auto-encoder fills in",
) -> Figure:  # fmt: skip
    """One row a face: the input, then for each mask ratio what is seen, what the decoder paints, and the two pasted.

    images           (N, H, W, 3)
    reconstructions  (R, N, H, W, 3) the decoder's full picture (norm_pix undone), float in [0, 1]
    masks            (R, N, L) 1 = hidden
    The head of each group gives the ratio and the mean squared error over hidden pixels (pixel values in [0, 1]). In
    brackets what it is to be compared with: a flat patch of the hidden patch's own mean (`flat_patches`), which a model
    with norm_pix_loss borrows too. A baseline that borrows nothing would make any painting look good.

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
            count(len(images), unit), source,
            "MSE over hidden pixels",
            "in brackets: flat patches that borrow each hidden patch's mean, as the painting does",
        ),
    )  # fmt: skip
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
        flat = flat_patches(images, masks.shape[-1])
        squares = [((images - guess) ** 2)[hidden] for guess in (painted, flat)]
        error, flat = (float(part.mean()) if part.size else 0.0 for part in squares)
        sheet.column_head(first, f"{masks[group].mean():.0%} hidden", span=3, height=0.39, bold=True, size=9)
        sheet.column_head(first, f"MSE {error:.4f} ({flat:.4f})", span=3, height=0.215, size=8)
    return sheet.figure


def flat_patches(images, patches: int) -> np.ndarray:
    """Faces (N, H, W, 3), float in [0, 1], each of whose L = `patches` patches has one brightness, its own mean.

    The mean is the one number that `MAE.reconstruct` borrows of a patch (beside its contrast): over all pixels and
    channels of the normalised image. So this is what a model with norm_pix_loss paints that answers 0 everywhere.
    """
    images = as_images(images)
    n, height, width, _ = images.shape
    side = math.isqrt(patches)
    mean, deviation = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)
    blocks = ((images - mean) / deviation).reshape(n, side, height // side, side, width // side, 3)
    flat = np.broadcast_to(blocks.mean(axis=(2, 4, 5), keepdims=True), blocks.shape).reshape(images.shape)
    return np.clip(flat * deviation + mean, 0, 1)
