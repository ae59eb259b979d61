"""Profiles and parameters that are wrong: each is refused with file, section and key before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from affect_core.profiles import load_profile
from affect_core.project_folders import run_folder
from affect_core.workbook import open_workbook
from corrupt.case import Case, Refused

SMOKE = (resources.files("affect_core.profiles") / "smoke.toml").read_text()


def load_mine(root: Path, _: object) -> object:
    return load_profile(str(root / "mine.toml"))


def profile(name: str, old: str, new: str, reason: str) -> Case:
    """The smoke profile with its first `old` replaced."""

    def make(root: Path) -> None:
        assert old in SMOKE
        (root / "mine.toml").write_text(SMOKE.replace(old, new, 1))

    return Case("configuration", name, make, Refused(reason, "mine.toml"), read=load_mine)


def raw(name: str, data: bytes, reason: str) -> Case:
    make = lambda root: (root / "mine.toml").write_bytes(data)  # noqa: E731
    return Case("configuration", name, make, Refused(reason, "mine.toml"), read=load_mine)


def parameter(name: str, read: Callable[[Path], object], reason: str) -> Case:
    return Case("configuration", name, lambda root: None, Refused(reason), read=lambda root, _: read(root))


CASES = [
    profile("section that is unknown", "[vit]", "[vitt]", "unknown sections ['vitt'], missing sections ['vit']"),
    profile("section that is missing", "[cotex]\n", "", "missing sections ['cotex']"),
    raw("value in place of a section", b"images = 3\n" + SMOKE.partition("[corpus]")[2].join(["[corpus]", ""]).encode(),
        "images is a value, but must be a section [images]"),
    profile("key that is unknown", "depth = 2", "deep = 2", "section [vit]: unknown ['deep']; there are"),
    profile("key twice", "depth = 2", "depth = 2\ndepth = 3", "not readable as TOML"),
    profile("text for a number", "depth = 2", 'depth = "2"', "section [vit]: depth is '2', but must be int"),
    profile("fraction for a whole number", "depth = 2", "depth = 2.5", "depth is '2.5', but must be int"),
    profile("true for a number", "depth = 2", "depth = true", "depth is 'True', but must be int"),
    profile("NaN", "base_learning_rate = 1.5e-3", "base_learning_rate = nan", "base_learning_rate is 'nan'"),
    profile("one number for two", "betas = [0.9, 0.95]", "betas = [0.9]", "betas is '[0.9]', but must be tuple"),
    profile("readout that does not exist", '"patch_tokens"', '"all"', "readout is 'all'"),
    profile("on_bad_rows that does not exist", '"refuse"', '"ignore"', "on_bad_rows is 'ignore', but must be refuse"),
    raw("no TOML", b"[vit", "not readable as TOML"),
    raw("no UTF-8", SMOKE.encode("utf-16"), "cannot be read as UTF-8 text"),
    raw("a thousand nested lists", b"a = " + b"[" * 5000, "not readable as TOML"),
    profile("patches that do not fill the image", "patch_size = 8", "patch_size = 7", "not a multiple of patch_size 7"),
    profile("patches of no pixels", "patch_size = 8", "patch_size = 0", "section [vit]: "),
    profile("width that heads cannot share", "heads = 3", "heads = 5", "width 48 is not a multiple of heads 5"),
    profile("decoder width that heads cannot share", "decoder_heads = 4", "decoder_heads = 5",
            "decoder_width is 32, but must be a multiple of decoder_heads 5"),
    profile("image too small for the CNN", "image_size = 32", "image_size = 16",
            "image_size is 16, but must be at least 32"),
    profile("everything hidden from MAE", "decoder_heads = 4", "decoder_heads = 4\nmask_ratio = 1.0",
            "section [mae]: mask"),
    profile("negative learning rate", "= 1.5e-3", "= -1.5e-3", "base_learning_rate is -0.0015, but must be above 0"),
    profile("warm-up longer than training", "warmup_epochs = 1", "warmup_epochs = 9", "must be between 0 and epochs 2"),
    profile("no epochs", "epochs = 2", "epochs = 0", "must be at least 1"),
    profile("precision that does not exist", "accumulation = 1", 'accumulation = 1\nprecision = "fp8"', "not 'fp8'"),
    profile("crop larger than the image", "[0.5, 1.0]", "[0.5, 2.0]",
            "crop_area is (0.5, 2.0), but must be two shares"),
    profile("probability of 2", "jitter_probability = 0.2", "jitter_probability = 2", "must be between 0 and 1"),
    profile("corpus of images of 4 px", "size = 32", "size = 4", "size"),
    parameter("profile that does not exist", lambda root: load_profile("big"), "There is no profile 'big'"),
    parameter("profile that leads out of the project", lambda root: load_profile("../../etc/passwd"), "no profile"),
    parameter("profile that is code", lambda root: load_profile("__import__('os').system('true')"), "no profile"),
    parameter("run folder with ..", lambda root: run_folder("runs/../../elsewhere", "x"), 'give a path without ".."'),
    parameter("run folder that is the project", lambda root: run_folder(".", "x"), "holds the project itself"),
    parameter("workbook whose run folder leads out", lambda root: open_workbook("smoke", run_dir="runs/../.."),
              'give a path without ".."'),
    parameter("corpus root without a corpus", lambda root: open_workbook("smoke", root, root / "run"),
              "holds none of the folders"),
    parameter("weights that do not exist", lambda root: open_workbook("smoke", run_dir=root, weights="old"),
              "must be \"fresh\" or \"shipped\", not 'old'"),
]  # fmt: skip
