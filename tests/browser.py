"""A headless Chromium for tests, which leaves no process behind.

`rendered` opens a file and gives its document; `opened` is a tab that a test can work in. A browser's
children hold its pipes, so a time limit on the browser alone would wait for them: its process group is ended.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
_FLAGS += ("--disable-dev-shm-usage", "--no-first-run", "--force-color-profile=srgb")


@dataclass(frozen=True)
class Rendered:
    """A page after its scripts ran: its document as HTML, and the lines of its console."""

    html: str
    console: tuple[str, ...]


def rendered(page: Path, profile: Path, *, width: int = 500, limit: float = 240) -> Rendered:
    """What a page of a file becomes.

    Args:
        page: the file.
        profile: a folder that Chromium may fill.
        width: of the window in pixels.
        limit: seconds, after which the test fails.
    """
    flags = [*_FLAGS, "--dump-dom", "--enable-logging=stderr", f"--window-size={width},900"]
    process = subprocess.Popen(
        [str(PROGRAM), *flags, f"--user-data-dir={profile}", page.as_uri()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_unpinned,
        start_new_session=True,
    )
    try:
        html, said = process.communicate(timeout=limit)
    finally:
        _end(process)
    assert process.returncode == 0, said
    return Rendered(html, tuple(line for line in said.splitlines() if "CONSOLE" in line))


@contextlib.contextmanager
def opened(address: str, profile: Path, *, size: tuple[int, int] = (1280, 900)) -> Iterator[Tab]:
    """A tab at an address, closed with its browser at the end."""
    to_browser, from_browser = os.pipe(), os.pipe()
    # Chromium reads commands from descriptor 3 and answers on 4, whatever they are called here.
    ends = [_high(to_browser[0]), _high(from_browser[1])]

    def place() -> None:
        _unpinned()
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    flags = [*_FLAGS, "--remote-debugging-pipe", f"--window-size={size[0]},{size[1]}"]
    process = subprocess.Popen(
        [str(PROGRAM), *flags, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(3, 4),
        preexec_fn=place,
        start_new_session=True,
    )
    for end in (to_browser[0], from_browser[1], *ends):
        os.close(end)
    tab = Tab(to_browser[1], from_browser[0])
    try:
        tab.attach(address, size)
        yield tab
    finally:
        _end(process)
        os.close(to_browser[1])
        os.close(from_browser[0])


class Tab:
    """A page under the DevTools protocol.

    Args:
        write: descriptor that commands go to.
        read: descriptor that answers come from; each ends with a zero byte.

    Attributes:
        requested: addresses that the page asked for, in order.
        complaints: errors and warnings of the console, and uncaught exceptions.
    """

    def __init__(self, write: int, read: int, limit: float = 240) -> None:
        self._write, self._read, self._limit = write, read, limit
        self._rest, self._number, self._session = b"", 0, ""
        self.requested: list[str] = []
        self.complaints: list[str] = []

    def attach(self, address: str, size: tuple[int, int]) -> None:
        """Opens the address in the browser's first page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.resize(*size)
        self.call("Page.navigate", url=address)

    def resize(self, width: int, height: int) -> None:
        """The size of the window in pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of an expression once it is true."""
        end = time.monotonic() + self._limit
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"not true after {self._limit} s: {script}"
            time.sleep(0.2)
        return value

    def type(self, selector: str, text: str, *, enter: bool = False) -> None:
        """Types into a field as hands do."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)
        if enter:
            key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
            self.call("Input.dispatchKeyEvent", type="keyDown", **key)
            self.call("Input.dispatchKeyEvent", type="keyUp", **key)

    def choose_files(self, selector: str, *files: Path) -> None:
        """Gives files to a file field."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def picture(self, path: Path) -> Path:
        """Writes what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        return path

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command; events that come before it are kept."""
        self._number += 1
        sent: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith("Target."):
            sent["sessionId"] = self._session
        os.write(self._write, json.dumps(sent).encode() + b"\0")
        end = time.monotonic() + self._limit
        while True:
            message = self._next(end)
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self._note(message)

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no word from the browser for {self._limit} s"
            found = os.read(self._read, 1 << 16)
            assert found, "the browser has gone"
            self._rest += found
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def _note(self, message: dict[str, Any]) -> None:
        given = message.get("params", {})
        kinds: dict[str, Callable[[], None]] = {
            "Network.requestWillBeSent": lambda: self.requested.append(given["request"]["url"]),
            "Runtime.exceptionThrown": lambda: self.complaints.append(str(given["exceptionDetails"])),
            "Log.entryAdded": lambda: self._complain(given["entry"]["level"], given["entry"]),
            "Runtime.consoleAPICalled": lambda: self._complain(given["type"], given["args"]),
        }
        kinds.get(message.get("method", ""), lambda: None)()

    def _complain(self, level: str, said: Any) -> None:
        if level in ("error", "warning"):
            self.complaints.append(f"{level}: {said}")


def _unpinned() -> None:
    """Runs in the child: a browser held to one core, as tests may be, comes to a halt."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def _high(descriptor: int) -> int:
    """A copy of a descriptor that is none of the first ten."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10)


def _end(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()
