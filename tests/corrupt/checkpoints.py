"""Corrupt and hostile weights: our own files (load_model), and published ones (load_published)."""

from __future__ import annotations

import argparse
import json
import os
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save, save_file

from affect_core.checkpoints import load_model, load_weights, save_weights
from affect_core.cotex import CoTEX, CoTEXConfig
from affect_core.dan import DAN, DANConfig
from affect_core.export import load_folder, save_folder
from affect_core.published import load_published
from affect_core.vit import ViTConfig
from corrupt.case import Case, Harmless, Refused

VIT = ViTConfig(image_size=32, patch_size=16, width=8, depth=1, heads=1)
SMALL = DANConfig(width=4, num_heads=1, small_images=True)


class RunsCode:
    """A pickle of it makes the folder `marker` when it is loaded carelessly."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@cache
def dan(classes: int = 8) -> DAN:
    torch.manual_seed(0)
    return DAN(DANConfig(width=4, num_heads=1, small_images=True, num_classes=classes)).eval()


@cache
def cotex(classes: int = 6) -> CoTEX:
    return CoTEX(CoTEXConfig(vit=VIT, vocabulary=tuple(map(str, range(classes)))))


def views(classes: int = 6) -> list[dict]:
    return [{f"vit.{name}": tensor for name, tensor in view.state_dict().items()} for view in cotex(classes).views]


def state(**changes) -> dict[str, Any]:
    return {**dan().state_dict(), **{name.replace("__", "."): value for name, value in changes.items()}}


def own(change: Callable[[bytes], bytes] = lambda data: data, model=dan, **options) -> Callable[[Path], Path]:
    """One of our own files, its bytes changed."""

    def make(root: Path) -> Path:
        path = root / "own.safetensors"
        save_weights(path, model(), **options)
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def recorded(record: Any, tensors: dict | None = None) -> Callable[[Path], Path]:
    """Our own kind of file, with `record` where class and config stand."""

    def make(root: Path) -> Path:
        text = record if isinstance(record, str) else json.dumps(record)
        save_file(tensors or {"a": torch.zeros(1)}, root / "own.safetensors", metadata={"affect_core": text})
        return root / "own.safetensors"

    return make


def config(name: str, **changes) -> Callable[[Path], Path]:
    """A small DAN's or CoTEX's tensors under a record that asks for something else."""
    model = {"DAN": dan, "CoTEX": cotex}[name]()
    settings = json.loads(json.dumps({"DAN": SMALL.__dict__, "CoTEX": {"vit": VIT.__dict__}}[name]))
    for key, value in changes.items():
        (settings["vit"] if key in settings.get("vit", {}) else settings)[key] = value
    return recorded({"model": name, "config": settings, "metadata": {}}, model.state_dict())


def saved(content: Callable[[Path], Any], name: str = "published.pth", **options) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        torch.save(content(root), root / name, **options)
        return root / name

    return make


def raw(name: str, data: bytes) -> Callable[[Path], Path]:
    return lambda root: (root / name).write_bytes(data) and root / name or root / name


def header(fields: Any, data: bytes = b"") -> bytes:
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return struct.pack("<Q", len(text)) + text + data


def zipped_hard(root: Path) -> Path:
    """2,000 times as large in memory as on disk."""
    torch.save({"fc.weight": torch.zeros(5_000_000)}, root / "plain.pth")
    with zipfile.ZipFile(root / "plain.pth") as plain, zipfile.ZipFile(
        root / "bomb.pth", "w", zipfile.ZIP_DEFLATED
    ) as bomb:
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    return root / "bomb.pth"


def folder(**changes) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        save_folder(root / "model", dan(), trained_on="nothing")
        settings = json.loads((root / "model/config.json").read_text())
        (root / "model/config.json").write_text(json.dumps({**settings, **changes}))
        return root / "model"

    return make


def runs_nothing(load: Callable[[Path], Any]) -> Callable[[Path, Path], Any]:
    """`load`, and then whether the code in the file was run."""

    def read(root: Path, path: Path) -> Any:
        try:
            return load(path)
        finally:
            assert not (root / "code was run").exists()

    return read


def refused(name: str, make: Callable[[Path], Path], reason: str, load=load_published, file: str = "") -> Case:
    return Case("checkpoint", name, make, Refused(reason, file), read=runs_nothing(load))


def in_other_numbers(dtype: torch.dtype) -> Case:
    weights = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state().items()}

    def look(model: DAN) -> bool:
        return all(torch.equal(tensor, weights[name].to(tensor.dtype)) for name, tensor in model.state_dict().items())

    return Case("checkpoint", f"numbers of {dtype}", own(weights=weights), Harmless("as float32"),
                read=lambda _, path: load_model(path), look=look)  # fmt: skip


def marked(root: Path) -> RunsCode:
    return RunsCode(root / "code was run")


SHAPES = {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}
TWICE = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
         "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}  # fmt: skip

CASES = [
    *(refused(f"own file cut off after {part} %", own(lambda data, part=part: data[: len(data) * part // 100]),
              "own.safetensors is not a safetensors file, or not a whole one",
                      load_model) for part in (1, 10, 50, 90, 99)),
    *(refused(f"published file cut off after {part} %",
              lambda root, part=part: raw("half.pth", saved(lambda _: state())(root).read_bytes()[: 600 * part])(root),
              "half.pth is not a PyTorch checkpoint") for part in (10, 50, 90)),
    refused("zero bytes, .pth", raw("empty.pth", b""), "empty.pth is not a PyTorch checkpoint"),
    refused("zero bytes, .safetensors", raw("empty.safetensors", b""), "is not a safetensors file", load_model),
    refused("web page, .pth", raw("page.pth", b"<html>404</html>"), "page.pth is not a PyTorch checkpoint"),
    refused("missing", lambda root: root / "gone.pth", "gone.pth not found"),
    refused("pickled code in a zip", saved(lambda root: {"model": marked(root)}),
            "holds more than tensors (posix.mkdir)"),
    refused("pickled code, old style",
            saved(lambda root: {"model": marked(root)}, _use_new_zipfile_serialization=False),
            "holds more than tensors (posix.mkdir)"),
    refused("pickled code named .pt", saved(marked, "published.pt"), "holds more than tensors (posix.mkdir)"),
    refused("whole pickled model", saved(lambda _: dan()), "holds more than tensors ("),
    refused("pickled arguments", saved(lambda _: {"model": state(), "args": argparse.Namespace(lr=1)}),
            "holds more than tensors (argparse.Namespace)"),
    refused("safetensors header of 2^60 bytes", raw("bomb.safetensors", struct.pack("<Q", 2**60) + b"{}"),
            "bomb.safetensors is not a safetensors file"),
    refused("safetensors header beyond the file", raw("bomb.safetensors", struct.pack("<Q", 1000) + b"{}"),
            "bomb.safetensors is not a safetensors file"),
    refused("safetensors shape of 4 TB", raw("bomb.safetensors", header(SHAPES, bytes(4))),
            "is not a safetensors file"),
    refused("safetensors numbers that overlap", raw("bomb.safetensors", header(TWICE, bytes(4))),
            "is not a safetensors file"),
    refused("safetensors header that is no JSON", raw("bomb.safetensors", header(b"{" * 50)),
            "is not a safetensors file"),
    refused("compressed archive, far larger in memory", zipped_hard, "bomb.pth is a compressed archive"),
    refused("tensor expanded from one number", saved(lambda _: state(fc__weight=torch.zeros(1).expand(8, 10**9))),
            "fc.weight of shape (8, 1000000000) is no plain tensor"),
    refused("tensor without numbers", saved(lambda _: state(fc__weight=torch.empty(10**12, device="meta"))),
            "fc.weight of shape (1000000000000,) is no plain tensor"),
    refused("sparse tensor", saved(lambda _: state(fc__weight=torch.zeros(8, 32).to_sparse())), "is no plain tensor"),
    refused("1,000 views", saved(lambda _: views()[:1] * 1000), "holds 1000 state dicts"),
    refused("tensors named by numbers", saved(lambda _: {1: torch.zeros(1)}), "holds a dict with 1, no state dict"),
    refused("another network's tensors", saved(lambda _: {"conv.weight": torch.zeros(1)}),
            "tensors are called conv.weight"),
    refused("no tensors", saved(lambda _: {"epoch": 3}), "holds a dict with epoch, no state dict"),
    refused("published CoTEX of 5 classes", saved(lambda _: views(5)), "has 6 or 8 classes, this one 5",
            lambda path: load_published(path, heads=1)),
    refused("tensor that is missing", saved(lambda _: {k: v for k, v in state().items() if k != "fc.bias"}),
            "1 missing: fc.bias"),
    refused("NaN weights", own(weights=state(fc__bias=torch.full((8,), torch.nan))),
            "own.safetensors does not fit DAN: 1 with NaN or infinity: fc.bias", load_model),
    refused("infinite weights, published", saved(lambda _: state(fc__bias=torch.full((8,), torch.inf))),
            "1 with NaN or infinity: fc.bias"),
    refused("integers for weights", own(weights=state(fc__bias=torch.ones(8, dtype=torch.int8))),
            "1 of another type: fc.bias torch.int8 instead of torch.float32", load_model),
    refused("complex weights", saved(lambda _: state(fc__bias=torch.ones(8, dtype=torch.complex64))),
            "1 of another type: fc.bias torch.complex64"),
    in_other_numbers(torch.float16),
    in_other_numbers(torch.bfloat16),
    in_other_numbers(torch.float64),
    refused("other architecture", own(), "does not fit CoTEX: ", lambda path: load_weights(path, cotex()),
            "own.safetensors"),
    refused("7 classes for a model of 8", own(model=lambda: dan(7)), "fc.weight (7, 32) instead of (8, 32)",
            lambda path: load_weights(path, dan())),
    refused("our own file as a published one", own(), "was written by this project: open it with load_model"),
    refused("published file as our own", lambda root: raw("dan.safetensors", save(state()))(root),
            "was not written by this project", load_model),
    refused("one shard of several", raw("model-00001-of-00002.safetensors", b"x"),
            "one part of weights in several files",
            load_model),
    refused("one shard of several, published", raw("pytorch_model-00001-of-00002.bin", b"x"), "one part of weights"),
    refused("index of shards", raw("model.safetensors.index.json", b"{}"), "one part of weights in several files"),
    refused("record that is no JSON", recorded("{"), "does not say in JSON which model", load_model),
    refused("record that is a list", recorded([1]), "its record lacks model, config or metadata", load_model),
    refused("class that we do not have", recorded({"model": "os.system", "config": {}, "metadata": {}}),
            "holds a os.system; load_model knows", load_model),
    refused("config that is null", recorded({"model": "DAN", "config": None, "metadata": {}}),
            "DANConfig must be a JSON object", load_model),
    refused("config with a field of another version", config("DAN", height=3), "DANConfig has no height", load_model),
    refused("config with text for a number", config("DAN", num_heads="1"), "num_heads is '1', but must be int",
            load_model),
    refused("config with NaN", config("CoTEX", mlp_ratio=float("nan")), "mlp_ratio is 'nan', but must be float",
            load_model),
    refused("config of a billion blocks", config("CoTEX", depth=10**9),
            "ask for many more tensors than it holds", load_model),
    refused("config of a billion views", config("CoTEX", views=10**9),
            "ask for many more tensors than it holds", load_model),
    refused("config of 40 TB", config("DAN", width=4 * 10**5), "of another shape", load_model),
    refused("config of patches of no pixels", config("CoTEX", patch_size=0), "ViTConfig: ", load_model),
    refused("config of negative width", config("DAN", width=-4), "no model can be built with its settings", load_model),
    refused("model folder that names no class", folder(architectures=[]), "must name one class", load_folder),
    refused("model folder with another config", folder(affect_core={"width": 8}), "does not fit DAN: ", load_folder),
]  # fmt: skip
