"""The command `affect-core`: what the notebooks do, without a notebook. Its arguments; `commands` does the work."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from affect_core import __version__, commands
from affect_core.commands import FAILED, FINE, INTERRUPTED, UNREADABLE, USAGE
from affect_core.errors import AffectError

EXIT_CODES = f"""exit codes:
  {FINE}    done
  {FAILED}    not done; a sentence says why
  {USAGE}    the command itself was not understood
  {UNREADABLE}    predict: done, but some pictures were left out: unreadable, of a format that is not read (HEIC,
       video), or without a face (--find-faces); they are listed on standard error
  {INTERRUPTED}  interrupted (Ctrl-C); tables appear whole or not at all, trainings go on when started again
"""

STAGES = ("mae", "prior", "emma", "cotex")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code, see EXIT_CODES. Usage errors and --help raise SystemExit, as in argparse."""
    options = parser().parse_args(arguments)
    try:
        for name in ("out", "figures"):
            _refuse_taken(getattr(options, name, None), folder=name == "figures" or options.name == "export")
        return options.command(options)
    except AffectError as error:
        sys.stderr.write(f"affect-core {options.name}: {error}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write(f"affect-core {options.name}: interrupted\n")
        return INTERRUPTED


def _refuse_taken(path: Path | None, folder: bool) -> None:
    """Raise AffectError, before anything is computed, for an output whose name is that of a thing of the other kind."""
    if path is not None and path.is_dir() and not folder:
        raise AffectError(f"{path} is a folder; give the name of a file")
    if path is not None and path.is_file() and folder and not path.suffix:
        raise AffectError(f"{path} is a file; give the name of a folder")


def parser() -> argparse.ArgumentParser:
    """The command's arguments and help."""
    whole = argparse.ArgumentParser(
        prog="affect-core", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXIT_CODES,
        description="Facial affect: expressions, action units, valence and arousal of faces.\n\n"
        "  affect-core predict photographs --out predictions.csv\n\n"
        "affect-core COMMAND --help explains a command, with an example.",
    )  # fmt: skip
    whole.add_argument("--version", action="version", version=f"affect-core {__version__}")
    group = whole.add_subparsers(dest="name", metavar="COMMAND", required=True)
    for add in (_add_render, _add_audit, _add_train, _add_evaluate, _add_predict, _add_submit, _add_export, _add_run):
        add(group)
    return whole


def _command(group: argparse._SubParsersAction, function: Callable, example: str) -> argparse.ArgumentParser:
    """A command named after a function of `commands`, whose docstring is the help."""
    added = group.add_parser(
        function.__name__.removesuffix("_"), help=function.__doc__.split(":")[0].split(".")[0],
        description=inspect.cleandoc(function.__doc__), epilog=f"example:\n{example}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    added.set_defaults(command=function)
    return added


def _add_render(group: argparse._SubParsersAction) -> None:
    render = _command(group, commands.render_, "  affect-core render corpora --profile smoke\n")
    render.add_argument("folder", type=Path, help="a new folder, or one of an interrupted rendering")
    _profile(render)
    render.add_argument("--workers", type=_positive, default=2, help="processes (default: 2)")


def _add_audit(group: argparse._SubParsersAction) -> None:
    audit = _command(group, commands.audit_, "  affect-core audit corpora abaw4 --out audit.md --figures figures\n")
    audit.add_argument("root", type=Path, help="the folder that holds the corpus's folder")
    audit.add_argument("corpus", help="abaw4, affectnet, lsd, rafdb, fer2013, ..., see data/README.md")
    audit.add_argument("--out", type=Path, help="Markdown file (default: standard output)")
    audit.add_argument("--figures", type=Path, help="folder for the figures, PNG")
    audit.add_argument("--size", type=_positive, default=64, help="pixels to which images are decoded (default: 64)")


def _add_train(group: argparse._SubParsersAction) -> None:
    train = _command(group, commands.train_, "  affect-core train mae prior emma --profile smoke --run-dir runs/try\n")
    train.add_argument("stages", nargs="+", choices=STAGES, metavar="STAGE", help=", ".join(STAGES))
    _run(train)


def _add_evaluate(group: argparse._SubParsersAction) -> None:
    evaluate = _command(
        group, commands.evaluate_,
        "  affect-core evaluate runs/laptop/emma/best.safetensors --corpus-root corpora --out scores.csv\n",
    )  # fmt: skip
    evaluate.add_argument("model", type=Path, help="EMMA, CoTEX or DAN, a .safetensors of this project")
    _profile(evaluate)
    evaluate.add_argument("--corpus-root", default="", help="folder of the corpora (default: the rendered ones)")
    evaluate.add_argument("--out", type=Path, help=".csv or .parquet (default: standard output)")
    evaluate.add_argument("--smooth", type=float, default=0.0, metavar="FRAMES",
                          help="EMMA: average over time in a video, Gaussian of this width (default: 0)")  # fmt: skip
    evaluate.add_argument("--thresholds", choices=("half", "fitted", "published"), default="half",
                          help="EMMA: action units count as active above 0.5 (half), above thresholds fitted to "
                          "training frames, or above the published constants (default: half)")  # fmt: skip


def _add_predict(group: argparse._SubParsersAction) -> None:
    predict = _command(
        group, commands.predict_, "  affect-core predict faces more/face.jpg --out predictions.csv\n"
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
    _forward(predict)


def _add_submit(group: argparse._SubParsersAction) -> None:
    submit = _command(
        group, commands.submit_,
        "  affect-core submit mtl MTL_Challenge_test_set_release.txt --images abaw4/cropped_aligned "
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
    _forward(submit)


def _add_export(group: argparse._SubParsersAction) -> None:
    export = _command(group, commands.export_, "  affect-core export runs/laptop/emma/best.safetensors emma.onnx\n")
    export.add_argument("model", type=Path, help="a .safetensors of this project")
    export.add_argument("out", type=Path, help="NAME.onnx; NAME.safetensors, the encoder for timm; or a folder")
    export.add_argument("--trained-on", default="", help="a sentence for the model card (needed for a folder)")
    export.add_argument("--int8", action="store_true", help="8-bit weights, a smaller file with other outputs (.onnx)")


def _add_run(group: argparse._SubParsersAction) -> None:
    run = _command(group, commands.run_, "  affect-core run --profile smoke --run-dir runs/try\n")
    _run(run)
    run.add_argument("--weights", choices=("fresh", "shipped"), default="fresh",
                     help="fresh: train every stage; shipped: take those of data/weights (default: fresh)")  # fmt: skip
    run.add_argument("--only", nargs="+", default=[], metavar="NOTEBOOK",
                     help="execute these alone, e.g. 04_emma (default: all)")  # fmt: skip


def _forward(command: argparse.ArgumentParser) -> None:
    command.add_argument("--batch-size", type=_positive, default=32, help="images looked at at once (default: 32)")
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")


def _profile(command: argparse.ArgumentParser) -> None:
    command.add_argument("--profile", default="laptop",
                         help="smoke, laptop, gpu, shipped, or a .toml (default: laptop)")  # fmt: skip


def _run(command: argparse.ArgumentParser) -> None:
    _profile(command)
    command.add_argument("--corpus-root", default="", help="folder of the corpora (default: the rendered ones)")
    command.add_argument("--run-dir", default="", help="where results go (default: runs/<profile>)")
    command.add_argument("--seed", type=_not_negative, default=0,
                         help="of weights at the start, order of the images and augmentation (default: 0)")  # fmt: skip


def _not_negative(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
