"""The trained weights in `data/weights/`: reading them, and the commands that made them.

    python -m affect_core.shipped train    trains the `shipped` profile in runs/shipped, or goes on with it
    python -m affect_core.shipped export   writes data/weights from that run: weights, combination, scores, model cards

Matrices are stored as float16, everything else as float32; models compute in float32. The expression prior is the one
inside EMMA.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from affect_core.checkpoints import load_model, save_weights
from affect_core.errors import AffectError
from affect_core.storage import read_json, write_json
from affect_core.training import TrainRecord
from affect_core.workbook import Workbook, open_workbook, project_root

MODELS = ("mae", "prior", "emma", "cotex")
FILES = {"mae": "mae.safetensors", "emma": "emma.safetensors", "cotex": "cotex.safetensors"}
PROFILE = "shipped"


def weights_dir() -> Path:
    """`data/weights/` of the checkout."""
    return project_root() / "data" / "weights"


def shipped_model(name: str) -> nn.Module:
    """The shipped MAE, DAN, EMMA or CoTEX ("mae", "prior", "emma", "cotex"), on the CPU, in eval mode.

    Raises AffectError for another name, or if the file is not there.
    """
    if name not in MODELS:
        raise AffectError(f"no shipped model is called {name!r}; there are {', '.join(MODELS)}")
    if name == "prior":
        return shipped_model("emma").prior.model
    path = weights_dir() / FILES[name]
    if not path.exists():
        raise AffectError(f"{path} not found: the trained weights are in the project's checkout, or see {__name__}.")
    return load_model(path)


def shipped_record(name: str) -> TrainRecord:
    """The log of the training that made a shipped model."""
    record = read_json(weights_dir() / "training.json")[name]
    return TrainRecord(weights_dir(), record["log"], record["best_epoch"], record["seconds"], reused=True)


def read_combination(folder: Path | None = None) -> dict:
    """How `predict` combines the shipped models: the fields of `prediction.Predictor` beside the models."""
    values = read_json((folder or weights_dir()) / "combination.json")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def halved(model: nn.Module) -> dict[str, Tensor]:
    """The model's state with matrices and filters as float16; vectors (norms, biases, statistics) stay as they are."""
    return {name: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
            for name, tensor in model.state_dict().items()}  # fmt: skip


def train(book: Workbook) -> dict[str, tuple[nn.Module, TrainRecord]]:
    """All four stages of the profile, each trained, continued or loaded."""
    return {"mae": book.pretrain_mae(), "prior": book.train_prior(), "emma": book.train_emma(),
            "cotex": book.train_cotex()}  # fmt: skip


def export(book: Workbook, test: Workbook, folder: Path) -> None:
    """Write the models of `book`'s run to `folder`, with combination, scores on `test`'s corpora, and model cards."""
    from affect_core.shipped_cards import combination, scores, write_cards

    folder = Path(folder)
    trained = train(book)
    for name, file in FILES.items():
        save_weights(folder / file, trained[name][0], {"profile": PROFILE, "seed": book.seed},
                     weights=halved(trained[name][0]))  # fmt: skip
    training = {}
    for name, (_, record) in trained.items():
        whole = read_json(book.stage(name) / "record.json")
        training[name] = {
            "log": record.log, "best_epoch": record.best_epoch, "seconds": record.seconds, "images": whole["images"],
            "training": whole["training"], "environment": whole["environment"], "precision": whole["precision"],
        }  # fmt: skip
    write_json(folder / "training.json", training)
    write_json(folder / "corpus.json", asdict(book.profile.corpus))
    models = {name: load_model(folder / file) for name, file in FILES.items()}
    write_json(folder / "combination.json", combination(models["emma"], models["cotex"], book))
    write_json(folder / "scores.json", scores(models, read_combination(folder), book, test))
    write_cards(folder)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 1 after an error, said in a sentence."""
    parser = argparse.ArgumentParser(prog="affect_core.shipped", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("what", choices=("train", "export", "cards"))
    parser.add_argument("--run-dir", default="")
    options = parser.parse_args(arguments)
    try:
        if options.what == "cards":
            from affect_core.shipped_cards import write_cards

            write_cards(weights_dir())
            return 0
        book = open_workbook(PROFILE, run_dir=options.run_dir)
        train(book)
        if options.what == "export":
            export(book, open_workbook("laptop", run_dir=Path("runs") / "laptop"), weights_dir())
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
