"""What each command of `affect-core` does, thin over the package's functions; the arguments are in `command_line`.

The docstrings of the commands, whose names end in _, are what --help says.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from affect_core.errors import AffectError

FINE, FAILED, USAGE, UNREADABLE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes; `command_line.EXIT_CODES` says what they mean."""


def render_(options: argparse.Namespace) -> int:
    """Render the embedded corpus: faces with exact labels, in the layouts of four published corpora."""
    from affect_core.profiles import load_profile
    from affect_core.progress import TerminalBar
    from affect_core.synthetic.embedded_corpus import write_embedded_corpus

    write_embedded_corpus(options.folder, load_profile(options.profile).corpus, workers=options.workers,
                          progress=TerminalBar)  # fmt: skip
    return FINE


def audit_(options: argparse.Namespace) -> int:
    """Describe a corpus before anyone trains on it: counts, what is missing or unreadable, near-duplicates."""
    from affect_core.audit import audit
    from affect_core.corpora import open_corpus
    from affect_core.progress import TerminalBar
    from affect_core.storage import write_figure, write_text
    from affect_core.synthetic.embedded_corpus import COMPLETE

    with TemporaryDirectory() as store:
        corpus = open_corpus(options.root, options.corpus, size=options.size, store_dir=Path(store), on_bad_rows="skip",
                             progress=TerminalBar)  # fmt: skip
        source = "synthetic" if (options.root / COMPLETE).exists() else ""
        report = audit(corpus, source=source, progress=TerminalBar)
        figures = report.figures() if options.figures else {}
    if options.out:
        write_text(options.out, report.to_markdown())
    else:
        sys.stdout.write(report.to_markdown())
    for name, figure in figures.items():
        write_figure(options.figures / f"{name}.png", figure)
    return FINE


def train_(options: argparse.Namespace) -> int:
    """Train stages of a run, or go on with them: mae, prior, emma, cotex. EMMA trains the first two if it must."""
    from affect_core import train

    return train.main([*options.stages, *_run_arguments(options)])


def evaluate_(options: argparse.Namespace) -> int:
    """Score a model on the validation set that it is meant for: EMMA on abaw4, CoTEX on lsd, DAN on affectnet.

    --smooth and --thresholds are beside the paper: each score is then told without and with them, and so is their
    difference. Smoothing looks at later frames, so it is for recordings; it needs videos and frame numbers.
    """
    from affect_core.checkpoints import load_model
    from affect_core.evaluation import evaluate_model, refuse_other_size
    from affect_core.export.tables import write_table
    from affect_core.storage import read_json
    from affect_core.workbook import open_workbook

    root = str(Path(options.corpus_root).expanduser().resolve()) if options.corpus_root else ""
    with TemporaryDirectory() as no_run:
        book = open_workbook(options.profile, root, no_run)
        refuse_other_size(options.model, book)
        model = load_model(options.model)
        scores = evaluate_model(model, book, smooth=options.smooth, thresholds=options.thresholds)
        for left_out in sorted(Path(no_run).glob("problems-*.json")):
            problems = read_json(left_out)
            _note(f"{len(problems)} problems: their rows are left out of {left_out.stem.removeprefix('problems-')}")
            sys.stderr.writelines(f"  {problem}\n" for problem in problems)
    if options.out:
        write_table(options.out, scores)
    else:
        sys.stdout.write(scores.to_string(index=False, float_format="{:.3f}".format) + "\n")
    return FINE


def predict_(options: argparse.Namespace) -> int:
    """Predict pictures of faces: one row a picture, written while the models look at the next ones.

    A picture is one face, cropped from forehead to chin; whole photographs need --find-faces. The shipped models have
    seen rendered faces alone. Memory does not grow with the number of pictures. Pictures that are not read are listed.
    """
    from affect_core.folder_prediction import predict_folder
    from affect_core.labels import EXPRESSIONS
    from affect_core.picture_files import files
    from affect_core.prediction import EVERYDAY
    from affect_core.progress import TerminalBar

    predictor = _predictor(options)
    if not options.alike:
        predictor = replace(predictor, prevalence=tuple(EVERYDAY[name] for name in EXPRESSIONS))
    if options.find_faces:
        from affect_core.photograph_prediction import predict_photographs

        report = predict_photographs(options.images, options.out, predictor, progress=TerminalBar)
    else:
        report = predict_folder(options.images, options.out, predictor, batch_size=options.batch_size,
                                progress=TerminalBar)  # fmt: skip
    sys.stdout.write(f"{report.written:,} rows in {options.out}\n")
    for note in report.notes:
        _note(note)
    if not report.unreadable:
        return FINE
    sys.stderr.writelines(f"{name} {reason}\n" for name, reason in report.unreadable)
    sys.stderr.write(f"affect-core predict: {files(len(report.unreadable))} left out, listed above\n")
    return UNREADABLE


def submit_(options: argparse.Namespace) -> int:
    """Predict a challenge's test set: every image of the published list, in a submission file that is then checked.

    An image of the list that is missing or unreadable is an error, and no file is written. The real test lists were
    not seen by us; their published layout is what is read.
    """
    from affect_core.challenge_submission import challenge_model, submit
    from affect_core.progress import TerminalBar

    model, thresholds = challenge_model(options.challenge, _run_dir(options), _device(options), _note)
    rows = submit(options.challenge, options.test_list, options.images, options.out, model, thresholds=thresholds,
                  smooth=options.smooth, batch_size=options.batch_size, progress=TerminalBar)  # fmt: skip
    sys.stdout.write(f"{rows:,} rows in {options.out}, which names the images of {options.test_list}\n")
    return FINE


def export_(options: argparse.Namespace) -> int:
    """Write a model for others: ONNX, the encoder as a timm checkpoint, or a folder in the Hugging Face layout.

    The name of the output says which. A CoTEX has an encoder for each view, of which the first is written. A folder
    keeps what was noted with the weights: scores of the training, thresholds of the action units.
    """
    from affect_core.export import export_model_file

    said = export_model_file(options.model, options.out, trained_on=options.trained_on, int8=options.int8)
    sys.stdout.writelines(f"{sentence}\n" for sentence in said)
    return FINE


def run_(options: argparse.Namespace) -> int:
    """Run the whole workbook: render, train, every notebook, report. What has not changed is not done again."""
    from affect_core import runner

    only = ["--only", *options.only] if options.only else []
    return runner.main([*_run_arguments(options), "--weights", options.weights, *only])


def _predictor(options: argparse.Namespace):
    from affect_core.prediction import load_predictor
    from affect_core.run_models import run_predictor

    device, run = _device(options), _run_dir(options)
    return load_predictor(device) if run is None else run_predictor(run, device, _note)


def _run_dir(options: argparse.Namespace) -> Path | None:
    """The run that was named; in the project, where a training puts it, if it is not in the working directory."""
    from affect_core.project_folders import project_root

    path = options.run_dir
    if path is None or path.exists() or not (project_root() / path).exists():
        return path
    return project_root() / path


def _device(options: argparse.Namespace) -> str:
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise AffectError("there is no CUDA device here; --device cpu works everywhere")
    return options.device


def _note(line: str) -> None:
    sys.stderr.write(f"note: {line}\n")


def _run_arguments(options: argparse.Namespace) -> list[str]:
    corpora = str(Path(options.corpus_root).expanduser().resolve()) if options.corpus_root else ""
    return ["--profile", options.profile, "--corpus-root", corpora, "--run-dir", options.run_dir,
            "--seed", str(options.seed)]  # fmt: skip
