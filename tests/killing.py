"""Processes that are killed at a chosen or a drawn moment: inside a write, or after a time of computing.

Every file of the package that has to be whole reaches its place by `os.replace`. A `Fault` therefore names a file and
a moment of that call; the child itself sends SIGKILL there, through a patch that only the child has. `Torn` lets the
kernel interrupt a write in the middle, whoever makes it: Python, torch or safetensors. Children are forked from a
server that has imported and warmed everything but has no threads, so that a start costs little.

Moments are drawn from `SEED`, which is another one in each session. AFFECT_KILL_SEED=<seed> repeats them.
"""

import ctypes
import multiprocessing
import os
import random
import resource
import secrets
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

MOMENTS = ("half", "whole", "renamed")
OTHERS = "*.nb[ic]"
"""Also put in their places by `os.replace`, but no files of the package: kernels that numba compiles on a first run."""
SEED = int(os.environ.setdefault("AFFECT_KILL_SEED", str(secrets.randbits(32))))  # workers of pytest-xdist inherit it


@dataclass(frozen=True)
class Fault:
    """Kill at the `occurrence`-th time that a file whose name matches `file` is put in its place.

    moment   "half": when `share` of its bytes are written; "whole": all of them, but it is not renamed yet;
             "renamed": it is in its place, and nothing more has happened
    """

    file: str
    moment: str
    occurrence: int = 1
    share: float = 0.5

    def arm(self):
        replace, seen = os.replace, 0

        def replace_or_die(source, target, **options):
            nonlocal seen
            seen += fnmatch(Path(target).name, self.file)
            if seen < self.occurrence:
                return replace(source, target, **options)
            if self.moment == "half":
                os.truncate(source, int(self.share * os.path.getsize(source)))
            elif self.moment == "renamed":
                replace(source, target, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replace_or_die


@dataclass(frozen=True)
class Torn:
    """Kill inside the first write(2) that carries a file beyond `size` bytes, once `after` files of the package are in
    their places.

    Up to `size` bytes have reached the file then. It is the limit on the size of files that stops the write, wherever
    it comes from; the signal that tells of it (SIGXFSZ) is answered with SIGKILL before the write returns.
    safetensors asks for the whole size before it writes, and is killed there; see `Grown`.
    """

    size: int
    after: int = 0

    def arm(self):
        global _answer  # must live as long as the process
        _answer = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: os.kill(os.getpid(), signal.SIGKILL))
        ctypes.CDLL(None).signal(int(signal.SIGXFSZ), _answer)
        replace, seen = os.replace, 0

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

        def replace_and_limit(source, target, **options):
            nonlocal seen
            replace(source, target, **options)
            if fnmatch(Path(target).name, OTHERS):
                return
            seen += 1
            if seen == self.after:
                limit()

        os.replace = replace_and_limit
        if self.after == 0:
            limit()


@dataclass(frozen=True)
class Noted:
    """No kill: each file of the package that is put in its place is a line in `path`, its bytes before the name."""

    path: Path

    def arm(self):
        replace = os.replace

        def replace_and_note(source, target, **options):
            if not fnmatch(Path(target).name, OTHERS):
                with open(self.path, "a") as lines:
                    lines.write(f"{os.path.getsize(source)} {Path(target).name}\n")
            return replace(source, target, **options)

        os.replace = replace_and_note

    def read(self) -> list[tuple[str, int]]:
        """(name, bytes) of each file, in order."""
        lines = [line.partition(" ") for line in self.path.read_text().splitlines()]
        return [(name, int(size)) for size, _, name in lines]


@dataclass(frozen=True)
class TornWrite:
    """Kill when a share of the bytes of the `occurrence`-th `os.pwrite`, with which stores are written, is written."""

    occurrence: int
    share: float = 0.5

    def arm(self):
        pwrite, seen = os.pwrite, 0

        def write_or_die(file, data, offset):
            nonlocal seen
            seen += 1
            if seen < self.occurrence:
                return pwrite(file, data, offset)
            pwrite(file, data[: int(self.share * len(data))], offset)
            os.kill(os.getpid(), signal.SIGKILL)

        os.pwrite = write_or_die


@dataclass(frozen=True)
class Suicide:
    """The function itself sees to the kill."""

    def arm(self):
        pass


@dataclass(frozen=True)
class Clock:
    """Kill from outside when the process has computed for `seconds` of processor time (other load changes nothing)."""

    seconds: float

    def strikes(self, pid, _) -> int | None:
        """The process to kill now, None for not yet. The second argument is the time since the start in seconds."""
        return pid if processor_seconds(pid) >= self.seconds else None


@dataclass(frozen=True)
class Wall:
    """Kill from outside `seconds` after the start: the process (share 0), or one of those below it (share to 1)."""

    seconds: float
    share: float = 0.0

    def strikes(self, pid, passed) -> int | None:
        family = [pid, *descendants(pid)]
        return family[int(self.share * len(family))] if passed >= self.seconds else None


@dataclass(frozen=True)
class Grown:
    """Kill from outside when a hidden file in `folder`, which is one being written, takes `size` bytes of the disk."""

    folder: Path
    size: int

    def strikes(self, pid, _) -> int | None:
        return pid if any(taken >= self.size for taken in map(_bytes_taken, self.folder.glob(".*"))) else None


OUTSIDE = (Clock, Wall, Grown)


def draws(name: str) -> random.Random:
    """The draws of one test, which do not depend on those of the others."""
    return random.Random(f"{SEED} {name}")


def sooner(moment):
    """The moment that is tried when this one did not come in a whole life, which is never as long twice."""
    if isinstance(moment, Torn):
        return Torn(moment.size // 2, max(0, moment.after - 1))
    return replace(moment, seconds=moment.seconds / 2) if isinstance(moment, Clock | Wall) else moment


def drawn_moments(rng: random.Random, seconds: float, written: list[tuple[str, int]], count: int) -> list:
    """`count` moments by the clock, `count` inside a write, `count` around one, in a drawn order.

    seconds  processor time of the whole life; `written` the files that are put in their places in it, with their bytes
    """
    moments = [Clock(rng.uniform(0, 0.95 * seconds)) for _ in range(count)]
    for _ in range(count):
        after = rng.randrange(len(written))
        moments.append(Torn(rng.randrange(max(1, written[after][1])), after))
        moments.append(Fault("*", rng.choice(MOMENTS), rng.randint(1, len(written)), rng.random()))
    rng.shuffle(moments)
    return moments


class Forks:
    """Runs functions in forked processes, one after the other. Made by `forks`."""

    def __init__(self, pipe):
        self.pipe = pipe

    def run(self, function, *arguments) -> float:
        """Run to the end; returns the processor seconds it took. Raises AssertionError if it failed."""
        return self._run_with(None, function, *arguments)

    def written(self, notes: Path, function, *arguments) -> tuple[float, list[tuple[str, int]]]:
        """`run`; returns also (name, bytes) of each file that was put in its place, which `notes` is for."""
        return self._run_with(Noted(notes), function, *arguments), Noted(notes).read()

    def kill(self, moment, function, *arguments) -> None:
        """Run until the moment, at which the process is killed. Raises AssertionError if it ended in another way."""
        assert self.kills(moment, function, *arguments), f"{function.__name__}{arguments} ended before {moment}"

    def kills(self, moment, function, *arguments) -> bool:
        """Run until the moment, at which a process is killed; False if the end came before.

        Raises AssertionError if the process, not being the one that was killed, failed.
        """
        started, victim = time.monotonic(), None
        self.pipe.send((None if isinstance(moment, OUTSIDE) else moment, function, arguments))
        pid = self.pipe.recv()
        while isinstance(moment, OUTSIDE) and victim is None and not self.pipe.poll(0.001):
            victim = moment.strikes(pid, time.monotonic() - started)
            try:
                victim is None or os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:  # it is over
                victim = None
                break
        exitcode, _ = self.pipe.recv()
        assert exitcode in (0, -signal.SIGKILL), f"{function.__name__}{arguments} ended with {exitcode}, at {moment}"
        return exitcode != 0 or victim not in (None, pid)

    def _run_with(self, fault, function, *arguments) -> float:
        self.pipe.send((fault, function, arguments))
        self.pipe.recv()
        exitcode, seconds = self.pipe.recv()
        assert exitcode == 0, f"{function.__name__}{arguments} ended with {exitcode}"
        return seconds


@contextmanager
def forks():
    """A `Forks` whose server is ready."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=_serve, args=(there,))
    server.start()
    try:
        assert here.poll(300) and here.recv() == "ready"
        yield Forks(here)
        here.send(None)
        server.join(60)
    finally:
        server.kill()
        server.join()


def processor_seconds(pid: int) -> float:
    """Time that a process has computed (Linux); infinite if it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # the clock of another process, as clock_getcpuclockid makes it
    except OSError:
        return float("inf")


def descendants(pid: int) -> list[int]:
    """The processes below a process (Linux), a parent before its children."""
    found = [pid]
    for process in found:
        try:
            found += sorted(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
        except OSError:
            continue
    return found[1:]


def _bytes_taken(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _serve(pipe) -> None:
    _warm_up()
    context = multiprocessing.get_context("fork")
    pipe.send("ready")
    while (job := pipe.recv()) is not None:
        before = os.times()
        process = context.Process(target=_run, args=job)
        process.start()
        pipe.send(process.pid)
        process.join()
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        pipe.send((process.exitcode, spent))


def _run(fault, function, arguments) -> None:
    if fault is not None:
        fault.arm()
    function(*arguments)


def _warm_up() -> None:
    """Import and compile what the stages need; no backward pass, whose threads a fork would lose."""
    import torch

    torch.set_num_threads(1)
    import nbconvert  # noqa: F401
    import papermill  # noqa: F401

    from affect_core.augment import Augmentation, augment
    from affect_core.evidence import environment_record
    from affect_core.synthetic import renderer
    from affect_core.workbook import _in_notebook

    _in_notebook()
    environment_record()
    renderer.warm_up()
    augment(torch.zeros(2, 32, 32, 3, dtype=torch.uint8), Augmentation(), 16, torch.Generator())
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.zeros(2)
    torch.optim.AdamW([parameter], fused=True).step()
