"""A notebook in JupyterLab in a headless Chromium, steered over the DevTools protocol; only Jupyter is needed."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat

from affect_core.project_folders import project_root

PATIENCE = 420
"""Seconds to wait for anything; JupyterLab's first page takes long on a busy core."""

PANEL = "[...(window.jupyterapp?.shell?.widgets('main') ?? [])].find(one => one.sessionContext)"
"""The notebook's panel, in JavaScript."""


def chromium() -> str | None:
    """The browser's path, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """One page of the browser. `errors`: what its console called an error, and exceptions."""

    def __init__(self, socket_url: str):
        import websocket

        self.socket = websocket.create_connection(socket_url, timeout=PATIENCE, suppress_origin=True)
        self.count, self.errors, self.chooser = 0, [], None
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters) -> dict:
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.count:
                assert "error" not in message, message
                return message["result"]
            self._listen(message)

    def evaluate(self, javascript: str):
        answer = self.call("Runtime.evaluate", expression=javascript, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, javascript: str):
        """The first value of an expression that is true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            value = self.evaluate(javascript)
            if value:
                return value
            time.sleep(0.3)
        raise AssertionError(f"waited {PATIENCE} s in vain for {javascript}")

    def drag(self, x: float, y: float, dx: float) -> None:
        """Press at (x, y), move by dx pixels, release."""
        button = {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, **button)
        for share in (0.5, 1.0):
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + share * dx, y=y, buttons=1, **button)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + dx, y=y, **button)

    def upload(self, selector: str, files: list[Path]) -> None:
        """Click on a button that asks for files, and choose these."""
        self.call("Page.setInterceptFileChooserDialog", enabled=True)
        self.evaluate(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        box = self.evaluate(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        self.drag(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 0)
        end = time.monotonic() + PATIENCE
        while self.chooser is None and time.monotonic() < end:
            self.evaluate("1")  # reads what the page has to say
            time.sleep(0.1)
        self.call("DOM.setFileInputFiles", files=[str(file) for file in files], backendNodeId=self.chooser)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def _listen(self, message: dict) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Page.fileChooserOpened":
            self.chooser = parameters["backendNodeId"]
        elif message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(parameters["exceptionDetails"])[:500])
        elif message.get("method") == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.errors.append(" ".join(str(part.get("value", part.get("description"))) for part in parameters["args"]))


@contextmanager
def open_notebook(folder: Path, cells: list[str]):
    """A (Page, log file of the server) with a notebook of these code cells open and its kernel idle."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    work = folder / "work"
    work.mkdir()
    nbformat.write(notebook, work / "play.ipynb")
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR",
               "JUPYTERLAB_WORKSPACES_DIR")  # fmt: skip
    environment = os.environ | {name: str(folder / name.lower()) for name in folders}
    environment["PYTHONPATH"] = str(project_root())
    port, devtools, log = _free_port(), _free_port(), folder / "server.log"
    lab = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
           "--IdentityProvider.token=", f"--ServerApp.root_dir={work}", "--LabApp.expose_app_in_browser=True",
           "--LabApp.extension_manager=readonly", "--LabApp.news_url=None"]  # fmt: skip
    browser = [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--no-first-run", "--disable-background-networking", "--window-size=1500,1300",
               f"--user-data-dir={folder / 'chromium'}", f"--remote-debugging-port={devtools}",
               "about:blank"]  # fmt: skip
    with open(log, "wb") as stream, open(folder / "chromium.log", "wb") as noise:
        processes = [subprocess.Popen(lab, env=environment, stdout=stream, stderr=stream),
                     subprocess.Popen(browser, stdout=noise, stderr=noise)]  # fmt: skip
        try:
            _answer(f"http://127.0.0.1:{port}/api")
            targets = json.loads(_answer(f"http://127.0.0.1:{devtools}/json"))
            page = Page(next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page"))
            try:
                page.call("Emulation.setFocusEmulationEnabled", enabled=True)
                page.call("Page.navigate", url=f"http://127.0.0.1:{port}/lab/tree/play.ipynb")
                page.wait_for(f"{PANEL}?.sessionContext?.session?.kernel?.status === 'idle'")
                page.evaluate(f"jupyterapp.shell.activateById({PANEL}.id)")
                yield page, log
            except AssertionError:
                page.screenshot(folder / "failed.png")
                raise
            finally:
                page.socket.close()
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(timeout=60)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _answer(url: str) -> bytes:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                return response.read()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
