"""All beads of a real i-PI as one estimator, over the socket and from the hook inside.

i-PI prints every bead; by hand, dM/dt is the mean over them of what a formula gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mimyria.contributions import Sample
from mimyria.errors import FrameError, SettingsError
from mimyria.frame import Frame
from mimyria.targets import APT
from mimyria.tensors import Tensors
from mimyria.units import ANGSTROM_PER_IPI_BOHR, FS_PER_IPI_TIME
from mimyria_driver.evaluator.evaluation import Evaluation
from mimyria_driver.lammps.receiver import LammpsReceiver
from tests.integration import test_ipi_hook as hook
from tests.integration.ipi_input import ipi_input
from tests.integration.test_ipi_client import (
    NUMBERS,
    Collected,
    client,
    collect,
    finish,
    init_xyz,
    launch_ipi,
    read_bin,
)
from tests.integration.test_ipi_ensembles import SPREAD

pytestmark = pytest.mark.engine

STEPS = 60
N_BEADS = 4
UNIT = ANGSTROM_PER_IPI_BOHR / FS_PER_IPI_TIME
CHARGES = np.where(NUMBERS == 8, -0.8, 0.4)
PILE = (
    "<thermostat mode='pile_g'><tau units='femtosecond'> 100 </tau>"
    "<pile_lambda> 0.5 </pile_lambda></thermostat>"
)
KINDS = {"rpmd": ("nve", ""), "trpmd": ("nvt", PILE)}


def linear(positions: np.ndarray) -> np.ndarray:
    return np.broadcast_to(CHARGES[:, None, None] * np.eye(3), (9, 3, 3))


def curved(positions: np.ndarray) -> np.ndarray:
    """Not symmetric, and another one at each place."""
    rolled = np.roll(positions, 1, axis=1)
    return linear(positions) + np.sin(3 * positions[:, :, None] * rolled[:, None, :])


class Source:
    class metadata:  # noqa: N801 - stands for a description
        name, targets, species, sha256 = "formula", (APT,), None, "0" * 64

    def __init__(self, formula):  # type: ignore[no-untyped-def]
        self.formula = formula

    def predict(self, frames: list[Frame]) -> list[Tensors]:
        return [Tensors(np.array(self.formula(frame.positions))) for frame in frames]


@dataclass
class Printed:
    """What i-PI printed: (n_beads, n_steps + 1, 9, 3), Å and Å/fs."""

    positions: np.ndarray
    velocities: np.ndarray

    def current(self, formula, step: int) -> np.ndarray:  # type: ignore[no-untyped-def]
        """The estimator by plain loops."""
        total = np.zeros(3)
        for bead in range(N_BEADS):
            tensors = formula(self.positions[bead, step])
            for tensor, velocity in zip(
                tensors, self.velocities[bead, step], strict=True
            ):
                total += tensor @ velocity / N_BEADS
        return total


def printed(folder: Path) -> Printed:
    x, v = (
        np.array(
            [read_bin(folder / f"o.{n}_{bead}.bin", STEPS + 1)[1] for bead in range(4)]
        )
        for n in ("pos", "vel")
    )
    return Printed(x * ANGSTROM_PER_IPI_BOHR, v * UNIT)


def samples(frames: list[Frame], formula) -> list[Sample]:  # type: ignore[no-untyped-def]
    evaluation = Evaluation({"apt": Source(formula)}, "cpu", lambda text: None)
    return evaluation.samples(frames)


def write_input(
    folder: Path, kind: str, parameters: str, *, driver: bool = True
) -> None:
    ensemble, bath = KINDS[kind]
    outputs = "".join(
        f"<trajectory filename='{name}' format='bin'> {what} </trajectory>"
        for name, what in (("vel", "velocities"), ("pos", "positions"))
    )
    text = ipi_input(outputs, steps=STEPS, nbeads=N_BEADS, ensemble=ensemble, bath=bath)
    text = text.replace("{dt_fs: 0.5}", parameters)
    if not driver:
        text = re.sub(r"<ffsocket.*</ffsocket>", "", text, flags=re.DOTALL)
        text = text.replace("<force forcefield='driver'></force>", "")
    (folder / "input.xml").write_text(text)
    (folder / "init.xyz").write_text(init_xyz("False", SPREAD))


@pytest.mark.parametrize(
    ("kind", "accuracy"),
    [("rpmd", 4e-3), pytest.param("trpmd", 0.3, marks=pytest.mark.slow)],
)
def test_the_socket_gives_all_beads_as_well_as_the_table_says(
    ipi_program: str, short_directory: Path, kind: str, accuracy: float
) -> None:
    write_input(short_directory, kind, "{dt_fs: 0.5, nbeads: 4}")
    process = launch_ipi(ipi_program, short_directory)
    source, collected = client(short_directory, n_beads=N_BEADS), Collected()
    collect(source, collected)
    finish(process)
    source.close()
    frames = [each.frame for each in collected.frames]
    assert [frame.step for frame in frames] == list(range(1, STEPS))
    assert [each.previous_step for each in collected.frames] == [-1, *range(1, 59)]
    assert source.n_foreign == 0
    wanted = printed(short_directory)
    scale = np.sqrt((wanted.velocities**2).mean())
    for frame in frames:
        assert frame.beads is not None
        np.testing.assert_allclose(
            frame.beads.positions, wanted.positions[:, frame.step], atol=1e-13
        )
    # Constant tensors: the mean over the beads is that of the centroid, and exact.
    for formula, allowed in ((linear, 1e-12), (curved, accuracy)):
        if kind == "trpmd" and formula is linear:
            allowed = 0.02  # the noise of a global thermostat, as in the table
        found = np.array([s.currents.dipole for s in samples(frames, formula)])
        by_hand = np.array([wanted.current(formula, f.step) for f in frames])
        size = np.sqrt((by_hand**2).mean())
        error = np.sqrt(((found - by_hand) ** 2).mean())
        assert error < allowed * size
    got = np.array([f.beads.velocities for f in frames if f.beads is not None])
    off = got - wanted.velocities[:, 1:STEPS].swapaxes(0, 1)
    assert 1e-5 < np.sqrt((off**2).mean()) / scale < accuracy


@pytest.mark.parametrize(
    "kind", [pytest.param("rpmd", marks=pytest.mark.slow), "trpmd"]
)
@pytest.mark.usefixtures("ipi_program")
def test_the_hook_gives_exactly_the_beads_that_ipi_prints(
    short_directory: Path, kind: str
) -> None:
    write_input(short_directory, kind, "", driver=False)
    receiver = LammpsReceiver(f"ipc://{short_directory}/engine")
    process = hook.start(short_directory, "--beads", "all")
    arrived = hook.collect(receiver, process)
    assert process.wait(hook.TIMEOUT) == 0
    receiver.close()
    frames = [each.frame for each in arrived]
    assert [frame.step for frame in frames] == list(range(STEPS + 1))
    wanted = printed(short_directory)
    for formula in (linear, curved):
        for frame, sample in zip(frames, samples(frames, formula), strict=True):
            np.testing.assert_allclose(
                sample.currents.dipole,
                wanted.current(formula, frame.step),
                rtol=1e-12,
                atol=1e-15,
            )
    for frame, sample in zip(frames, samples(frames, linear), strict=True):
        assert frame.velocities is not None
        np.testing.assert_allclose(
            sample.currents.dipole, CHARGES @ frame.velocities, rtol=1e-12, atol=1e-15
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_beads", "parameters", "message"),
    [
        (4, "{dt_fs: 0.5, nbeads: 8}", "beads is 4, but nbeads is '8'"),
        (4, "{dt_fs: 0.5}", r"Write there \{nbeads: 4\}"),
        (3, "{nbeads: 3}", "beside the 3 beads|are neighbours|again after"),
        (5, "{nbeads: 5}", "again after 4 of the 5 beads"),
    ],
)
def test_another_number_of_beads_is_refused(
    ipi_program: str, short_directory: Path, n_beads: int, parameters: str, message: str
) -> None:
    """Said otherwise on the two sides, not said, or said wrongly on both."""
    write_input(short_directory, "rpmd", parameters)
    process = launch_ipi(ipi_program, short_directory)
    source = client(short_directory, n_beads=n_beads)
    with pytest.raises((FrameError, SettingsError), match=message):
        collect(source, Collected())
    source.close()
    process.kill()
    process.communicate(timeout=60.0)


@pytest.mark.slow
@pytest.mark.usefixtures("ipi_program")
def test_beads_that_are_heavier_than_atoms_are_refused_by_the_hook(
    short_directory: Path,
) -> None:
    write_input(short_directory, "trpmd", "", driver=False)
    text = (short_directory / "input.xml").read_text()
    modes = (
        "<normal_modes><frequencies style='pa-cmd' units='inversecm'> [5000] "
        "</frequencies></normal_modes>"
    )
    text = text.replace("<ensemble>", f"{modes}<ensemble>")
    (short_directory / "input.xml").write_text(text)
    process = hook.start(short_directory, "--beads", "all")
    assert process.wait(hook.TIMEOUT) == 78
    log = (short_directory / "ipi.log").read_text()
    assert "this <normal_modes> gives them others" in log
