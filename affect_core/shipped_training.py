"""The commands that made the trained weights in `data/weights/` (see `shipped`).

    python -m affect_core.shipped_training WHAT

    train    trains the `shipped` profile in runs/shipped, or goes on with it
    finish   trains EMMA and CoTEX of that run for some epochs more, at a falling rate (profile `shipped_finish`,
             runs/shipped_finish), where time ended early
    export   writes data/weights from both: weights, combination, scores, model cards
    cards    writes the model cards anew
    more     trains both on from there, on other people (profile `shipped_more`, runs/shipped_more); no better on
             photographs, and not shipped

Matrices are stored as float16, everything else as float32; models compute in float32. The expression prior is the one
inside EMMA.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from affect_core.checkpoints import load_model, read_metadata, save_weights
from affect_core.errors import AffectError
from affect_core.profiles import load_profile
from affect_core.project_folders import project_root, weights_dir
from affect_core.record import PACKAGE
from affect_core.shipped import FILES, MODELS, read_combination
from affect_core.stages import train_cotex, train_emma
from affect_core.storage import read_json, write_json
from affect_core.workbook import Workbook, open_workbook

PROFILE, FINISH, MORE = "shipped", "shipped_finish", "shipped_more"


def halved(model: nn.Module) -> dict[str, Tensor]:
    """The model's state with matrices and filters as float16; vectors (norms, biases, statistics) stay as they are."""
    return {name: tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
            for name, tensor in model.state_dict().items()}  # fmt: skip


def train(book: Workbook) -> None:
    """All four stages of the profile, each trained, continued or found finished."""
    for stage in (book.pretrain_mae, book.train_prior, book.train_emma, book.train_cotex):
        stage()


def finish(earlier: Path, book: Workbook) -> None:
    """Train EMMA and CoTEX of an earlier run further, as `book`'s profile says, in `book`'s run folder."""
    p, options = book.profile, {"device": book.device, "progress": book.progress}
    emma, cotex = (load_model(Path(earlier) / name / "best.safetensors") for name in ("emma", "cotex"))
    train_emma(emma.config, p.emma_training, p.emma_augmentation, book.corpus("abaw4"), book.stage("emma"),
               start=emma, **options)  # fmt: skip
    train_cotex(cotex.config, p.cotex_training, p.cotex_augmentation, book.corpus("lsd"), book.stage("cotex"),
                start=cotex, **options)  # fmt: skip


def export(runs: Sequence[Path], book: Workbook, test: Workbook, folder: Path) -> None:
    """Write the models that were trained in `runs`, one run after the other, to `folder`.

    With combination (fitted on `book`'s validation people), scores on `test`'s corpora, and model cards.
    """
    from affect_core.shipped_cards import write_cards
    from affect_core.shipped_scores import combination, scores

    folder, training = Path(folder), {}
    for name in MODELS:
        phases = [run / name for run in map(Path, runs) if (run / name / "best.safetensors").exists()]
        if not phases:
            raise AffectError(f"no weights of {name} in {', '.join(map(str, runs))}; train first.")
        training[name] = _training_of(phases)
        if name in FILES:
            model = load_model(phases[-1] / "best.safetensors")
            about = {"profile": PROFILE, "seed": training[name]["training"]["seed"]}
            save_weights(folder / FILES[name], model, about, weights=halved(model))
    write_json(folder / "training.json", training)
    write_json(folder / "corpus.json", asdict(load_profile(PROFILE).corpus))
    models = {name: load_model(folder / file) for name, file in FILES.items()}
    write_json(folder / "combination.json", combination(models["emma"], models["cotex"], book))
    write_json(folder / "scores.json", scores(models, read_combination(folder), book, test))
    write_cards(folder)


def _training_of(phases: Sequence[Path]) -> dict:
    """What is kept about a training: that of its last phase, the log of all, and each phase's length and machine."""
    told = [_phase(folder) for folder in phases]
    before = sum(len(phase["log"]) for phase in told[:-1])
    log = [entry for phase in told for entry in phase["log"]]
    return told[-1] | {
        "log": [entry | {"epoch": number} for number, entry in enumerate(log, start=1)],
        "best_epoch": before + told[-1]["best_epoch"],
        "seconds": sum(phase["seconds"] for phase in told),
        "phases": [{"epochs": len(phase["log"]), **{name: phase[name] for name in
                    ("training", "seconds", "precision", "environment")}} for phase in told],
    }  # fmt: skip


def _phase(folder: Path) -> dict:
    """From `record.json`, or, of a training that was interrupted, from its settings and its log."""
    names = "log", "best_epoch", "seconds", "images", "training", "environment", "precision"
    if (folder / "record.json").exists():
        record = read_json(folder / "record.json")
        return {name: record[name] for name in names}
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    training, environment = read_json(folder / "config.json")["training"], read_json(folder.parent / "environment.json")
    best = read_metadata(folder / "best.safetensors")["metadata"]["epoch"]
    return {"log": log, "best_epoch": best, "seconds": log[-1]["seconds"], "images": None, "training": training,
            "environment": environment, "precision": training["precision"]}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 1 after an error, said in a sentence."""
    parser = argparse.ArgumentParser(prog="affect_core.shipped_training", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("what", choices=("train", "finish", "export", "cards", "more"))
    options = parser.parse_args(arguments)
    try:
        if options.what == "cards":
            from affect_core.shipped_cards import write_cards

            write_cards(weights_dir())
            return 0
        runs = [project_root() / "runs" / name for name in (PROFILE, FINISH)]
        if options.what == "train":
            train(open_workbook(PROFILE))
            return 0
        book = open_workbook(str(PACKAGE / "profiles" / f"{MORE if options.what == 'more' else FINISH}.toml"))
        if options.what == "export":
            export(runs, book, open_workbook("laptop"), weights_dir())
        else:
            finish(runs[1 if options.what == "more" else 0], book)
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
