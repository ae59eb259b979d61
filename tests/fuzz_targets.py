"""What fuzz.py and test_any_input.py feed with bytes: each returns, or raises what is no AffectError: a bug."""

from __future__ import annotations

import atexit
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import mkdtemp, mkstemp

import numpy as np
from corrupt.checkpoints import SMALL, dan
from published_layouts import write_image
from safetensors.torch import save

from affect_core.checkpoints import load_model
from affect_core.corpora import Corpus, open_corpus
from affect_core.corpora.affectnet_arrays import read_scalars
from affect_core.errors import AffectError
from affect_core.published import load_published

READERS = {
    "abaw4": ("training_set_annotations.txt", "cropped_aligned"),
    "affectnet": ("training.csv", "Manually_Annotated_Images"),
    "rafdb": ("list_patition_label.txt", "aligned"),
    "fer2013": ("fer2013.csv", ""),
    "ferplus": ("fer2013new.csv", ""),
    "celeba": ("identity_CelebA.txt", "img_align_celeba"),
    "table": ("labels.csv", ""),
    "vocabulary": ("vocabulary.txt", ""),
}
"""Reader -> the label file that it is fed, and where its images lie."""

BESIDE = {
    "abaw4": {"validation_set_annotations.txt": "h\nv/2.jpg" + ",0" * 15},
    "affectnet": {"validation.csv": "v/2.jpg,0,0,9,9,,0,0,0"},
    "ferplus": {"fer2013.csv": f"emotion,pixels,Usage\n0,{' '.join(['7'] * 2304)},Training"},
    "table": {"vocabulary.txt": "neutral\nhappy"},
    "vocabulary": {"labels.csv": "image,expression\nv/1.jpg,0\nv/2.jpg,happy"},
}


@cache
def corpus_folder(reader: str) -> Path:
    """A corpus with two images and sound files beside the one that is fed, written once a process."""
    root = Path(mkdtemp(prefix="affect_core fuzz "))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    base, images = root / reader, root / reader / READERS[reader][1]
    for number in (1, 2):
        write_image(images / f"v/{number}.jpg", np.random.default_rng(number), number, size=16)
        shutil.copy(images / f"v/{number}.jpg", images / f"train_{number}_aligned.jpg")
    for name, text in BESIDE.get(reader, {}).items():
        (base / name).write_text(text)
    return root


def read_labels(reader: str, data: bytes, on_bad_rows: str = "skip") -> Corpus | None:
    """The corpus whose label file is `data`; None if it was refused with a sentence."""
    root = corpus_folder(reader)
    (root / reader / READERS[reader][0]).write_bytes(data)
    try:
        corpus = open_corpus(root, reader, size=8, store_dir=root / "stores", on_bad_rows=on_bad_rows, workers=1)
    except AffectError as error:
        assert str(error).strip()
        return None
    finally:
        if reader.startswith("fer"):  # its images are in the label file, so that none would be used again
            shutil.rmtree(root / "stores", ignore_errors=True)
    labels = corpus.labels
    assert np.abs(labels.valence_arousal).max(initial=0) <= 1
    assert np.isin(labels.action_units, (0, 1)).all()
    assert not len(corpus) or 0 <= labels.expression.min() <= labels.expression.max() < max(len(labels.vocabulary), 1)
    return corpus


def read_weights(data: bytes, suffix: str):
    """The model whose file is `data`, as one of ours and as a published one; None if both were refused."""
    path = _written(data, suffix)
    try:
        for load in (load_model, load_published):
            with suppress(AffectError):
                return load(path)
    finally:
        path.unlink()


def read_settings(changes: dict):
    """A DAN whose stored settings are changed; None if it was refused."""
    record = {"model": "DAN", "config": {**SMALL.__dict__, **changes}, "metadata": {}}
    return read_weights(save(dan().state_dict(), {"affect_core": json.dumps(record)}), ".safetensors")


def read_array(data: bytes) -> float | None:
    """The number in an AffectNet array file; None if the file was refused."""
    folder = Path(mkdtemp(prefix="affect_core fuzz "))
    try:
        (folder / "1_exp.npy").write_bytes(data)
        scalars = read_scalars(folder, ("exp",))
        return None if scalars.reasons else scalars.values[0, 0]
    finally:
        shutil.rmtree(folder)


def run(target: str, data: bytes) -> None:
    """Feed `data` to one of TARGETS."""
    TARGETS[target](data)


def _written(data: bytes, suffix: str) -> Path:
    handle, name = mkstemp(suffix=suffix)
    with open(handle, "wb") as file:
        file.write(data)
    return Path(name)


def _annotations(data: bytes) -> None:
    """The first byte chooses the reader and what happens to bad rows."""
    choice = data[0] if data else 0
    names = sorted(READERS)
    read_labels(names[choice % len(names)], data[1:], ("skip", "list", "refuse")[choice // len(names) % 3])


TARGETS: dict[str, Callable[[bytes], object]] = {
    "annotations": _annotations,
    "arrays": read_array,
    "checkpoints": lambda data: read_weights(data, ".safetensors"),
    "pickles": lambda data: read_weights(data, ".pth"),
}
