"""Access: who may ask the page's server, and what every answer says to a browser.

The token comes once in the link; from then on a cookie has it. A request is refused if
it is no GET, if its Host is no name of this machine's loopback (a foreign page may lead
a browser here by DNS, "rebinding"), if a page of another site sends it, or without the
token. Nothing here looks at a file.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "Access"]

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")
_REASONS: Final = {
    401: "This page belongs to a run of mimyria, and wants its token. Open the link "
    "that `mimyria-driver watch RUNDIR --web` prints, or the one in web.url.",
    403: "A page of another site asked for this.",
    405: "Only GET: nothing can be changed here.",
    421: "This name does not lead to this page. Ask for localhost.",
}


class Access:
    """An application that lets nobody through to another one without the token."""

    def __init__(
        self, inner: ASGIApp, token: str, port: int, hosts: Iterable[str] = ()
    ) -> None:
        """Guard an application.

        Args:
            inner: the application.
            token: what the link and the cookie have to hold.
            port: of the server; cookies know no ports, so their name has it.
            hosts: further names that the page may be asked by.
        """
        self._inner = inner
        self._token = token
        self._cookie = f"mimyria-{port}"
        self._hosts = {*_LOOPBACK, *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            return  # no websocket, no lifespan
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        code = self._judge(scope, headers)
        if code == 303:
            cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Lax"
            await _answer(send, 303, "", {"Location": "./", "Set-Cookie": cookie})
        elif code != 200:
            more = {"WWW-Authenticate": "Bearer"} if code == 401 else {}
            more |= {"Allow": "GET, HEAD"} if code == 405 else {}
            await _answer(send, code, _REASONS[code] + "\n", more)
        else:
            await self._inner(scope, receive, _with_headers(send))

    def _judge(self, scope: Scope, headers: dict[str, str]) -> int:
        """The code of the answer; 200: hand it on, 303: take the cookie."""
        host = headers.get("host", "").lower()
        match = _HOST.fullmatch(host)
        if match is None or match["name"] not in self._hosts:
            return 421
        if scope["method"] not in ("GET", "HEAD"):
            return 405
        # A link from elsewhere may lead to the page itself, and to nothing behind it.
        site = headers.get("sec-fetch-site", "none")
        origin = headers.get("origin", f"http://{host}").lower()
        ours = origin in (f"http://{host}", f"https://{host}")
        if scope["path"] != "/" and not (ours and site in ("same-origin", "none")):
            return 403
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if scope["path"] == "/" and given:
            return 303 if self._is_token(given[0]) else 401
        return 200 if any(map(self._is_token, self._offered(headers))) else 401

    def _offered(self, headers: dict[str, str]) -> list[str]:
        """Tokens of a request's cookies and of its Authorization."""
        pairs = (each.partition("=") for each in headers.get("cookie", "").split(";"))
        found = [value for name, _, value in pairs if name.strip() == self._cookie]
        kind, _, value = headers.get("authorization", "").partition(" ")
        return [*found, value.strip()] if kind.lower() == "bearer" else found

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def _with_headers(send: Send) -> Send:
    async def send_more(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_encoded(HEADERS)]
        await send(message)

    return send_more


async def _answer(send: Send, code: int, text: str, more: dict[str, str]) -> None:
    body = text.encode()
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        **HEADERS,
        **more,
    }
    start = {"type": "http.response.start", "status": code}
    await send({**start, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": body})


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]
