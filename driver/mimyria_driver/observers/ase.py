"""ASE: molecular dynamics of ASE that streams to the driver.

    from mimyria_driver.observers.ase import Observer

    with Observer(dyn, "spectrum/endpoint.json") as observer:
        dyn.attach(observer, interval=4)
        dyn.run(20000)

The interval of `attach` is the stride. ASE calls an observer at step 0 and after whole
steps, when positions and velocities are those of one instant. The step is `dyn.nsteps`:
a second `dyn.run` goes on, and a run that goes back to an earlier configuration sets it
to that step and calls `observer()` first, so that the series has no border there.

Source: ASE 3.29, `ase/md/md.py`, `ase/optimize/optimize.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase
import numpy as np
from ase.parallel import world

from mimyria.errors import FrameError, SettingsError
from mimyria.frame import Frame
from mimyria.units import FS_PER_ASE_TIME
from mimyria_driver.lammps.sender import write_line
from mimyria_driver.observers.closing import Closing
from mimyria_driver.observers.stream import Stream

__all__ = ["Observer"]

_GO_ON, _STOP, _FAIL = range(3)


class Observer(Closing):
    """What `dyn.attach` takes: sends the atoms of a run to the driver.

    Where several MPI ranks hold the same atoms, the first one sends them.
    """

    def __init__(
        self,
        dyn: Any,  # noqa: ANN401 - ASE has no types
        address: str | Path,
        *,
        options: str = "",
        log: Callable[[str], None] = write_line,
    ) -> None:
        """Nothing is opened before the first frame.

        Args:
            dyn: a dynamics of `ase.md`.
            address: of the driver: the path of its endpoint.json, or ipc:// or tcp://.
            options: what to do while the driver is away, as "policy=spill wait=60".
            log: takes a line for people.

        Raises:
            SettingsError: it has no time step: an optimizer, for example.
        """
        if not getattr(dyn, "dt", 0.0) > 0:
            raise SettingsError(
                f"{type(dyn).__name__} has no time step, so that it makes no spectrum. "
                "Attach the observer to a dynamics of ase.md."
            )
        self._dyn = dyn
        self._address, self._options, self._log = address, options, log
        self._world = getattr(dyn, "comm", world)
        self._stride = 0
        self._stream: Stream | None = None
        self._is_over = False

    def __call__(self) -> None:
        """Send the present frame; waits when the driver is behind or not there.

        Raises:
            FrameError: it cannot be sent, or the driver refuses the run.
            EngineError: the driver was away for as long as its user allows.
        """
        self._stride = self._stride or self._find_stride()
        if self._dyn.nsteps % self._stride == 0:
            self._together(self._send)

    def finish(self) -> None:
        """Wait until the driver has all frames on disk, and say goodbye."""
        self._is_over = True
        if self._stream is not None:
            self._stream.finish()

    def close(self) -> None:
        """Release all at once; the driver waits for the run to be taken up again."""
        self._is_over = True
        if self._stream is not None:
            self._stream.close()

    def _find_stride(self) -> int:
        """The interval with which this observer was attached."""
        intervals = {each[1] for each in self._dyn.observers if each[0] is self}
        if len(intervals) != 1 or min(intervals) < 1:
            raise SettingsError(
                "The observer must be attached once, with an interval above zero: "
                f"dyn.attach(observer, interval=4). Found: {sorted(intervals)}."
            )
        return int(intervals.pop())

    def _send(self) -> None:
        frame = self._frame()
        if self._stream is None:
            if self._is_over:
                return
            self._stream = Stream(
                self._address,
                self._dyn.atoms.get_masses(),
                # 0.3 fs of ASE are 0.3 fs here, and not one digit more.
                float(f"{self._dyn.dt * FS_PER_ASE_TIME:.12g}"),
                self._stride,
                engine=f"ASE {ase.__version__} {type(self._dyn).__name__}",
                options=self._options,
                log=self._log,
            )
        self._stream.send(frame)

    def _frame(self) -> Frame:
        atoms = self._dyn.atoms
        x, y, z = (bool(periodic) for periodic in atoms.pbc)
        return Frame(
            atoms.numbers.astype(np.int64),
            np.array(atoms.get_positions(), np.float64),
            np.array(atoms.cell, np.float64),
            atoms.get_velocities() / FS_PER_ASE_TIME,
            int(self._dyn.nsteps),
            pbc=(x, y, z),
        )

    def _together(self, send: Callable[[], None]) -> None:
        """On the first rank; what becomes of the run, all of them do."""
        outcome, failure = np.array([_GO_ON]), None
        if self._world.rank == 0:
            try:
                send()
            except Exception as error:
                outcome[0], failure = _FAIL, error
            if self._stream is not None and self._stream.stopping:
                outcome[0] = _STOP
        if self._world.size > 1:
            self._world.broadcast(outcome, 0)
        if failure is not None:
            raise failure
        if outcome[0] == _FAIL:
            raise FrameError("The first rank cannot stream; its own error says why.")
        if outcome[0] == _STOP:
            self._dyn.max_steps = self._dyn.nsteps  # `run` ends here
