"""The i-PI client against the real i-PI: velocities, cells, framings, the end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import zmq

from mimyria.errors import FrameError, SettingsError
from mimyria.units import ANGSTROM_PER_IPI_BOHR, FS_PER_IPI_TIME
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.sources import Arrived, Ended, Event, Started
from tests.integration.ipi_input import ipi_input

pytestmark = pytest.mark.engine

TIMEOUT = 60.0
STEPS = 40
DT = 0.5
NUMBERS = np.array([8, 1, 1] * 3)
MASSES = np.where(NUMBERS == 8, 15.9994, 1.00794)

OUTPUTS = """\
  <trajectory stride='1' filename='vel' format='bin'> velocities </trajectory>
  <trajectory stride='1' filename='pos' format='bin'> positions </trajectory>"""


LENGTHS = {"False": (20.0, 22.0, 24.0), "True": (1.0, 1.1, 1.2)}
"""Of the cell; the short ones make every atom cross the border many times."""


def init_xyz(pbc: str, scale: float = 0.3) -> str:
    """Atoms around the bottom of their wells; 0.3 Å off is much hotter than 300 K."""
    rng = np.random.default_rng(3)
    positions = rng.normal(scale=scale, size=(9, 3))
    lines = [
        "9",
        "# CELL(abcABC): {} {} {} 80.0 75.0 70.0 ".format(*LENGTHS[pbc])
        + "positions{angstrom} cell{angstrom}",
    ]
    lines += [
        f"{'O' if number == 8 else 'H'} {x:.6f} {y:.6f} {z:.6f}"
        for number, (x, y, z) in zip(NUMBERS, positions, strict=True)
    ]
    return "\n".join(lines) + "\n"


def run_ipi(ipi: str, directory: Path, **options: object) -> subprocess.Popen[str]:
    values: dict[str, object] = {"steps": STEPS, "pbc": "False", **options}
    return start_ipi(
        ipi, directory, ipi_input(OUTPUTS, **values), init_xyz(str(values["pbc"]))
    )


def start_ipi(
    ipi: str, directory: Path, text: str, atoms: str, begin: str = "input.xml"
) -> subprocess.Popen[str]:
    """Begin with this input, or go on from a file that i-PI has left."""
    (directory / "input.xml").write_text(text)
    (directory / "init.xyz").write_text(atoms)
    return launch_ipi(ipi, directory, begin)


def launch_ipi(
    ipi: str, directory: Path, begin: str = "input.xml"
) -> subprocess.Popen[str]:
    """i-PI with what lies there, its sockets there, too."""
    return subprocess.Popen(
        [ipi, "-S", f"{directory}/", begin],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def client(directory: Path, **options: object) -> IpiClient:
    settings: dict[str, object] = {
        "address": f"unix:{directory}/driver",
        "numbers": NUMBERS,
        "masses": MASSES,
        "time_step": DT,
        "stride": 1,
        **options,
    }
    return IpiClient(**settings)  # type: ignore[arg-type]


@dataclass
class Collected:
    started: int = 0
    frames: list[Arrived] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)


def events_of(source: IpiClient) -> Iterator[Event]:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        poller = zmq.Poller()
        poller.register(source.pollable, zmq.POLLIN)
        poller.poll(50)
        yield from source.receive()
    pytest.fail(f"i-PI did not end within {TIMEOUT} s")


def collect(source: IpiClient, collected: Collected, n_frames: int = 10**9) -> None:
    for event in events_of(source):
        if isinstance(event, Started):
            collected.started += 1
            source.accept(-1)
        elif isinstance(event, Ended):
            collected.ended.append(event)
            return
        else:
            collected.frames.append(event)
            if len(collected.frames) == n_frames:
                return


def finish(process: subprocess.Popen[str], returncode: int = 0) -> str:
    try:
        log, _ = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == returncode, log
    return log


def read_bin(path: Path, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells (n, 3, 3), columns are vectors, and arrays (n, 9, 3), atomic units."""
    raw = path.read_bytes()
    assert len(raw) % n_frames == 0
    frames = np.frombuffer(raw, np.uint8).reshape(n_frames, -1)
    cells = frames[:, :72].copy().view(np.float64).reshape(n_frames, 3, 3)
    begin, end = 80, 80 + 24 * len(NUMBERS)
    values = frames[:, begin:end].copy().view(np.float64)
    return cells, values.reshape(n_frames, -1, 3)


@pytest.mark.parametrize("consolidate", ["True", "False"])
@pytest.mark.parametrize("pbc", ["False", "True"])
def test_velocities_in_nve_are_those_that_ipi_prints(
    ipi_program: str, short_directory: Path, consolidate: str, pbc: str
) -> None:
    process = run_ipi(ipi_program, short_directory, consolidate=consolidate, pbc=pbc)
    source, collected = client(short_directory), Collected()
    collect(source, collected)
    log = finish(process)
    source.close()

    assert "i-PI" in log or (short_directory / "o.vel_0.bin").exists()
    assert collected.started == 1
    assert [each.reason for each in collected.ended] == ["i-PI has ended"]
    steps = [each.frame.step for each in collected.frames]
    assert steps == list(range(1, STEPS))
    assert [each.previous_step for each in collected.frames] == [-1, *steps[:-1]]
    cells, printed = read_bin(short_directory / "o.vel_0.bin", STEPS + 1)
    _, positions = read_bin(short_directory / "o.pos_0.bin", STEPS + 1)
    unit = ANGSTROM_PER_IPI_BOHR / FS_PER_IPI_TIME
    scale = np.abs(printed).max() * unit
    worst, n_jumps = 0.0, 0
    for arrived in collected.frames:
        frame = arrived.frame
        assert frame.velocities is not None
        wanted = printed[frame.step] * unit
        worst = max(worst, np.abs(frame.velocities - wanted).max() / scale)
        difference = frame.positions - positions[frame.step] * ANGSTROM_PER_IPI_BOHR
        shifts = difference @ np.linalg.inv(frame.cell)
        np.testing.assert_allclose(shifts, np.round(shifts), atol=1e-12)
        n_jumps += np.count_nonzero(np.round(shifts))
        np.testing.assert_allclose(
            frame.cell, cells[frame.step].T * ANGSTROM_PER_IPI_BOHR, rtol=1e-14
        )
    assert worst < 1e-12
    assert (n_jumps > 0) == (pbc == "True")
    # Rows are the lattice vectors, with the lengths and angles of init.xyz.
    lengths = np.linalg.norm(collected.frames[0].frame.cell, axis=1)
    np.testing.assert_allclose(lengths, LENGTHS[pbc], rtol=1e-9)
    a, b, c = collected.frames[0].frame.cell / lengths[:, None]
    angles = np.degrees(np.arccos([b @ c, a @ c, a @ b]))
    np.testing.assert_allclose(angles, [80.0, 75.0, 70.0], rtol=1e-9)


def test_only_every_stride_th_frame_is_given(
    ipi_program: str, short_directory: Path
) -> None:
    process = run_ipi(ipi_program, short_directory)
    source, collected = client(short_directory, stride=4), Collected()
    collect(source, collected)
    finish(process)
    source.close()
    assert [each.frame.step for each in collected.frames] == list(range(4, STEPS, 4))
    _, printed = read_bin(short_directory / "o.vel_0.bin", STEPS + 1)
    unit = ANGSTROM_PER_IPI_BOHR / FS_PER_IPI_TIME
    for arrived in collected.frames:
        wanted = printed[arrived.frame.step] * unit
        np.testing.assert_allclose(arrived.frame.velocities, wanted, atol=1e-11)


def test_only_one_bead_is_followed(ipi_program: str, short_directory: Path) -> None:
    process = run_ipi(ipi_program, short_directory, nbeads=4)
    source, collected = client(short_directory), Collected()
    collect(source, collected)
    finish(process)
    source.close()
    assert source.n_foreign == 3 * (STEPS + 1)
    assert [each.frame.step for each in collected.frames] == list(range(1, STEPS))


def test_a_client_that_leaves_and_comes_back_begins_with_a_gap(
    ipi_program: str, short_directory: Path
) -> None:
    process = run_ipi(ipi_program, short_directory)
    first, before = client(short_directory), Collected()
    collect(first, before, n_frames=10)
    first.close()
    second, after = client(short_directory), Collected()
    last = before.frames[-1].frame.step
    for event in events_of(second):
        if isinstance(event, Started):
            second.accept(last)
        elif isinstance(event, Ended):
            break
        else:
            after.frames.append(event)
    finish(process)
    second.close()
    steps = [each.frame.step for each in after.frames]
    assert steps[0] == last + 3  # accepted two strides ahead, known one step later
    assert after.frames[0].previous_step == -1
    assert len(steps) + len(before.frames) >= STEPS - 6


def test_another_number_of_atoms_is_refused_by_both_numbers(
    ipi_program: str, short_directory: Path
) -> None:
    process = run_ipi(ipi_program, short_directory)
    source = client(short_directory, numbers=NUMBERS[:6], masses=MASSES[:6])
    with pytest.raises(FrameError, match="sends 9 atoms, but the settings name 6"):
        collect(source, Collected())
    source.close()
    process.kill()
    process.communicate(timeout=TIMEOUT)


def test_another_time_step_than_the_input_names_is_refused(
    ipi_program: str, short_directory: Path
) -> None:
    process = run_ipi(ipi_program, short_directory, dt_fs=0.25)
    source = client(short_directory)
    with pytest.raises(SettingsError, match=r"0\.5 fs in the settings, but '0\.25'"):
        collect(source, Collected())
    source.close()
    process.kill()
    process.communicate(timeout=TIMEOUT)
