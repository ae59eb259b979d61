"""Figures keep one visual language, say what they show, and do not disturb the caller."""

import inspect
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from affect_core import figures
from affect_core.figures.alt_text import alt_text
from affect_core.figures.arrays import as_images
from affect_core.figures.attention import common_range, overlay, unit_range
from affect_core.figures.faces import HIDDEN, hide, part_of, pixel_mask
from affect_core.figures.learning import curves_of
from affect_core.figures.reconstructions import flat_patches
from affect_core.figures.style import (
    ACTION_UNIT_COLOURS,
    EXPRESSION_COLOURS,
    EXPRESSION_MARKERS,
    SERIES_COLOURS,
    SERIES_MARKERS,
    count,
    quantity_name,
)
from affect_core.figures.timeline import UNKNOWN
from affect_core.labels import ACTION_UNITS, AFFECTNET_EXPRESSIONS, EXPRESSIONS, LSD_EXPRESSIONS, AffectLabels

RNG = np.random.default_rng(0)
FACES = RNG.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
PLANE = RNG.uniform(-1, 1, (900, 2))
EXPRESSION = RNG.integers(0, 8, 900)
UNITS = (RNG.random((900, 12)) < 0.3).astype(np.float32)
MASKS = np.stack([np.arange(16) % 2 == side for side in (0, 1)])[:, None].repeat(4, axis=1).astype(float)
LOG = [{"epoch": e, "learning_rate": 0.1, "train_total": 3.0 / e, "validation_p_mtl": 0.1 * e} for e in range(1, 6)]
LABELS = AffectLabels(
    PLANE.astype(np.float32),
    np.ones((900, 2), bool),
    EXPRESSION,
    RNG.random(900) < 0.5,
    UNITS,
    np.ones((900, 12), bool),
)
PARTS = {"valence_arousal_ccc": 0.4, "expression_f1": 0.3, "action_unit_f1": 0.5}
TABLE = pd.DataFrame(
    {
        "idea": ["MAE", "MAE", "JS"],
        "setting": ["with", "without", 100],
        "score": [1.0, 0.8, 0.5],
        "metric": ["p_mtl", "p_mtl", "expression_f1"],
        "is_reference": [True, False, True],
        "seed": 0,
    }
)
CURVES_TABLE = pd.DataFrame(
    {
        "panel": "CoTEX", "metric": "expression_f1", "series": ["one", "one", "two"], "x": [0.0, 10.0, 10.0],
        "score": [0.3, 0.2, 0.4], "low": [0.25, 0.1, 0.3], "high": [0.35, 0.3, 0.5],
        "is_reference": [True, False, False],
    }
)  # fmt: skip
SEEDS = pd.DataFrame({"panel": "CoTEX", "metric": "expression_f1", "series": "one", "x": 0.0, "score": [0.28, 0.32]})
PAIRS = pd.DataFrame(
    {
        "panel": "CoTEX", "metric": "expression_f1", "series": ["one", "two"], "relation": ["0 − others", "two − one"],
        "x": 10.0, "origin": [0.0, np.nan], "score": [0.1, 0.2], "low": [0.05, -0.1], "high": [0.15, 0.5],
        "significant": [True, False],
    }
)  # fmt: skip
PAIRED = pd.DataFrame(
    {
        "idea": ["MAE", "JS"], "pair": ["with against without", "100 against 0"], "metric": ["p_mtl", "expression_f1"],
        "first": [1.0, 0.5], "second": [0.8, 0.6], "difference": [0.2, -0.1], "low": [0.1, -0.3], "high": [0.3, 0.1],
        "significant": [True, False], "same_sign": ["3 of 3", "2 of 3"],
    }
)  # fmt: skip
INFLUENCE = pd.DataFrame(
    {"valence": [0.2, -0.1, 0.3], "arousal": [0.0, 0.1, 0.2]},
    index=pd.MultiIndex.from_tuples([("CNN", "fear"), ("ViT", "fear"), ("ViT", "AU12")]),
)
THRESHOLDS = np.linspace(0, 1, 21)
CURVES = np.tile(1 - THRESHOLDS, (12, 1))

SYNTHETIC = "synthetic corpus"
EXAMPLES = {
    "answer_histograms": lambda **k: figures.answer_histograms(
        {"weight 0": np.full((2, 6), 1 / 6), "weight 100": np.eye(6)[4]}, LSD_EXPRESSIONS, truth=np.full(6, 1 / 6), **k
    ),
    "concordance_examples": lambda **k: figures.concordance_examples(**k),
    "paired_differences": lambda **k: figures.paired_differences(PAIRED, note="How to read it.", **k),
    "reliability_diagram": lambda **k: figures.reliability_diagram(RNG.random(300), RNG.random(300) < 0.6, **k),
    "face_sheet": lambda **k: figures.face_sheet(FACES, ["neutral", "anger, v 0.1", "fear", "?"], 2, **k),
    "circumplex_histogram": lambda **k: figures.circumplex_histogram(PLANE, **k),
    "image_sizes": lambda **k: figures.image_sizes([112, 224, 90], [112, 200, 120], [90, 10, 1], **k),
    "face_grid": lambda **k: figures.face_grid(
        FACES.reshape(2, 2, 16, 16, 3), ["Ann", "Ben"], ["neutral", "AU12"], captions=[["A", "B"], ["C", "D"]], **k
    ),
    "reconstruction_sheet": lambda **k: figures.reconstruction_sheet(FACES, np.stack([FACES, FACES]), MASKS, **k),
    "masked_views": lambda **k: figures.masked_views(
        FACES, MASKS, probabilities=np.full((2, 4, 6), 1 / 6), vocabulary=LSD_EXPRESSIONS, divergence=np.zeros(4), **k
    ),
    "learning_curves": lambda **k: figures.learning_curves(LOG, units={"p_mtl": "points"}, **k),
    "js_curve": lambda **k: figures.js_curve(
        [1, 2], {"with": [0.3, 0.1], "without": [0.4, 0.4]}, agreement={"with": [0.5, 0.9]}, **k
    ),
    "confusion_matrix": lambda **k: figures.confusion_matrix(np.diag([0, *range(1, 8)]), EXPRESSIONS, **k),
    "action_unit_bars": lambda **k: figures.action_unit_bars(
        np.full(12, 0.6),
        np.full(12, 0.3),
        published=np.full(12, 0.5),
        low=np.full(12, 0.5),
        high=np.full(12, 0.7),
        n=9,
        **k,
    ),
    "threshold_curves": lambda **k: figures.threshold_curves(
        THRESHOLDS, CURVES, np.full(12, 0.4), validation_f1=CURVES / 2, n=9, **k
    ),
    "valence_arousal_scatter": lambda **k: figures.valence_arousal_scatter(1.2 * PLANE, PLANE, PLANE > -0.9, **k),
    "valence_arousal_plane": lambda **k: figures.valence_arousal_plane(0.5 * PLANE, PLANE, **k),
    "circumplex_density": lambda **k: figures.circumplex_density(PLANE, EXPRESSION, valid=EXPRESSION != 3, **k),
    "label_counts": lambda **k: figures.label_counts({"training": LABELS, "validation": LABELS[:100]}, **k),
    "action_unit_cooccurrence": lambda **k: figures.action_unit_cooccurrence(UNITS, UNITS < 2, **k),
    "score_bars": lambda **k: figures.score_bars(
        {
            "EMMA": PARTS | {"low": 1.1, "high": 1.3},
            "negative": PARTS | {"valence_arousal_ccc": -0.1},
            "first": {"p_mtl": 1.742},
        },
        published=["first"],
        n=900,
        **k,
    ),
    "ablation_plot": lambda **k: figures.ablation_plot(TABLE, **k),
    "ablation_curves": lambda **k: figures.ablation_curves(
        CURVES_TABLE, x_name="weight", scale="symlog", seeds=SEEDS, differences=PAIRS, **k
    ),
    "attention_over_faces": lambda **k: figures.attention_over_faces(
        FACES, RNG.random((4, 2, 4, 4)), ["a", "b"], rows="1234", **k
    ),
    "attention_heads": lambda **k: figures.attention_heads(FACES[0], RNG.random((2, 3, 4, 4)), **k),
    "occlusion_over_faces": lambda **k: figures.occlusion_over_faces(
        FACES, RNG.normal(size=(4, 16, 16)), captions="1234", **k
    ),
    "masking_curve": lambda **k: figures.masking_curve(
        [0.0, 0.5, 0.9], {"both": [0.5, 0.4, 0.2], "view 1": [0.4, 0.3, 0.1]}, trained_at=0.5, constant=0.05, n=9, **k
    ),
    "influence_bars": lambda **k: figures.influence_bars(INFLUENCE, expected={"valence": {"AU12": 1}}, n=9, **k),
    "circumplex_paths": lambda **k: figures.circumplex_paths(
        {"AU12": PLANE[:12].reshape(3, 4, 2), "fear": PLANE[:2]}, references={"AU12": PLANE[:4]}, n=3, **k
    ),
    "attention_distances": lambda **k: figures.attention_distances({"EMMA": RNG.random((3, 2))}, uniform=0.5, **k),
    "photo_with_faces": lambda **k: figures.photo_with_faces(FACES[0], [[2, 2, 8, 9]], names=["fear 60%"], **k),
    "prediction_card": lambda **k: figures.prediction_card(
        FACES[0],
        np.full(8, 1 / 8),
        np.linspace(0, 1, 12),
        (1.5, 0.2),
        expression="fear",
        action_units=UNITS[0],
        target_valence_arousal=(0.1, 0.2),
        **k,
    ),
    "intensity_timeline": lambda **k: figures.intensity_timeline(
        np.arange(30) / 30,
        UNITS[:30],
        PLANE[:30],
        expression=np.arange(30) // 10 - 1,
        images=FACES,
        cuts=[0.5],
        target_valence_arousal=PLANE[:30],
        **k,
    ),
}
WITHOUT_EXAMPLE = {"draw_circumplex", "ACTION_UNIT_COLOURS", "EXPRESSION_COLOURS"}


HOSTILE = r"a$\frac$.jpg"
"""A name that is wrong as TeX."""
WITH_USERS_NAMES = {
    "face_sheet": lambda name: figures.face_sheet(FACES[:2], [name, name]),
    "face_grid": lambda name: figures.face_grid(FACES.reshape(2, 2, 16, 16, 3), [name] * 2, [name] * 2),
    "masked_views": lambda name: figures.masked_views(
        FACES, MASKS, probabilities=np.full((2, 4, 2), 1 / 2), vocabulary=[name, "b"]
    ),
    "learning_curves": lambda name: figures.learning_curves([{f"train_{name}": 1.0}], units={name: name}),
    "js_curve": lambda name: figures.js_curve([1, 2], {name: [0.1, 0.2], "b": [0.2, 0.1]}, x_name=name),
    "confusion_matrix": lambda name: figures.confusion_matrix(np.eye(2), [name, "b"], unit=name),
    "action_unit_bars": lambda name: figures.action_unit_bars(
        np.full(12, 0.6), np.full(12, 0.3), published=np.full(12, 0.5), published_name=name
    ),
    "valence_arousal_scatter": lambda name: figures.valence_arousal_scatter(PLANE, PLANE, unit=name),
    "circumplex_density": lambda name: figures.circumplex_density(PLANE, EXPRESSION % 2, [name, "b"], unit=name),
    "circumplex_histogram": lambda name: figures.circumplex_histogram(PLANE, unit=name),
    "image_sizes": lambda name: figures.image_sizes([112, 224], [112, 200], [90, 10], unit=name),
    "reliability_diagram": lambda name: figures.reliability_diagram(PLANE[:, 0] % 1, EXPRESSION > 2, unit=name),
    "label_counts": lambda name: figures.label_counts(
        {name: AffectLabels.missing(3, (name, "b")), "b": AffectLabels.missing(3, (name, "b"))}
    ),
    "score_bars": lambda name: figures.score_bars({name: PARTS, name + "2": PARTS}, published=[name]),
    "paired_differences": lambda name: figures.paired_differences(PAIRED.assign(idea=name, pair=name, metric=name)),
    "answer_histograms": lambda name: figures.answer_histograms({name: [0.5, 0.5]}, [name, "b"], unit=name),
    "ablation_plot": lambda name: figures.ablation_plot(TABLE.assign(idea=name, setting=name, metric=name)),
    "ablation_curves": lambda name: figures.ablation_curves(
        CURVES_TABLE.assign(panel=name, series=name), x_name=name, tick=lambda x: name, note=name
    ),
    "attention_over_faces": lambda name: figures.attention_over_faces(
        FACES, RNG.random((4, 1, 4, 4)), [name], rows=[name] * 4
    ),
    "occlusion_over_faces": lambda name: figures.occlusion_over_faces(
        FACES, RNG.normal(size=(4, 16, 16)), captions=[name] * 4, score_name=name
    ),
    "masking_curve": lambda name: figures.masking_curve([0.0, 0.5], {name: [0.5, 0.4]}, score_name=name),
    "influence_bars": lambda name: figures.influence_bars(INFLUENCE.rename({"CNN": name, "fear": name})),
    "circumplex_paths": lambda name: figures.circumplex_paths({name: PLANE[:3]}),
    "attention_distances": lambda name: figures.attention_distances({name: RNG.random((3, 2))}),
    "photo_with_faces": lambda name: figures.photo_with_faces(FACES[0], [[2, 2, 8, 9]], names=[name]),
    "prediction_card": lambda name: figures.prediction_card(
        FACES[0], np.full(2, 1 / 2), np.full(12, 0.5), (0, 0), vocabulary=[name, "b"]
    ),
    "intensity_timeline": lambda name: figures.intensity_timeline(
        np.arange(30) / 30, UNITS[:30], PLANE[:30], expression=np.zeros(30, int), vocabulary=[name], value_name=name
    ),
}
"""The figures that print names of files, folders, classes or settings, with such a name in every place for one."""


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(plt.Text))


def draw(figure):
    """Draws it for good: a closed figure's own canvas draws nothing."""
    FigureCanvasAgg(figure).draw()
    return figure


def test_every_public_figure_function_is_tried_here():
    assert set(EXAMPLES) == set(figures.__all__) - WITHOUT_EXAMPLE


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_figure_draws_says_its_source_and_is_closed(name):
    before, setting = plt.get_fignums(), plt.rcParams["font.size"]
    figure = draw(EXAMPLES[name](source=SYNTHETIC, title="What is shown"))
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == before and plt.rcParams["font.size"] == setting
    assert "What is shown" in words(figure) and SYNTHETIC in words(figure)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_title_or_source_named_after_a_file_is_printed_as_it_is(name):
    figure = draw(EXAMPLES[name](source=HOSTILE, title=f"{HOSTILE} caf\udce9.jpg"))
    assert words(figure).count(HOSTILE) == 2 and "caf?.jpg" in words(figure), "neither TeX nor bytes that are no text"
    printed = [text.get_text() for text in figure.findobj(plt.Text) if text not in figure.texts]
    assert not any("$" in text for text in printed), "nor are numbers of an axis TeX that nobody typesets"


@pytest.mark.parametrize("name", WITH_USERS_NAMES)
def test_names_of_files_and_labels_are_no_mathematics(name):
    figure = draw(WITH_USERS_NAMES[name](HOSTILE))
    assert HOSTILE in words(figure)
    visible = [text for text in figure.findobj(plt.Text) if text.get_visible()]
    assert not any(text.get_parse_math() for text in visible if HOSTILE in text.get_text())


@pytest.mark.parametrize("largest", [1, 3, 40, 20_000])
def test_a_colour_bar_of_counts_is_labelled_with_whole_numbers(largest):
    bar = draw(figures.circumplex_histogram([[0.05, 0.05]] * largest)).axes[-1]
    shown = [text.get_text() for text in bar.get_yticklabels(which="both") if text.get_text()]
    assert "1" in shown and all(text.isdigit() for text in shown)


def test_a_blank_name_has_no_expression_and_is_drawn():
    boxes = draw(figures.photo_with_faces(FACES[0], [[2, 2, 8, 9]], names=[" "])).axes[0].patches
    assert {box.get_bbox().bounds for box in boxes} == {(2, 2, 8, 9)}
    lines = draw(figures.circumplex_paths({" ": PLANE[:3]})).axes[0].lines
    assert any(np.allclose(line.get_xydata()[-1:], PLANE[2:3]) for line in lines)


def test_a_point_beyond_the_plane_is_an_arrow_on_its_border():
    def point(valence_arousal):
        axes = figures.prediction_card(FACES[0], np.full(8, 1 / 8), np.full(12, 0.4), valence_arousal).axes[-1]
        return axes.lines[-1].get_xydata()[0].tolist(), axes.lines[-1].get_marker()

    assert point((0.4, 0.2)) == ([0.4, 0.2], "o")
    assert point((1.5, 0.2)) == ([1.0, 0.2], (3, 0, -90.0)), "to the right"
    assert point((0.5, 1.2))[1] == (3, 0, 0.0) and point((-1.2, -1.2))[1] == (3, 0, 135.0)
    assert "beyond the plane" in words(EXAMPLES["prediction_card"]())


def test_the_name_of_a_quadrant_makes_room_for_a_point():
    card = figures.prediction_card(FACES[0], np.full(8, 1 / 8), np.full(12, 0.4), (-1, -1)).axes[-1]
    places = {text.get_text(): text.get_position()[1] for text in card.texts}
    assert places["depressed"] == -0.8 and places["distressed"] == 1


def test_the_card_reports_valence_and_arousal_within_their_range():
    figure = EXAMPLES["prediction_card"]()
    assert "valence above +1.00, arousal +0.20" in words(figure) and "1.50" not in words(figure)
    lines = figures.intensity_timeline(np.arange(3.0), UNITS[:3], [[1.3, -2.0]] * 3).axes[-1].lines
    assert max(np.abs(line.get_ydata()).max() for line in lines) == 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_docstring_has_shapes_and_an_example(name):
    function = getattr(figures, name)
    assert f">>> {name}(" in function.__doc__
    assert "source" in inspect.signature(function).parameters


@pytest.mark.parametrize(
    "name",
    ["valence_arousal_scatter", "valence_arousal_plane", "circumplex_density", "circumplex_paths",
     "circumplex_histogram"],
)
def test_valence_arousal_axes_span_minus_one_to_one_with_equal_aspect(name):
    axes = [one for one in EXAMPLES[name]().axes if "valence" in one.get_xlabel() or "arousal" in one.get_xlabel()]
    assert axes
    for one in axes:
        assert one.get_aspect() == 1 and one.get_xlim() == one.get_ylim() == (-1.04, 1.04)


def test_every_expression_and_action_unit_has_a_colour_of_its_own():
    names = {*EXPRESSIONS, *AFFECTNET_EXPRESSIONS, *LSD_EXPRESSIONS}
    assert set(EXPRESSION_COLOURS) == set(EXPRESSION_MARKERS) == names
    assert len(set(EXPRESSION_COLOURS.values())) == len(set(EXPRESSION_MARKERS.values())) == len(names)
    assert tuple(ACTION_UNIT_COLOURS) == ACTION_UNITS and len(set(ACTION_UNIT_COLOURS.values())) == 12


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_expression_colours_stay_apart_for_colour_blind_readers(deficiency):
    rgb = np.array([to_rgb(colour) for colour in EXPRESSION_COLOURS.values()])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(DEFICIENCIES[deficiency]).T, 0, 1)
    lab = cielab(seen)
    smallest = min(np.linalg.norm(one - other) for one, other in itertools.combinations(lab, 2))
    assert smallest > 11  # CIE 1976; 2.3 is just noticeable


def cielab(linear):
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def test_faces_may_be_bytes_floats_grey_channels_first_or_tensors():
    expected = FACES / 255
    for images in (FACES, expected, FACES.transpose(0, 3, 1, 2), torch.from_numpy(FACES).permute(0, 3, 1, 2)):
        np.testing.assert_allclose(as_images(images), expected, atol=1e-6)
    assert as_images(FACES[..., 0]).shape == FACES.shape
    with pytest.raises(ValueError, match="faces must be"):
        as_images(np.zeros((2, 8, 8, 4)))


def test_a_hidden_patch_is_painted_over_row_by_row_from_the_upper_left():
    mask = np.zeros((1, 4))
    mask[0, 1] = 1
    assert pixel_mask(mask, 4, 4)[0].tolist() == [[False, False, True, True]] * 2 + [[False] * 4] * 2
    hidden = hide(FACES[:1], mask)[0]
    np.testing.assert_allclose(hidden[:8, 8:], np.broadcast_to(HIDDEN, (8, 8, 3)))
    np.testing.assert_allclose(hidden[8:], FACES[0, 8:] / 255, atol=1e-6)
    with pytest.raises(ValueError, match="square"):
        pixel_mask(np.zeros((1, 5)), 4, 4)


def test_a_grid_names_rows_columns_and_faces_and_colours_expressions():
    words = {text.get_text(): text for text in EXAMPLES["face_grid"]().axes[0].texts}
    assert set(words) == {"Ann", "Ben", "neutral", "AU12", "A", "B", "C", "D"}
    assert words["neutral"].get_color() == EXPRESSION_COLOURS["neutral"] != words["AU12"].get_color()


def test_a_moment_without_annotation_is_grey_and_not_the_white_of_inactive():
    units = np.zeros((4, 12))
    units[1] = np.nan
    panels = figures.intensity_timeline(np.arange(4.0), units, np.zeros((4, 2)), expression=[0, -1, 0, 0]).axes
    heat = next(axes for axes in panels if axes.collections)
    cells = heat.collections[0].get_array().reshape(12, 4)
    assert np.ma.getmaskarray(cells)[:, 1].all() and not np.ma.getmaskarray(cells)[:, [0, 2, 3]].any()
    assert heat.get_facecolor()[:3] == to_rgb(UNKNOWN) != to_rgb("white") and heat.patch.get_hatch()


def test_a_timeline_starts_at_its_first_frame_and_names_every_expression_however_short():
    said, truth = np.zeros(50, int), np.full(50, 4)
    said[-1], truth[:3] = 3, -1
    figure = draw(
        figures.intensity_timeline(
            np.arange(50) / 10, UNITS[:50], PLANE[:50], expression=said, target_expression=truth,
            missing_name="not annotated",
        )
    )  # fmt: skip
    assert figure.axes[0].get_xlim() == (0, 4.9)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["neutral", "fear", "happiness", "not annotated"]
    assert "predicted" in words(figure) and "annotated" in words(figure)


def test_the_divergence_may_be_drawn_over_something_other_than_epochs():
    drawn = figures.js_curve([0.5, 0.9], {"two views": [0.0, 0.3]}, x_name="certainty")
    assert drawn.axes[0].get_xlabel() == "certainty"


def test_the_baseline_of_a_reconstruction_borrows_the_mean_of_each_patch():
    flat = flat_patches(FACES, 16)
    assert np.ptp(flat[:, :4, :4], axis=(1, 2)).max() < 1e-6, "one brightness in a patch"
    normalised = (as_images(FACES) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    told = (flat - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(told[:, :4, :4].mean((1, 2, 3)), normalised[:, :4, :4].mean((1, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(flat_patches(flat, 16), flat, atol=1e-6)


def test_a_perfect_reconstruction_is_shown_with_error_zero():
    assert "MSE 0.0000" in words(EXAMPLES["reconstruction_sheet"]())


def test_a_confusion_speaks_of_its_unit_and_leaves_empty_cells_blank():
    figure = figures.confusion_matrix([[999, 1], [0, 5]], ("fear", "anger"), unit="frames")
    assert figure.axes[0].get_ylabel() == "annotated (frames)"
    assert [text.get_text() for text in figure.axes[0].texts] == ["100", "999", "<1", "1", "100", "5"]


def test_confusion_rows_are_shares_of_the_annotated_class():
    counts = np.zeros((2, 2))
    counts[0] = [3, 1]
    text = words(figures.confusion_matrix(counts, ("fear", "anger")))
    assert "75" in text and "25" in text and "fear  (4)" in text and "n = 4 faces" in text and "accuracy 0.75" in text
    with pytest.raises(ValueError, match="3 x 3"):
        figures.confusion_matrix(counts, ("fear", "anger", "joy"))


def test_scatter_counts_what_is_annotated_and_what_left_the_square():
    prediction, target = np.array([[0.5, 1.5], [0.1, 0.2], [0, 0]]), np.array([[0.5, 0.5], [0.2, 0.1], [0, 0]])
    valid = np.array([[True, True], [True, True], [False, False]])
    text = words(figures.valence_arousal_scatter(prediction, target, valid))
    assert "n = 2 faces" in text and "1 beyond ±1" in text
    assert "CCC undefined" in words(figures.valence_arousal_scatter(prediction, target, np.zeros_like(valid)))


def test_score_bars_sum_the_parts_and_what_is_published_has_words_and_no_bar():
    figure = EXAMPLES["score_bars"]()
    assert "1.20" in words(figure) and "first 1.74" in words(figure) and "not comparable" in words(figure)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["EMMA", "negative"] and len(figure.axes[0].patches) == 6


def test_an_interval_need_not_hold_the_sum_it_belongs_to():
    (line,) = draw(figures.score_bars({"EMMA": PARTS | {"low": 1.3, "high": 1.5}})).axes[0].collections
    np.testing.assert_allclose(line.get_segments()[0][:, 0], [1.3, 1.5])


def test_a_sum_that_is_not_defined_is_left_out_of_the_bars_in_words():
    text = words(
        figures.score_bars({"EMMA": PARTS, "no labels": PARTS | {"valence_arousal_ccc": np.nan, "p_mtl": np.nan}})
    )
    assert "undefined" in text


def test_ablation_ideas_of_another_metric_have_their_own_axis():
    panels = EXAMPLES["ablation_plot"]().axes
    assert [panel.get_xlabel() for panel in panels] == ["P_MTL", "macro F1 of expressions"]
    assert panels[0].get_xlim() != panels[1].get_xlim()
    with pytest.raises(ValueError, match="setting"):
        figures.ablation_plot(TABLE.drop(columns="setting"))


def test_paired_differences_stand_in_the_rows_of_their_settings():
    pairs = pd.DataFrame(
        {
            "idea": ["MAE"], "setting": ["without"], "difference": [-0.2], "low": [-0.3], "high": [0.1],
            "significant": [False], "same_sign": ["2 of 3"],
        }
    )  # fmt: skip
    figure = draw(figures.ablation_plot(TABLE, differences=pairs, note="How to read it."))
    assert "−0.200, sign in 2 of 3" in words(figure) and "How to read it." in words(figure)
    (beside,) = [axes for axes in figure.axes if any("sign in" in text.get_text() for text in axes.texts)]
    (interval,) = beside.collections
    np.testing.assert_allclose(interval.get_segments()[0], [[-0.3, 1], [0.1, 1]])
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names[1] == "without" and beside.get_ylim() == figure.axes[0].get_ylim()


def test_a_curve_has_its_intervals_seeds_and_a_tick_at_every_value_that_was_tried():
    above, below = draw(EXAMPLES["ablation_curves"]()).axes
    drawn = np.concatenate([lines.get_segments() for lines in above.collections])
    np.testing.assert_allclose(drawn, [[[0, 0.25], [0, 0.35]], [[10, 0.1], [10, 0.3]], [[10, 0.3], [10, 0.5]]])
    dots = [line for line in above.lines if line.get_marker() == "."]
    assert sorted(np.concatenate([line.get_ydata() for line in dots])) == [0.28, 0.32]
    assert [text.get_text() for text in below.get_xticklabels()] == ["0", "10"]
    paths = [line.get_xydata().tolist() for line in above.lines if line.get_linestyle() == "-"]
    assert paths[0] == [[0, 0.3], [10, 0.2]], "the points of a series are joined"


def test_a_difference_is_filled_if_significant_and_starts_where_it_is_zero():
    below = EXAMPLES["ablation_curves"]().axes[1]
    path = next(line for line in below.lines if line.get_linestyle() == "-" and len(line.get_xydata()) == 2
                and list(line.get_xdata()) == [0, 10])  # fmt: skip
    assert list(path.get_ydata()) == [0, 0.1]
    marked = {float(line.get_ydata()[0]): line.get_markerfacecolor() for line in below.lines
              if line.get_marker() not in ("None", "|") and len(line.get_xydata()) == 1}  # fmt: skip
    assert marked[0.2] == "white" and marked[0.1] == SERIES_COLOURS[0]
    with pytest.raises(ValueError, match="lacks the columns"):
        figures.ablation_curves(CURVES_TABLE.drop(columns="low"), x_name="weight")


@pytest.mark.parametrize("moments", [np.arange(90), np.r_[np.arange(40), 80], [0, 3, 89]], ids=["all", "gap", "three"])
def test_thumbnails_of_a_video_stand_side_by_side_in_order_near_their_times(moments):
    pictures = np.repeat(np.linspace(0, 1, 90)[moments], 4 * 4 * 3).reshape(-1, 4, 4, 3)
    strip = draw(figures.intensity_timeline(np.arange(90) / 30, np.zeros((90, 12)), np.zeros((90, 2)), images=pictures,
                                            image_times=np.asarray(moments) / 30)).axes[0]  # fmt: skip
    insets = strip.child_axes
    places = [inset.get_position() for inset in insets]
    assert 1 < len(insets) <= 10
    assert all(one.x1 <= other.x0 + 1e-9 for one, other in itertools.pairwise(places))
    shown = [float(inset.images[0].get_array().flat[0]) for inset in insets]
    assert shown == sorted(set(shown))
    if len(moments) == 90:
        np.testing.assert_allclose(shown, (np.arange(10) + 0.5) / 10, atol=0.02)


def test_the_colours_of_series_are_among_those_that_are_held_apart():
    assert set(SERIES_COLOURS) <= set(EXPRESSION_COLOURS.values()) and len(set(SERIES_COLOURS)) == len(SERIES_MARKERS)


def test_an_undefined_ablation_score_does_not_take_the_others_with_it():
    assert "0.800" in words(figures.ablation_plot(TABLE.assign(score=[np.nan, 0.8, np.nan])))


def test_ablation_seeds_of_one_setting_are_drawn_as_their_mean():
    table = pd.DataFrame({"idea": "MAE", "setting": "with", "score": [1.0, 2.0], "seed": [0, 1]})
    text = words(figures.ablation_plot(table))
    assert "1.500" in text and "2 seeds" in text


def test_curves_are_read_from_flat_and_nested_records_alike():
    flat = curves_of(
        [{"epoch": 1, "train_loss": 2.0, "validation_loss": 3.0}, {"epoch": 2, "train_loss": float("nan")}]
    )
    nested = curves_of([{"epoch": 1, "train": {"loss": 2.0}, "val": {"loss": 3.0}, "seconds": 5}])
    assert flat.keys() == nested.keys() == {"loss"}
    np.testing.assert_array_equal(flat["loss"]["training"], [[1], [2]])
    np.testing.assert_array_equal(flat["loss"]["validation"], nested["loss"]["validation"])


def test_the_learning_rate_is_drawn_only_when_asked_for():
    assert "learning rate" not in words(figures.learning_curves(LOG))
    assert "learning rate" in words(figures.learning_curves(LOG, ["learning_rate"]))
    with pytest.raises(ValueError, match="p_mtl"):
        figures.learning_curves(LOG, ["bleu"])


def test_the_best_epoch_is_low_for_losses_and_high_for_scores():
    text = words(figures.learning_curves([{"validation_loss": v, "validation_p_mtl": v} for v in (0.7, 0.3, 0.9)]))
    assert "0.3" in text and "0.9" in text and "0.7" not in text.split("epoch")[-1]


def test_a_flat_map_lays_nothing_over_the_face():
    face = as_images(FACES)[0]
    flat = overlay(face, unit_range(np.ones((4, 4))))
    np.testing.assert_allclose(flat, overlay(face, np.zeros((4, 4))))


def test_cooccurrence_is_the_share_of_the_rows_unit():
    units = np.zeros((4, 12))
    units[:, 0] = [1, 1, 0, 0]
    units[:, 1] = [1, 0, 0, 0]
    matrix = figures.action_unit_cooccurrence(units).axes[0].images[0].get_array()
    assert matrix[0, 1] == 50 and matrix[1, 0] == 100 and np.isnan(np.asarray(matrix.filled(np.nan))[5, 0])


def test_the_base_rates_stand_below_the_columns_they_belong_to():
    below = figures.action_unit_cooccurrence(UNITS).axes[1].images[0].get_array()
    np.testing.assert_allclose(below[0], 100 * UNITS.mean(axis=0))


def test_the_kept_epoch_is_one_dashed_line_in_every_panel_and_its_value_is_below_the_axis():
    n = {"training": 70, "validation": 8}
    figure = figures.learning_curves(LOG, ["total", "p_mtl"], kept=4, n=n, unit="frames")
    assert [axes.get_xlabel() for axes in figure.axes] == ["epoch (at 4: 0.750)", "epoch (at 4: 0.400)"]
    assert all([4, 4] in [list(line.get_xdata()) for line in axes.lines] for axes in figure.axes)
    assert "n = training 70, validation 8 frames" in words(figure) and figure.axes[0].get_ylabel() == "loss"


def test_a_level_to_compare_with_is_drawn_where_it_was_asked_for():
    first, second = figures.learning_curves(LOG, ["total", "p_mtl"], references={"total": 1.0}).axes
    assert "knows nothing" in [text.get_text() for text in first.texts] and not second.texts


def test_what_nobody_annotated_has_no_panel_and_all_splits_are_counted():
    stills = AffectLabels.missing(5, ("fear", "anger"))
    stills.expression[:], stills.expression_valid[:] = [0, 0, 0, 1, 1], True
    figure = figures.label_counts({"training": stills, "validation": stills[:2]})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["expressions", "annotated at all"]
    assert "3 / 2" in words(figure) and "5 / 2" in words(figure)


def test_maps_on_one_range_keep_their_proportion():
    maps = np.stack([np.eye(4), 0.01 * np.eye(4)])[None]
    assert common_range(maps, (0, 1))[0, 1].max() == pytest.approx(0.01) and common_range(maps, ())[0, 1].max() == 1


def test_the_largest_drop_stands_under_each_map():
    drops = np.zeros((2, 8, 8))
    drops[0, 0, 0], drops[1, 1, 1] = 1.5, -0.5
    assert {"+1.5", "−0.5"} <= set(words(figures.occlusion_over_faces(FACES[:2], drops)).split())


def test_coarse_maps_are_drawn_as_their_cells():
    blocks = overlay(np.full((8, 8, 3), 0.5), np.eye(2))
    assert len(np.unique(blocks.round(6).reshape(-1, 3), axis=0)) == 2


def test_captions_are_broken_where_they_would_touch():
    figure = figures.face_grid(FACES[None, :1], captions=[["1+2+4+5+7+20+25+26"]])
    assert [text.get_text() for text in figure.axes[0].texts] == ["1+2+4+5+7+20+", "25+26"]


def test_the_upper_half_of_a_face_is_a_square_above_the_lower_one():
    assert part_of(FACES[0], "upper").shape == part_of(FACES[0], "lower").shape == (10, 10, 3)
    np.testing.assert_array_equal(part_of(FACES[0], "upper"), FACES[0, 2:12, 3:13])


def test_a_rule_is_the_annotation_whatever_the_caption_says_first():
    sheet = figures.face_sheet(FACES[:1], ["fear 81%\nlabel: anger"], annotated=["anger"])
    assert sheet.axes[0].lines[0].get_color() == EXPRESSION_COLOURS["anger"] and "bar: annotated" in words(sheet)


def test_the_three_predictors_have_the_ccc_that_their_captions_say():
    assert [axes.get_title(loc="left") for axes in figures.concordance_examples().axes] == [
        "perfect: CCC 1.00", "shifted: CCC 0.57", "half as wide: CCC 0.80",
    ]  # fmt: skip


def test_changes_are_printed_with_their_sign():
    table = pd.DataFrame({"idea": "JS", "setting": ["a", "b"], "score": [0.012, -0.2], "metric": "change of P_MTL"})
    figure = figures.ablation_plot(table, signed=True)
    assert "+0.012" in words(figure) and "−0.200" in words(figure) and "change of P_MTL" in words(figure)
    assert quantity_name("gradient_noise") == "gradient noise" and quantity_name("change of P_MTL") == "change of P_MTL"


def test_ideas_of_one_metric_share_the_axis_of_their_differences():
    assert "How to read it." in words(EXAMPLES["paired_differences"]())
    figure = draw(figures.paired_differences(PAIRED.assign(metric="p_mtl")))
    limits = [axes.get_xlim() for axes in figure.axes]
    assert limits[0] == limits[2] and limits[1] == limits[3] and limits[0] != limits[1]
    with pytest.raises(ValueError, match="same_sign"):
        figures.paired_differences(PAIRED.drop(columns="same_sign"))


def test_one_is_counted_in_the_singular():
    assert [count(1), count(2), count(1, "people"), count(0, "frames")] == [
        "n = 1 face", "n = 2 faces", "n = 1 person", "n = 0 frames",
    ]  # fmt: skip


def test_intervals_of_masking_and_divergence_are_bands():
    limits = np.array([[0.4, 0.6], [0.2, 0.5]])
    curve = figures.masking_curve([0.0, 0.5], {"added": [0.5, 0.4]}, intervals={"added": limits})
    js = figures.js_curve([0, 1], {"a": [0.1, 0.2]}, intervals={"a": limits}, n=8, unit="frames")
    assert len(curve.axes[0].collections) == len(js.axes[0].collections) == 1 and "n = 8 frames" in words(js)


def test_a_figure_says_itself_in_words():
    figure = figures.concordance_examples()
    said = alt_text(figure)
    assert said.startswith("What the CCC asks for. n = 40 made-up faces")
    assert said.endswith("Across: annotated valence. Upwards: predicted valence.")
    assert "Panels: perfect: CCC 1.00; shifted: CCC 0.57; half as wide: CCC 0.80." in said
    figure.affect_caption = "Three ways to miss?"
    assert alt_text(figure) == f"Three ways to miss? {said}"


def test_many_panels_are_counted_and_none_are_not_mentioned():
    figure, axes = plt.subplots(1, 12)
    assert alt_text(figure) == ""
    for number, panel in enumerate(axes):
        panel.set_title(f"face\n{number}")
    assert alt_text(figure) == "Panels: " + "; ".join(f"face {number}" for number in range(8)) + "; and 4 more."
    plt.close(figure)
