"""Train the cells of `experiments`, one after the other, and keep what each leaves.

    python -m affect_core.evidence train --run-dir runs/laptop     trains what is missing in results/, cell by cell
    python -m affect_core.evidence train --cluster slurm           the same as jobs of a cluster (submitit)
    python -m affect_core.evidence tables                          tables and figures of the stored cells (make results)

A cell is one training of one setting with one seed. What it leaves under `results/cells/` (scores, configuration,
machine, and its answers on the validation set) is enough to redo every table; nothing is ever trained to read one.

The last epoch counts. MAE and prior are those of the run, or trained once for all cells that start from another
pretraining: intervals do not cover another pretraining of the same kind.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from affect_core.batches import predict_corpus
from affect_core.bootstrap import group_numbers
from affect_core.corpora import Corpus
from affect_core.errors import AffectError
from affect_core.experiments import IMAGES_SEEN, STARTS, Cell, cells
from affect_core.labels import AffectPrediction
from affect_core.mae import MAE
from affect_core.metrics import lsd_score, mtl_score
from affect_core.project_folders import project_root
from affect_core.record import environment_record, fingerprint
from affect_core.stage_corpora import CORPUS_OF_STAGE
from affect_core.stages import pretrain_mae, train_cotex, train_emma
from affect_core.storage import atomic_path, read_json, remove_unfinished, write_json
from affect_core.workbook import Workbook, open_workbook


def default_results() -> Path:
    """`results/` of the checkout."""
    return project_root() / "results"


def train_cell(book: Workbook, cell: Cell, results: Path, images_seen: int | None = None) -> dict:
    """Train a cell, or read it if it is there; returns its record. An interrupted training goes on.

    images_seen replaces `IMAGES_SEEN` of the stage.

    Raises AffectError if the stored cell was made from another configuration.
    """
    setting, profile = cell.setting, book.profile
    config = replace(getattr(profile, setting.stage), **dict(setting.changes))
    corpus = book.corpus(CORPUS_OF_STAGE[setting.stage])
    subset = labelled_share(corpus, setting.labels, cell.seed)
    images = len(subset.split("training"))
    training = getattr(profile, f"{setting.stage}_training")
    epochs = max(1, round(setting.longer * (images_seen or IMAGES_SEEN[setting.stage]) / images))
    training = replace(training, seed=cell.seed, epochs=epochs, warmup_epochs=epochs / 6, validate_every=epochs,
                       ema_decay=None, batch_size=training.batch_size * setting.batch)  # fmt: skip
    key = fingerprint(config, training, subset.fingerprint, setting.start)
    path, folder = Path(results) / "cells" / f"{cell.name}.json", book.stage("evidence") / cell.name
    remove_unfinished(path.parent, cell.name)
    if path.exists():
        record = read_json(path)
        if record["key"] != key:
            raise AffectError(f"{path} was made from other settings or data; move it away to train it again.")
        shutil.rmtree(folder, ignore_errors=True)  # left over if a process was killed at the very end
        return record
    mae = None if setting.start == "random" else pretrained(book, setting.start)
    options = {"mae": mae, "device": book.device, "progress": book.progress}
    if setting.stage == "emma":
        prior = book.train_prior()[0] if config.needs_prior else None
        model, run = train_emma(config, training, profile.emma_augmentation, subset, folder, prior=prior, **options)
    else:
        model, run = train_cotex(config, training, profile.cotex_augmentation, subset, folder, **options)
    validation = subset.split("validation")
    predict = model if setting.stage == "emma" else model.predict
    prediction = predict_corpus(predict, validation, profile.vit.image_size, book.device)
    score = (mtl_score if setting.stage == "emma" else lsd_score)(prediction, validation.labels)
    with atomic_path(path.with_suffix(".npz")) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **{name: getattr(prediction, name).astype(np.float16) for name in _tasks(prediction)})
    record = {
        "key": key, "stage": setting.stage, "start": setting.start, "labels": setting.labels,
        "changes": dict(setting.changes), "batch": setting.batch, "longer": setting.longer, "seed": cell.seed,
        "images": images, "epochs": epochs,
        "score": {name: float(value) for name, value in score.items() if np.isscalar(value)},
        "seconds": round(run.seconds, 1), "config": asdict(config), "training": asdict(training),
        "data": subset.fingerprint, "environment": environment_record(book.device),
    }  # fmt: skip
    write_json(path, record)
    shutil.rmtree(folder, ignore_errors=True)  # the weights of a finished cell
    return record


def pretrained(book: Workbook, start: str) -> MAE:
    """The MAE of one of `STARTS`: the run's own, or a variant, trained once and kept in the run's folder."""
    changes = dict(STARTS[start])
    if not changes:
        return book.pretrain_mae()[0]
    profile, faces, share = book.profile, book.corpus("faces"), changes.pop("faces", 1.0)
    subset = faces.select(np.arange(round(share * len(faces))))
    epochs = round(profile.mae_training.epochs / share)
    training = replace(profile.mae_training, epochs=epochs, warmup_epochs=profile.mae_training.warmup_epochs / share,
                       validate_every=epochs)  # fmt: skip
    slug = "".join(letter if letter.isalnum() else "_" for letter in start)
    return pretrain_mae(
        replace(profile.mae, **changes), training, profile.mae_augmentation, subset, book.stage("evidence") / slug,
        device=book.device, progress=book.progress,
    )[0]  # fmt: skip


def stored_prediction(path: Path, vocabulary: tuple[str, ...]) -> AffectPrediction:
    """The answers that a cell left beside its record."""
    with np.load(Path(path).with_suffix(".npz"), allow_pickle=False) as arrays:
        return AffectPrediction(**{name: arrays[name].astype(np.float32) for name in arrays.files},
                                vocabulary=vocabulary)  # fmt: skip


def labelled_share(corpus: Corpus, share: float, seed: int) -> Corpus:
    """All of the validation split, and a random share of the groups (videos, or single images) to train on."""
    splits, groups = corpus.table["split"].to_numpy(), group_numbers(corpus.table["group"])
    training = np.unique(groups[splits == "training"])
    count = max(1, round(share * len(training)))
    chosen = np.random.default_rng([seed, count]).choice(training, count, replace=False)
    return corpus.select(np.flatnonzero((splits == "validation") | ((splits == "training") & np.isin(groups, chosen))))


def train_all(book: Workbook, results: Path, *, only: str = "", say=lambda line: None) -> None:
    """Train every cell that is missing in `results`, one after the other; `only` keeps those whose name contains it."""
    wanted = [cell for cell in cells() if only in cell.name]
    for number, cell in enumerate(wanted, start=1):
        record = train_cell(book, cell, results)
        scores = ", ".join(f"{name} {value:.3f}" for name, value in record["score"].items())
        say(f"[{number}/{len(wanted)}] {cell.name}: {scores} ({record['seconds']:.0f} s)")


def submit_all(
    profile: str, corpus_root: str, run_dir: str, results: Path, *, cluster: str, folder: Path, only: str = "", **slurm
) -> list:
    """One submitit job for each missing cell: cluster "slurm", or "local" processes; returns the jobs.

    MAE and prior are trained here first, so that no job waits for another. `slurm`: parameters of
    `submitit.AutoExecutor`, e.g. slurm_partition="gpu", timeout_min=60. Raises AffectError without submitit.
    """
    try:
        import submitit
    except ImportError as error:
        raise AffectError("submitit is not installed: pip install 'affect-core[cluster]'") from error
    book = open_workbook(profile, corpus_root, run_dir)
    for corpus in ("abaw4", "lsd"):
        book.corpus(corpus)
    book.pretrain_mae(), book.train_prior()
    executor = submitit.AutoExecutor(folder=str(folder), cluster=cluster)
    executor.update_parameters(**slurm)
    missing = [cell for cell in cells()
               if only in cell.name and not (Path(results) / "cells" / f"{cell.name}.json").exists()]  # fmt: skip
    return [executor.submit(_job, profile, corpus_root, run_dir, cell, Path(results)) for cell in missing]


def _job(profile: str, corpus_root: str, run_dir: str, cell: Cell, results: Path, images_seen=None) -> dict:
    return train_cell(open_workbook(profile, corpus_root, run_dir), cell, results, images_seen)


def _tasks(prediction: AffectPrediction) -> list[str]:
    return [name for name in ("expression_logits", "action_unit_logits", "valence_arousal")
            if getattr(prediction, name) is not None]  # fmt: skip


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 1 after an error, said in a sentence."""
    parser = argparse.ArgumentParser(prog="affect_core.evidence", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("what", choices=("train", "tables"))
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--corpus-root", default="")
    parser.add_argument("--run-dir", default="")
    parser.add_argument("--results", type=Path, default=default_results())
    parser.add_argument("--only", default="", help="only cells whose name contains this")
    parser.add_argument("--cluster", choices=("", "local", "slurm"), default="", help="submit jobs instead of training")
    options = parser.parse_args(arguments)
    try:
        if options.what == "tables":
            from affect_core.evidence_tables import write_tables

            readme = project_root() / "README.md" if options.results == default_results() else None
            write_tables(open_workbook(options.profile, options.corpus_root, options.run_dir), options.results, readme)
        elif options.cluster:
            jobs = submit_all(options.profile, options.corpus_root, options.run_dir, options.results,
                              cluster=options.cluster, folder=project_root() / "runs" / "jobs",
                              only=options.only)  # fmt: skip
            sys.stdout.write(f"{len(jobs)} jobs submitted\n")
        else:
            book = open_workbook(options.profile, options.corpus_root, options.run_dir)
            train_all(book, options.results, only=options.only, say=_say)
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
