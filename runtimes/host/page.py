"""One page of a headless browser, and the server on this machine's loopback address that it talks to.

The page asks, this side answers: its worker, `worker.js`, fetches commands and arrays, and posts what it found. So neither
a driver nor a debugging protocol is needed, and any browser of Chromium's family will do. Threads of WebAssembly need
shared memory, which a browser allows only to pages that are isolated from other origins: every answer says so.

Addresses begin with a secret, as other users of this machine can reach the port. Nothing but the files named is served.
"""

from __future__ import annotations

import json
import math
import os
import queue
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from depthport.exporters.core.json_types import JsonObject
from depthport.runtimes.host.chromium import browser_command, browser_environment, last_words

START_S = 60.0
"""Time-out for the browser to show its page."""
_TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
_ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FLAGS = (
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-extensions",
    # Nothing but the page's own server has an address.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
_CRASHED = {"error": "the tab has crashed, or the system has killed it when out of memory"}
_LOG = "log.txt"
_PAGE = Path(__file__).with_suffix(".html")


class PageError(Exception):
    """Failure of the page, with its reason."""


class Page:
    """A browser with one page open; one command at a time."""

    def __init__(self, browser: str, files: Mapping[str, Path], flags: tuple[str, ...] = ()) -> None:
        """Start it.

        Args:
            browser: its path.
            files: what the page may fetch, by address; `worker.js` it starts.
            flags: more arguments of the browser.

        Raises:
            PageError: it does not start.
        """
        self.files = {_PAGE.name: _PAGE, **files}
        self.given: dict[str, bytes] = {}
        """Arrays that the page may fetch as `array/NAME`."""
        self.found: dict[str, bytes] = {}
        """Arrays that it posted there."""
        self.commands: queue.Queue[bytes | None] = queue.Queue()
        self.answers: queue.Queue[JsonObject] = queue.Queue()
        self.secret = secrets.token_urlsafe(16)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.page = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._folder = Path(tempfile.mkdtemp(prefix="depthport-browser-"))
        address = f"http://127.0.0.1:{self._server.server_port}/{self.secret}/{_PAGE.name}"
        command = [*browser_command(browser, self._folder / "profile"), *_FLAGS, *flags, address]
        self._process = _start(command, self._folder / _LOG)

    def ask(self, command: str, timeout_s: float = math.inf, **given: object) -> JsonObject:
        """Have the page carry out a command; its answer.

        Raises:
            PageError: the command failed, or the page has crashed or does not answer.
        """
        self.commands.put(json.dumps({"command": command, **given}).encode())
        answer = self._answer(time.monotonic() + timeout_s)
        if answer == _CRASHED:
            self.answers.put(_CRASHED)  # To whatever else is asked.
        if "error" in answer:
            raise PageError(str(answer["error"]))
        return answer

    def _answer(self, until: float) -> JsonObject:
        while time.monotonic() < until:
            with suppress(queue.Empty):
                return self.answers.get(timeout=1.0)
            if (code := self._process.poll()) is not None:
                said = last_words((self._folder / _LOG).read_text(encoding="utf-8", errors="replace"))
                raise PageError(f"the browser has ended ({said or f'exit code {code}'})")
        raise PageError("the browser does not answer")

    def peak_mib(self) -> float | None:
        """Peak resident memory of the process that holds the page; None where the system does not say."""
        peaks = [
            line.split()[1]
            for tab in filter(holds_page, self._children())
            for line in _status(tab.pid)
            if line.startswith("VmHWM:")
        ]
        return max((int(peak) / 1024 for peak in peaks), default=None)

    def _children(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            children: list[psutil.Process] = psutil.Process(self._process.pid).children(recursive=True)
            return children
        return []

    def close(self) -> None:
        """End the browser and the server; leave nothing on disk."""
        processes = [*self._children(), *([psutil.Process(self._process.pid)] if self._process.poll() is None else [])]
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        self._process.wait()
        self.commands.put(None)
        self._server.shutdown()
        self._server.server_close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """The browser, tied to this process: it ends when the pipe that it takes commands from does, whatever ends us."""
    if os.name == "posix":
        command = ["/bin/sh", "-c", 'exec "$0" "$@" 3<&0 4>/dev/null', command[0], "--remote-debugging-pipe", *command[1:]]
    with log.open("wb") as stream:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stream, env=browser_environment()
        )


def _status(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    return []


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    page: Page


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with suppress(ConnectionError):  # A browser that was ended takes no answer.
            super().handle()

    server: _Server

    def do_GET(self) -> None:
        page, path = self.server.page, self._path()
        if path == "next":
            command = page.commands.get()
            self._answer(200 if command else 410, command or b"", ".json")
        elif path == "alive":
            self._begin(200, None, "")
            self.wfile.flush()
            self.rfile.read(1)
            page.answers.put(_CRASHED)
        elif path.startswith("array/") and (array := page.given.get(path.removeprefix("array/"))) is not None:
            self._answer(200, array, "")
        elif (file := page.files.get(path)) is not None:
            self._begin(200, file.stat().st_size, file.suffix)
            with file.open("rb") as stream:
                shutil.copyfileobj(stream, self.wfile, 1 << 20)
        else:
            self._answer(404, b"", "")

    def do_POST(self) -> None:
        page, path = self.server.page, self._path()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(204 if path else 404, b"", "")
        if path.startswith("array/"):
            page.found[path.removeprefix("array/")] = body
        elif path == "done":
            page.answers.put(json.loads(body))

    def _path(self) -> str:
        secret, _, path = self.path.lstrip("/").partition("/")
        return path if secrets.compare_digest(secret.encode(), self.server.page.secret.encode()) else ""

    def _answer(self, status: int, body: bytes, suffix: str) -> None:
        self._begin(status, len(body), suffix)
        self.wfile.write(body)

    def _begin(self, status: int, length: int | None, suffix: str) -> None:
        self.send_response(status)
        for name, value in {**_ISOLATED, "Content-Type": _TYPES.get(suffix, "application/octet-stream")}.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests."""


__all__ = ["START_S", "Page", "PageError"]


def holds_page(process: psutil.Process) -> bool:
    """Return whether a browser's process holds a page; one that has just ended does not."""
    with suppress(psutil.Error):
        return "--type=renderer" in process.cmdline()
    return False
