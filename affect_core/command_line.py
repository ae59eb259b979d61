"""The command `affect-core`: what the notebooks do, without a notebook. Thin over the package's functions."""

from __future__ import annotations

import argparse
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from affect_core import __version__
from affect_core.errors import AffectError

FINE, FAILED, USAGE, UNREADABLE, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_CODES = """exit codes:
  0    done
  1    not done; a sentence says why
  2    the command itself was not understood
  3    predict: done, but some pictures were left out: unreadable, of a format that is not read (HEIC, video), or
       without a face (--find-faces); they are listed on standard error
  130  interrupted (Ctrl-C); tables appear whole or not at all, trainings go on when started again
"""

STAGES = ("mae", "prior", "emma", "cotex")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code, see EXIT_CODES. Usage errors and --help raise SystemExit, as in argparse."""
    options = parser().parse_args(arguments)
    try:
        return options.command(options)
    except AffectError as error:
        sys.stderr.write(f"affect-core {options.name}: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write(f"affect-core {options.name}: interrupted\n")
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The command's arguments and help."""
    whole = argparse.ArgumentParser(
        prog="affect-core", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXIT_CODES,
        description="Facial affect: expressions, action units, valence and arousal of faces.\n\n"
        "  affect-core predict photographs --out predictions.csv\n\n"
        "affect-core COMMAND --help explains a command, with an example.",
    )  # fmt: skip
    whole.add_argument("--version", action="version", version=f"affect-core {__version__}")
    commands = whole.add_subparsers(dest="name", metavar="COMMAND", required=True)

    def command(function, example: str) -> argparse.ArgumentParser:
        name = function.__name__.removesuffix("_")
        added = commands.add_parser(
            name, help=function.__doc__.split(":")[0].split(".")[0], description=inspect.cleandoc(function.__doc__),
            epilog=f"example:\n{example}\n{EXIT_CODES}", formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        added.set_defaults(command=function)
        return added

    render = command(render_, "  affect-core render corpora --profile smoke\n")
    render.add_argument("folder", type=Path, help="a new folder, or one of an interrupted rendering")
    _add_profile(render)
    render.add_argument("--workers", type=_positive, default=2, help="processes (default: 2)")

    audit = command(audit_, "  affect-core audit corpora abaw4 --out audit.md --figures figures\n")
    audit.add_argument("root", type=Path, help="the folder that holds the corpus's folder")
    audit.add_argument("corpus", help="abaw4, affectnet, lsd, rafdb, fer2013, ..., see data/README.md")
    audit.add_argument("--out", type=Path, help="Markdown file (default: standard output)")
    audit.add_argument("--figures", type=Path, help="folder for the figures, PNG")
    audit.add_argument("--size", type=_positive, default=64, help="pixels to which images are decoded (default: 64)")

    train = command(train_, "  affect-core train mae prior emma --profile smoke --run-dir runs/try\n")
    train.add_argument("stages", nargs="+", choices=STAGES, metavar="STAGE", help=", ".join(STAGES))
    _add_run(train)

    evaluate = command(
        evaluate_, "  affect-core evaluate runs/laptop/emma/best.safetensors --corpus-root corpora --out scores.csv\n"
    )
    evaluate.add_argument("model", type=Path, help="EMMA, CoTEX or DAN, a .safetensors of this project")
    _add_profile(evaluate)
    evaluate.add_argument("--corpus-root", default="", help="folder of the corpora (default: the rendered ones)")
    evaluate.add_argument("--out", type=Path, help=".csv or .parquet (default: standard output)")

    predict = command(
        predict_, "  affect-core predict faces more/face.jpg --out predictions.csv\n"
        "  affect-core predict holidays --find-faces --out faces.csv\n",
    )  # fmt: skip
    predict.add_argument("images", nargs="+", type=Path,
                         help="image files, and folders that are searched at any depth, hidden ones aside")  # fmt: skip
    predict.add_argument("--out", type=Path, required=True, help=".csv or .parquet")
    predict.add_argument("--find-faces", action="store_true",
                         help="for whole photographs: a row for every face in them, with its box")  # fmt: skip
    predict.add_argument("--run-dir", type=Path,
                         help="take EMMA of this run, the action-unit thresholds that its notebook 04 fitted (0.5 if "
                         "there are none for these weights), and its CoTEX if there is one; uncertainty is calibrated "
                         "for the shipped models alone (default: the shipped models)")  # fmt: skip
    predict.add_argument("--alike", action="store_true",
                         help="expect all expressions alike (default: as in everyday photographs)")  # fmt: skip
    _add_forward(predict)

    submit = command(
        submit_, "  affect-core submit mtl MTL_Challenge_test_set_release.txt --images abaw4/cropped_aligned "
        "--out predictions.txt\n",
    )  # fmt: skip
    submit.add_argument("challenge", choices=("mtl", "lsd"), help="mtl: all tasks (EMMA); lsd: six expressions (CoTEX)")
    submit.add_argument("test_list", type=Path, help="the published list, which names an image a line")
    submit.add_argument("--images", type=Path, required=True, help="folder in which the names of the list lie")
    submit.add_argument("--out", type=Path, required=True, help="the submission, a text file")
    submit.add_argument("--run-dir", type=Path,
                        help="take the model of this run, and for mtl the thresholds that its notebook 04 fitted "
                        "(default: the shipped model)")  # fmt: skip
    submit.add_argument("--smooth", type=float, default=0.0, metavar="FRAMES",
                        help="mtl: average over time in each video, Gaussian of this width (default: 0)")  # fmt: skip
    _add_forward(submit)

    export = command(export_, "  affect-core export runs/laptop/emma/best.safetensors emma.onnx\n")
    export.add_argument("model", type=Path, help="a .safetensors of this project")
    export.add_argument("out", type=Path, help="NAME.onnx; NAME.safetensors, the encoder for timm; or a folder")
    export.add_argument("--trained-on", default="", help="a sentence for the model card (needed for a folder)")
    export.add_argument("--int8", action="store_true", help="8-bit weights, a smaller file with other outputs (.onnx)")

    run = command(run_, "  affect-core run --profile smoke --run-dir runs/try\n")
    _add_run(run)
    run.add_argument("--weights", choices=("fresh", "shipped"), default="fresh",
                     help="fresh: train every stage; shipped: take those of data/weights (default: fresh)")  # fmt: skip
    run.add_argument("--only", nargs="+", default=[], metavar="NOTEBOOK",
                     help="execute these alone, e.g. 04_emma (default: all)")  # fmt: skip
    return whole


# The docstrings below are what --help says.
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
    from affect_core.storage import write_text
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
        options.figures.mkdir(parents=True, exist_ok=True)
        figure.savefig(options.figures / f"{name}.png")
    return FINE


def train_(options: argparse.Namespace) -> int:
    """Train stages of a run, or go on with them: mae, prior, emma, cotex. EMMA trains the first two if it must."""
    from affect_core import train

    return train.main([*options.stages, *_run_arguments(options)])


def evaluate_(options: argparse.Namespace) -> int:
    """Score a model on the validation set that it is meant for: EMMA on abaw4, CoTEX on lsd, DAN on affectnet."""
    from affect_core.checkpoints import load_model
    from affect_core.evaluation import evaluate_model
    from affect_core.export.tables import write_table
    from affect_core.workbook import open_workbook

    root = str(Path(options.corpus_root).resolve()) if options.corpus_root else ""
    with TemporaryDirectory() as no_run:
        scores = evaluate_model(load_model(options.model), open_workbook(options.profile, root, no_run))
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

    model, thresholds = challenge_model(options.challenge, options.run_dir, _device(options), _note)
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

    device = _device(options)
    return load_predictor(device) if options.run_dir is None else run_predictor(options.run_dir, device, _note)


def _device(options: argparse.Namespace) -> str:
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise AffectError("there is no CUDA device here; --device cpu works everywhere")
    return options.device


def _note(line: str) -> None:
    sys.stderr.write(f"note: {line}\n")


def _add_forward(added: argparse.ArgumentParser) -> None:
    added.add_argument("--batch-size", type=_positive, default=32, help="images of a forward pass (default: 32)")
    added.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")


def _add_profile(added: argparse.ArgumentParser) -> None:
    added.add_argument("--profile", default="laptop", help="smoke, laptop, gpu, shipped, or a .toml (default: laptop)")


def _add_run(added: argparse.ArgumentParser) -> None:
    _add_profile(added)
    added.add_argument("--corpus-root", default="", help="folder of the corpora (default: the rendered ones)")
    added.add_argument("--run-dir", default="", help="where results go (default: runs/<profile>)")
    added.add_argument("--seed", type=int, default=0,
                       help="of weights at the start, order of the images and augmentation (default: 0)")  # fmt: skip


def _run_arguments(options: argparse.Namespace) -> list[str]:
    return ["--profile", options.profile, "--corpus-root", options.corpus_root, "--run-dir", options.run_dir,
            "--seed", str(options.seed)]  # fmt: skip


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
