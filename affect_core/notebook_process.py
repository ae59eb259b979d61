"""A process that executes notebooks for the runner, one after the other, so that several can run side by side.

papermill changes the working directory of its process and handles its signals, so two notebooks need two processes.
Orders and answers are lines of JSON on standard input and output. The process ends when its input does, which is also
what happens when the runner is killed; a kernel ends with the process that started it.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from affect_core.progress import PROGRESS_FILE

PATIENCE = 10.0
"""Seconds that a process has to end its kernel."""


class NotebookProcess:
    """The runner's end. threads: how many the kernels compute with; None leaves that to torch."""

    def __init__(self, progress_file: Path, threads: int | None = None):
        self.progress_file = Path(progress_file)
        environment = os.environ | {PROGRESS_FILE: str(self.progress_file.resolve())}
        if threads is not None:
            environment.setdefault("OMP_NUM_THREADS", str(threads))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "affect_core.notebook_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=environment, encoding="utf-8", start_new_session=True,  # Ctrl-C is for the runner alone
        )  # fmt: skip

    def execute(self, source: Path, target: Path, parameters: dict) -> str | None:
        """Execute notebook `source` into `target`; None, or in a sentence what went wrong."""
        order = {"source": str(source), "target": str(target), "parameters": parameters}
        with suppress(BrokenPipeError, ValueError):  # ValueError: stopped, and its pipes closed
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            if answer:
                return json.loads(answer)
        return "the process that executed it was killed. What its stages have saved is kept; run again to go on"

    def stop(self) -> None:
        """End the process, and the kernel of a notebook that is executing."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(2 * PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        with suppress(OSError):
            self.progress_file.unlink(missing_ok=True)


def execute(source: Path, target: Path, parameters: dict) -> str | None:
    """Execute one notebook in this process; None, or in a sentence what went wrong."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="affect_core ") as sockets:
            papermill.execute_notebook(
                str(source), str(target), parameters=parameters, cwd=str(source.parent), kernel_name="python3",
                progress_bar=False, start_timeout=120, kernel_manager_class=_kernel_manager(Path(sockets)),
            )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        return f"{error.ename}: {error.evalue}"
    except DeadKernelError:
        return "its kernel died: killed, or out of memory. What its stages have saved is kept; run again to go on"
    except OSError as error:
        return f"{target} cannot be written: {error.strerror}"
    return None


class WithoutFarewell(logging.Filter):
    """Keeps from the kernel's log that it was interrupted, as every kernel is before it is shut down."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("KeyboardInterrupt caught in kernel")


_QUIET = {
    "filters": {"farewell": {"()": f"affect_core.notebook_process.{WithoutFarewell.__name__}"}},
    "handlers": {"console": {"filters": ["farewell"]}},
}


def _kernel_manager(folder: Path) -> type:
    """A manager whose kernel is spoken to through sockets in `folder`, which is the user's own, not through ports.

    Any program of the machine may listen to a port, and ipykernel says so for every notebook. Paths of sockets have a
    hundred letters at most; where they would have more, and on Windows, it stays with ports.
    """
    from jupyter_client.manager import AsyncKernelManager

    connection = folder / "kernel.json"

    class PrivateKernelManager(AsyncKernelManager):
        transport = "ipc"

        def __init__(self, *arguments, **options):
            super().__init__(*arguments, connection_file=str(connection), **options)

        def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
            command = super().format_kernel_cmd(extra_arguments)
            return [*command, "--log-level=ERROR", f"--IPKernelApp.logging_config={_QUIET}"]

    fits = len(f"{connection.with_suffix('')}-ipc-1") < 100
    return PrivateKernelManager if os.name == "posix" and fits else AsyncKernelManager


def main() -> None:
    """The process's end: answer orders until there are no more, or nobody is left to give them."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else is printed here is no answer
    orders: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    while (order := orders.get()) is not None:
        order = json.loads(order)
        answer = execute(Path(order["source"]), Path(order["target"]), order["parameters"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _listen(orders: queue.Queue) -> None:
    for line in sys.stdin:
        orders.put(line)
    orders.put(None)
    os.kill(os.getpid(), signal.SIGTERM)  # in the middle of a notebook: nbclient then ends its kernel
    time.sleep(PATIENCE)
    os._exit(1)


if __name__ == "__main__":
    main()
