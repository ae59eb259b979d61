"""Interleaved timing: alternatives take turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def rates(
    alternatives: dict[str, tuple[Callable[[], None], int]], rounds: int = 7, calls: int = 1,
    wait: Callable[[], None] = lambda: None, warm_up: int = 1, pause: float = 0,
) -> dict[str, float]:
    """Items per second of each alternative (a function, and the items one call handles): median over `rounds` turns.

    A turn has `calls` calls; `wait` returns when a device that works on its own is done.

    Every alternative is called once before the first turn, uncounted, and so are the first `warm_up` calls of each
    turn: what it finds in caches and in the allocator is its own, as when it runs for long. The workers of a DataLoader
    go on after its turn until their batches lie ready: `pause` seconds before each turn keep them out of the next one,
    and `warm_up` calls use up what was prepared in nobody's time.
    """
    for function, _ in alternatives.values():
        function()
    seconds: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds):
        for name, (function, _) in alternatives.items():
            time.sleep(pause)
            for _ in range(warm_up):
                function()
            wait()
            started = time.perf_counter()
            for _ in range(calls):
                function()
            wait()
            seconds[name].append((time.perf_counter() - started) / calls)
    return {name: items / statistics.median(seconds[name]) for name, (_, items) in alternatives.items()}


def ratios(measured: dict[str, float], baseline: str) -> dict[str, dict[str, float]]:
    """Each alternative's rate, and its ratio to the baseline's."""
    return {name: {"per second": round(rate, 2), f"times {baseline}": round(rate / measured[baseline], 2)}
            for name, rate in measured.items()}  # fmt: skip
