"""Results: the result of a run folder, read and described once for each change.

All work is done in a thread, one at a time; requests meanwhile wait or get what is
there. A result that cannot be read leaves the last good one in its place, with a word.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from mimyria.errors import SettingsError, one_line
from mimyria.storage import Result
from mimyria_driver.latestresult import LatestResult, result_stamp
from mimyria_driver.web.document import View, document_of, resolutions_of, view_of

__all__ = ["Answer", "Results"]

T = TypeVar("T")

NO_RESULT: Final = "There is no result yet: it comes with the first frames of the run."


@dataclass(frozen=True, slots=True)
class Answer:
    """A document for the page.

    Attributes:
        body: JSON.
        tag: changes with the body.
    """

    body: bytes
    tag: str


@dataclass(slots=True)
class _Loaded:
    """One result, and what was made of it."""

    result: Result
    views: dict[float | None, View] = field(default_factory=dict)
    documents: dict[float | None, dict[str, Any]] = field(default_factory=dict)


class Results:
    """The results of one run folder."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read yet."""
        self._directory = directory
        self._latest = LatestResult(directory)
        self._problem = NO_RESULT
        self._loaded: _Loaded | None = None
        self._answers: dict[float | None, Answer] = {}
        self._lock = asyncio.Lock()

    @property
    def version(self) -> str:
        """Changes with the result that lies in the folder."""
        return _digest(repr(result_stamp(self._directory)).encode())

    async def answer(self, resolution: float | None) -> Answer:
        """The document at a resolution; None: as stored.

        Raises:
            SettingsError: the page offers no such resolution.
        """
        async with self._lock:
            return await asyncio.to_thread(self._answer, resolution)

    async def use(
        self, resolution: float | None, make: Callable[[Result, View], T]
    ) -> T:
        """Make something of the result and its spectra at a resolution, in a thread.

        Raises:
            SettingsError: the page offers no such resolution.
            FileNotFoundError: there is no result.
        """
        async with self._lock:
            return await asyncio.to_thread(self._use, resolution, make)

    def _use(self, resolution: float | None, make: Callable[[Result, View], T]) -> T:
        self._refresh()
        if self._loaded is None:
            raise FileNotFoundError(self._problem)
        return make(self._loaded.result, self._view(self._loaded, resolution))

    def _answer(self, resolution: float | None) -> Answer:
        self._refresh()
        if resolution not in self._answers:
            self._answers[resolution] = self._make_answer(resolution)
        return self._answers[resolution]

    def _make_answer(self, resolution: float | None) -> Answer:
        document: dict[str, Any] = {"problem": self._problem, "spectra": None}
        if self._loaded is not None:
            documents = self._loaded.documents
            if resolution not in documents:
                view = self._view(self._loaded, resolution)
                documents[resolution] = document_of(self._loaded.result, view)
            document |= documents[resolution]
        body = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
        return Answer(body, _digest(body))

    def _view(self, loaded: _Loaded, resolution: float | None) -> View:
        if resolution not in loaded.views:
            offered = resolutions_of(loaded.result)
            if resolution is not None and resolution not in offered:
                names = ", ".join(f"{each:g}" for each in offered)
                raise SettingsError(
                    f"the resolution must be one of {names} cm^-1, not {resolution:g}."
                )
            loaded.views[resolution] = view_of(loaded.result, resolution)
        return loaded.views[resolution]

    def _refresh(self) -> None:
        """Read the result if there is another than before."""
        if not self._latest.look():
            return
        self._answers.clear()
        error = self._latest.trouble
        if error is None:
            assert self._latest.result is not None
            self._loaded = _Loaded(self._latest.result)
            self._problem = ""
        elif isinstance(error, FileNotFoundError):
            self._problem = "The result is gone." if self._loaded else NO_RESULT
        else:
            self._problem = f"The result cannot be read: {one_line(error)}."


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
