"""Train stages of a run with any number of processes, on one machine or many; the notebooks then find them done.

    accelerate launch --multi_gpu -m affect_core.train mae prior emma cotex --profile gpu --corpus-root /data
    torchrun --standalone --nproc_per_node 2 -m affect_core.train mae --profile smoke --run-dir runs/smoke  # on CPUs

The parameters are those of the notebooks. Without a launcher one process does all. `batch_size` of a profile
is that of all processes together; see `distributed` for what they share.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import timedelta

from affect_core.distributed import is_main, leave, lost_a_process, main_first
from affect_core.errors import AffectError
from affect_core.progress import no_progress
from affect_core.stage_corpora import CORPUS_OF_STAGE
from affect_core.storage import read_json
from affect_core.workbook import Workbook, open_workbook

_LOST = (
    "Another process of this training has ended, so it stops. What was saved is whole: start the same command again, "
    "with as many processes as you like, and it goes on."
)


def train_stage(book: Workbook, stage: str):
    """Train a stage ("mae", "prior", "emma", "cotex") of a run, or load it: (model, TrainRecord)."""
    methods = {"mae": book.pretrain_mae, "prior": book.train_prior, "emma": book.train_emma, "cotex": book.train_cotex}
    with main_first():  # the main process renders and decodes, the others find it done
        book.corpus(CORPUS_OF_STAGE[stage])
    return methods[stage]()


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0, or 1 after an error, said in a sentence."""
    parser = argparse.ArgumentParser(prog="affect_core.train", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("stages", nargs="+", choices=list(CORPUS_OF_STAGE))
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--corpus-root", default="")
    parser.add_argument("--run-dir", default="")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    device = _join_processes()
    try:
        with main_first():
            book = open_workbook(options.profile, options.corpus_root, options.run_dir, options.seed)
        book = replace(book, device=device or book.device, progress=book.progress if is_main() else no_progress)
        for stage in options.stages:
            record = train_stage(book, stage)[1]
            if is_main():
                for left_out in sorted(book.run_dir.glob("problems-*.json")):
                    name, number = left_out.stem.removeprefix("problems-"), len(read_json(left_out))
                    left = f"note: {number} problems: their rows are left out of {name}; {left_out} names them\n"
                    sys.stderr.write(left)
                sys.stdout.write(f"{stage}: {record.seconds:.0f} s, kept epoch {record.best_epoch}: {record.best}\n")
    except AffectError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except RuntimeError as error:
        if not lost_a_process(error):
            raise
        sys.stderr.write(f"{_LOST} ({str(error).splitlines()[0]})\n")
        return 1
    finally:
        leave()
    return 0


def _join_processes():
    """The device of this process among those that a launcher started; None if there is no accelerate."""
    try:
        from accelerate import Accelerator, InitProcessGroupKwargs
    except ImportError:
        return None
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=24))  # others wait while the main process renders
    return Accelerator(kwargs_handlers=[patience]).device


if __name__ == "__main__":
    sys.exit(main())
