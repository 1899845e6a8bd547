"""Publishing: the common result of all replicas, renewed while they run.

It writes `spectrum.h5` of the run and says how well it is known. A result that takes
long is made rarely: never more than a tenth of the time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from mimyria.diagnostics import Diagnostic, report, summary
from mimyria.errors import IncompatibleError, OutputError, one_line
from mimyria.storage import RESULT_NAME, Result, write_result
from mimyria_driver.convergence import Progress
from mimyria_driver.replicas.gathering import Gathering
from mimyria_driver.replicas.pooling import lean, pool
from mimyria_driver.replicas.replica import Replica
from mimyria_driver.results import make_exit_file, try_plots
from mimyria_driver.settings import Settings
from mimyria_driver.sharing import Share
from mimyria_driver.snapshot import Snapshot

__all__ = ["Publishing"]

_LONGEST_ROUND: Final = 30.0
"""s to wait for a replica; the result then stays as it is until the next round."""
_SHARE: Final = 9.0

_log = logging.getLogger(__name__)


class Publishing:
    """Asks for results, pools and writes them.

    Attributes:
        reason: why the run has converged; empty while it has not.
        diagnostics: of the last result.
    """

    def __init__(
        self,
        settings: Settings,
        replicas: Sequence[Replica],
        guard: Callable[[], None],
    ) -> None:
        """Nothing is asked for yet.

        Args:
            settings: of the run.
            replicas: all of them.
            guard: raises once the folder is another's.
        """
        self.reason = ""
        self.diagnostics: tuple[Diagnostic, ...] = ()
        self._settings = settings
        self._replicas = replicas
        self._guard = guard
        self._gathering = Gathering(len(replicas))
        self._progress: Progress | None = None
        self._begun: float | None = None  # when the present round began
        self._next = time.monotonic() + settings.spectrum.refresh
        self._n_samples = 0
        self._refused = ""  # why there is no result of all, for people
        self._said: set[str] = set()

    def share_of(self, replica: int) -> Share:
        """What the service of a replica offers its result to."""
        return self._gathering.share_of(replica)

    def advance(self) -> None:
        """Begin a round, or end it, if it is time to; never ends a run by an error."""
        now = time.monotonic()
        if self._begun is None:
            if now >= self._next:
                self._begun = now
                self._gathering.ask({r.number for r in self._replicas if r.alive})
            return
        for replica in self._replicas:
            if not replica.alive:
                self._gathering.skip(replica.number)
        late = self._gathering.open
        if late and now - self._begun < _LONGEST_ROUND:
            return
        if late:
            names = ", ".join(map(str, sorted(late)))
            self._warn(f"the result waits for the replicas {names}")
            self._gathering.take()
        else:
            self._try_to_write()
        took = time.monotonic() - self._begun
        self._next = time.monotonic() + max(
            self._settings.spectrum.refresh, _SHARE * took
        )
        self._begun = None

    def write_last(self, status: str, *, plots: bool) -> None:
        """The result at the end, when no replica is served any more.

        Raises:
            MimyriaError: it cannot be made or written; all records are safe.
        """
        self._gathering.ask(set())
        try:
            written = self._write(status)
        except OutputError as error:
            raise OutputError(
                f"{error} All frames are safe: `mimyria-driver rebuild` makes the "
                "result."
            ) from error
        if written and plots and self._settings.spectrum.plots:
            try_plots(self._settings.run.directory / RESULT_NAME)
        exit_file = self._settings.convergence.exit_file
        if exit_file is not None and self.reason:
            make_exit_file(exit_file)

    def report(self) -> list[str]:
        """The checks, for people."""
        return report(self.diagnostics)

    def show(self, snapshot: Snapshot) -> Snapshot:
        """The same with what is known of the common result."""
        if self._refused:
            snapshot = replace(snapshot, message=self._refused)
        progress = self._progress
        if progress is None:
            return snapshot
        return replace(
            snapshot,
            checks=summary(self.diagnostics),
            errors={
                **snapshot.errors,
                **progress.relative_errors(max(snapshot.durable, self._n_samples)),
            },
            targets=progress.targets(),
            bands=progress.bands(),
        )

    def _try_to_write(self) -> None:
        try:
            self._write("running")
            self._refused = ""
        except (OutputError, IncompatibleError) as error:
            self._refused = f"there is no new result of all replicas: {one_line(error)}"
            self._warn(self._refused)

    def _write(self, status: str) -> bool:
        """Pool and write what there is; whether there was anything."""
        results = self._gathering.take()
        for replica in self._replicas:
            if not replica.alive:
                found = replica.result()
                if found is not None:
                    results[replica.number] = lean(found, len(self._replicas))
        if not results:
            return False
        result, notices = pool(
            results,
            self._settings.spectrum,
            {"status": status, "replicas": len(self._replicas)},
        )
        for notice in notices:
            self._warn(notice)
        provenance = {**result.provenance, **self._judge(result)}
        self.diagnostics = result.diagnostics
        path = self._settings.run.directory / RESULT_NAME
        write_result(path, replace(result, provenance=provenance), self._guard)
        return True

    def _judge(self, result: Result) -> dict[str, str | int | float]:
        """How well it is known, and whether that is enough."""
        self._n_samples = int(result.provenance["frames"])
        if self._progress is None:
            settings = self._settings
            self._progress = Progress(
                settings.convergence, settings.spectrum, result.interval, 0
            )
        if self._progress.due(self._n_samples):
            self.reason = self._progress.look(result) or self.reason
        else:
            self._progress.update(result)
        return self._progress.provenance()

    def _warn(self, text: str) -> None:
        """Say it once, whatever its numbers are next time."""
        kind = text.partition("(")[0]
        if kind not in self._said:
            self._said.add(kind)
            _log.warning("%s", text, extra={"code": "replicas"})
