"""The real i-PI ends in some way and begins again: from where, and what of it counts.

The client sees positions alone. Whatever happened, the frames that are left must be
those of the final trajectory as i-PI has printed it, each step once.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mimyria.units import ANGSTROM_PER_IPI_BOHR, FS_PER_IPI_TIME
from mimyria_driver.ipi import folder as folder_module
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.ipi.memory import Memory
from tests.integration.ipi_input import ipi_input
from tests.integration.test_ipi_client import (
    NUMBERS,
    TIMEOUT,
    Collected,
    client,
    collect,
    finish,
    init_xyz,
    start_ipi,
)
from tests.integration.test_ipi_ensembles import thermostat

pytestmark = pytest.mark.engine
SLOW = partial(pytest.param, marks=pytest.mark.slow)

STEPS = 60
EVERY = 20
"""Steps from one checkpoint to the next."""
FULL, DEFAULT = "%24.16e", "%16.8e"
UNIT = ANGSTROM_PER_IPI_BOHR / FS_PER_IPI_TIME
OUTPUTS = f"""\
  <trajectory filename='vel' format='bin'> velocities </trajectory>
  <trajectory filename='audit' extra_type='seq'> extras_component_raw(1) </trajectory>
  <checkpoint stride='{EVERY}' filename='chk' overwrite='False'/>"""


class Lives:
    """An i-PI that is started twice in one folder, and what its clients were given."""

    def __init__(self, ipi: str, folder: Path, **changes: object) -> None:
        """Nothing is started before `begin`."""
        self.ipi, self.folder = ipi, folder
        self.text = ipi_input(
            OUTPUTS,
            **{
                "steps": STEPS,
                "latency": 5e-3,
                "fixcom": "<fixcom>False</fixcom>",
                **changes,
            },
        )
        self.found = [Collected(), Collected()]

    def begin(self, from_file: str = "input.xml") -> subprocess.Popen[str]:
        atoms = init_xyz("False", 0.1)
        return start_ipi(self.ipi, self.folder, self.text, atoms, from_file)

    def new_client(self) -> IpiClient:
        return client(self.folder, folder=self.folder / "run")

    def killed(self, at: int, from_step: int, edit: Callable = str) -> IpiClient:
        """Killed at a step, and started from the checkpoint of another; one client."""
        process, source = self.begin(), self.new_client()
        collect(source, self.found[0], at)
        process.kill()
        process.communicate(timeout=TIMEOUT)
        text = (self.folder / f"o.chk_{from_step // EVERY}").read_text()
        assert re.search(rf"<step>\s*{from_step}\s*</step>", text)
        (self.folder / "begin.xml").write_text(edit(text))
        (self.folder / "driver").unlink()  # the socket of the dead i-PI
        process = self.begin("begin.xml")
        collect(source, self.found[1])
        finish(process)
        return source

    def frames(self) -> dict[int, np.ndarray]:
        """Velocities by step, the later ones where a step came twice."""
        return {
            each.frame.step: each.frame.velocities
            for collected in self.found
            for each in collected.frames
        }

    def printed(self, from_step: int) -> np.ndarray:
        """(STEPS + 1, 9, 3) Å/fs: of the first life up to here, then of the second."""
        raw = np.fromfile(self.folder / "o.vel_0.bin", np.uint8)
        size = 80 + 24 * len(NUMBERS)
        frames = raw.reshape(-1, len(raw) // self.n_printed())[:, 80:size].copy()
        values = frames.view(np.float64).reshape(-1, len(NUMBERS), 3) * UNIT
        n_later = STEPS - from_step
        return np.concatenate([values[: from_step + 1], values[-n_later:]])

    def n_printed(self) -> int:
        return (self.folder / "o.audit").read_text().count("#EXTRAS")

    def audit(self) -> tuple[list[int], list[int]]:
        """Steps of i-PI, and ours beside them."""
        lines = (self.folder / "o.audit").read_text().splitlines()
        ours = [int(float(line)) for line in lines[1::2]]
        theirs = [int(line.split("Step:")[1].split()[0]) for line in lines[::2]]
        return theirs, ours


def end_softly(process: subprocess.Popen[str], folder: Path, how: str) -> None:
    if how == "EXIT":
        (folder / "EXIT").touch()
    else:
        process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("how", ["SIGTERM", SLOW("EXIT")])
def test_a_soft_exit_and_its_restart_miss_no_step(
    ipi_program: str, short_directory: Path, how: str
) -> None:
    """The driver ends with i-PI; the next one begins with what this one has kept."""
    # i-PI looks for both about once a second.
    lives = Lives(ipi_program, short_directory, latency=0.1)
    process, source = lives.begin(), lives.new_client()
    collect(source, lives.found[0], 25)
    end_softly(process, short_directory, how)
    collect(source, lives.found[0])
    finish(process)
    source.close()
    assert [each.reason for each in lives.found[0].ended] == ["i-PI has ended"]
    assert len(lives.found[0].frames) < STEPS - 2
    (short_directory / "EXIT").unlink(missing_ok=True)
    text = (short_directory / "RESTART").read_text()
    from_step = int(re.findall(r"<step>\s*(\d+)\s*</step>", text)[0])
    process, source = lives.begin("RESTART"), lives.new_client()
    collect(source, lives.found[1])
    finish(process)
    source.close()
    check(lives, from_step, 1e-12)


def check(lives: Lives, from_step: int, tolerance: float) -> None:
    """Each step once, in one series, with the velocities of the final trajectory."""
    frames = lives.frames()
    assert sorted(frames) == list(range(1, STEPS))
    printed = lives.printed(from_step)
    assert len(printed) == STEPS + 1
    for step, velocities in frames.items():
        np.testing.assert_allclose(velocities, printed[step], atol=tolerance)
    second = lives.found[1].frames
    assert all(each.previous_step == each.frame.step - 1 for each in second[1:])
    theirs, ours = lives.audit()
    assert ours == theirs


@pytest.mark.parametrize(
    ("number_format", "tolerance"), [(DEFAULT, 1e-8), SLOW(FULL, 1e-12)]
)
def test_a_checkpoint_of_eight_digits_is_known_again_as_one_of_sixteen(
    ipi_program: str, short_directory: Path, number_format: str, tolerance: float
) -> None:
    lives = Lives(ipi_program, short_directory, number_format=number_format)
    lives.killed(at=48, from_step=40).close()
    check(lives, 40, tolerance)
    (first, *_) = lives.found[1].frames
    assert (first.frame.step, first.previous_step) == (41, 40)  # no border
    before = {each.frame.step: each.frame for each in lives.found[0].frames}
    same = np.array_equal(first.frame.positions, before[41].positions)
    assert same == (number_format == FULL)


def test_another_seed_after_the_restart_is_another_way_and_not_joined(
    ipi_program: str, short_directory: Path
) -> None:
    """Langevin dynamics that is random anew from its checkpoint on."""

    def other_seed(text: str) -> str:
        begin, end = text.index("<state>"), text.index("</state>") + len("</state>")
        return text[:begin] + text[end:].replace("31415", "27182")

    lives = Lives(ipi_program, short_directory, **thermostat("langevin", 50))
    lives.killed(at=48, from_step=40, edit=other_seed).close()
    (first, *rest) = lives.found[1].frames
    assert (first.frame.step, first.previous_step) == (41, -1)
    assert [each.frame.step for each in rest] == list(range(42, STEPS))
    before = {each.frame.step: each.frame for each in lives.found[0].frames}
    assert np.abs(first.frame.positions - before[41].positions).max() > 1e-5
    theirs, ours = lives.audit()
    assert ours == theirs


@pytest.mark.slow
def test_a_checkpoint_older_than_the_memory_begins_anew_with_a_gap(
    ipi_program: str, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory of 16 steps in place of 65 536: nothing is taken for what it is not."""
    monkeypatch.setattr(folder_module, "Memory", partial(Memory, capacity=16))
    lives = Lives(ipi_program, short_directory)
    lives.killed(at=48, from_step=20).close()
    (first, *rest) = lives.found[1].frames
    assert first.previous_step == -1
    moved = first.frame.step - 21
    assert first.frame.step > lives.found[0].frames[-1].frame.step + 1
    printed = lives.printed(20)
    for each in (first, *rest):
        step = each.frame.step - moved
        np.testing.assert_allclose(each.frame.velocities, printed[step], atol=1e-12)
    assert rest[-1].frame.step - moved == STEPS - 1
    # The audit trail says by how much the two counts differ from there on.
    theirs, ours = lives.audit()
    n_later = STEPS - 20
    assert ours[:-n_later] == theirs[:-n_later]
    differences = np.subtract(ours[-n_later:], theirs[-n_later:])
    np.testing.assert_array_equal(differences, moved)
