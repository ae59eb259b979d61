"""ONNX files with 8-bit weights, and what that changes.

Dynamic quantisation: the weights of matrix products (a ViT is little else) are rounded to 8 bits once, activations at
run time. Convolutions stay in float32. The range of the activations is that of a whole batch, so an image's outputs
depend a little on the images beside it: for numbers that repeat, keep the batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor

from affect_core.errors import AffectError
from affect_core.export.onnx_graphs import open_onnx, read_description
from affect_core.labels import AffectPrediction
from affect_core.storage import atomic_path

Score = Callable[[AffectPrediction], dict[str, float]]


@dataclass(frozen=True)
class Int8Effect:
    """What 8-bit weights changed on the images that were tried.

    largest_difference   of each output, absolute
    mean_difference      of each output, absolute
    size                 bytes of the file before and after
    score                None, or {name: (before, after)}
    """

    largest_difference: dict[str, float]
    mean_difference: dict[str, float]
    size: tuple[int, int]
    score: dict[str, tuple[float, float]] | None = None


def write_int8_onnx(source: str | Path, target: str | Path) -> tuple[int, int]:
    """Write the ONNX file `source` (of `export_onnx`) with 8-bit weights to `target`; bytes before and after.

    No image is needed: weights are rounded as they are, activations when the file runs. Raises AffectError if
    onnxruntime is missing, `source` is no such file, or it cannot be rounded.
    """
    read_description(source)
    with atomic_path(target) as temporary:
        _quantize(Path(source), temporary)
        return Path(source).stat().st_size, temporary.stat().st_size


def quantize_onnx(
    source: str | Path, target: str | Path, images: Tensor, *, score: Score | None = None, batch_size: int = 64
) -> Int8Effect:
    """Write the ONNX file `source` (of `export_onnx`) with 8-bit weights to `target`, and run both on `images`.

    images  (N, 3, S, S), normalised, N at least 1
    score   what to compare besides outputs: from a prediction of the N images to numbers, for example
            `lambda prediction: mtl_score(prediction, labels)`; arrays in it are left out. For EMMA and CoTEX.
    Raises AffectError if onnxruntime is missing, `source` is no such file, there is no image, or a score is asked of
    an encoder.
    """
    description = read_description(source)
    if len(images) == 0:
        raise AffectError("the effect of 8-bit weights cannot be seen without an image")
    if score is not None and "vocabulary" not in description:
        raise AffectError(f"{source} holds a {description['model']}, which predicts nothing that could be scored")
    with atomic_path(target) as temporary:
        _quantize(Path(source), temporary)
        sizes = Path(source).stat().st_size, temporary.stat().st_size
        before, after = (_run(path, images, batch_size) for path in (source, temporary))
    changes = {name: np.abs(after[name] - before[name]) for name in before}
    scores = None
    if score is not None:
        vocabulary = tuple(description["vocabulary"])
        one, other = (score(AffectPrediction(**outputs, vocabulary=vocabulary)) for outputs in (before, after))
        scores = {name: (float(one[name]), float(other[name])) for name in one if np.isscalar(one[name])}
    return Int8Effect(
        largest_difference={name: float(change.max()) for name, change in changes.items()},
        mean_difference={name: float(change.mean()) for name, change in changes.items()},
        size=sizes,
        score=scores,
    )


def _quantize(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic

    with TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        try:
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_dynamic(
                prepared, target, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, weight_type=QuantType.QInt8
            )
        except Exception as error:  # onnxruntime's errors have no base class of their own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise AffectError(f"{source} cannot be written with 8-bit weights: {reason}") from error


def _run(path: str | Path, images: Tensor, batch_size: int) -> dict[str, np.ndarray]:
    session = open_onnx(path)
    parts = [session(images[start : start + batch_size]) for start in range(0, len(images), batch_size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
