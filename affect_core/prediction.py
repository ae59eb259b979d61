"""One line from face pictures to expressions, action units, valence and arousal, with the weights that ship with us.

    from affect_core import predict
    prediction = predict(["face.jpg", another_array])

A picture is one face, cropped from forehead to chin; whole photographs need a face detector first. The shipped models
have seen rendered faces alone.

How the answers are combined. Each face is looked at in several crops, as it is and mirrored, and the logits of a model
are averaged over them. Expressions are an average of log-probabilities of two models, the CNN inside EMMA and EMMA's
ViT; CoTEX, which knows neither *neutral* nor *other*, has a say in which of its six expressions it is. Action units,
valence and arousal are EMMA's. The models were trained with all expressions about equally frequent; photographs are not
like that, so `prevalence` says how often each is to be expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from affect_core.augment import prepare
from affect_core.corpora.image_decoding import UnusableImageError, fit_square, picture_pixels, read_image
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.labels import AFFECTNET_EXPRESSIONS, EXPRESSIONS, AffectPrediction, vocabulary_map
from affect_core.settings import is_of

EVERYDAY = {"neutral": 0.50, "anger": 0.05, "disgust": 0.02, "fear": 0.02, "happiness": 0.30, "sadness": 0.05,
            "surprise": 0.05, "other": 0.01}  # fmt: skip
"""The default prevalence: people in everyday photographs mostly look neutral or smile. Our own round numbers, chosen
with a look at predictions for the ORL photographs: many neutral faces there are otherwise called angry or happy."""

STORED_SIZE = 96
"""Pixels to which pictures are reduced before the crops are taken."""


@dataclass(frozen=True)
class Predictor:
    """EMMA and CoTEX with what turns their scores into one answer. `load_predictor` makes the shipped one.

    cnn_share       weight of the CNN's log-probabilities against the ViT's, 0 to 1
    cotex_share     weight of CoTEX among its six expressions, 0 to 1
    temperature     the combined log-probabilities, prevalence included, are divided by it (fitted on rendered faces)
    prevalence      (8,) how often each of EXPRESSIONS is to be expected; only ratios count. All alike by default
    thresholds      (12,) probabilities above which an action unit counts as active, fitted like the temperature
    zooms           crops that are looked at: 1 is the whole picture, 1.2 its central 1 / 1.2
    """

    emma: EMMA
    cotex: CoTEX
    cnn_share: float = 0.5
    cotex_share: float = 0.25
    temperature: float = 1.0
    prevalence: tuple[float, ...] = (1.0,) * 8
    thresholds: tuple[float, ...] = (0.5,) * 12
    zooms: tuple[float, ...] = (1.1,)

    def __call__(self, images: Any, *, batch_size: int = 32) -> AffectPrediction:
        """Pictures of faces -> numpy `AffectPrediction` in the order of `images`; see `predict`."""
        pictures = as_pictures(images)
        if len(pictures) == 0:
            raise AffectError("There are no images to predict.")
        parts = [self.predict_batch(pictures[first : first + batch_size])
                 for first in range(0, len(pictures), batch_size)]  # fmt: skip
        return AffectPrediction.concatenate(parts)

    @torch.no_grad()
    def predict_batch(self, pictures: np.ndarray) -> AffectPrediction:
        """uint8 (N, S, S, 3) -> the combined answer, numpy."""
        device = next(self.emma.parameters()).device
        views = self.views(torch.from_numpy(pictures).to(device))  # (V * N, 3, size, size)
        count = len(views) // len(pictures)

        def mean(task: Tensor) -> Tensor:
            return task.float().unflatten(0, (count, -1)).mean(dim=0)

        answer, cnn = self.emma.forward_with_prior(views)
        answer, cnn = answer.map(mean), to_expressions(mean(cnn).log_softmax(dim=1))
        cotex = mean(self.cotex(views).mean(dim=0)).log_softmax(dim=1)
        logits = self.combine(cnn, answer.expression_logits.log_softmax(dim=1), cotex)
        logits = logits + torch.tensor(self.prevalence, device=device).log()
        logits = (logits / self.temperature).log_softmax(dim=1)
        return replace(
            answer, expression_logits=logits, valence_arousal=answer.valence_arousal.clamp(-1, 1),
            uncertainty=1 - logits.softmax(dim=1).amax(dim=1),
        ).numpy()  # fmt: skip

    def views(self, pictures: Tensor) -> Tensor:
        """uint8 (N, S, S, 3) -> normalised crops and their mirror images (V * N, 3, size, size), view by view."""
        size = self.emma.config.vit.image_size
        crops = []
        for zoom in self.zooms:
            margin = round(pictures.shape[1] * (1 - 1 / zoom) / 2)
            inside = slice(margin, pictures.shape[1] - margin)
            crops.append(prepare(pictures[:, inside, inside].contiguous(), size))
        return torch.cat([*crops, *(crop.flip(3) for crop in crops)])

    def combine(self, cnn: Tensor, vit: Tensor, cotex: Tensor) -> Tensor:
        """Log-probabilities (N, 8), (N, 8) in EXPRESSIONS' order and (N, 6) in CoTEX's -> (N, 8), normalised."""
        both = self.cnn_share * cnn + (1 - self.cnn_share) * vit
        both[:, EXPRESSIONS.index("other")] = vit[:, EXPRESSIONS.index("other")]  # the CNN does not know it
        both = both.log_softmax(dim=1)
        shared = torch.from_numpy(vocabulary_map(self.cotex.config.vocabulary, EXPRESSIONS))
        total = both[:, shared].logsumexp(dim=1, keepdim=True)
        among = (1 - self.cotex_share) * (both[:, shared] - total) + self.cotex_share * cotex
        both[:, shared] = among.log_softmax(dim=1) + total
        return both


def predict(
    images: Any, *, prevalence: Mapping[str, float] | None = EVERYDAY, device: torch.device | str = "cpu",
    batch_size: int = 32,
) -> AffectPrediction:
    """What the shipped EMMA and CoTEX say about pictures of faces.

    images  one picture, or a sequence or batch of them: paths, PIL images, or arrays (H, W), (H, W, 1), (H, W, 3) of
            uint8, or of floats in [0, 1]. Each is one face, cropped from forehead to chin; what exceeds the central
            square is cut off. Greyscale is fine.
    prevalence  how often each of `labels.EXPRESSIONS` is to be expected among the pictures, in any unit; None for all
                alike.

    Returns numpy arrays, a row for each picture: expression_logits (N, 8), log-probabilities in the order of
    `labels.EXPRESSIONS`; action_unit_logits (N, 12); valence_arousal (N, 2) in [-1, 1]; uncertainty (N,) in [0, 1], the
    probability that the first expression is wrong, calibrated on rendered faces. Raises AffectError for what is no
    picture, naming which one, for a prevalence that is not positive or lacks an expression, and without the weights.
    """
    expected = (1.0,) * len(EXPRESSIONS)
    if prevalence is not None:
        known = isinstance(prevalence, Mapping) and set(prevalence) == set(EXPRESSIONS)
        if not known or not all(is_of(float, value) and value > 0 for value in prevalence.values()):
            raise AffectError(f"prevalence needs a number above 0 for each of {', '.join(EXPRESSIONS)}.")
        expected = tuple(float(prevalence[name]) for name in EXPRESSIONS)
    if not is_of(int, batch_size) or batch_size < 1:
        raise AffectError(f"batch_size is the number of pictures of a batch, 1 or more, not {batch_size!r}")
    return replace(load_predictor(str(device)), prevalence=expected)(images, batch_size=batch_size)


@lru_cache(maxsize=2)
def load_predictor(device: str = "cpu") -> Predictor:
    """The shipped `Predictor`, read once per device. Raises AffectError if `data/weights` lacks a file."""
    from affect_core.shipped import read_combination, shipped_model

    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise AffectError(f"there is no CUDA device here, and device {device} was asked for")
    emma, cotex = (shipped_model(name).to(device).eval() for name in ("emma", "cotex"))
    return Predictor(emma, cotex, **read_combination())


def as_pictures(images: Any, size: int = STORED_SIZE) -> np.ndarray:
    """What `predict` accepts -> uint8 (N, size, size, 3), centre squares. Raises AffectError naming the bad picture."""
    if isinstance(images, (str, Path, Image.Image)) or (isinstance(images, np.ndarray) and _is_one(images)):
        images = [images]
    if isinstance(images, Tensor):
        raise AffectError("predict takes arrays (N, H, W, 3), PIL images or paths, not torch tensors: tensor.numpy().")
    if not isinstance(images, (Sequence, np.ndarray)):
        raise AffectError(f"predict takes pictures or a sequence of them, not {type(images).__name__}.")
    pictures = [_as_picture(image, number, size) for number, image in enumerate(images)]
    return np.stack(pictures) if pictures else np.empty((0, size, size, 3), np.uint8)


def _is_one(array: np.ndarray) -> bool:
    if array.ndim == 3 and array.shape[2] not in (1, 3) and (array.shape[2] == 4 or array.shape[0] in (3, 4)):
        raise AffectError(f"an array {array.shape} looks like one picture with transparency, or with channels first: "
                          "give (H, W, 3), or grey pictures as a list of (H, W)")  # fmt: skip
    return array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3))


def _as_picture(image: Any, number: int, size: int) -> np.ndarray:
    if isinstance(image, (str, Path)):
        try:
            return read_image(Path(image), size)
        except UnusableImageError as error:
            raise AffectError(f"image {image} {error}") from error
    if isinstance(image, Image.Image):
        try:
            image = picture_pixels(image)
        except UnusableImageError as error:
            raise AffectError(f"image {number} {error}") from error
    array = np.asarray(image)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3) or min(array.shape[:2]) < 2:
        raise AffectError(f"image {number} has the shape {np.shape(image)}, not (H, W), (H, W, 1) or (H, W, 3).")
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise AffectError(f"image {number} is of floats beyond 0 to 1; give uint8, or floats in [0, 1].")
        array = (255 * array).round()
    elif array.dtype != np.uint8:
        raise AffectError(f"image {number} is of {array.dtype}; give uint8, or floats in [0, 1].")
    pixels = array.astype(np.uint8)
    return fit_square(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), size)


def to_expressions(affectnet: Tensor) -> Tensor:
    """Log-probabilities (N, 8) in AffectNet's order -> (N, 8) in EXPRESSIONS' order, without contempt, renormalised.

    The column of "other", which AffectNet does not have, is -inf.
    """
    columns = vocabulary_map(EXPRESSIONS, AFFECTNET_EXPRESSIONS)
    known = affectnet[:, torch.from_numpy(np.maximum(columns, 0))]
    unknown = torch.from_numpy(columns < 0).to(known.device)
    return F.log_softmax(known.masked_fill(unknown, -torch.inf), dim=1)
