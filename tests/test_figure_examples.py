"""Every function that returns a Figure has an example in its docstring, and the example runs."""

import doctest
import inspect

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from affect_core import (
    DAN,
    EMMA,
    MAE,
    AffectLabels,
    AffectPrediction,
    CoTEX,
    CoTEXConfig,
    DANConfig,
    EMMAConfig,
    MAEConfig,
    ViTConfig,
    explorers,
    figures,
    photos,
)
from affect_core.explain import attention_distance
from affect_core.interventions import score_influence
from affect_core.labels import ACTION_UNITS, EXPRESSIONS, LSD_EXPRESSIONS
from affect_core.metrics import best_constant_prediction, mtl_score
from affect_core.photos import Face, Photo, PhotoReading, VideoReading
from affect_core.project_folders import project_root

FIGURE_FUNCTIONS = {
    name: function
    for package in (figures, explorers, photos)
    for name in package.__all__
    if callable(function := getattr(package, name))
    and inspect.isfunction(function)
    and inspect.signature(function).return_annotation in (Figure, "Figure")
}
OWN_NAMES = {
    "attention_heads": {"maps": np.random.default_rng(1).random((1, 2, 2, 4, 4))},
    "face_grid": {"faces": np.zeros((2, 2, 32, 32, 3), np.uint8)},
    "occlusion_over_faces": {"images": np.zeros((2, 32, 32, 3), np.uint8)},
    "influence_bars": {"images": torch.zeros(4, 3, 32, 32)},
    **{name: {"images": torch.zeros(1, 3, 32, 32)} for name in ("attention_figure", "masking_figure", "views_figure")},
}
"""Names that mean something else in one example than in the others."""


class Corpus:
    """N labelled faces, as far as the examples ask."""

    def __init__(self, labels, images):
        self.labels, self.images = labels, images

    def split(self, name):
        return self


@pytest.fixture(scope="module")
def names():
    """What the examples speak of: small, random, of the documented shapes."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    tiny = ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=2)
    emma = EMMA(
        EMMAConfig(vit=tiny, hidden=16, va_hidden=8), DAN(DANConfig(width=4, num_heads=2, small_images=True))
    ).eval()
    faces = rng.integers(0, 255, (40, 32, 32, 3), np.uint8)
    known = np.ones((40, 2), bool)
    labels = AffectLabels(
        rng.uniform(-1, 1, (40, 2)), known, np.arange(40) % 8, known[:, 0], rng.integers(0, 2, (40, 12)),
        np.ones((40, 12), bool),
    )  # fmt: skip
    prediction = AffectPrediction(
        rng.normal(size=(40, 8)), rng.normal(size=(40, 12)), rng.uniform(-1, 1, (40, 2)), rng.random(40)
    )
    found = tuple(Face(np.array([left, 4, 9, 12.0]), np.full((5, 2), left + 5.0), 0.9) for left in (2, 16))
    first_two = AffectPrediction(
        prediction.expression_logits[:2], prediction.action_unit_logits[:2], prediction.valence_arousal[:2],
        prediction.uncertainty[:2],
    )  # fmt: skip
    reading = PhotoReading([Photo("group.jpg", (32, 32), faces[0], found)], faces[:2], first_two, np.full(12, 0.5))
    video = VideoReading(
        "clip.mp4", np.arange(2) / 5, np.zeros(2, int), [], 0.4, faces[:2], np.arange(2), np.ones((2, 4)), np.ones(2),
        faces[:2], first_two, np.arange(2), np.full(12, 0.5),
    )  # fmt: skip
    corpus = Corpus(labels, faces)
    mask = np.arange(16) % 2 * np.ones((4, 1))
    return {
        **{name: getattr(package, name) for package in (figures, explorers) for name in package.__all__},
        **{name: getattr(photos, name) for name in ("photo_overview", "face_card", "video_timeline")},
        "np": np, "pd": pd, "EXPRESSIONS": EXPRESSIONS, "LSD_EXPRESSIONS": LSD_EXPRESSIONS,
        "mtl_score": mtl_score, "best_constant_prediction": best_constant_prediction,
        "attention_distance": attention_distance, "score_influence": score_influence,
        "read_photos": lambda path: reading, "read_video": lambda path: video,
        "labels": labels, "prediction": prediction, "corpus": corpus, "validation": corpus,
        "predicted": prediction.expression_logits.argmax(axis=1), "annotated": labels.expression,
        "image": faces[0], "photo": faces[0], "images": faces[:4], "frames": faces, "faces": faces,
        "painted50": faces[:4], "painted75": faces[4:8], "mask50": mask, "mask75": mask, "mask1": mask,
        "mask2": 1 - mask, "p": np.full((2, 4, 6), 1 / 6), "js": np.zeros(4),
        "maps": rng.random((4, 3, 4, 4)), "drops": rng.normal(size=(2, 32, 32)),
        "attention": torch.rand(3, 2, 2, 17, 17),
        "softmax": np.full(8, 1 / 8), "sigmoid": np.full(12, 0.4), "units": rng.random((90, 12)),
        "va": rng.uniform(-1, 1, (90, 2)), "f1": rng.random((12, 101)), "thresholds": np.full(len(ACTION_UNITS), 0.4),
        "emma": emma, "model": emma, "cotex": CoTEX(CoTEXConfig(vit=tiny)).eval(),
        "mae": MAE(MAEConfig(vit=tiny, decoder_width=16, decoder_depth=1, decoder_heads=2)).eval(),
    }  # fmt: skip


def test_the_functions_of_all_three_packages_are_found():
    assert {"score_bars", "ablation_figure", "mixer_figure", "photo_overview", "face_card"} <= set(FIGURE_FUNCTIONS)
    annotated = {name for name in figures.__all__ if name in FIGURE_FUNCTIONS}
    assert annotated == set(figures.__all__) - {"draw_circumplex", "ACTION_UNIT_COLOURS", "EXPRESSION_COLOURS"}


@pytest.mark.parametrize("name", FIGURE_FUNCTIONS)
def test_the_example_in_the_docstring_draws_a_figure(name, names, monkeypatch):
    monkeypatch.chdir(project_root())
    examples = doctest.DocTestParser().get_examples(FIGURE_FUNCTIONS[name].__doc__)
    assert examples and any(f"{name}(" in example.source for example in examples)
    scope = names | OWN_NAMES.get(name, {})
    for example in examples:
        figure = eval(compile(example.source, name, "eval"), scope)
        assert isinstance(figure, Figure) and example.want.startswith("<Figure size")
        FigureCanvasAgg(figure).draw()
