"""A headless Chromium, driven over its debugging pipe (no network port, no extra library).

The protocol is Chromium's own (DevTools): null-terminated JSON messages on file descriptors 3
(to the browser) and 4 (from it).
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from fastpipe.errors import UserError

__all__ = ["Chromium", "find_chromium"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    """Path of an installed Chromium or Chrome."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser with one blank page; a context manager.

    Attributes:
        requests: addresses the page has asked for, `data:` and `blob:` among them.
        complaints: errors and exceptions on the page's console.
    """

    def __init__(self, patience_s: float = 120.0):
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._patience_s = patience_s
        self._sent = 0
        self._session: str | None = None
        self._unread = b""

    def __enter__(self) -> Self:
        executable = find_chromium()
        if not executable:
            raise UserError(
                "no Chromium was found. Install one (Debian: apt-get install chromium) to render "
                "pictures of a report."
            )
        with contextlib.ExitStack() as stack:
            profile = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            self._start(executable, profile)
            stack.callback(self._stop)
            target = self.command("Target.createTarget", url="about:blank")["targetId"]
            attached = self.command("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.command(f"{domain}.enable")
            self._closing = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _start(self, executable: str, profile: str) -> None:
        ends = [*os.pipe(), *os.pipe()]
        # Out of the way of 3 and 4, which the shell below gives to the browser.
        to_browser, self._write, self._read, from_browser = (
            fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends
        )
        for end in ends:
            os.close(end)
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash",
             executable, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)

    def _stop(self) -> None:
        with contextlib.suppress(OSError, UserError):
            self._session = None
            self.command("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and wait for its answer.

        Raises UserError if the browser refuses it, has died, or does not answer in time.
        """
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        deadline = time.monotonic() + self._patience_s
        while True:
            answer = self._receive(deadline, method)
            if answer.get("id") == self._sent:
                break
            self._note(answer)
        if "error" in answer:
            raise UserError(f"Chromium refused {method}: {answer['error'].get('message')}")
        return answer["result"]

    def _receive(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(self._read, 1 << 20) if ready else b""
            if not chunk:
                what = "ended" if ready else f"gave no answer in {self._patience_s:.0f} s"
                raise UserError(f"Chromium {what} during {method}.")
            self._unread += chunk
        text, _, self._unread = self._unread.partition(b"\0")
        return json.loads(text)

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                self.complaints.append(
                    details.get("exception", {}).get("description", str(details))
                )
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                words = (str(a.get("value", a.get("description"))) for a in parameters["args"])
                self.complaints.append(" ".join(words))
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.complaints.append(parameters["entry"]["text"])

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression (promises awaited) on the page."""
        answer = self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise UserError(f"on the page: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def show(
        self, width: int, *, height: int = 900, dark: bool = False, phone: bool = False
    ) -> None:
        """Set the window's size in CSS pixels, the system's theme, and whether it is a phone."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, page: Path) -> str:
        """Load a report and wait until its charts are drawn; "drawn" or "failed"."""
        self.command("Page.navigate", url="about:blank")  # so that an earlier state is gone
        self.command("Page.navigate", url=page.resolve().as_uri())
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            if state := self.evaluate("document.documentElement?.dataset.state"):
                return state
            time.sleep(0.05)
        raise UserError(f"{page} drew no charts in {self._patience_s:.0f} s.")
