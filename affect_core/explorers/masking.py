"""The masking lab: hide patches of a face and see what a masked auto-encoder paints in their place."""

from __future__ import annotations

from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from affect_core.augment import denormalize
from affect_core.errors import AffectError
from affect_core.explorers.shell import Explorer, slider, whole_slider
from affect_core.figures.faces import hide
from affect_core.figures.mosaic import Mosaic
from affect_core.figures.style import SEQUENTIAL, figure_function, subtitle_of
from affect_core.mae import MAE

DARKEST = {True: 2.0, False: 0.08}
"""Error at the dark end of the colours, by `norm_pix`: of normalised pixels (knowing nothing: 1), of pixels 0 to 1."""


@dataclass(frozen=True)
class MaskingState:
    """image: row of the images; mask_ratio in [0, 1); seed of the mask.

    norm_pix  True: the error is measured as the model was trained, each patch normalised, and the picture borrows every
              patch's mean and contrast from the true patch (needs a model with `norm_pix_loss`). False: the error is
              of plain pixels, and a model that predicts normalised patches gets the mean and contrast of the *visible*
              patches for all: what it knows without borrowing.
    """

    image: int = 0
    mask_ratio: float = 0.75
    seed: int = 0
    norm_pix: bool = True


@figure_function
def masking_figure(state: MaskingState, mae: MAE, images: Tensor, *, source: str = "") -> Figure:
    """Input, what the encoder sees, the face with the hidden patches painted in, and each hidden patch's error.

    images  (N, 3, H, W), normalised, on the model's device
    Raises AffectError if there is no such image, or for norm_pix with a model that was not trained so.

    >>> masking_figure(MaskingState(mask_ratio=0.9), mae, images, source="synthetic")
    <Figure size ...>
    """
    if not 0 <= state.image < len(images):
        raise AffectError(f"There are {len(images)} images, counted from 0; there is no image {state.image}.")
    if state.norm_pix and not mae.config.norm_pix_loss:
        raise AffectError("This model predicts plain pixels: there is no normalisation to undo. Switch norm_pix off.")
    painted, error, mask = paint(state, mae, images[state.image : state.image + 1])
    hidden, grid = mask > 0, mae.config.vit.grid_size
    unit = "normalised pixels, knowing nothing: 1" if state.norm_pix else "pixels from 0 to 1"
    mean = f"mean squared error of hidden patches {error[hidden].mean():.3f} ({unit})" if hidden.any() else ""
    borrowed = "painted; contrast borrowed" if state.norm_pix else "painted; nothing borrowed"
    title = f"{hidden.mean():.0%} of the patches hidden"
    sheet = Mosaic(1, 4, title=title, subtitle=subtitle_of(mean, source), cell=2.0, head=0.28)
    picture = denormalize(images[state.image : state.image + 1])[0].permute(1, 2, 0).cpu().numpy()
    visible_error = np.where(hidden, error, np.nan).reshape(grid, grid)
    heads = ("input", "seen by the encoder", borrowed, f"error (darkest: {DARKEST[state.norm_pix]:g} or more)")
    for column, head in enumerate(heads):
        sheet.column_head(column, head)
    sheet.show(0, 0, picture)
    sheet.show(0, 1, hide(picture[None], mask[None])[0])
    sheet.show(0, 2, painted)
    sheet.show(0, 3, visible_error, cmap=SEQUENTIAL, vmin=0, vmax=DARKEST[state.norm_pix], interpolation="nearest")
    sheet.frame(0, 3, "#c3c9d0", 1.0)
    return sheet.figure


@torch.no_grad()
def paint(state: MaskingState, mae: MAE, image: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The face with hidden patches painted in (H, W, 3) in [0, 1], squared error (L,) and mask (L,), 1 where hidden."""
    generator = torch.Generator().manual_seed(state.seed)
    noise = torch.rand(1, mae.config.vit.num_patches, generator=generator).to(image.device)
    output = mae(image, noise=noise, mask_ratio=state.mask_ratio)
    truth, drawn, hidden = mae.patchify(image.float()), output.prediction.float(), output.mask.bool()[..., None]
    if mae.config.norm_pix_loss:
        mean, std = truth.mean(-1, keepdim=True), (truth.var(-1, keepdim=True) + 1e-6).sqrt()
        if state.norm_pix:
            error = (drawn - (truth - mean) / std).square().mean(-1)
        else:
            mean, std = (part[~hidden].mean() for part in (mean, std))
        drawn = drawn * std + mean
    completed = denormalize(mae.unpatchify(torch.where(hidden, drawn, truth)))
    if not state.norm_pix:
        error = (mae.patchify(completed) - mae.patchify(denormalize(image.float()))).square().mean(-1)
    return completed[0].permute(1, 2, 0).cpu().numpy(), error[0].cpu().numpy(), output.mask[0].cpu().numpy()


def masking_lab(mae: MAE, images: Tensor, *, source: str = "") -> Explorer:
    """`masking_figure` with a control for every field of `MaskingState`; the arguments are those of the figure."""
    start = MaskingState(norm_pix=mae.config.norm_pix_loss)
    controls = {
        "image": whole_slider(0, len(images) - 1, start.image, "image"),
        "mask_ratio": slider(0, 0.95, start.mask_ratio, 0.05, "mask ratio"),
        "seed": whole_slider(0, 20, start.seed, "seed"),
        "norm_pix": widgets.Checkbox(start.norm_pix, description="norm_pix", indent=False, layout={"width": "110px"}),
    }
    return Explorer(controls, lambda **values: masking_figure(MaskingState(**values), mae, images, source=source))
