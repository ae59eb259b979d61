"""ONNX files with 8-bit weights.

Dynamic quantisation: the weights of matrix products (a ViT is little else) are rounded to 8 bits once, activations at
run time. Convolutions stay in float32. The range of the activations is that of a whole batch, so an image's outputs
depend a little on the images beside it: for numbers that repeat, keep the batch size.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from affect_core.errors import AffectError
from affect_core.export.onnx_graphs import read_description
from affect_core.storage import atomic_path


def write_int8_onnx(source: str | Path, target: str | Path) -> tuple[int, int]:
    """Write the ONNX file `source` (of `export_onnx`) with 8-bit weights to `target`; bytes before and after.

    No image is needed: weights are rounded as they are, activations when the file runs. Raises AffectError if
    onnxruntime is missing, `source` is no such file, or it cannot be rounded.
    """
    read_description(source)
    with atomic_path(target) as temporary:
        _quantize(Path(source), temporary)
        return Path(source).stat().st_size, temporary.stat().st_size


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
