"""The sending end: what the hook does with the frames of one engine.

It knows what an engine offers and what its user wants while the driver is away, and
needs only the standard library and pyzmq; Python 3.8 is enough. There is no thread:
everything happens while the engine waits for `sample` to return.

A frame is kept until the driver says that it is safe on disk. While `credit` frames
wait for that, the engine waits too, also for a driver that died: it is found again when
it is back, and gets once more all it has not confirmed. Other policies: see `options`.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mimyria_driver.lammps.anyengine import AnyEngine, moving
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.options import Options
from mimyria_driver.lammps.spill import Spill, spill_path
from mimyria_driver.lammps.stillness import Stillness
from mimyria_driver.lammps.window import RefusedError, Window
from mimyria_driver.runcard import pack_card
from mimyria_driver.wire import Kind, Message, pack_box

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AwayError", "Networks", "RefusedError", "Sender", "write_line"]

SHORT = 1.0  # s between two looks at the file of frames while waiting
EARLY = 2  # frames at the begin of a run whose trouble is an error of its input


class Networks:
    """Networks that a rank asks about its own atoms; see `mimyria_driver.domain`.

    Attributes:
        models: what they are, see `RunCard`.
    """

    models: dict[str, dict[str, Any]]

    def sums(self) -> bytes:
        """What they add up at the present step."""
        raise NotImplementedError


class AwayError(HookError):
    """The driver has been away for as long as its user allows."""


class Sender:
    """Sends the frames of one engine and forgets them when they are safe.

    Attributes:
        agree: whether any MPI rank wants something; asked once in each `sample`.
        elements: chemical symbol of each atom type.
        networks: those that this rank asks itself, or None.
        rewinds: a step that goes back is that of the same run, which has gone back to
            an earlier configuration; else it begins another run.
        stopping: the user's time is over, and the run is to end here.
        n_sent: frames of this run that were handed on.
        n_dropped: frames that were dropped, in all runs.
        seconds_waited: for the driver, in all runs.
    """

    def __init__(
        self,
        endpoint: str,
        elements: tuple[str, ...],
        stride: int,
        log: Callable[[str], None] | None = None,
        options: Options | None = None,
    ) -> None:
        """Nothing is opened before the first frame.

        Args:
            endpoint: ZeroMQ address of the driver, or its endpoint file.
            elements: chemical symbol of each atom type.
            stride: MD steps from one frame to the next.
            log: takes a line for people; stderr if not given.
            options: what to do while the driver is away; wait if not given.
        """
        if not endpoint or not elements or stride < 1:
            raise HookError(
                "The hook needs the driver's endpoint, one element for each atom type "
                f"and a stride, but got '{endpoint}', {elements} and {stride}."
            )
        self.endpoint = endpoint
        self.options = options or Options()
        self.agree: Callable[[bool], bool] = bool
        self.networks: Networks | None = None
        self.rewinds = False
        self.stopping = False
        self.n_dropped = 0
        self.seconds_waited = 0.0
        self.elements = elements
        self._stride = stride
        self._log = log or write_line
        self._detached = self._failed = False
        self._spill: Spill | None = None
        self._window: Window | None = None
        self._shift = 0  # added to the engine's steps, which were set back
        self._n_before = 0  # frames of the runs before this one
        self.n_sent = 0
        self._forget_run()

    def _forget_run(self) -> None:
        if self._window is not None:
            self._window.close()
        self._window = None
        self._run_key: tuple[float, int] = (0.0, 0)
        self._last_step = -1
        self._previous_step = -1
        self._stillness = Stillness()
        self._repeated = False
        self._giving_way = False
        self._n_before += self.n_sent
        self._last_frame: tuple[bytes, ...] = ()  # positions, velocities
        self.n_sent = 0

    @property
    def consequence(self) -> str:
        """What becomes of the run after an error."""
        if self.options.policy == "stop":
            return "The run stops at the next frame."
        return "The run goes on alone; its spectrum ends here."

    @property
    def is_early(self) -> bool:
        """Whether all has only begun, so that trouble is an error of the input."""
        return self._n_before + self.n_sent < EARLY

    def must_end(self, error: Exception) -> bool:
        """Whether the engine has to end after this error; else MD goes on alone."""
        return (
            self.is_early
            or isinstance(error, AwayError)
            or self.options.policy == "abort"
        )

    def sample(self, engine: AnyEngine) -> None:
        """Send the present frame; waits when the driver is behind or not there.

        Raises:
            HookError: the frame cannot be streamed, the driver refuses the run, or the
                user's time is over (`AwayError`).
        """
        failure: Exception | None = None
        in_time = True
        try:
            in_time = self._prepare(engine)
        except Exception as error:
            failure = error
        # Once in each call on every rank, whatever happens on one of them.
        late = self.agree(not in_time)
        if failure is not None:
            raise failure
        if late and self.options.policy == "abort":
            raise AwayError(self._away())
        if late and self.options.policy == "stop":
            self.stopping = True
            if engine.rank == 0:
                self._log(f"{self._away()} The run stops at step {engine.step}.")
        if self._window is None or self.stopping or self._detached:
            return
        if late and self.options.policy == "drop":
            self._drop()
        else:
            self._hand_on(engine)
            self._stand_at_barrier()

    def finish(self) -> None:
        """Wait until all frames are safe, say goodbye, release all."""
        if self._window is None:
            return
        self._settle()
        if not self._n_waiting and not self._window.detached:
            self._window.say_goodbye("end of the run")
        if self.n_dropped:
            self._log(f"{self.n_dropped} frames were dropped")
        self._detached = self._detached or self._window.detached
        self._shift = 0
        self._forget_run()

    def _settle(self) -> None:
        """Wait until all frames are safe, as long as the user allows."""
        # The run is over, so the wait begins anew; what is in the file needs a driver.
        self._giving_way = False
        if not self.stopping and not self._wait_until(
            lambda: self._n_waiting == 0, finishing=True
        ):
            self._log(self._away())
        if self._n_waiting:
            self._log(f"{self._n_waiting} frames were not confirmed by the driver")

    def detach(self, reason: str) -> None:
        """Send no more after an error; the run goes on alone, or stops."""
        self._detached = self._failed = True
        if self._window is not None:
            self._window.say_goodbye(reason)
        self._forget_run()

    def close(self) -> None:
        """Release all at once; what is not confirmed may be lost."""
        self._forget_run()
        if self._spill is not None:
            self._spill.close()
            self._spill = None

    # -- one frame --------------------------------------------------------------------

    def _prepare(self, engine: AnyEngine) -> bool:
        """Ready for this frame, or False when the user's time is over."""
        if self._window is not None and self._window.detached:
            self.finish()
        if self._detached or self.stopping:
            # On another rank than the one with the trouble the others follow.
            return not (self._failed and self.options.policy == "stop")
        step = engine.step + self._shift
        run_key = (engine.time_step, engine.n_atoms)
        known = self._window is not None
        self._repeated = known and step == self._last_step
        if known and self.rewinds and run_key == self._run_key:
            self._rewind(engine)
        elif self._repeated:
            return True
        elif known and (step < self._last_step or run_key != self._run_key):
            step = self._begin_anew(engine)
        if self._detached or self._repeated:
            return True
        if self._window is None:
            self._introduce(engine, run_key, step)
        assert self._window is not None
        self._last_step = step
        self._window.advance(0.0)
        self._drain()
        return self._wait_until(self._has_room)

    def _begin_anew(self, engine: AnyEngine) -> int:
        """After reset_timestep, `clear`, or with other atoms or another time step.

        The driver looks at the run as it does at one that comes back, and refuses
        another one. Steps that went back are moved on, with one place left free, so
        that no pair of frames crosses over.

        Returns:
            The step of the present frame.
        """
        assert self._window is not None
        self._settle()
        last, detached = self._last_step, self._window.detached
        self._forget_run()
        self._detached = self._detached or detached
        if engine.step + self._shift < last:
            self._shift = last + 2 * self._stride - engine.step
            if engine.rank == 0 and not self._detached:
                self._log(
                    f"the steps went back to {engine.step}; for the driver they go on "
                    f"at {last + 2 * self._stride}, as a new segment"
                )
        return engine.step + self._shift

    def _rewind(self, engine: AnyEngine) -> None:
        """Where the run has gone back: as if its engine had been killed and restarted.

        No goodbye is said, so the driver waits for what comes, and compares it.
        """
        same = not self._repeated or self._last_frame == moving(engine)
        if engine.step >= self._last_step and same:
            return
        assert self._window is not None
        self._settle()
        self._detached = self._window.detached
        self._forget_run()

    def _hand_on(self, engine: AnyEngine) -> None:
        """The frame goes to the driver, or behind those that wait in the file."""
        assert self._window is not None
        if self._window.detached or self._repeated:
            return
        message = self._frame(engine, self._last_step, self._previous_step)
        raw = self._window.stamped(message)
        waits = bool(self._spill) or not self._window.has_room
        if not (waits and self._keep_in_file(self._last_step, raw)):
            self._window.push(self._last_step, raw)
        self._previous_step = self._last_step
        self.n_sent += 1
        self._window.advance(0.0)

    def _keep_in_file(self, step: int, raw: list[bytes]) -> bool:
        if self.options.policy != "spill":
            return False
        assert self._window is not None
        if self._spill is None:
            self._spill = Spill(
                self.options.spill or spill_path(), self.options.spill_mb << 20
            )
        if not self._spill:
            self._log(f"frames wait in {self._spill.path} from step {step} on")
        if self._spill.push(step, raw):
            return True
        self._log(f"{self._spill.path} is full; the engine waits for the driver")
        window = self._window
        while not (window.detached or self._spill.push(step, raw)):
            window.advance(SHORT)
            self._drain()
        return True

    def _drain(self) -> None:
        """Frames from the file, in their order, as far as there is room."""
        assert self._window is not None
        while self._spill and self._window.has_room and not self._window.detached:
            self._window.push(*self._spill.pop())

    def _drop(self) -> None:
        """Lose this frame; the next one says that it has no neighbour."""
        self.n_dropped += 1
        self._previous_step = -1
        if self.n_dropped & (self.n_dropped - 1) == 0:
            self._log(f"{self._away()} {self.n_dropped} frames are dropped so far.")

    def _stand_at_barrier(self) -> None:
        """Before LAMMPS writes its restart file of this step: all frames are safe."""
        own_step = self._last_step - self._shift
        if not self.options.barrier or own_step % self.options.barrier:
            return
        if not self._wait_until(lambda: self._n_waiting == 0):
            self._log(
                f"the restart file of step {own_step} is ahead of the driver by "
                f"{self._n_waiting} frames"
            )

    # -- waiting ----------------------------------------------------------------------

    @property
    def _n_waiting(self) -> int:
        window = 0 if self._window is None else len(self._window)
        return window + (0 if self._spill is None else len(self._spill))

    def _has_room(self) -> bool:
        assert self._window is not None
        return self._window.has_room and not self._spill

    def _wait_until(
        self, reached: Callable[[], bool], *, finishing: bool = False
    ) -> bool:
        """Until it is so; False when nothing has moved for as long as the user allows.

        Once that has happened nothing is waited for, until the driver moves again.
        """
        window = self._window
        assert window is not None
        limit = 0.0 if self._giving_way else self.options.limit
        if finishing and self.options.policy == "spill":
            limit = None
        begin = mark = time.monotonic()
        in_time = True
        while not (reached() or window.detached):
            before, now = window.durable_step, time.monotonic()
            if limit is not None and now - mark >= limit:
                in_time = False
                break
            left = SHORT if limit is None else min(SHORT, mark + limit - now)
            window.advance(left)
            self._drain()
            if window.durable_step > before:
                mark = time.monotonic()
        self._giving_way = not in_time
        self.seconds_waited += time.monotonic() - begin
        return in_time

    def _away(self) -> str:
        return (
            f"The driver at {self.endpoint} has confirmed nothing for "
            f"{self.options.wait:g} s."
        )

    # -- messages ---------------------------------------------------------------------

    def _introduce(
        self, engine: AnyEngine, run_key: tuple[float, int], step: int
    ) -> None:
        self._run_key = run_key
        card = engine.card(self.elements, self._stride)
        if self.networks is not None:
            card = replace(card, models=self.networks.models)
        # Kept and sent again as it is: after a reconnection the atoms of two ranks
        # could otherwise be those of two different steps.
        hello = Message(
            Kind.HELLO,
            step=step,
            n_atoms=engine.n_atoms,
            n_local=engine.n_local,
            parts=(pack_card(card), engine.ids(), engine.types(), engine.masses()),
        )
        self._window = Window(
            self.endpoint,
            replace(
                hello,
                rank=engine.rank,
                n_ranks=engine.n_ranks,
                incarnation=int.from_bytes(os.urandom(8), "little"),
            ),
            self._log,
        )

    def _frame(self, engine: AnyEngine, step: int, previous: int) -> Message:
        rows, origin, _ = engine.box()
        ids, motion = engine.ids(), moving(engine)
        time_step, _ = self._run_key
        if self.n_sent < EARLY:
            passed = (step - previous) * time_step
            self._stillness.check(ids, *motion, passed=passed)
        self._last_frame = motion
        parts: tuple[bytes, ...] = (pack_box(rows, origin), ids, *motion)
        kind = Kind.BEADS if engine.n_beads else Kind.FRAME
        if self.networks is not None:
            kind, parts = Kind.SUMS, (*parts, self.networks.sums())
        return Message(
            kind,
            step=step,
            previous_step=previous,
            time=step * time_step / engine.real("femtosecond"),
            n_atoms=engine.n_atoms,
            n_local=engine.n_local,
            parts=parts,
        )


def write_line(text: str) -> None:
    """One line for people, on stderr, which no engine buffers."""
    sys.stderr.write(f"mimyria: {text}\n")
    sys.stderr.flush()
