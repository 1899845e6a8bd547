"""A headless Chromium, spoken to through a pipe in its own DevTools protocol.

No driver program and no package is needed. A page remembers what its console said,
every address it asked for, and what it threw.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Browser", "Page", "chromium_program"]

_TIMEOUT = 60.0
_HIGH = 20  # descriptors out of the way of 3 and 4, which the child gets


def chromium_program() -> str | None:
    """Path of the browser; None: it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One process of the browser; its profile is thrown away with it."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="mimyria-chromium-")
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self._in, self._out = ours_in, ours_out
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, _HIGH) for fd in (theirs_in, theirs_out)]
        arguments = [
            *(program, "--headless=new", "--no-sandbox", "--disable-gpu"),
            *("--remote-debugging-pipe", "--hide-scrollbars", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update"),
            *("--disable-dev-shm-usage", f"--user-data-dir={self._profile}"),
            "about:blank",
        ]
        quiet = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        pipes = [
            (os.POSIX_SPAWN_DUP2, fd, n) for fd, n in zip(high, (3, 4), strict=True)
        ]
        self._process = os.posix_spawn(
            program, arguments, os.environ, file_actions=[*pipes, quiet], setsid=True
        )
        for fd in (theirs_in, theirs_out, *high):
            os.close(fd)
        self._number = 0
        self._buffer = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(
        self, address: str, width: int, height: int, *, dark: bool = False
    ) -> Page:
        """A page of its own, without cookies of others."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        made = {"url": "about:blank", "browserContextId": context}
        target = self.send("Target.createTarget", **made)["targetId"]
        wanted = {"targetId": target, "flatten": True}
        session = self.send("Target.attachToTarget", **wanted)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.send(f"{domain}.enable")
        page.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.send("Emulation.setEmulatedMedia", features=[scheme])
        page.send("Page.navigate", url=address)
        return page

    def send(self, method: str, *, session: str = "", **given: Any) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": given}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        deadline = time.monotonic() + _TIMEOUT
        while number not in self._answers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no answer to {method}")
            self.listen(0.5)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def listen(self, seconds: float) -> None:
        """Take in what comes."""
        if not select.select([self._in], [], [], seconds)[0]:
            return
        piece = os.read(self._in, 1 << 20)
        if not piece:
            raise ConnectionError("the browser is gone")
        *messages, self._buffer = (self._buffer + piece).split(b"\0")
        for text in messages:
            message = json.loads(text)
            if "id" in message:
                self._answers[message["id"]] = message
            elif message.get("sessionId") in self._pages:
                self._pages[message["sessionId"]].take(message)


class Page:
    """One page.

    Attributes:
        said: errors and warnings of its console, and what it threw.
        asked: every address that it asked for.
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.said: list[str] = []
        self.asked: list[str] = []

    def send(self, method: str, **given: Any) -> dict[str, Any]:
        return self._browser.send(method, session=self._session, **given)

    def take(self, message: dict[str, Any]) -> None:
        """An event of the page."""
        method, given = message["method"], message["params"]
        if method == "Network.requestWillBeSent":
            self.asked.append(given["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.said.append(json.dumps(given["exceptionDetails"]))
        elif method == "Log.entryAdded" and given["entry"]["level"] != "verbose":
            self.said.append(f"{given['entry']['text']} {given['entry'].get('url')}")
        elif method == "Runtime.consoleAPICalled" and given["type"] != "log":
            self.said.append(json.dumps(given["args"]))

    def resize(self, width: int, height: int) -> None:
        small = width < 600
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if small else 1,
            mobile=small,
        )  # fmt: skip

    def value(self, expression: str) -> Any:
        """Of an expression in the page."""
        found = self.send(
            "Runtime.evaluate",
            expression=expression, returnByValue=True, awaitPromise=True,
        )  # fmt: skip
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"]))
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 30.0) -> None:
        """Until an expression is true; what it needs may not be there yet."""
        deadline = time.monotonic() + seconds
        asked = f"(() => {{try {{return Boolean({expression})}} catch {{}}}})()"
        while not self.value(asked):
            if time.monotonic() > deadline:
                text = f"never true: {expression}\n{self.said}\n{self.text()}"
                raise TimeoutError(text)
            self._browser.listen(0.05)

    def text(self) -> str:
        return str(self.value("document.body?.innerText"))

    def click(self, selector: str) -> None:
        self.value(f"document.querySelector({json.dumps(selector)}).click()")

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of what is seen, or of the whole page."""
        options: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {**size, "scale": 1}
        taken = self.send("Page.captureScreenshot", **options)
        path.write_bytes(base64.b64decode(taken["data"]))

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Listen until something outside of the page is so."""
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline:
            self._browser.listen(0.05)
        return done()
