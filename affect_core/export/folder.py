"""A model as a folder in the layout of the Hugging Face hub: model.safetensors, config.json, README.md (model card).

The folder can be uploaded as it is; nothing here talks to the hub.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from affect_core.augment import IMAGENET_MEAN, IMAGENET_STD
from affect_core.checkpoints import model_from_record, save_weights
from affect_core.cotex import CoTEX
from affect_core.dan import DAN, DANConfig
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.labels import ACTION_UNITS, EXPRESSIONS
from affect_core.mae import MAE
from affect_core.priors import TimmPrior, TimmPriorConfig
from affect_core.storage import read_json, write_json, write_text
from affect_core.weight_files import read_safetensors

Savable = MAE | DAN | TimmPrior | EMMA | CoTEX

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

_PURPOSE = {
    MAE: "a masked auto-encoder of faces: it reconstructs hidden patches, and its encoder is a starting point",
    DAN: "an expression classifier (CNN)",
    TimmPrior: "an expression classifier (a network of timm)",
    EMMA: "expressions, action units, valence and arousal of a face",
    CoTEX: "expressions of a face, from co-trained vision transformers whose logits are summed",
}


def save_folder(
    folder: str | Path,
    model: Savable,
    *,
    trained_on: str,
    scores: dict[str, float] | None = None,
    licence: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write the model's weights, its config and a model card into `folder`; files of these names are replaced.

    trained_on  a sentence for the card: which data, and whether they are rendered
    scores      {what and on which data: number} for the card; none are invented
    licence     the hub's identifier of the weights' licence ("apache-2.0"); by default the card says that it is open
    metadata    anything JSON to keep with the weights (thresholds); `checkpoints.read_metadata` returns it
    Raises AffectError for a model of another kind or if `trained_on` is empty.
    """
    if type(model) not in _PURPOSE:
        names = ", ".join(known.__name__ for known in _PURPOSE)
        raise AffectError(f"a {type(model).__name__} cannot be saved as a folder; {names} can")
    if not trained_on.strip():
        raise AffectError("a model card without its training data helps nobody: say what the model was trained on")
    folder = Path(folder)
    save_weights(folder / WEIGHTS, model, metadata)
    write_json(folder / CONFIG, _config(model))
    write_text(folder / CARD, _card(model, trained_on, scores or {}, licence))


def load_folder(folder: str | Path) -> nn.Module:
    """The model of `save_folder`, on the CPU, in eval mode, built from config.json and filled from model.safetensors.

    Raises AffectError if a file is missing or damaged, or if weights and config do not fit.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise AffectError(f"{folder / CONFIG} not found")
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or not {"architectures", "affect_core"} <= config.keys():
        raise AffectError(f"{folder / CONFIG} was not written by this project: it does not say which model this is")
    names = config["architectures"]
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise AffectError(f"{folder / CONFIG} must name one class under architectures, not {names}")
    record = {"model": names[0], "config": config["affect_core"]}
    return model_from_record(record, str(folder), read_safetensors(folder / WEIGHTS)[0])


def _config(model: Savable) -> dict[str, Any]:
    config = {
        "model_type": "affect_core",
        "architectures": [type(model).__name__],
        "affect_core": asdict(model.config),
        "image_size": None if isinstance(model, DAN | TimmPrior) else model.config.vit.image_size,
        "image_mean": IMAGENET_MEAN,
        "image_std": IMAGENET_STD,
    }
    if vocabulary := _vocabulary(model):
        config["id2label"] = dict(enumerate(vocabulary))
    if isinstance(model, EMMA):
        config["action_units"] = ACTION_UNITS
    return config


def _vocabulary(model: Savable) -> tuple[str, ...] | None:
    """The expressions, where the model knows them; a DAN or TimmPrior knows only their number."""
    if isinstance(model, EMMA):
        return EXPRESSIONS
    return model.config.vocabulary if isinstance(model, CoTEX) else None


def _card(model: Savable, trained_on: str, scores: dict[str, float], licence: str | None) -> str:
    name = type(model).__name__
    front = {"library_name": "affect_core", "tags": ["facial-affect", name.lower()]} | (
        {"license": licence} if licence else {}
    )
    outputs = []
    if vocabulary := _vocabulary(model):
        outputs.append(f"- expression logits, in this order: {', '.join(vocabulary)}")
    if isinstance(model, EMMA):
        outputs.append(f"- action-unit logits: {', '.join(f'AU{unit}' for unit in ACTION_UNITS)}")
        outputs.append("- valence and arousal, about -1 to 1, not clipped")
    table = ["| score | value |", "| --- | --- |", *(f"| {what} | {value:.3f} |" for what, value in scores.items())]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    sections = [
        "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items()), "---"]),
        f"# {name}",
        f"This model is for {_PURPOSE[type(model)]}. {parameters / 1e6:.2f} million parameters.",
        "Method: Li, Sun, Liu, Han, Affective Behaviour Analysis Using Pretrained Model with Facial Priori, "
        "[arXiv 2207.11679](https://arxiv.org/abs/2207.11679), reimplemented by `affect_core`; not the authors' "
        "weights unless said below.",
        f"## Training data\n\n{trained_on.strip()}",
        "## Scores\n\n" + ("\n".join(table) if scores else "None were given."),
        f"## Input\n\nSquare RGB pictures of one face, {_size(model)}, values in [0, 1], minus the mean "
        f"({', '.join(map(str, IMAGENET_MEAN))}), divided by the standard deviation "
        f"({', '.join(map(str, IMAGENET_STD))}).",
        *(["## Output\n\n" + "\n".join(outputs)] if outputs else []),
        f"## Use\n\n```python\n{_use(model)}\n```",
        "## Limits\n\nFacial behaviour is not a reading of what a person feels. Do not decide about people with it.",
        f"## Licence\n\n{licence or 'Not stated for these weights. The code is Apache-2.0.'}",
    ]
    return "\n\n".join(sections) + "\n"


def _size(model: Savable) -> str:
    """Which sizes of images the model takes, in words."""
    if isinstance(model, DAN):
        return "any square size from 32 px"
    if isinstance(model, TimmPrior):
        own = model.config.image_size
        if own:
            return f"any size (the model resizes them to {own} px)"
        return f"a size that {model.config.timm_name} takes"
    return f"{model.config.vit.image_size} px"


def _use(model: Savable) -> str:
    """The lines that bring the model back; a prior of one's own can only be built by its author."""
    if isinstance(model, EMMA) and not isinstance(model.config.prior, DANConfig | TimmPriorConfig):
        return (
            "from affect_core import EMMA, load_weights\n\nmodel = EMMA(config, prior)  # your own expression prior\n"
            f'load_weights("this/folder/{WEIGHTS}", model)'
        )
    return 'from affect_core.export import load_folder\n\nmodel = load_folder("this/folder")'
