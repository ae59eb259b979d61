"""Ablations along an axis: what lies on it, who is compared with whom, and what is said about both."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from affect_core.errors import AffectError
from affect_core.experiments import COMPARISONS, cells
from affect_core.explorers import AblationState, ablation_browser, ablation_figure
from affect_core.explorers.ablation_axes import AXES, SETTINGS, factors, placed, placed_differences, seeds_of
from affect_core.explorers.ablations import SHOWN
from affect_core.explorers.shell import png

BOTH = SHOWN[1]


def score_of(setting, seed):
    """A made-up score: a fixed number for each setting, and something for the seed."""
    return round(0.2 + 0.001 * (sum(map(ord, setting.slug)) % 97) + 0.01 * seed, 5)


@pytest.fixture(scope="module")
def tables():
    """(settings, differences, cells) of every comparison, as `evidence_tables.write_tables` writes them."""
    settings, differences = [], []
    for one in COMPARISONS:
        name, reference = next(iter(one.settings.items()))
        for other, setting in one.settings.items():
            seeds = one.seeds_of(other)
            score = np.mean([score_of(setting, seed) for seed in range(seeds)])
            settings.append((one.claim, one.question, other, other == name, one.metric, seeds, score, score - 0.05,
                             score + 0.05))  # fmt: skip
            if other != name:
                gap = score_of(reference, 0) - score_of(setting, 0)
                differences.append((one.claim, one.question, one.metric, name, other, seeds, gap, gap - 0.01,
                                    gap + 0.01, 0.04 if gap > 0 else 0.5, f"{seeds} of {seeds}"))  # fmt: skip
    rows = [{"cell": cell.name, **dict.fromkeys(("p_mtl", "expression_f1", "valence_arousal_ccc"),
                                                score_of(cell.setting, cell.seed))} for cell in cells()]  # fmt: skip
    return (
        pd.DataFrame(settings, columns=["claim", "question", "setting", "is_reference", "metric", "seeds", "score",
                                        "low", "high"]),
        pd.DataFrame(differences, columns=["claim", "question", "metric", "reference", "alternative", "seeds",
                                           "difference", "low", "high", "p_corrected", "same_sign"]),
        pd.DataFrame(rows),
    )  # fmt: skip


def words(figure):
    return " ".join(text.get_text().replace("\n", " ") for text in figure.texts)


@pytest.mark.parametrize("axis", AXES)
def test_a_series_varies_along_the_axis_alone(axis, tables):
    rows = placed(tables[0], axis)
    for _, series in rows.groupby(["panel", "metric", "series"]):
        made_of = [factors(SETTINGS[pair]) for pair in zip(series["question"], series["setting"], strict=True)]
        assert len({one.pop(axis) for one in made_of}) == len(series) >= 2
        assert all(one == made_of[0] for one in made_of)


def test_the_share_of_labels_is_laid_out_for_both_models_from_mae_and_from_random(tables):
    rows = placed(tables[0], "labels")
    assert set(rows["panel"]) == {"EMMA", "CoTEX"} and set(rows["series"]) == {"MAE", "random weights"}
    for _, series in rows.groupby(["panel", "series"]):
        assert list(series["x"]) == [0.01, 0.1, 1.0]


def test_series_are_named_by_what_tells_them_apart(tables):
    assert set(placed(tables[0], "mask_ratio")["series"]) == {
        "1 view", "2 views", "1 view, 5x schedule", "2 views, batch enlarged", "2 views, 5x schedule",
        "2 views, JS weight 100, 5x schedule",
    }  # fmt: skip
    assert set(placed(tables[0], "pretraining_ratio")["series"]) == {"EMMA", "CoTEX"}
    faces = placed(tables[0], "pretraining_faces")
    assert set(faces.loc[faces["series"] == "10% of the labels", "x"]) == {0.0, 0.1, 1.0}, "random weights saw none"


def test_a_setting_of_several_questions_appears_once_with_the_most_seeds(tables):
    rows = placed(tables[0], "mask_ratio")
    once = rows[(rows["series"] == "2 views") & (rows["x"] == 0.75)]
    assert list(once["seeds"]) == [5], "three seeds under the question of the batch, five under that of the ratio"
    ringed = rows[rows["is_reference"]]
    assert set(zip(ringed["series"], ringed["x"], strict=True)) == {
        ("2 views", 0.5), ("2 views, batch enlarged", 0.75), ("2 views, 5x schedule", 0.5),
    }  # fmt: skip


def test_every_seed_is_a_dot_and_their_mean_is_the_score(tables):
    rows = placed(tables[0], "js_weight")
    dots = seeds_of(rows, tables[2])
    means = dots.groupby(["series", "x"])["score"].mean()
    for row in rows.itertuples():
        assert means[row.series, row.x] == pytest.approx(row.score)
    assert len(dots) == rows["seeds"].sum()


def test_only_pairs_that_differ_in_one_thing_are_compared_along_an_axis(tables):
    rows = placed(tables[0], "mask_ratio")
    pairs = placed_differences(rows, tables[1], "mask_ratio")
    relations = {relation: list(group["x"]) for relation, group in pairs.groupby("relation")}
    assert relations == {
        "0.5 − others: 2 views": [0, 0.25, 0.75, 0.9],
        "0.75 − others: 2 views, batch enlarged": [0.5, 0.9],
        "2 views − 1 view": [0.5],
        "2 views, batch enlarged − 2 views": [0.75],
        "0.5 − others: 2 views, 5x schedule": [0.75],
        "2 views, 5x schedule − 1 view, 5x schedule": [0.5],
        "2 views, 5x schedule − 2 views, JS weight 100, 5x schedule": [0.5],
    }, "0 with a fixed batch differs from 0.75 with an enlarged one in both"
    assert set(pairs["origin"].dropna()) == {0.5, 0.75}


def test_a_pair_of_several_questions_is_compared_once_with_the_most_seeds(tables):
    settings, differences, _ = tables
    few = (differences["question"].str.startswith("How heavy")) & (differences["alternative"] == "0")
    assert differences.loc[few, "seeds"].item() == 3
    marked = differences.assign(difference=differences["difference"].mask(few, 99.0))
    for axis in ("js_weight", "schedule"):
        assert 99.0 not in set(placed_differences(placed(settings, axis), marked, axis)["score"])


def test_the_two_settings_keep_their_order_in_a_difference(tables):
    pairs = placed_differences(placed(tables[0], "labels"), tables[1], "labels")
    assert set(pairs["relation"]) == {"MAE − random weights"} and len(pairs) == 6
    expected = tables[1].set_index("question")["difference"]
    tenth = pairs[(pairs["panel"] == "EMMA") & (pairs["x"] == 0.1)]["score"].item()
    assert tenth == expected["EMMA, 10% of the labels: start from MAE or from random weights?"]


@pytest.mark.parametrize("show", SHOWN)
@pytest.mark.parametrize("axis", AXES)
def test_every_axis_is_a_figure_with_and_without_differences(axis, show, tables):
    figure = ablation_figure(AblationState(axis=axis, show=show), *tables, source="made up")
    assert isinstance(figure, Figure) and png(figure)
    assert AXES[axis].words in words(figure) and "made up" in words(figure)
    assert ("10% of the labels" in words(figure)) == (axis not in ("labels", "pretraining_faces")), "what is held"
    assert ("Means are over all seeds" in words(figure)) == (show == BOTH)
    panels = placed(tables[0], axis)[["panel", "metric"]].drop_duplicates()
    assert len(figure.axes) == len(panels) * (1 + (show == BOTH))


@pytest.mark.parametrize("axis", ["each setting", "labels"])
def test_a_difference_with_another_sign_than_that_of_the_means_is_named(axis, tables):
    settings, differences, _ = tables
    state = AblationState(claim="1 MAE prior", axis=axis, show=BOTH)
    question = differences["question"] == "EMMA, 1% of the labels: start from MAE or from random weights?"
    means = settings[settings["question"] == differences.loc[question, "question"].item()].set_index("setting")["score"]
    gaps = {pair: means[pair[0]] - means[pair[1]] for pair in [("MAE", "random")]}
    turned = -np.sign(gaps["MAE", "random"]) * 0.02
    said = words(ablation_figure(state, settings, differences.assign(
        difference=differences["difference"].mask(question, turned))))  # fmt: skip
    named = {"each setting": "EMMA, 1% of the labels: MAE against random",
             "labels": "EMMA, MAE − random weights at 1%"}[axis]  # fmt: skip
    assert "may have the other sign" in said and named in said
    same = differences.assign(difference=differences["difference"].mask(question, -turned))
    assert named not in words(ablation_figure(state, settings, same))


def test_what_cannot_be_laid_along_an_axis_is_said(tables):
    settings, differences, _ = tables
    with pytest.raises(AffectError, match="no axis 'weather'"):
        ablation_figure(AblationState(axis="weather"), settings)
    with pytest.raises(AffectError, match="choose another axis, or idea: all"):
        ablation_figure(AblationState(claim="2 scores feed VA", axis="js_weight"), settings)
    with pytest.raises(AffectError, match="choose another axis"):
        ablation_figure(AblationState(axis="labels"), settings.assign(question="a question of another study"))
    with pytest.raises(AffectError, match=r"results/differences\.csv"):
        ablation_figure(AblationState(show=BOTH), settings)
    with pytest.raises(AffectError, match="the columns low"):
        ablation_figure(AblationState(show=BOTH), settings, differences.drop(columns="low"))


def test_a_choice_that_leaves_no_pair_is_drawn_without_differences(tables):
    settings, differences, _ = tables
    figure = ablation_figure(AblationState(axis="labels", show=BOTH), settings, differences.iloc[:0])
    assert len(figure.axes) == 2 and "No stored pair differs along this axis alone." in words(figure)
    one_each = settings[settings["is_reference"]]
    figure = ablation_figure(AblationState(show=BOTH), one_each, differences)
    assert len(figure.axes) == one_each["question"].nunique() and "No pair of these settings" in words(figure)


def test_every_control_of_the_browser_changes_the_picture(tables):
    browser = ablation_browser(*tables)
    for name, value in {"axis": "labels", "show": BOTH, "claim": "3 masked views"}.items():
        before = browser.picture.value
        browser.controls[name].value = value
        if name == "claim":
            assert "choose another axis" in browser.message.value
            browser.controls["axis"].value = "schedule"
        assert browser.message.value == "" and browser.picture.value != before
    assert list(ablation_browser(tables[0]).controls["show"].options) == [SHOWN[0]], "nothing to show beside the means"
