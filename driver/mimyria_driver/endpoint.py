"""Endpoint: the metrics by HTTP, on this machine alone, for who has the token.

Off unless asked for. It only reads, in threads of its own that can neither stop nor
change the run; a browser is sent away.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import socketserver
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from mimyria.errors import SettingsError
from mimyria_driver.metrics import metrics_text
from mimyria_driver.privatefiles import create_private, read_private

__all__ = ["TOKEN_NAME", "Endpoint"]

TOKEN_NAME: Final = "metrics.token"

_PATH: Final = "/metrics"
_KIND: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = 5.0
_CONVERSATIONS: Final = 4
_TURN: Final = 0.1
"""Seconds after which the thread notices that it should end."""

_log = logging.getLogger(__name__)


class Endpoint:
    """Serves the last status inside its context, if its address can be had."""

    def __init__(self, directory: Path, host: str, port: int) -> None:
        """Nothing is open yet.

        Args:
            directory: where the file of the token is, or will be.
            host: a loopback address.
            port: 0: any that is free.
        """
        self._directory = directory
        self._address = (host, port)
        self._server: _Server | None = None
        self._text = ""

    @property
    def port(self) -> int:
        """The port, once a status has come."""
        return 0 if self._server is None else int(self._server.server_address[1])

    def __enter__(self) -> Endpoint:
        """It opens with the first status: then the folder is ours."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def __call__(self, status: Mapping[str, Any]) -> None:
        """Show this status from now on."""
        self._text = metrics_text(status)
        if self._server is None and self._address[0]:
            self._open()

    def _open(self) -> None:
        host, port = self._address
        self._address = ("", 0)  # tried once
        try:
            token = _token(self._directory / TOKEN_NAME)
            self._server = _Server((host, port), token, lambda: self._text)
        except (OSError, SettingsError) as error:
            _log.warning(
                "no metrics at %s:%d: %s", host, port, error, extra={"code": "endpoint"}
            )
            return
        threading.Thread(
            target=self._server.serve_forever,
            args=(_TURN,),
            name="metrics",
            daemon=True,
        ).start()
        text = "metrics at http://%s:%d%s, token in %s"
        _log.info(text, host, self.port, _PATH, TOKEN_NAME, extra={"code": "endpoint"})


class _Server(socketserver.ThreadingTCPServer):
    """A few conversations at a time, each a few seconds."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = _CONVERSATIONS

    def __init__(self, address: tuple[str, int], token: str, text: Any) -> None:  # noqa: ANN401
        self.token = token
        self.text = text
        self._places = threading.Semaphore(_CONVERSATIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """A peer that misbehaves is not worth a word."""


class _Handler(BaseHTTPRequestHandler):
    """GET /metrics with the token, and nothing else."""

    server: _Server
    timeout = _SECONDS
    server_version = "mimyria"
    sys_version = ""

    def do_GET(self) -> None:
        code = self._judge()
        body = self.server.text().encode() if code == 200 else b""
        self.send_response(code)
        self.send_header("Content-Type", _KIND)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "default-src 'none'")
        if code == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: ANN401
        """Requests are not worth a line."""

    def _judge(self) -> int:
        """The code of the answer."""
        host, port = self.server.server_address[:2]
        known = (f"{host!s}:{port}", f"localhost:{port}")
        # A page in somebody's browser may be led here by its name (DNS rebinding).
        if self.headers.get("Host") not in known:
            return 421
        if self.headers.get("Origin") or self.headers.get("Sec-Fetch-Site"):
            return 403
        given = self.headers.get("Authorization", "")
        wanted = f"Bearer {self.server.token}"
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            return 401
        return 200 if self.path == _PATH else 404


def _token(path: Path) -> str:
    """That of an earlier driver, or a new one, in a file for its owner alone."""
    if not path.exists():
        create_private(path, secrets.token_hex(32) + "\n")
    return read_private(path).strip()
