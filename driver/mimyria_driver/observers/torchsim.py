"""TorchSim: each system of a batch is a replica of the driver.

    from mimyria_driver.observers.torchsim import Observer

    address = "spectrum/replicas/{replica}/endpoint.json"
    reporter = torch_sim.TrajectoryReporter(files, state_frequency=1000)
    with Observer(address, time_step=0.5, stride=4) as observer:
        observer.watch(reporter)
        torch_sim.integrate(..., timestep=5e-4, trajectory_reporter=reporter)

`integrate` reports every step to its reporter, which is how the observer comes to know
it; a loop of one's own calls `observer(state, step)`. TorchSim is not imported: a state
is what has its tensors. Its cells are columns, its time is that of ASE.

Source: torch-sim-atomistic 0.3.0 (run) and 0.6.2 (read), `torch_sim/runners.py`,
`torch_sim/trajectory.py`, `torch_sim/units.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import EngineError, SettingsError
from mimyria.frame import Array, Frame
from mimyria.units import FS_PER_ASE_TIME
from mimyria_driver.lammps.access import REPLICA
from mimyria_driver.lammps.sender import write_line
from mimyria_driver.observers.closing import Closing
from mimyria_driver.observers.stream import Stream

__all__ = ["Observer"]


class Observer(Closing):
    """Sends the systems of a batch to the replicas of a driver."""

    def __init__(
        self,
        address: str | Path,
        time_step: float,
        stride: int,
        *,
        options: str = "",
        log: Callable[[str], None] = write_line,
    ) -> None:
        """Nothing is opened before the first frame.

        Args:
            address: of the driver, with {replica} where there are several systems.
            time_step: fs; `integrate` has it in ps.
            stride: MD steps from one frame to the next.
            options: what to do while the driver is away, as "policy=spill wait=60".
            log: takes a line for people.
        """
        self._address = str(address)
        self._time_step, self._stride = time_step, stride
        self._options, self._log = options, log
        self._streams: dict[int, Stream] = {}
        self._is_over = False

    def __call__(
        self,
        state: Any,  # noqa: ANN401 - TorchSim is not imported
        step: int,
        replicas: Sequence[int] | None = None,
    ) -> None:
        """Send a state, if the step is a sampled one.

        Args:
            state: with positions and momenta of one instant, as after a step.
            step: MD step.
            replicas: number of each system; their places in the state if not given.

        Raises:
            FrameError: it cannot be sent, or a driver refuses its run.
            EngineError: the driver was away for as long as its user allows.
        """
        if step % self._stride:
            return
        for number, (frame, masses) in enumerate(_systems(state, step)):
            replica = number if replicas is None else replicas[number]
            self._stream_of(replica, int(state.n_systems), masses).send(frame)

    @property
    def stopping(self) -> bool:
        """Whether the user's time is over, and the run is to end here (policy stop)."""
        return any(stream.stopping for stream in self._streams.values())

    def watch(self, reporter: Any, begin: int = 0) -> None:  # noqa: ANN401
        """Have all that is reported to a TrajectoryReporter sent as well.

        Args:
            reporter: with one file for each system, which says which one that is where
                `integrate` takes them in several batches; without files all systems
                come at once, in their order.
            begin: MD steps before, where `integrate` counts from 1 again.
        """
        report, known = reporter.report, _names(reporter)

        def report_and_send(state: Any, step: int, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
            result = report(state, step, *rest, **named)
            names = _names(reporter)
            self(state, begin + step, [known.index(name) for name in names] or None)
            if self.stopping:
                raise EngineError(
                    "The driver is away, and the policy is stop: the run ends at step "
                    f"{begin + step}."
                )
            return result

        reporter.report = report_and_send

    def finish(self) -> None:
        """Wait until the driver has all frames on disk, and say goodbye."""
        self._is_over = True
        for stream in self._streams.values():
            stream.finish()

    def close(self) -> None:
        """Release all at once; the driver waits for the run to be taken up again."""
        self._is_over = True
        for stream in self._streams.values():
            stream.close()

    def _stream_of(self, replica: int, n_systems: int, masses: Array) -> Stream:
        if replica in self._streams:
            return self._streams[replica]
        if (n_systems > 1 or replica > 0) and REPLICA not in self._address:
            raise SettingsError(
                f"A batch of several systems needs an address with {REPLICA} in it, as "
                f"spectrum/replicas/{REPLICA}/endpoint.json, but got {self._address}."
            )
        module = sys.modules.get("torch_sim")
        version = getattr(module, "__version__", "")
        stream = Stream(
            self._address.replace(REPLICA, f"{replica:03d}"),
            masses,
            self._time_step,
            self._stride,
            engine=f"TorchSim {version}".strip(),
            options=self._options,
            log=self._log,
        )
        if self._is_over:
            stream.close()
        self._streams[replica] = stream
        return stream


def _systems(state: Any, step: int) -> list[tuple[Frame, Array]]:  # noqa: ANN401
    """Frame and masses of each system of a state."""
    owners = _array(state.system_idx).astype(np.int64)
    numbers = _array(state.atomic_numbers).astype(np.int64)
    masses = _float(state.masses)
    positions = _float(state.positions)
    velocities = _float(state.momenta) / masses[:, np.newaxis] / FS_PER_ASE_TIME
    cells = _float(state.row_vector_cell)
    x, y, z = np.broadcast_to(_array(state.pbc), 3).tolist()
    systems = []
    for number, cell in enumerate(cells):
        mine = owners == number
        frame = Frame(
            numbers[mine],
            positions[mine],
            np.ascontiguousarray(cell),
            velocities[mine],
            step,
            pbc=(bool(x), bool(y), bool(z)),
        )
        systems.append((frame, masses[mine]))
    return systems


def _array(tensor: Any) -> NDArray[Any]:  # noqa: ANN401
    """A tensor of any device as an array; a number as well."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    return np.asarray(tensor)


def _float(tensor: Any) -> Array:  # noqa: ANN401
    return _array(tensor).astype(np.float64)


def _names(reporter: Any) -> list[str]:  # noqa: ANN401
    return [str(name) for name in reporter.filenames or ()]
