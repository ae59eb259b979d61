"""Results and models in the forms that others read.

submission     files of the ABAW4 challenges, checked against the published test list
tables         predictions as CSV and Parquet
onnx_form      a model as the ONNX exporter can follow it
onnx_graphs    EMMA, CoTEX and the MAE encoder as ONNX, equal to PyTorch or refused
onnx_int8      the same with 8-bit weights, and what that changes
timm_encoder   the encoder as a checkpoint for a stock timm
model_file     a weight file in whichever of these forms the name of the output says, as the command line does
folder         weights, config.json and a model card, in the layout of the Hugging Face hub
"""

from affect_core.export.folder import load_folder, save_folder
from affect_core.export.model_file import export_model_file
from affect_core.export.onnx_graphs import export_onnx, onnx_differences, onnx_predictor, open_onnx
from affect_core.export.onnx_int8 import write_int8_onnx
from affect_core.export.submission import (
    check_submission,
    compare_with_test_list,
    read_test_list,
    write_lsd_submission,
    write_mtl_submission,
)
from affect_core.export.tables import prediction_table, write_table
from affect_core.export.timm_encoder import save_timm_encoder, timm_arguments

__all__ = [
    "check_submission",
    "compare_with_test_list",
    "export_model_file",
    "export_onnx",
    "load_folder",
    "onnx_differences",
    "onnx_predictor",
    "open_onnx",
    "prediction_table",
    "read_test_list",
    "save_folder",
    "save_timm_encoder",
    "timm_arguments",
    "write_int8_onnx",
    "write_lsd_submission",
    "write_mtl_submission",
    "write_table",
]
