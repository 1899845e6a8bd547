"""The sending end: what the hook does with the frames of one engine.

It knows what an engine offers and what its user wants while the driver is away, and
needs only the standard library and pyzmq; Python 3.8 is enough. There is no thread:
everything happens while the engine waits for `sample` to return.

A frame is kept in the `Backlog` until the driver says that it is safe on disk. While
`credit` frames wait for that, the engine waits too, also for a driver that died: it is
found again when it is back, and gets once more all it has not confirmed. Other
policies: see `options`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mimyria_driver.lammps.anyengine import AnyEngine, moving
from mimyria_driver.lammps.backlog import Backlog
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.messages import Networks, frame_message, hello_message
from mimyria_driver.lammps.options import Options
from mimyria_driver.lammps.stillness import Stillness
from mimyria_driver.lammps.window import RefusedError, Window
from mimyria_driver.wire import Message

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AwayError", "RefusedError", "Sender", "write_line"]

EARLY = 2  # frames at the begin of a run whose trouble is an error of its input


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
        self.elements = elements
        self._stride = stride
        self._log = log or write_line
        self._detached = self._failed = False
        self._farewell = ""  # to say, once the driver is there
        self._backlog = Backlog(self.options, self._log)
        self._shift = 0  # added to the engine's steps, which were set back
        self._n_before = 0  # frames of the runs before this one
        self.n_sent = 0
        self._forget_run()

    def _forget_run(self) -> None:
        self._backlog.forget_run()
        self._farewell = ""
        self._run_key: tuple[float, int] = (0.0, 0)
        self._last_step = -1
        self._previous_step = -1
        self._stillness = Stillness()
        self._repeated = False
        self._n_before += self.n_sent
        self._last_frame: tuple[bytes, ...] = ()  # positions, velocities
        self.n_sent = 0

    @property
    def seconds_waited(self) -> float:
        """For the driver, in all runs."""
        return self._backlog.seconds_waited

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
        if not self._is_running or self.stopping or self._detached:
            return
        if late and self.options.policy == "drop":
            self._drop()
        else:
            self._hand_on(engine)
            self._stand_at_barrier()

    def finish(self) -> None:
        """Wait until all frames are safe, say goodbye, release all."""
        window = self._backlog.window
        if window is None:
            return
        if self._farewell:
            self._take_leave(at_last=True)
            self._forget_run()
            return
        self._settle()
        all_safe = window.credit > 0 and not self._backlog
        if all_safe and not window.say_goodbye("end of the run"):
            self._log("the driver has all frames, but did not say goodbye")
        if self.n_dropped:
            self._log(f"{self.n_dropped} frames were dropped")
        self._detached = self._detached or window.detached
        self._shift = 0
        self._forget_run()

    def _settle(self) -> None:
        """Wait until all frames are safe, as long as the user allows."""
        if not self.stopping and not self._backlog.wait_to_finish():
            self._log(self._away())
        if self._backlog:
            self._log(f"{len(self._backlog)} frames were not confirmed by the driver")

    def detach(self, reason: str) -> None:
        """Send no more after an error; the run goes on alone, or stops.

        Where other ranks send their parts of a frame, this one waits for the driver as
        they do: else they would wait for good, for frames that are never whole.
        """
        self._detached = self._failed = True
        self._farewell = reason or "an error"
        self._take_leave()

    def _take_leave(self, at_last: bool = False) -> None:
        """Say goodbye, or try again at the next frame where the driver is away."""
        window = self._backlog.window
        if window is None:
            return
        if not window.is_of_many:
            window.say_goodbye(self._farewell)
        elif not self._reach(window, at_last):
            return
        self._forget_run()

    def _reach(self, window: Window, at_last: bool) -> bool:
        """Say goodbye until it is heard; False when the user's time is over."""
        try:
            while self._backlog.wait_to_be_heard(at_last=at_last):
                if window.say_goodbye(self._farewell):
                    return True
        except HookError as error:
            self._log(f"{error} The driver was not told of the end.")
            return True  # as far as it can be
        return False

    def close(self) -> None:
        """Release all at once; what is not confirmed may be lost."""
        self._forget_run()
        self._backlog.close()

    # -- one frame --------------------------------------------------------------------

    @property
    def _is_running(self) -> bool:
        """Whether the driver was told of a run."""
        return self._backlog.window is not None

    def _prepare(self, engine: AnyEngine) -> bool:
        """Ready for this frame, or False when the user's time is over."""
        if self._backlog.is_detached:
            self.finish()
        if self._detached or self.stopping:
            if self._farewell:
                self._take_leave()
            # On another rank than the one with the trouble the others follow.
            return not (self._failed and self.options.policy == "stop")
        step = engine.step + self._shift
        run_key = (engine.time_step, engine.n_atoms)
        known = self._is_running
        self._repeated = known and step == self._last_step
        if known and self.rewinds and run_key == self._run_key:
            self._rewind(engine)
        elif self._repeated:
            return True
        elif known and (step < self._last_step or run_key != self._run_key):
            step = self._begin_anew(engine)
        if self._detached or self._repeated:
            return True
        if not self._is_running:
            self._introduce(engine, run_key, step)
        self._last_step = step
        return self._backlog.wait_for_room()

    def _begin_anew(self, engine: AnyEngine) -> int:
        """After reset_timestep, `clear`, or with other atoms or another time step.

        The driver looks at the run as it does at one that comes back, and refuses
        another one. Steps that went back are moved on, with one place left free, so
        that no pair of frames crosses over.

        Returns:
            The step of the present frame.
        """
        self._settle()
        last, detached = self._last_step, self._backlog.is_detached
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
        self._settle()
        self._detached = self._backlog.is_detached
        self._forget_run()

    def _hand_on(self, engine: AnyEngine) -> None:
        """The frame goes to the driver, or behind those that wait in the file."""
        if self._backlog.is_detached or self._repeated:
            return
        self._backlog.push(self._last_step, self._frame(engine))
        self._previous_step = self._last_step
        self.n_sent += 1
        self._backlog.hear()

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
        if not self._backlog.wait_until_safe():
            self._log(
                f"the restart file of step {own_step} is ahead of the driver by "
                f"{len(self._backlog)} frames"
            )

    def _away(self) -> str:
        return (
            f"The driver at {self.endpoint} has confirmed nothing for "
            f"{self.options.wait:g} s."
        )

    def _introduce(
        self, engine: AnyEngine, run_key: tuple[float, int], step: int
    ) -> None:
        self._run_key = run_key
        hello = hello_message(engine, self.elements, self._stride, step, self.networks)
        self._backlog.window = Window(self.endpoint, hello, self._log)

    def _frame(self, engine: AnyEngine) -> Message:
        ids, motion = engine.ids(), moving(engine)
        step, previous = self._last_step, self._previous_step
        time_step, _ = self._run_key
        if self.n_sent < EARLY:
            passed = (step - previous) * time_step
            self._stillness.check(ids, *motion, passed=passed)
        if self.rewinds:
            self._last_frame = motion
        return frame_message(
            engine, (ids, *motion), (step, previous), time_step, self.networks
        )


def write_line(text: str) -> None:
    """One line for people, on stderr, which no engine buffers."""
    sys.stderr.write(f"mimyria: {text}\n")
    sys.stderr.flush()
