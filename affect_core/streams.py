"""Several batches at once, a core for each: on a CPU this beats one batch at a time on all cores.

The threads of one batch wait for each other after every operation, those of different batches never do. So nothing is
lost in the many small operations of a model, nor where another thread, such as one that decodes pictures, takes a core.

    for answer in in_streams(predictor.predict_batch, batches, streams_for(predictor, batch_size)):
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from affect_core.prediction import Predictor

FEWEST = 8
"""Images that a stream's batch has at least; smaller ones were not measured."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def streams_for(predictor: object, batch_size: int) -> int:
    """Streams among which `batch_size` images are divided: torch's threads, as far as each gets FEWEST images.

    1 for a model on another device, and for what is no `Predictor`: nobody said that it may be called in two threads.
    """
    if not isinstance(predictor, Predictor) or next(predictor.emma.parameters()).device.type != "cpu":
        return 1
    return max(1, min(torch.get_num_threads(), batch_size // FEWEST))


def in_streams(work: Callable[[Item], Result], items: Iterable[Item], streams: int) -> Iterator[Result]:
    """work(item) for each item, in the order of `items`, in `streams` threads that share torch's threads evenly.

    At most streams + 1 items are taken whose result was not asked for yet. One stream is the caller's own thread. After
    an error, or when the iterator is closed, items that wait are dropped and those at work awaited.
    """
    if streams == 1:
        yield from map(work, items)
        return
    threads = torch.get_num_threads()
    started: deque[Future] = deque()
    pool = ThreadPoolExecutor(streams, initializer=torch.set_num_threads, initargs=(max(1, threads // streams),))
    try:
        for item in items:
            started.append(pool.submit(work, item))
            if len(started) > streams:
                yield started.popleft().result()
        while started:
            yield started.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # a thread that is new to torch takes the number that was set last, by any
