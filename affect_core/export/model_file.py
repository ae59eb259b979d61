"""A weight file of this project in another form, chosen by the name of the output; what `affect-core export` does.

NAME.onnx          the graph (`onnx_graphs`), or the graph with 8-bit weights (`onnx_int8`)
NAME.safetensors   the encoder for a stock timm (`timm_encoder`), its sizes beside it in NAME.json
FOLDER             weights, config.json and a model card (`folder`)
"""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from affect_core.checkpoints import load_model, read_metadata
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.emma_thresholds import thresholds_of
from affect_core.errors import AffectError
from affect_core.export.folder import save_folder
from affect_core.export.onnx_graphs import export_onnx
from affect_core.export.onnx_int8 import write_int8_onnx
from affect_core.export.timm_encoder import save_timm_encoder
from affect_core.mae import MAE


def export_model_file(source: str | Path, out: str | Path, *, trained_on: str = "", int8: bool = False) -> list[str]:
    """Write the model of `source` (of `save_weights`) as `out` says, and return sentences about what was written.

    trained_on  a sentence for the model card of a folder, which needs it
    int8        8-bit weights, for an .onnx alone
    A folder keeps the metadata of `source`, and thresholds that `emma_thresholds.calibrate_emma` left beside it for
    these very weights; scores in the metadata go on the card. Raises AffectError for an output of another kind, what an
    option does not go with, or a model that does not have the form.
    """
    source, out = Path(source), Path(out)
    form = _form(out)
    if int8 and form != ".onnx":
        raise AffectError(f"--int8 goes with NAME.onnx; {out} is {_NAMES[form]}")
    if form == "folder" and not trained_on.strip():
        raise AffectError(
            f"{out} would be a folder with a model card: say what the model was trained on, --trained-on 'a sentence'"
        )
    if out.is_file() and source.is_file() and out.samefile(source):
        raise AffectError(f"{out} is the model itself; give the output another name")
    model = load_model(source)
    if form == ".onnx":
        return _write_onnx(model, out, int8)
    if form == ".safetensors":
        return _write_encoder(model, source, out)
    metadata = _metadata(source, model)
    save_folder(out, model, trained_on=trained_on, scores=_scores(metadata), metadata=metadata)
    return [f"{out}: weights, config.json and a model card"]


_NAMES = {".onnx": "an ONNX file", ".safetensors": "an encoder for timm", "folder": "a folder"}


def _form(out: Path) -> str:
    """A key of _NAMES. A folder that is there may have a dot in its name."""
    if out.is_dir() or not out.suffix:
        return "folder"
    if out.suffix not in _NAMES:
        raise AffectError(
            f"{out}: a model is written as NAME.onnx, as NAME.safetensors (the encoder for timm) or as a folder (a "
            f"name without a dot), not as {out.suffix}"
        )
    return out.suffix


def _write_onnx(model: nn.Module, out: Path, int8: bool) -> list[str]:
    if not int8:
        return _differences(export_onnx(model, out))
    with TemporaryDirectory() as folder:
        whole = Path(folder) / "float32.onnx"
        said = _differences(export_onnx(model, whole))
        before, after = write_int8_onnx(whole, out)
    return [
        *(f"before rounding, {sentence}" for sentence in said),
        f"{out}: 8-bit weights, {after / 1e6:.1f} MB instead of {before / 1e6:.1f} MB, with other outputs",
        "what that does to the scores of the shipped models is in results/int8.csv",
    ]


def _differences(found: dict[str, float]) -> list[str]:
    return [f"{name}: at most {difference:.1e} from PyTorch" for name, difference in found.items()]


def _write_encoder(model: nn.Module, source: Path, out: Path) -> list[str]:
    if not isinstance(model, MAE | EMMA | CoTEX):
        raise AffectError(
            f"{source} holds a {type(model).__name__}, which has no transformer for timm; EMMA, CoTEX and MAE have"
        )
    said = [f"{out}: the encoder, for timm.create_model with the arguments in {out.with_suffix('.json')}"]
    if isinstance(model, CoTEX):
        said.append(f"CoTEX has {len(model.views)} encoders, one for each view; this is the first")
    encoder = model.vit if isinstance(model, EMMA) else model.views[0] if isinstance(model, CoTEX) else model
    save_timm_encoder(out, encoder)
    return said


def _metadata(source: Path, model: nn.Module) -> dict[str, Any]:
    """What was noted with the weights, with the thresholds of `thresholds.json` beside them if they are of these."""
    noted = read_metadata(source)["metadata"]
    noted = noted if isinstance(noted, dict) else {}
    kept = thresholds_of(source.parent, model)
    return noted if kept is None else noted | {"thresholds": kept}


def _scores(metadata: dict[str, Any]) -> dict[str, float]:
    """The numbers for the card: those noted as "scores", and those of a training ("validation_p_mtl")."""
    given = metadata.get("scores")
    named = dict(given) if isinstance(given, dict) else {}
    for name, value in metadata.items():
        if name.startswith("validation_"):
            named[f"{name.removeprefix('validation_')}, validation split, while training"] = value
    return {name: value for name, value in named.items() if isinstance(value, int | float) and math.isfinite(value)}
