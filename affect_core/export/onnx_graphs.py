"""EMMA, CoTEX and the MAE encoder as ONNX: any number of images, the outputs of PyTorch, or no file.

Needs the extra `export` (onnx, onnxruntime). The graph's one input is `images`, float32 (N, 3, S, S) for any N and
S = image_size: RGB in [0, 1] minus IMAGENET_MEAN, divided by IMAGENET_STD, as `augment.prepare` gives it. Its outputs:

    EMMA               expression_logits (N, 8), action_unit_logits (N, 12), valence_arousal (N, 2)
    CoTEX              expression_logits (N, C), the views' sum, nothing hidden
    MAE, ViTEncoder    tokens (N, 1 + L, D), class token first, nothing hidden

The file says so itself: JSON under "affect_core" in its metadata names model, input, outputs, expressions and units.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from affect_core.augment import IMAGENET_MEAN, IMAGENET_STD
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.hardware import attention_layers
from affect_core.labels import ACTION_UNITS, EXPRESSIONS, AffectPrediction
from affect_core.mae import MAE
from affect_core.storage import atomic_path
from affect_core.vit import ViTConfig, ViTEncoder

Exportable = EMMA | CoTEX | MAE | ViTEncoder
Outputs = Callable[[Any], dict[str, np.ndarray]]

TOLERANCE = 1e-4
"""Largest absolute difference between an output of the graph and PyTorch's."""
METADATA_KEY = "affect_core"
_OPSET = 17  # the first with LayerNormalization as one operator
_LARGEST = 2**31 - 2**24  # bytes of weights: a protobuf message, which the file is, ends at 2 GiB


def export_onnx(
    model: Exportable, path: str | Path, *, images: Tensor | None = None, tolerance: float = TOLERANCE
) -> dict[str, float]:
    """Write the model, in eval mode and float32, as one ONNX file; the model itself is left as it is.

    Before the file appears it is run beside PyTorch on random images, in batches of 1 and 3, and on `images`
    (N, 3, S, S), normalised, if given. Returns the largest absolute difference of each output.
    Raises AffectError, and leaves no file, if one exceeds `tolerance`, if onnx or onnxruntime is missing, if the
    weights take more than ONNX can hold in one file (2 GiB), or if the model is of another kind.
    """
    onnx, _ = _libraries()
    if not isinstance(model, Exportable):
        raise AffectError(f"a {type(model).__name__} cannot be exported; EMMA, CoTEX, MAE and ViTEncoder can")
    if sum(tensor.nbytes for tensor in model.state_dict().values()) > _LARGEST:
        raise AffectError("the weights of this model take more than 2 GiB, which one ONNX file cannot hold")
    form = _OnnxForm(model)
    config = _vit_config(model)
    size = config.image_size
    random = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    names = list(_outputs(form.model, random[:1]))
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # The exporter that needs onnx alone, in a tenth of the time of its successor (which needs onnxscript); both
        # gave the same numbers with torch 2.14. It warns of that, and of shape checks that it takes as constant.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        torch.onnx.export(
            form, (random[:2],), temporary, dynamo=False, opset_version=_OPSET, input_names=["images"],
            output_names=names, dynamic_axes={name: {0: "batch"} for name in ("images", *names)},
        )  # fmt: skip
        graph = onnx.load(temporary)
        onnx.helper.set_model_props(graph, {METADATA_KEY: json.dumps(_description(model, config, names))})
        onnx.save(graph, temporary)
        batches = [random, random[:1], *([] if images is None else [images])]
        found = [onnx_differences(temporary, model, batch) for batch in batches]
        largest = {name: max(differences[name] for differences in found) for name in names}
        wrong = [f"{name} by {value:.1e}" for name, value in largest.items() if not value <= tolerance]
        if wrong:
            scale = max(float(output.abs().max()) for output in _outputs(form.model, random).values())
            raise AffectError(
                f"the ONNX graph differs from PyTorch in {', '.join(wrong)}, more than {tolerance:.0e} (its outputs "
                f"reach {scale:.1e}; where they are large, so is rounding, and a larger tolerance is in order)"
            )
    return largest


def onnx_differences(path: str | Path, model: Exportable, images: Tensor) -> dict[str, float]:
    """Largest absolute difference of each output between the ONNX file and the model in eval mode, on normalised
    images (N, 3, S, S)."""
    reference = _outputs(copy.deepcopy(model).cpu().float().eval(), images.cpu().float())
    graph = open_onnx(path)(images)
    return {name: float(np.abs(graph[name] - tensor.numpy()).max()) for name, tensor in reference.items()}


def open_onnx(path: str | Path) -> Outputs:
    """A function from normalised images (N, 3, S, S), tensor or array, to the file's outputs by name, float32 arrays;
    on the CPU, with as many threads as PyTorch uses. Raises AffectError for a file that is not there or no ONNX."""
    return _outputs_of(_session(path))


def onnx_predictor(path: str | Path) -> Callable[[Any], AffectPrediction]:
    """The exported EMMA or CoTEX as a function from images to a prediction, which `batches.predict_corpus` takes.

    Raises AffectError for a file that `export_onnx` did not write, or that holds an encoder.
    """
    session = _session(path)
    description = _description_of(session, path)
    if "vocabulary" not in description:
        raise AffectError(f"{path} holds a {description['model']}, which predicts nothing; open it with open_onnx")
    outputs, vocabulary = _outputs_of(session), tuple(description["vocabulary"])
    return lambda images: AffectPrediction(**outputs(images), vocabulary=vocabulary)


def read_description(path: str | Path) -> dict[str, Any]:
    """What `export_onnx` noted in the file: model, config, input, outputs, and for a predictor vocabulary and
    action_units. Raises AffectError if there is nothing."""
    return _description_of(_session(path), path)


class _OnnxForm(nn.Module):
    """A copy of the model in a form that the exporter can follow, with named outputs as a tuple."""

    def __init__(self, model: Exportable):
        super().__init__()
        self.model = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
        for module in list(self.model.modules()):
            if isinstance(module, EMMA) and module.prior is not None:
                module.prior = module.prior.model  # plain layers: the exporter folds BatchNorm itself
            if isinstance(module, ViTEncoder):
                # timm's own way to the same tokens, whose batch size the exporter does not take for a constant
                module.forward = lambda images, _=None, vit=module: vit.summary_first(vit.forward_features(images))
        for layer in attention_layers(self.model):
            layer.fused_attn = False  # two matrix products and a softmax, which every ONNX runtime knows

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(_outputs(self.model, images).values())


@torch.no_grad()
def _outputs(model: Exportable, images: Tensor) -> dict[str, Tensor]:
    if isinstance(model, MAE):
        return {"tokens": model.encoder(images)}
    if isinstance(model, ViTEncoder):
        return {"tokens": model(images)}
    if isinstance(model, CoTEX):
        return {"expression_logits": model.predict(images).expression_logits}
    prediction = model(images)
    return {
        name: getattr(prediction, name) for name in ("expression_logits", "action_unit_logits", "valence_arousal")
    }


def _description(model: Exportable, config: ViTConfig, names: list[str]) -> dict[str, Any]:
    description = {
        "model": type(model).__name__,
        "config": asdict(model.config),
        "input": {
            "images": ["N", 3, config.image_size, config.image_size],
            "type": "float32, RGB in [0, 1], minus mean, divided by std",
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
        },
        "outputs": names,
    }
    if isinstance(model, EMMA):
        description |= {"vocabulary": EXPRESSIONS, "action_units": ACTION_UNITS}
    if isinstance(model, CoTEX):
        description["vocabulary"] = model.config.vocabulary
    return description


def _vit_config(model: Exportable) -> ViTConfig:
    return model.config if isinstance(model, ViTEncoder) else model.config.vit


def _session(path: str | Path):
    _, onnxruntime = _libraries()
    if not Path(path).is_file():
        raise AffectError(f"{path} not found")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base class of their own
        raise AffectError(f"{path} is not an ONNX file that onnxruntime can run ({error})") from error


def _outputs_of(session) -> Outputs:
    names = [output.name for output in session.get_outputs()]

    def run(images: Tensor | np.ndarray) -> dict[str, np.ndarray]:
        array = images.detach().cpu().float().numpy() if isinstance(images, Tensor) else np.asarray(images, np.float32)
        return dict(zip(names, session.run(names, {"images": array}), strict=True))

    return run


def _description_of(session, path: str | Path) -> dict[str, Any]:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise AffectError(f"{path} was not written by this project: it does not say what it predicts")
    return json.loads(text)


def _libraries():
    """The optional packages (onnx, onnxruntime)."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise AffectError(
            f"{error.name} is not installed, and ONNX needs it: pip install 'affect-core[export]'"
        ) from error
    return onnx, onnxruntime
