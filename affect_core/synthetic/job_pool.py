"""Run many small jobs in a few fresh processes, and give a plain answer when one of them dies.

Processes are spawned, not forked: the caller is often a notebook whose libraries have threads running, and a fork would
copy their locks. Every process computes with one thread, so that results do not depend on the number of cores; with
one worker the jobs run in the calling process, under the same limit.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

import cv2
from threadpoolctl import threadpool_limits

from affect_core.errors import AffectError

T = TypeVar("T")


def run_jobs(function: Callable[[T], None], jobs: Sequence[T], *, workers: int) -> Iterator[T]:
    """Call `function` on every job in `workers` processes, and yield each job when it is done, in any order.

    `function` and the jobs must be picklable. Raises what a job raises, after the running ones have ended, and
    AffectError if a process ends without an answer (killed, out of memory).
    """
    if workers <= 1 or len(jobs) <= 1:
        with _one_thread():
            for job in jobs:
                function(job)
                yield job
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_start_worker)
    try:
        waiting = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(waiting):
            future.result()
            yield waiting[future]
    except BrokenProcessPool as error:
        raise AffectError(
            "A process that writes the corpus ended unexpectedly: killed, out of memory, or started by a script "
            "without `if __name__ == '__main__':`. What is finished is kept; call again to go on, or use workers=1."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    threadpool_limits(1)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for jobs for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(threads)
