"""Agreement with the published code and the MAE reference: numbers in golden.json, tolerances of METHOD.md.

The model tests build checkpoints under the published tensor names by golden.json's fill rule, save them the way the
published files are saved, and import them with `load_published`.
"""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from affect_core.calibration import PUBLISHED_LOGIT_THRESHOLDS, published_thresholds
from affect_core.labels import AffectLabels, AffectPrediction
from affect_core.losses import action_unit_loss, ccc_loss, cotex_loss, generalized_js, multitask_loss
from affect_core.mae import sincos_positions
from affect_core.metrics import mtl_score
from affect_core.published import load_published

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
MODELS = GOLDEN["models"]


def entries(kind: str) -> list[dict]:
    found = [entry for entry in GOLDEN["losses_and_metrics"] if entry["kind"] == kind]
    assert found, f"golden.json has no {kind}"
    return found


def agrees(value, expected, relative: float) -> bool:
    """Largest difference within `relative` of the largest expected value."""
    value, expected = np.asarray(value, np.float64), np.asarray(expected, np.float64)
    return np.abs(value - expected).max() <= relative * max(np.abs(expected).max(), 1e-12)


def labels_from_codes(valence_arousal, expression, action_units) -> AffectLabels:
    """Published label codes (-5, -1, -1) to masks, as torch tensors."""
    valence_arousal, action_units = torch.tensor(valence_arousal), torch.tensor(action_units)
    expression = torch.tensor(expression).long()
    return AffectLabels(
        valence_arousal=valence_arousal.masked_fill(valence_arousal == -5, 0),
        valence_arousal_valid=valence_arousal != -5,
        expression=expression.clamp(min=0),
        expression_valid=expression != -1,
        action_units=action_units.clamp(min=0),
        action_units_valid=action_units != -1,
    )


def prediction_from_columns(output) -> AffectPrediction:
    """Published column order: valence, arousal, 8 expressions, 12 action units."""
    output = torch.tensor(output)
    return AffectPrediction(output[:, 2:10], output[:, 10:], output[:, :2])


def columns_from_prediction(prediction: AffectPrediction) -> torch.Tensor:
    return torch.cat([prediction.valence_arousal, prediction.expression_logits, prediction.action_unit_logits], dim=1)


def filled(name: str, shape: list[int]) -> torch.Tensor:
    """golden.json's fill_rule for the tensor `name`."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    u = np.sin(12.9898 * np.arange(int(np.prod(shape))) + zlib.crc32(name.encode()) % 1000) * 43758.5453
    u -= np.floor(u)
    a = u - 0.5
    if name.endswith("running_var"):
        values = 1 + 0.5 * u
    elif name.endswith("running_mean"):
        values = 0.1 * a
    elif len(shape) == 1:
        values = 1 + 0.2 * a if name.endswith("weight") else 0.1 * a
    else:
        values = a * np.sqrt(12) * min(0.3, 1 / np.sqrt(np.prod(shape[1:])))
    return torch.from_numpy(values.reshape(shape).astype(np.float32))


def filled_state(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    return {name: filled(name, shape) for name, shape in shapes.items()}


def golden_images(*shape: int) -> torch.Tensor:
    x = np.sin(12.9898 * np.arange(np.prod(shape)) + MODELS["phase"]) * 43758.5453
    return torch.from_numpy((2 * (x - np.floor(x)) - 1).reshape(shape).astype(np.float32))


# -- losses and metrics, 1e-5 ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("entry", entries("generalized_js"), ids=lambda entry: f"{len(entry['logits'])}_views")
def test_js_is_the_published_one(entry):
    assert agrees(generalized_js(torch.tensor(entry["logits"])), entry["value"], 1e-5)


def test_cotex_loss_is_the_published_one():
    (entry,) = entries("cotex_loss")
    target = torch.tensor(entry["target"])
    loss = cotex_loss(torch.tensor(entry["logits"]), target.clamp(min=0), target >= 0, js_weight=entry["lambda_js"])
    assert agrees(loss["total"], entry["value"], 1e-5)


def test_ccc_loss_has_the_published_formula_by_name_and_a_cleaner_default():
    (entry,) = entries("ccc_loss")
    prediction, target = torch.tensor(entry["pred"]), torch.tensor(entry["target"])
    valid = target != -5
    assert agrees(ccc_loss(prediction, target, valid, "published"), entry["value"], 1e-5)
    assert agrees(ccc_loss(prediction, target, valid), entry["value"], 1e-4)
    assert not agrees(ccc_loss(prediction, target, valid), entry["value"], 1e-5)


def test_action_unit_loss_is_the_published_one():
    (entry,) = entries("au_bce")
    target = torch.tensor(entry["target"])
    loss = action_unit_loss(torch.tensor(entry["logits"]), target, target != -1, entry["pos_weight"])
    assert agrees(loss, entry["value"], 1e-5)


def test_multitask_loss_and_each_part_are_the_published_ones():
    (entry,) = entries("multitask_loss")
    target = np.array(entry["target"], np.float32)
    labels = labels_from_codes(target[:, :2], target[:, 2], target[:, 3:])
    loss = multitask_loss(prediction_from_columns(entry["output"]), labels, ccc_formula="published")
    names = {"valence_arousal": "va", "expression": "expr", "action_units": "au", "total": "total"}
    for ours, published in names.items():
        assert agrees(loss[ours], entry[published], 1e-5), ours


def test_metrics_are_the_published_ones():
    (entry,) = entries("metrics")
    assert tuple(entry["au_threshold_on_logits"]) == PUBLISHED_LOGIT_THRESHOLDS
    target = np.array(entry["target"], np.float32)
    labels = labels_from_codes(target[:, :2], target[:, 2], target[:, 3:])
    score = mtl_score(prediction_from_columns(entry["output"]), labels, published_thresholds())
    names = {
        "p_mtl": "p_mtl", "valence_arousal_ccc": "va_ccc", "expression_f1": "expr_f1", "action_unit_f1": "au_f1",
        "expression_accuracy": "expr_accuracy",
    }  # fmt: skip
    for ours, published in names.items():
        assert agrees(score[ours], entry[published], 1e-5), ours


# -- MAE, 2e-3 ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("entry", GOLDEN["mae"], ids=["plain", "norm_pix"])
def test_mae_masks_predicts_and_scores_like_the_reference(entry, tmp_path):
    config = entry["config"]
    state = filled_state(GOLDEN["mae"][0]["state"])
    grid = config["img_size"] // config["patch_size"]
    state["pos_embed"] = sincos_positions(grid, config["embed_dim"])
    state["decoder_pos_embed"] = sincos_positions(grid, config["decoder_embed_dim"])
    torch.save({"model": state}, tmp_path / "mae.pth")
    mae = load_published(
        tmp_path / "mae.pth",
        heads=config["num_heads"],
        decoder_heads=config["decoder_num_heads"],
        norm_pix_loss=entry["norm_pix_loss"],
    )
    images = golden_images(len(entry["noise"]), 3, config["img_size"], config["img_size"])
    with torch.no_grad():
        output = mae(images, noise=torch.tensor(entry["noise"]), mask_ratio=entry["mask_ratio"])
    assert agrees(mae.encoder.pos_embed[0, 1], entry["pos_embed_first_patch"], 1e-6)
    assert (output.mask == torch.tensor(entry["mask"])).all()
    assert agrees(output.prediction[0, 0], entry["pred_first_sample_first_patch"], 2e-3)
    assert agrees(output.loss, entry["loss"], 2e-3)


# -- published networks, 2e-3 ------------------------------------------------------------------------------------------
def test_dan_gives_the_published_logits(tmp_path):
    torch.save({"iter": 7, "model_state_dict": filled_state(MODELS["dan"]["state"])}, tmp_path / "affecnet8.pth")
    dan = load_published(tmp_path / "affecnet8.pth")
    assert (type(dan).__name__, dan.config.num_heads, dan.config.num_classes) == ("DAN", 4, 8)
    with torch.no_grad():
        assert agrees(dan(golden_images(2, 3, 224, 224)), MODELS["dan"]["logits"], 2e-3)


def test_emma_gives_the_published_output(tmp_path):
    torch.save(filled_state(MODELS["emma"]["state"]), tmp_path / "emma.pth")
    emma = load_published(tmp_path / "emma.pth")
    assert (type(emma).__name__, emma.config.va_source) == ("EMMA", "both_scores")
    with torch.no_grad():
        output = columns_from_prediction(emma(golden_images(2, 3, 224, 224)))
    assert agrees(output, MODELS["emma"]["output"], 2e-3)
    assert agrees(output[:, 2:], np.array(MODELS["emma"]["output"])[:, 2:], 2e-3), "also without the large VA column"


def test_each_cotex_view_gives_the_published_logits_and_the_prediction_is_their_sum(tmp_path):
    view = filled_state(MODELS["cotex_view"]["state"])
    torch.save({"model": [view, view]}, tmp_path / "cotex.pth")
    cotex = load_published(tmp_path / "cotex.pth")
    with torch.no_grad():
        logits = cotex(golden_images(2, 3, 224, 224))
    assert logits.shape == (2, 2, 6)
    for logits_of_view in logits:
        assert agrees(logits_of_view, MODELS["cotex_view"]["logits"], 2e-3)
    assert agrees(logits.sum(dim=0), 2 * np.array(MODELS["cotex_view"]["logits"]), 2e-3)
