"""The embedded corpus: rendered faces on disk, in the published formats of the corpora they stand in for.

    write_embedded_corpus(root, EmbeddedCorpusConfig(seed=0, size=64))

writes `abaw4`, `affectnet`, `lsd` and `faces` (see `writers`) below `root`. The same configuration gives the same bytes
on one machine whatever the number of workers. A killed process loses at most the jobs in hand: call again to go on. A
finished corpus has a `complete.json`, and the next call returns at once.
"""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

from affect_core.errors import AffectError
from affect_core.progress import Progress, no_progress
from affect_core.storage import exclusive, read_json, remove_unfinished, write_json
from affect_core.synthetic import renderer
from affect_core.synthetic.corpus_config import EmbeddedCorpusConfig
from affect_core.synthetic.job_pool import run_jobs
from affect_core.synthetic.writers import abaw4, affectnet, faces, lsd
from affect_core.synthetic.writers.staging import Job, Staging

__all__ = ["EmbeddedCorpusConfig", "write_embedded_corpus"]

WRITERS = {"abaw4": abaw4, "affectnet": affectnet, "lsd": lsd, "faces": faces}
COMPLETE = "complete.json"


def write_embedded_corpus(
    root: Path, config: EmbeddedCorpusConfig, *, workers: int = 2, progress: Progress = no_progress
) -> Path:
    """Write the corpus of `config` below `root`, or finish writing it, or find it finished; returns `root`.

    root: a new or empty folder, or one that this function has written to with the same configuration. workers: number
    of processes. progress: counts images. Raises AffectError if the folder holds anything else (another configuration,
    other files), if another process is writing there, if the disk refuses, or if a worker process dies.
    """
    root = Path(root)
    if _is_complete(root, config):
        shutil.rmtree(root / ".writing", ignore_errors=True)  # left over if a process was killed at the very end
        return root
    _refuse_foreign_files(root)
    with exclusive(root / ".writing.lock", f"The embedded corpus in {root}"):
        if _is_complete(root, config):
            return root
        staging = Staging(root)
        _claim(staging, config)
        jobs = {name: writer.jobs(config) for name, writer in WRITERS.items()}
        everything = [job for jobs_of_one in jobs.values() for job in jobs_of_one]
        remaining = [job for job in everything if not staging.is_done(job)]
        with progress(sum(job.images for job in everything), "rendering faces") as bar:
            bar.skip(sum(job.images for job in everything) - sum(job.images for job in remaining))
            if remaining:
                renderer.warm_up()  # compiles once here rather than once in every worker
            for job in run_jobs(partial(_write_job, root=root, config=config), remaining, workers=workers):
                bar.update(job.images)
        for folder in (root, *map(root.joinpath, WRITERS)):
            remove_unfinished(folder)
        for name, jobs_of_one in jobs.items():
            if jobs_of_one:
                WRITERS[name].write_annotations(staging.rows(jobs_of_one), config, root)
        write_json(root / COMPLETE, {"config": config.record(), "images": config.images()})
        shutil.rmtree(staging.folder)
    return root


def _write_job(job: Job, root: Path, config: EmbeddedCorpusConfig) -> None:
    staging = Staging(root)
    staging.save_rows(job, WRITERS[job.corpus].write_job(job, config, staging))


def _is_complete(root: Path, config: EmbeddedCorpusConfig) -> bool:
    path = root / COMPLETE
    if not path.exists():
        return False
    _refuse_other(path, read_json(path).get("config"), config)
    return True


def _refuse_foreign_files(root: Path) -> None:
    """A folder with other content (real corpora, say) is left alone."""
    if not root.exists():
        return
    if not root.is_dir():
        raise AffectError(f"{root} is a file; the embedded corpus needs a folder.")
    names = {path.name for path in root.iterdir()} - {".writing", ".writing.lock"}
    if names and not (root / ".writing" / "config.json").exists():
        raise AffectError(
            f"{root} already holds {', '.join(sorted(names)[:4])}, which the embedded corpus did not write; choose an "
            "empty folder."
        )


def _claim(staging: Staging, config: EmbeddedCorpusConfig) -> None:
    """Note the configuration before the first image."""
    path = staging.folder / "config.json"
    if path.exists():
        _refuse_other(path, read_json(path), config)
    else:
        staging.save_bytes(".writing/config.json", json.dumps(config.record(), indent=2).encode())


def _refuse_other(path: Path, found: dict | None, config: EmbeddedCorpusConfig) -> None:
    wanted = config.record()
    if not isinstance(found, dict):
        raise AffectError(f"{path} does not say how its corpus was written; delete that folder or choose another.")
    if found == wanted:
        return
    differences = [f"{name} {found.get(name)}, not {wanted.get(name)}" for name in {**found, **wanted}
                   if found.get(name) != wanted.get(name)]  # fmt: skip
    folder = path.parent.parent if path.parent.name == ".writing" else path.parent
    raise AffectError(
        f"{folder} holds an embedded corpus with other settings ({'; '.join(differences)}); choose another folder or "
        "delete it."
    )
