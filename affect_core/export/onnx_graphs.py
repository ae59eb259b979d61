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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from affect_core.augment import IMAGENET_MEAN, IMAGENET_STD
from affect_core.cotex import CoTEX
from affect_core.emma import EMMA
from affect_core.errors import AffectError
from affect_core.export.onnx_form import Exportable, OnnxForm, named_outputs, vit_config
from affect_core.labels import ACTION_UNITS, EXPRESSIONS, AffectPrediction
from affect_core.storage import atomic_path
from affect_core.vit import ViTConfig

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
    weights take more than ONNX can hold in one file (2 GiB), if the model is of another kind, or if a step of it (of an
    expression prior of one's own) is none that ONNX or its exporter has.
    """
    onnx, _ = _libraries()
    if not isinstance(model, Exportable):
        raise AffectError(f"a {type(model).__name__} cannot be exported; EMMA, CoTEX, MAE and ViTEncoder can")
    if sum(tensor.nbytes for tensor in model.state_dict().values()) > _LARGEST:
        raise AffectError("the weights of this model take more than 2 GiB, which one ONNX file cannot hold")
    config = vit_config(model)
    size = config.image_size
    random = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        form = OnnxForm(model)
        names = list(named_outputs(form.model, random[:1]))
        with atomic_path(path) as temporary:
            _trace(form, random[:2], temporary, names)
            graph = onnx.load(temporary)
            onnx.helper.set_model_props(graph, {METADATA_KEY: json.dumps(_description(model, config, names))})
            onnx.save(graph, temporary)
            batches = [random, random[:1], *([] if images is None else [images])]
            found = [onnx_differences(temporary, model, batch) for batch in batches]
            largest = {name: max(differences[name] for differences in found) for name in names}
            _check(largest, tolerance, named_outputs(form.model, random))
    except AffectError:
        raise
    except Exception as error:  # those of torch, onnx and onnxruntime have no base class in common
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AffectError(f"a step of this {type(model).__name__} cannot be written as ONNX: {reason}") from error
    return largest


def onnx_differences(path: str | Path, model: Exportable, images: Tensor) -> dict[str, float]:
    """Largest absolute difference of each output between the ONNX file and the model in eval mode, on normalised
    images (N, 3, S, S)."""
    reference = named_outputs(copy.deepcopy(model).cpu().float().eval(), images.cpu().float())
    graph = open_onnx(path)(images)
    return {name: float(np.abs(graph[name] - tensor.numpy()).max()) for name, tensor in reference.items()}


def open_onnx(path: str | Path) -> Outputs:
    """A function from normalised images (N, 3, S, S), tensor or array, to the file's outputs by name, float32 arrays;
    on the CPU, with as many threads as PyTorch uses. Raises AffectError for a file that is not there or no ONNX; the
    function does for images of another size."""
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


def _trace(form: OnnxForm, images: Tensor, path: Path, names: list[str]) -> None:
    """Write the graph that `form` runs through for `images`."""
    with warnings.catch_warnings(), _silent_exporter():
        # The exporter that needs onnx alone, in a tenth of the time of its successor (which needs onnxscript); both
        # gave the same numbers with torch 2.14. It warns of that, and of shape checks that it takes as constant.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        torch.onnx.export(
            form, (images,), path, dynamo=False, opset_version=_OPSET, input_names=["images"],
            output_names=names, dynamic_axes={name: {0: "batch"} for name in ("images", *names)},
        )  # fmt: skip


@contextmanager
def _silent_exporter() -> Iterator[None]:
    """Before it raises an error, the exporter prints the whole graph, thousands of lines, whatever `verbose` says."""
    log = getattr(torch._C, "_jit_onnx_log", None)
    torch._C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        torch._C._jit_onnx_log = log


def _check(differences: dict[str, float], tolerance: float, outputs: dict[str, Tensor]) -> None:
    """Raise AffectError if a difference exceeds the tolerance."""
    wrong = [f"{name} by {value:.1e}" for name, value in differences.items() if not value <= tolerance]
    if wrong:
        scale = max(float(output.abs().max()) for output in outputs.values())
        raise AffectError(
            f"the ONNX graph differs from PyTorch in {', '.join(wrong)}, more than {tolerance:.0e} (its outputs "
            f"reach {scale:.1e}; where they are large, so is rounding, and a larger tolerance is in order)"
        )


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
    shape = tuple(session.get_inputs()[0].shape[1:])  # (3, S, S)

    def run(images: Tensor | np.ndarray) -> dict[str, np.ndarray]:
        array = images.detach().cpu().float().numpy() if isinstance(images, Tensor) else np.asarray(images, np.float32)
        if array.shape[1:] != shape:
            raise AffectError(f"this graph takes images of {' x '.join(map(str, shape))}, not {array.shape[1:]}")
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
