"""Closing: how a `with` statement ends a stream, or several."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

__all__ = ["Closing"]

_T = TypeVar("_T", bound="Closing")


class Closing:
    """Something that is finished, or closed where it cannot be."""

    def finish(self) -> None:
        """Wait until the driver has all frames on disk, and say goodbye.

        Raises:
            FrameError: the driver refuses the run.
            EngineError: the driver was away for as long as its user allows.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Release all at once: as if the program were killed, so the driver waits.

        What it has not confirmed, at most the last 12 frames, may be lost.
        """
        raise NotImplementedError

    def __enter__(self: _T) -> _T:
        """The same."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Finish; after an error only close, since the run may be taken up again."""
        if error is None:
            self.finish()
        else:
            self.close()
