"""Execute the notebooks in order, skip those whose inputs have not changed, and build the report.

    python -m affect_core.runner --profile laptop --run-dir runs/laptop
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from affect_core.errors import AffectError
from affect_core.notebook_inputs import digest, notebook_source, shared_inputs, tables_read_by
from affect_core.notebook_process import NotebookProcess
from affect_core.progress_watcher import ProgressWatcher
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

LONGEST_FIRST = ("02_mae_pretraining", "03_expression_prior", "05_cotex", "04_emma")
"""Where several may start, these do first: the others fill the gaps."""


@dataclass(frozen=True)
class NotebookRun:
    """What happened to one notebook: "executed", "unchanged" or "failed"."""

    name: str
    status: str
    seconds: float


def run_workbook(
    notebooks_dir: Path, run_dir: Path, parameters: dict, only: tuple[str, ...] = (), say=lambda line: None,
    jobs: int = 1,
) -> list[NotebookRun]:
    """Execute the notebooks into `run_dir/notebooks` (.ipynb and .html) and write `run_dir/index.html`.

    A notebook is skipped if its source, the package, the parameters, the corpora and the notebooks it needs are those
    of its last successful execution. With jobs > 1 as many notebooks are executed at a time, each with its part of the
    cores, once the first one, which renders what has to be rendered, is done: 2 cores train two small models faster
    beside one another than one after the other. A notebook that fails stops the others.

    Returns what happened, in the notebooks' order. Raises AffectError when a notebook fails, after the report is
    written, and, before anything is done, for a name in `only` that no notebook has.
    """
    if unknown := [name for name in only if name not in NEEDS]:
        raise AffectError(f"there is no notebook {', '.join(unknown)}; there are {', '.join(NEEDS)}")
    run_dir = Path(run_dir)
    with exclusive(run_dir / ".workbook.lock", str(run_dir)):
        for folder in (run_dir, run_dir / "notebooks"):
            remove_unfinished(folder)
        schedule = _Schedule(Path(notebooks_dir), run_dir, parameters, only, say)
        failure = _execute_all(schedule, max(1, min(jobs, len(schedule.waiting))))
        build_report(run_dir)
    if failure:
        raise AffectError(f"{failure} (its cells so far: {run_dir}/notebooks/)")
    return [schedule.runs[name] for name in NEEDS if name in schedule.runs]


def default_jobs() -> int:
    """Notebooks at a time: 2 on a CPU of 2 cores or more, 1 with a GPU, which one notebook fills."""
    import torch

    return 1 if torch.cuda.is_available() else min(2, os.cpu_count() or 1)


class _Schedule:
    """Which notebooks are left, which may start, and the record of each that is done."""

    def __init__(self, notebooks_dir: Path, run_dir: Path, parameters: dict, only: tuple[str, ...], say):
        self.run_dir, self.parameters, self.say = run_dir, parameters, say
        self.sources = {name: notebooks_dir / f"{name}.ipynb" for name in NEEDS}
        self.runs: dict[str, NotebookRun] = {}
        self.keys: dict[str, str] = {}
        inputs = shared_inputs(parameters)
        for name, needs in NEEDS.items():
            source = self.sources[name]
            if not source.exists():
                raise AffectError(f"{source} not found; run from a checkout of the project.")
            needed = [self.keys[need] for need in needs]
            self.keys[name] = digest(inputs, notebook_source(source), *needed, *tables_read_by(source))
            if (not only or name in only) and self._is_unchanged(name):
                self.runs[name] = NotebookRun(name, "unchanged", read_json(self._record(name))["seconds"])
                say(f"{self._place(name)}: unchanged, not executed again")
        self.waiting = [name for name in NEEDS if (not only or name in only) and name not in self.runs]
        self.first = self.waiting[0] if self.waiting else None
        self.executing: dict[str, float] = {}

    def take(self) -> str | None:
        """The next notebook to execute now; None if there is none, or those that are executing have to end first."""
        if self.first not in self.runs:
            ready = [self.first] if self.first in self.waiting else []
        else:
            unfinished = {*self.waiting, *self.executing}
            ready = [name for name in (*LONGEST_FIRST, *NEEDS)
                     if name in self.waiting and not unfinished.intersection(NEEDS[name])]  # fmt: skip
        if not ready:
            return None
        self.waiting.remove(ready[0])
        self.executing[ready[0]] = time.monotonic()
        self._record(ready[0]).unlink(missing_ok=True)
        self.say(f"{self._place(ready[0])} ...")
        return ready[0]

    def finish(self, name: str, failure: str | None) -> str | None:
        """Record how `name` ended; returns the failure as a sentence about it."""
        seconds = time.monotonic() - self.executing.pop(name)
        self.runs[name] = NotebookRun(name, "failed" if failure else "executed", seconds)
        if failure:
            return f"{name} stopped: {failure}"
        write_json(self._record(name), {"key": self.keys[name], "seconds": round(seconds, 1), "status": "executed"})
        self.say(f"{self._place(name)}: {seconds:.0f} s")
        return None

    def _is_unchanged(self, name: str) -> bool:
        record = self._record(name)
        return record.exists() and read_json(record)["key"] == self.keys[name]

    def _record(self, name: str) -> Path:
        return self.run_dir / "notebooks" / f"{name}.json"

    def _place(self, name: str) -> str:
        return f"[{list(NEEDS).index(name) + 1}/{len(NEEDS)}] {name}"


def _execute_all(schedule: _Schedule, jobs: int) -> str | None:
    """Execute what the schedule gives, `jobs` at a time; None, or in a sentence what stopped a notebook."""
    if not schedule.waiting:
        return None
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None
    idle = [NotebookProcess(schedule.run_dir / f".progress{number}", threads) for number in range(jobs)]
    processes, busy = list(idle), {}
    with ThreadPoolExecutor(jobs) as pool, ProgressWatcher([process.progress_file for process in processes]):
        try:
            while True:
                while idle and (name := schedule.take()):
                    target = schedule.run_dir / "notebooks" / f"{name}.ipynb"
                    process = idle.pop()
                    order = pool.submit(_execute, process, schedule.sources[name], target, schedule.parameters)
                    busy[order] = name, process
                if not busy:
                    return None
                for order in wait(busy, return_when=FIRST_COMPLETED).done:
                    name, process = busy.pop(order)
                    idle.append(process)
                    if failure := schedule.finish(name, order.result()):
                        if busy:
                            others = ", ".join(name for name, _ in busy.values())
                            schedule.say(f"stopping {others}; what is saved is kept, and goes on in the next run")
                        return failure
        finally:
            for process in processes:
                process.stop()


def _execute(process: NotebookProcess, source: Path, target: Path, parameters: dict) -> str | None:
    """Execute one notebook and write its page; None, or in a sentence what went wrong."""
    failure = process.execute(source, target, parameters)
    if failure is None:
        _export_html(target)
    return failure


def _export_html(notebook: Path) -> None:
    from affect_core.page_exporter import PageExporter

    body, _ = PageExporter().from_filename(str(notebook))
    write_text(notebook.with_suffix(".html"), body)


def main(arguments: list[str] | None = None) -> int:
    """Command line of `make run`; returns the exit status."""
    from affect_core.profiles import load_profile
    from affect_core.project_folders import project_root, run_folder
    from affect_core.stage_corpora import check_corpora

    parser = argparse.ArgumentParser(prog="affect_core.runner", description="Execute the workbook; write its report.")
    parser.add_argument("--profile", default="laptop", help="smoke, laptop, gpu, or the path of a .toml file")
    parser.add_argument("--corpus-root", default="", help="folder of the real corpora; empty for the embedded corpus")
    parser.add_argument("--run-dir", default="", help="where results go (default: runs/<profile>)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", choices=("fresh", "shipped"), default="fresh",
                        help="train every stage, or start from data/weights")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=0,
                        help="notebooks at a time (default: 2 on a CPU of several cores, 1 with a GPU)")  # fmt: skip
    parser.add_argument("--only", nargs="+", default=(), help="names of notebooks, e.g. 04_emma")
    options = parser.parse_args(arguments)
    root = project_root()
    if "AFFECT_DATA_DIR" in os.environ:  # notebooks have a working directory of their own
        os.environ["AFFECT_DATA_DIR"] = str(Path(os.environ["AFFECT_DATA_DIR"]).resolve())
    own = options.profile.endswith(".toml")
    profile = str(Path(options.profile).expanduser().resolve()) if own else options.profile
    corpora = (Path.cwd() / Path(options.corpus_root).expanduser()).resolve() if options.corpus_root else None
    started = time.monotonic()
    try:
        settings = load_profile(profile)
        run_dir = run_folder(options.run_dir, settings.name)
        check_corpora(corpora, settings.corpora.names)
    except AffectError as error:
        _say(f"error: {error}")
        return 1
    parameters = {
        "profile": profile,
        "corpus_root": str(corpora) if corpora else "",
        "run_dir": str(run_dir),
        "seed": options.seed,
        "weights": options.weights,
    }
    try:
        jobs = options.jobs if options.jobs > 0 else default_jobs()
        run_workbook(root / "notebooks", run_dir, parameters, tuple(options.only), say=_say, jobs=jobs)
    except AffectError as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("stopped; what the stages have saved is kept. Run again to go on")
        return 130
    _say(f"report: {run_dir / 'index.html'} ({time.monotonic() - started:.0f} s)")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
