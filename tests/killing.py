"""Processes that are killed at a chosen moment: inside a write, or after a chosen time of computing.

Every file of the package that has to be whole reaches its place by `os.replace`. A `Fault` therefore names a file and
a moment of that call; the child itself sends SIGKILL there, through a patch that only the child has. Children are
forked from a server that has imported and warmed everything but has no threads, so that a start costs little.
"""

import multiprocessing
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

MOMENTS = ("half", "whole", "renamed")


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
class TornWrite:
    """Kill when half of the bytes of the `occurrence`-th `os.pwrite` are written (image stores are written with it)."""

    occurrence: int

    def arm(self):
        pwrite, seen = os.pwrite, 0

        def write_or_die(file, data, offset):
            nonlocal seen
            seen += 1
            if seen < self.occurrence:
                return pwrite(file, data, offset)
            pwrite(file, data[: len(data) // 2], offset)
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


class Forks:
    """Runs functions in forked processes, one after the other. Made by `forks`."""

    def __init__(self, pipe):
        self.pipe = pipe

    def run(self, function, *arguments) -> float:
        """Run to the end; returns the processor seconds it took. Raises AssertionError if it failed."""
        self.pipe.send((None, function, arguments))
        self.pipe.recv()
        exitcode, seconds = self.pipe.recv()
        assert exitcode == 0, f"{function.__name__}{arguments} ended with {exitcode}"
        return seconds

    def kill(self, moment: Fault | TornWrite | Suicide | Clock, function, *arguments) -> None:
        """Run until the moment, at which the process is killed. Raises AssertionError if it ended in another way."""
        self.pipe.send((None if isinstance(moment, Clock) else moment, function, arguments))
        pid = self.pipe.recv()
        if isinstance(moment, Clock):
            while not self.pipe.poll(0.004):
                if processor_seconds(pid) >= moment.seconds:
                    os.kill(pid, signal.SIGKILL)
                    break
        exitcode, _ = self.pipe.recv()
        assert exitcode == -signal.SIGKILL, f"{function.__name__}{arguments} ended with {exitcode}, not at {moment}"


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
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return float("inf")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
