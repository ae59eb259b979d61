"""Explorers: each state gives a figure, each control changes the picture, and what goes wrong is said."""

import io
import threading
import time
from dataclasses import replace

import ipywidgets as widgets
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from affect_core import (
    DAN,
    EMMA,
    MAE,
    AffectError,
    AffectLabels,
    AffectPrediction,
    CoTEX,
    CoTEXConfig,
    DANConfig,
    EMMAConfig,
    MAEConfig,
    ViTConfig,
    explorers,
)
from affect_core.explorers import attention as attention_module
from affect_core.explorers import masking, mixer_face, shell, views
from affect_core.explorers.ablations import AblationState, chosen_settings
from affect_core.explorers.errors import ErrorState, caption, ordered_faces
from affect_core.explorers.mixer_card import MixerCard
from affect_core.labels import ACTION_UNITS, EXPRESSIONS

TINY = ViTConfig(image_size=32, patch_size=8, width=24, depth=2, heads=2)


@pytest.fixture(scope="module")
def emma():
    torch.manual_seed(0)
    prior = DAN(DANConfig(width=4, num_heads=2, small_images=True))
    return EMMA(EMMAConfig(vit=TINY, hidden=16, va_hidden=8), prior).eval()


@pytest.fixture(scope="module")
def cotex():
    torch.manual_seed(1)
    model = CoTEX(CoTEXConfig(vit=TINY)).eval()
    for view in model.views:
        torch.nn.init.normal_(view.head.weight, std=1.0)
    return model


@pytest.fixture(scope="module")
def mae():
    torch.manual_seed(2)
    return MAE(MAEConfig(vit=TINY, decoder_width=16, decoder_depth=1, decoder_heads=2)).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def settings():
    rows = [("1 prior", "MAE or random?", "MAE", True, "p_mtl", 3, 0.9, 0.8, 1.0),
            ("1 prior", "MAE or random?", "random", False, "p_mtl", 3, 0.95, 0.85, 1.05),
            ("1 prior", "few labels?", "MAE", True, "p_mtl", 3, 0.5, 0.4, 0.6),
            ("3 views", "one or two?", "two", True, "expression_f1", 5, 0.45, 0.4, 0.5),
            ("3 views", "one or two?", "one", False, "expression_f1", 5, 0.43, 0.38, 0.48)]  # fmt: skip
    return pd.DataFrame(rows, columns=["claim", "question", "setting", "is_reference", "metric", "seeds", "score",
                                       "low", "high"])  # fmt: skip


@pytest.fixture(scope="module")
def judged():
    """A prediction of 40 faces of 10 videos, its labels (the last face without any), and the pictures."""
    rng = np.random.default_rng(4)
    known = np.arange(40) < 39
    labels = AffectLabels(
        valence_arousal=rng.uniform(-1, 1, (40, 2)), valence_arousal_valid=np.stack([known, known], 1),
        expression=np.arange(40) % 8, expression_valid=known,
        action_units=rng.integers(0, 2, (40, 12)), action_units_valid=np.repeat(known[:, None], 12, 1),
    )  # fmt: skip
    prediction = AffectPrediction(rng.normal(size=(40, 8)), rng.normal(size=(40, 12)), rng.uniform(-1, 1, (40, 2)))
    return prediction, labels, rng.integers(0, 255, (40, 16, 16, 3), np.uint8), np.arange(40) // 4


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def assert_every_control_matters(explorer, values):
    """Moving each named control to its value draws another picture, and nothing goes wrong."""
    assert set(values) <= set(explorer.controls)
    for name, value in values.items():
        before = explorer.picture.value
        explorer.controls[name].value = value
        assert explorer.message.value == "", explorer.message.value
        assert explorer.picture.value != before, f"{name} does not change the picture"


# -- the shell ---------------------------------------------------------------------------------------------------------
def a_plot(height):
    if height > 2:
        raise AffectError("Heights <end> at 2.")
    figure = Figure(figsize=(1, 1))
    figure.add_subplot().bar([0], [1 / height if height else height / 0])
    return figure


def test_an_explorer_shows_a_sentence_in_place_of_a_picture_when_it_fails_and_recovers():
    explorer = shell.Explorer({"height": widgets.FloatText(1.0)}, a_plot)
    assert bytes(explorer.picture.value).startswith(b"\x89PNG") and explorer.message.value == ""
    explorer.controls["height"].value = 3.0
    assert "Heights &lt;end&gt; at 2." in explorer.message.value
    assert explorer.picture.layout.visibility == "hidden", "no old picture beside new controls"
    explorer.controls["height"].value = 2.0
    assert explorer.message.value == "" and explorer.picture.layout.visibility == "visible"


def test_a_mistake_of_the_program_is_shown_and_not_swallowed():
    explorer = shell.Explorer({"height": widgets.FloatText(1.0)}, a_plot)
    with pytest.raises(ZeroDivisionError):
        explorer.controls["height"].value = 0.0
    assert "ZeroDivisionError" in explorer.message.value


def test_several_controls_set_at_once_are_drawn_once():
    drawn = []

    def draw(a, b):
        drawn.append((a, b))
        return b"png"

    explorer = shell.Explorer({"a": widgets.IntText(0), "b": widgets.IntText(0)}, draw)
    with explorer.one_redraw():
        explorer.controls["a"].value = 1
        explorer.controls["b"].value = 2
    assert drawn == [(0, 0), (1, 2)]


def test_threads_of_the_kernel_take_turns_and_the_last_values_are_shown():
    inside, together = [], []

    def draw(height):
        inside.append(height)
        together.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return str(height).encode()

    explorer = shell.Explorer({"height": widgets.FloatText(0.0)}, draw)

    def move(height):
        explorer.controls["height"].value = height

    threads = [threading.Thread(target=move, args=(height,)) for height in (1.0, 2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(together) == {1}, "a card that is drawn twice at a time is drawn twice over itself"
    assert explorer.picture.value == str(explorer.controls["height"].value).encode()


def test_headless_a_sentence_takes_the_place_of_the_widget(monkeypatch):
    made = []

    def some_lab():
        made.append(True)
        return widgets.Label()

    assert "some_lab" in explorers.play(some_lab).data and not made, "no widget, so no state in the notebook"

    class Kernel:
        _allow_stdin = True

    class Shell:
        kernel = Kernel()

    monkeypatch.setattr(shell, "get_ipython", lambda: Shell)
    assert isinstance(explorers.play(some_lab), widgets.Label)
    Kernel._allow_stdin = False
    assert not shell.has_reader()


def test_a_model_in_training_mode_is_refused_by_name(emma):
    with pytest.raises(AffectError, match="EMMA is in training mode"):
        shell.require_eval(EMMA(EMMAConfig(vit=TINY, va_source="vit_scores")).train())
    shell.require_eval(emma)


# -- action-unit mixer -------------------------------------------------------------------------------------------------
def test_presets_are_the_prototypes_and_neutral_is_at_the_origin():
    assert explorers.preset("neutral").shown == {}
    np.testing.assert_array_equal(explorers.preset("neutral").valence_arousal, [0, 0])
    for name in mixer_face.PRESETS[1:]:
        state = explorers.preset(name)
        assert set(mixer_face.PROTOTYPES[name].core) <= set(state.action_units)
        assert all(0 < value <= 1 for value in state.action_units.values())
    assert 26 in explorers.preset("surprise").action_units, "the likeliest variant opens the mouth"
    assert explorers.preset("contempt").asymmetry > 0 == explorers.preset("happiness").asymmetry
    assert explorers.preset("happiness").valence_arousal[0] > 0.3 > 0 > explorers.preset("anger").valence_arousal[0]
    with pytest.raises(AffectError, match="no preset for 'boredom'"):
        explorers.preset("boredom")


def test_intensity_scales_every_action_unit():
    state = explorers.FaceState(action_units={12: 0.8, 6: 0.5}, intensity=0.5)
    assert state.shown == {12: 0.4, 6: 0.25}


def test_an_unknown_action_unit_or_person_is_refused():
    with pytest.raises(AffectError, match="no action unit 3, 99"):
        explorers.render_face(explorers.FaceState(action_units={99: 1.0, 3: 1.0}))
    with pytest.raises(AffectError, match="identity"):
        explorers.render_face(explorers.FaceState(identity=-1))


def test_the_lamp_lights_the_side_it_stands_on():
    states = [explorers.FaceState(lamp_azimuth=azimuth, lamp=2.0) for azimuth in (-80, 80)]
    left, right = (explorers.render_face(state, 48) for state in states)
    face = (slice(16, 32), slice(12, 24)), (slice(16, 32), slice(24, 36))
    assert right[face[1]].mean() > left[face[1]].mean() and left[face[0]].mean() > right[face[0]].mean()


@pytest.mark.parametrize("reads", [True, False])
def test_a_changed_card_is_pixel_for_pixel_a_fresh_one(emma, reads):
    states = explorers.preset("anger"), explorers.preset("happiness")
    card = MixerCard(emma if reads else None, size=32)
    for state in states:
        card.show(state)
        drawn = card.png()
    whole = explorers.mixer_figure(states[-1], emma if reads else None, size=32)
    assert isinstance(whole, Figure)
    np.testing.assert_array_equal(pixels(drawn), pixels(shell.png(whole)))


def test_the_card_shows_emmas_answer(emma):
    card = MixerCard(emma, size=32)
    state = explorers.preset("fear")
    card.show(state)
    from affect_core.augment import prepare

    with torch.no_grad():
        answer = emma(prepare(torch.from_numpy(explorers.render_face(state, 32))[None], 32))
    widths = [bar.get_width() for bar in card._expression_bars]
    np.testing.assert_allclose(widths, answer.expression_logits[0].softmax(0), rtol=1e-4)
    np.testing.assert_allclose([bar.get_width() for bar in card._unit_bars], answer.action_unit_logits[0].sigmoid(),
                               rtol=1e-4)  # fmt: skip
    assert list(card._given.get_xdata()) == [state.shown.get(unit, 0) for unit in ACTION_UNITS]


def test_the_card_says_no_valence_beyond_its_scale(emma, monkeypatch):
    monkeypatch.setattr(emma.va_head, "forward", lambda scores: torch.tensor([[1.31, -1.2]]))
    card = MixerCard(emma, size=32)
    card.show(explorers.preset("neutral"))
    assert "EMMA: valence +1.00, arousal -1.00" in card._words.get_text()
    np.testing.assert_array_equal(np.ravel(card._point.get_data()), [1, -1])


def test_every_slider_of_the_mixer_changes_the_picture(emma):
    explorer = explorers.action_unit_mixer(emma, size=32)
    assert_every_control_matters(explorer, {
        "au4": 0.7, "au43": 1.0, "intensity": 0.6, "asymmetry": 0.9, "identity": 21, "yaw": 20, "pitch": -10,
        "roll": 9, "lamp_azimuth": -80, "lamp_elevation": 60, "lamp": 2.5,
    })  # fmt: skip


def test_a_preset_sets_the_sliders_and_play_runs_from_neutral_to_its_apex():
    explorer = explorers.action_unit_mixer(size=32)
    explorer.presets["surprise"].click()
    apex, expected = explorer.picture.value, explorers.preset("surprise").action_units
    values = {name: control.value for name, control in explorer.controls.items()}
    moved = {name: value for name, value in values.items() if name.startswith("au") and value}
    assert moved == pytest.approx({f"au{unit}": value for unit, value in expected.items()})
    explorer.player.value = 0
    rest = explorer.picture.value
    assert explorer.controls["intensity"].value == 0 and rest != apex
    explorer.player.value = explorer.player.max // 2
    assert explorer.picture.value not in (rest, apex)
    explorer.player.value = explorer.player.max
    assert explorer.picture.value == apex and explorer.controls["intensity"].value == 1
    explorer.presets["neutral"].click()
    assert explorer.picture.value == rest


# -- masking lab -------------------------------------------------------------------------------------------------------
def test_every_control_of_the_masking_lab_changes_the_picture(mae, images):
    explorer = explorers.masking_lab(mae, images)
    assert_every_control_matters(explorer, {"mask_ratio": 0.5, "seed": 3, "image": 2, "norm_pix": False})


def test_visible_patches_stay_and_hidden_ones_are_painted(mae, images):
    state = explorers.MaskingState(mask_ratio=0.5)
    completed, error, mask = masking.paint(state, mae, images[:1])
    assert mask.sum() == 8 and error.shape == (16,)
    shown = masking.denormalize(images[:1])[0].permute(1, 2, 0).numpy()
    hidden = masking.hide(shown[None], mask[None])[0] != shown
    np.testing.assert_allclose(completed[~hidden], shown[~hidden], atol=1e-6)
    assert np.abs(completed - shown)[hidden].mean() > 0.01


def test_the_error_under_norm_pix_is_the_training_loss(mae, images):
    _, error, mask = masking.paint(explorers.MaskingState(mask_ratio=0.75, seed=5), mae, images[:1])
    noise = torch.rand(1, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        loss = float(mae(images[:1], noise=noise, mask_ratio=0.75).loss)
    assert error[mask > 0].mean() == pytest.approx(loss, rel=1e-4)


def test_nothing_hidden_is_a_figure_too(mae, images):
    assert isinstance(explorers.masking_figure(explorers.MaskingState(mask_ratio=0.0), mae, images), Figure)


def test_a_model_of_plain_pixels_has_no_normalisation_to_undo(images):
    plain = MAE(MAEConfig(vit=TINY, decoder_width=16, decoder_depth=1, decoder_heads=2, norm_pix_loss=False)).eval()
    explorer = explorers.masking_lab(plain, images)
    assert explorer.message.value == "" and not explorer.controls["norm_pix"].value
    explorer.controls["norm_pix"].value = True
    assert "no normalisation" in explorer.message.value
    with pytest.raises(AffectError, match="no image 7"):
        explorers.masking_figure(explorers.MaskingState(image=7), plain, images)


# -- two views ---------------------------------------------------------------------------------------------------------
def test_every_control_of_the_two_views_changes_the_picture(cotex, images):
    explorer = explorers.two_views(cotex, images)
    assert_every_control_matters(explorer, {"mask_ratio": 0.75, "seed": 3, "image": 1})


def test_patches_stay_hidden_as_the_ratio_rises_and_the_curve_agrees_with_the_point(cotex, images):
    few, many = (views.answers(explorers.ViewsState(mask_ratio=ratio), cotex, images) for ratio in (0.3, 0.75))
    assert few[1].sum(1).tolist() == [5, 5] and (few[1] <= many[1]).all(), "masks are nested"
    assert (few[1][0] != few[1][1]).any(), "each view has its own"
    np.testing.assert_allclose(many[0].sum(1), 1, rtol=1e-5)
    curve = views.divergence_curve(explorers.ViewsState(), cotex, images)
    assert curve[views.RATIOS.index(0.75)] == pytest.approx(many[2]) and all(0 <= js <= np.log(2) for js in curve)


def test_one_view_cannot_diverge_and_training_mode_is_refused(images):
    with pytest.raises(AffectError, match="one view"):
        explorers.views_figure(explorers.ViewsState(), CoTEX(CoTEXConfig(vit=TINY, views=1)).eval(), images)
    with pytest.raises(AffectError, match="training mode"):
        explorers.views_figure(explorers.ViewsState(), CoTEX(CoTEXConfig(vit=TINY)).train(), images)


# -- attention browser -------------------------------------------------------------------------------------------------
def test_every_control_of_the_attention_browser_changes_the_picture(emma, images):
    explorer = explorers.attention_browser(emma, images)
    assert_every_control_matters(explorer, {"head": 2, "layer": 1, "rollout": True, "target": "AU12", "face": 2})


def test_the_browsers_maps_are_those_of_explain(emma, images):
    attention = attention_module.explain.attention_matrices(emma, images[:1])[0]
    maps = attention_module.explain.class_token_maps(attention)
    one, name = attention_module.attention_map(explorers.AttentionState(layer=2, head=1), attention, "class_token")
    torch.testing.assert_close(one, maps[1, 0])
    assert name == "layer 2,\nhead 1"
    mean, _ = attention_module.attention_map(explorers.AttentionState(layer=1), attention, "class_token")
    torch.testing.assert_close(mean, maps[0].mean(0))
    followed = explorers.AttentionState(layer=2, rollout=True)
    rolled, _ = attention_module.attention_map(followed, attention, "class_token")
    expected = attention_module.explain.attention_rollout(attention[None])[0, -1]
    torch.testing.assert_close(rolled, attention_module.explain.class_token_maps(expected))
    with pytest.raises(AffectError, match="layers 1 to 2 with heads 1 to 2"):
        attention_module.attention_map(explorers.AttentionState(layer=3), attention, "class_token")


def test_the_target_is_an_expression_or_an_action_unit(emma, images):
    with torch.no_grad():
        answer = emma(images)
        for target, expected in (
            ("fear", answer.expression_logits.softmax(1)[:, EXPRESSIONS.index("fear")]),
            ("AU26", answer.action_unit_logits.sigmoid()[:, -1]),
        ):
            torch.testing.assert_close(attention_module.target_probability(emma, images, target), expected)
    with pytest.raises(AffectError, match="AU99"):
        attention_module.target_probability(emma, images, "AU99")


def test_what_is_covered_is_judged_by_log_odds(emma, images):
    with torch.no_grad():
        for target in ("fear", "AU26"):
            odds = attention_module.target_log_odds(emma, images, target)
            torch.testing.assert_close(odds.sigmoid(), attention_module.target_probability(emma, images, target))


def test_two_views_show_the_whole_face_with_its_label(cotex, images):
    names = ["fear"] * len(images)
    figure = explorers.views_figure(explorers.ViewsState(), cotex, images, labels=names)
    assert figure.axes[0].get_title(loc="left") == "annotated: fear"
    assert explorers.views_figure(explorers.ViewsState(), cotex, images).axes[0].get_title(loc="left") == "whole face"


def test_the_caveat_stands_with_the_maps(emma, images):
    figure = explorers.attention_figure(explorers.AttentionState(), emma, images, source="synthetic")
    words = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert attention_module.CAVEAT in words and "synthetic" in words


# -- ablation browser --------------------------------------------------------------------------------------------------
def test_every_control_of_the_ablation_browser_changes_the_picture(settings):
    explorer = explorers.ablation_browser(settings)
    assert_every_control_matters(explorer, {"order": "by score", "questions": ("few labels?",), "claim": "3 views"})
    assert list(explorer.controls["questions"].options) == ["one or two?"], "questions are those of the idea"
    explorer.controls["metric"].value = "p_mtl"
    assert "choose another" in explorer.message.value
    explorer.controls["claim"].value = "all"
    assert explorer.message.value == ""


def test_a_choice_of_the_table_is_what_was_asked_for(settings):
    chosen = chosen_settings(AblationState(claim="1 prior", order="by score"), settings)
    assert list(chosen["score"]) == [0.95, 0.9, 0.5]
    assert set(chosen_settings(AblationState(metric="expression_f1"), settings)["claim"]) == {"3 views"}
    with pytest.raises(AffectError, match="lacks the columns low"):
        explorers.ablation_browser(settings.drop(columns="low"))
    with pytest.raises(AffectError, match="No stored setting"):
        explorers.ablation_browser(settings.iloc[:0])


# -- error browser -----------------------------------------------------------------------------------------------------
def test_every_control_of_the_error_browser_changes_the_picture(judged):
    prediction, labels, pictures, groups = judged
    explorer = explorers.error_browser(prediction, labels, pictures, groups=groups, per_page=4)
    others = {"worst_first": False, "page": 2, "one_a_group": False, "task": "valence_arousal"}
    assert_every_control_matters(explorer, others)
    assert explorer.controls["page"].value == 1, "another order begins at its first page"
    assert_every_control_matters(explorer, {"task": "action_units", "expression": "fear"})
    explorer.controls["page"].value = 9
    assert "there is no page 9" in explorer.message.value


def test_faces_come_in_the_order_of_their_error_and_without_those_nobody_annotated(judged):
    _, labels, _, groups = judged
    error = np.where(np.arange(40) < 39, np.arange(40) / 10, np.nan)
    assert ordered_faces(ErrorState(one_a_group=False), error, labels).tolist() == list(range(38, -1, -1))
    assert ordered_faces(ErrorState(worst_first=False), error, labels, groups).tolist() == list(range(0, 40, 4))
    fearful = ordered_faces(ErrorState(expression="fear", one_a_group=False), error, labels)
    assert set(labels.expression[fearful]) == {EXPRESSIONS.index("fear")} and len(fearful) == 5
    with pytest.raises(AffectError, match="No face is annotated for action units"):
        ordered_faces(ErrorState("action_units"), np.full(40, np.nan), labels)


def test_the_caption_says_no_valence_beyond_its_scale(judged):
    prediction, labels, _, _ = judged
    beyond = prediction.valence_arousal.copy()
    beyond[0] = [1.4, -1.3]
    assert "said +1.0, -1.0" in caption("valence_arousal", 0, replace(prediction, valence_arousal=beyond), labels)


def test_the_caption_has_no_negative_zero(judged):
    prediction, labels, _, _ = judged
    nearly = prediction.valence_arousal.copy()
    nearly[0] = [-0.04, -0.01]
    assert "said +0.0, +0.0" in caption("valence_arousal", 0, replace(prediction, valence_arousal=nearly), labels)


def test_an_unknown_task_is_refused(judged):
    with pytest.raises(AffectError, match="no task 'age'"):
        explorers.error_figure(ErrorState("age"), *judged[:3])
