"""Execute the notebooks in order, skip those whose inputs have not changed, and build the report.

    python -m affect_core.runner --profile laptop --run-dir runs/laptop
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from affect_core.errors import AffectError
from affect_core.progress import PROGRESS_FILE
from affect_core.record import PACKAGE
from affect_core.report import build_report
from affect_core.storage import exclusive, read_json, remove_unfinished, write_json, write_text

NEEDS = {
    "00_tour": (),
    "01_data": (),
    "02_mae_pretraining": (),
    "03_expression_prior": (),
    "04_emma": ("02_mae_pretraining", "03_expression_prior"),
    "05_cotex": ("02_mae_pretraining",),
    "06_ablations": (),
    "07_attention_and_va": ("04_emma", "05_cotex"),
    "08_your_photos": (),
}
"""The notebooks in order, each with those whose results it reads."""


@dataclass(frozen=True)
class NotebookRun:
    """What happened to one notebook: "executed", "unchanged" or "failed"."""

    name: str
    status: str
    seconds: float


def run_workbook(
    notebooks_dir: Path, run_dir: Path, parameters: dict, only: tuple[str, ...] = (), say=lambda line: None
) -> list[NotebookRun]:
    """Execute the notebooks into `run_dir/notebooks` (.ipynb and .html) and write `run_dir/index.html`.

    A notebook is skipped if its source, the package, the parameters, the corpora and the notebooks it needs are those
    of its last successful execution. Raises AffectError when a notebook fails, after the report is written.
    """
    run_dir = Path(run_dir)
    inputs = _shared_inputs(parameters)
    keys: dict[str, str] = {}
    runs: list[NotebookRun] = []
    failure = None
    with exclusive(run_dir / ".workbook.lock", str(run_dir)):
        for folder in (run_dir, run_dir / "notebooks"):
            remove_unfinished(folder)
        for number, (name, needs) in enumerate(NEEDS.items(), start=1):
            source = Path(notebooks_dir) / f"{name}.ipynb"
            if not source.exists():
                raise AffectError(f"{source} not found; run from a checkout of the project.")
            keys[name] = _digest(inputs, _notebook_source(source), *(keys[need] for need in needs), *_read_by(source))
            if only and name not in only:
                continue
            record = run_dir / "notebooks" / f"{name}.json"
            if record.exists() and read_json(record)["key"] == keys[name]:
                runs.append(NotebookRun(name, "unchanged", read_json(record)["seconds"]))
                say(f"[{number}/{len(NEEDS)}] {name}: unchanged, not executed again")
                continue
            say(f"[{number}/{len(NEEDS)}] {name} ...")
            started = time.monotonic()
            failure = _execute(source, run_dir, parameters)
            seconds = time.monotonic() - started
            status = "failed" if failure else "executed"
            runs.append(NotebookRun(name, status, seconds))
            if failure:
                break
            write_json(record, {"key": keys[name], "seconds": round(seconds, 1), "status": status})
            say(f"[{number}/{len(NEEDS)}] {name}: {seconds:.0f} s")
        build_report(run_dir)
    if failure:
        raise AffectError(f"{runs[-1].name} stopped: {failure} (its cells so far: {run_dir}/notebooks/)")
    return runs


def _execute(source: Path, run_dir: Path, parameters: dict) -> str | None:
    """Execute one notebook; None, or in a sentence what went wrong."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    target = run_dir / "notebooks" / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.with_suffix(".json").unlink(missing_ok=True)
    os.environ[PROGRESS_FILE] = str((run_dir / ".progress").resolve())
    with _Watcher(Path(os.environ[PROGRESS_FILE])):
        try:
            papermill.execute_notebook(
                str(source), str(target), parameters=parameters, cwd=str(source.parent), kernel_name="python3",
                progress_bar=False, start_timeout=120,
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            return f"{error.ename}: {error.evalue}"
        except DeadKernelError:
            return "its kernel died: killed, or out of memory. What its stages have saved is kept; run again to go on"
        except OSError as error:
            return f"{target} cannot be written: {error.strerror}"
    _export_html(target)
    return None


def _export_html(notebook: Path) -> None:
    from nbconvert import HTMLExporter

    body, _ = HTMLExporter(template_name="lab").from_filename(str(notebook))
    write_text(notebook.with_suffix(".html"), body)


class _Watcher:
    """Shows, while a notebook is executing, the progress bar that its kernel writes to a file."""

    interval = 20.0
    """Seconds between looks; on a terminal, where the line is rewritten, one second."""

    def __init__(self, path: Path):
        self.path, self.stop = path, threading.Event()
        self.rewrite = sys.stderr.isatty()
        self.interval = 1.0 if self.rewrite else self.interval
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.path.unlink(missing_ok=True)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.stop.set()
        self.thread.join()
        self.path.unlink(missing_ok=True)

    def _watch(self) -> None:
        shown = ""
        while not self.stop.wait(self.interval):
            text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
            if text and text != shown:
                sys.stderr.write(f"\r\033[K   {text}" if self.rewrite else f"   {text}\n")
                sys.stderr.flush()
                shown = text
        if self.rewrite and shown:
            sys.stderr.write("\r\033[K")


def _shared_inputs(parameters: dict) -> str:
    """Digest of the package's source, the parameters, and the files under the corpus root."""
    parts = [json.dumps(parameters, sort_keys=True)]
    sources = [path for pattern in ("*.py", "*.toml") for path in PACKAGE.rglob(pattern)]
    for path in sorted(sources):
        parts.append(f"{path.relative_to(PACKAGE)} {hashlib.sha256(path.read_bytes()).hexdigest()}")
    if parameters["corpus_root"]:
        root = Path(parameters["corpus_root"])
        for folder, folders, files in os.walk(root):
            folders.sort()
            for file in sorted(files):
                status = os.stat(os.path.join(folder, file))
                parts.append(f"{folder}/{file} {status.st_size} {status.st_mtime_ns}")
    return _digest(*parts)


def _read_by(notebook: Path) -> list[str]:
    """Digests of the stored tables, for the notebook that shows them."""
    tables = sorted((notebook.parents[1] / "results").glob("*.csv")) if notebook.stem == "06_ablations" else []
    return [hashlib.sha256(table.read_bytes()).hexdigest() for table in tables]


def _notebook_source(path: Path) -> str:
    cells = read_json(path)["cells"]
    return json.dumps([[cell["cell_type"], cell["source"]] for cell in cells])


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Command line of `make run`; returns the exit status."""
    from affect_core.profiles import load_profile
    from affect_core.workbook import project_root, run_folder

    parser = argparse.ArgumentParser(prog="affect_core.runner", description="Execute the workbook; write its report.")
    parser.add_argument("--profile", default="laptop", help="smoke, laptop, gpu, or the path of a .toml file")
    parser.add_argument("--corpus-root", default="", help="folder of the real corpora; empty for the embedded corpus")
    parser.add_argument("--run-dir", default="", help="where results go (default: runs/<profile>)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", choices=("fresh", "shipped"), default="fresh",
                        help="train every stage, or start from data/weights")  # fmt: skip
    parser.add_argument("--only", nargs="*", default=(), help="names of notebooks, e.g. 04_emma")
    options = parser.parse_args(arguments)
    root = project_root()
    profile = str(Path(options.profile).resolve()) if options.profile.endswith(".toml") else options.profile
    started = time.monotonic()
    try:
        run_dir = run_folder(options.run_dir, load_profile(profile).name)
    except AffectError as error:
        _say(f"error: {error}")
        return 1
    parameters = {
        "profile": profile,
        "corpus_root": str((Path.cwd() / options.corpus_root).resolve()) if options.corpus_root else "",
        "run_dir": str(run_dir),
        "seed": options.seed,
        "weights": options.weights,
    }
    try:
        run_workbook(root / "notebooks", run_dir, parameters, tuple(options.only), say=_say)
    except AffectError as error:
        _say(f"error: {error}")
        return 1
    _say(f"report: {run_dir / 'index.html'} ({time.monotonic() - started:.0f} s)")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
