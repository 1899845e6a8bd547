"""Application: what there is to ask, and how it is answered.

    /                       the page
    /static/NAME            its style, its script, its chart library: a fixed list
    /api/state              what the driver does
    /api/spectra            the result; ?resolution=20
    /api/experiments        bands as measured
    /download/figure.KIND   png, pdf, svg; ?spectrum=ir&parts=1&resolution=20
    /download/spectra.csv, /download/spectrum.jdx, /download/spectrum.h5

All of it only reads. Documents carry an ETag, so that what has not changed is not sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mimyria.errors import FormatError, MimyriaError
from mimyria.files import read_plain
from mimyria.storage import RESULT_NAME, Result
from mimyria.timetext import duration
from mimyria_driver.web.access import Access
from mimyria_driver.web.document import View, experiments
from mimyria_driver.web.downloads import File, csv_file, figure_file, jcamp_file
from mimyria_driver.web.folder import state_of
from mimyria_driver.web.results import Results

__all__ = ["build_application"]

_STATIC: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "tables.js": "text/javascript; charset=utf-8",
    "words.js": "text/javascript; charset=utf-8",
    "uplot/uPlot.esm.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_PAGE: Final = "page.html"
_LARGEST: Final = 1 << 32
_MOST_SPECTRA: Final = 8
_COMPRESSED: Final = 1024  # bytes from which an answer is compressed


def build_application(
    directory: Path, token: str, port: int, hosts: Iterable[str] = ()
) -> Access:
    """The application of one run folder, behind its guard.

    Args:
        directory: the run folder.
        token: of the page.
        port: of the server.
        hosts: further names that the page may be asked by.
    """
    pages = _Pages(directory)
    routes = [
        Route("/", pages.page),
        Route("/static/{name:path}", pages.static),
        Route("/api/state", pages.state),
        Route("/api/spectra", pages.spectra),
        Route("/api/experiments", pages.experiments),
        Route("/download/figure.{kind}", pages.figure),
        Route("/download/spectra.csv", pages.csv),
        Route("/download/spectrum.jdx", pages.jcamp),
        Route("/download/spectrum.h5", pages.stored),
    ]
    inner = Starlette(
        routes=routes,
        exception_handlers={
            MimyriaError: _refused,
            FileNotFoundError: _missing,
        },
    )
    return Access(GZipMiddleware(inner, _COMPRESSED), token, port, hosts)


class _Pages:
    """The answers; each method is one route."""

    def __init__(self, directory: Path) -> None:
        """Load what never changes.

        Args:
            directory: the run folder.
        """
        place = resources.files("mimyria_driver.web") / "static"
        self._directory = directory
        self._results = Results(directory)
        self._static = {name: (place / name).read_bytes() for name in _STATIC}
        self._page = (place / _PAGE).read_bytes()
        self._experiments = json.dumps(experiments()).encode()

    async def page(self, request: Request) -> Response:
        return _tagged(request, self._page, "text/html; charset=utf-8")

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            raise HTTPException(404)
        return _tagged(request, self._static[name], _STATIC[name])

    async def state(self, request: Request) -> Response:
        state = await asyncio.to_thread(state_of, self._directory)
        state["result"] = self._results.version
        # Tenths of a second are no news: only another wording of the age, which the
        # reason tells too, is.
        age = "" if state["age"] is None else duration(state["age"])
        tag = _tag_of(json.dumps({**state, "age": age}, sort_keys=True).encode())
        body = json.dumps(state, allow_nan=False).encode()
        return _tagged(request, body, "application/json", tag)

    async def spectra(self, request: Request) -> Response:
        answer = await self._results.answer(_resolution(request))
        tag = f'W/"{answer.tag}"'
        return _tagged(request, answer.body, "application/json", tag)

    async def experiments(self, request: Request) -> Response:
        return _tagged(request, self._experiments, "application/json")

    async def figure(self, request: Request) -> Response:
        names = request.query_params.getlist("spectrum")[:_MOST_SPECTRA] or ["ir"]
        kind = request.path_params["kind"]
        parts = request.query_params.get("parts") == "1"

        def make(result: Result, view: View) -> File:
            return figure_file(result, view, names=names, kind=kind, parts=parts)

        return _saved(await self._results.use(_resolution(request), make))

    async def csv(self, request: Request) -> Response:
        return _saved(await self._results.use(_resolution(request), csv_file))

    async def jcamp(self, request: Request) -> Response:
        name = request.query_params.get("spectrum", "ir")

        def make(result: Result, view: View) -> File:
            return jcamp_file(result, view, name=name)

        return _saved(await self._results.use(_resolution(request), make))

    async def stored(self, request: Request) -> Response:
        path = self._directory / RESULT_NAME
        content = await asyncio.to_thread(read_plain, path, _LARGEST)
        return _saved(File(RESULT_NAME, "application/x-hdf5", content))


def _resolution(request: Request) -> float | None:
    text = request.query_params.get("resolution", "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise HTTPException(400, "resolution must be a number above 0")
    return value


def _tagged(
    request: Request, body: bytes, kind: str, tag: str | None = None
) -> Response:
    """An answer with its ETag, or 304 where the browser has it already."""
    tag = tag or _tag_of(body)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = request.headers.get("if-none-match", "")
    if tag.strip('W/"') in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=kind, headers=headers)


def _tag_of(body: bytes) -> str:
    return f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'


def _saved(file: File) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{file.name}"',
        "Cache-Control": "no-store",
    }
    return Response(file.content, media_type=file.kind, headers=headers)


async def _refused(request: Request, error: Exception) -> Response:
    code = 409 if isinstance(error, FormatError) else 400
    return PlainTextResponse(f"{error}\n", code)


async def _missing(request: Request, error: Exception) -> Response:
    text = "There is no result yet: it comes with the first frames of the run.\n"
    return PlainTextResponse(text, 404)
