"""In which order, and of what, the real i-PI asks: beads, batches, clients, motions."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from mimyria.errors import FrameError, SettingsError
from mimyria.units import ANGSTROM_PER_IPI_BOHR, BOLTZMANN, FS_PER_IPI_TIME
from mimyria_driver.checks import check_temperature
from mimyria_driver.ipi import line
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.sources import Ended, Started
from tests.integration.ipi_input import ipi_input
from tests.integration.test_ipi_client import (
    DT,
    MASSES,
    OUTPUTS,
    STEPS,
    TIMEOUT,
    Collected,
    client,
    collect,
    finish,
    init_xyz,
    read_bin,
    run_ipi,
    start_ipi,
)

pytestmark = pytest.mark.engine

SPREAD = 0.023
"""Å, of atoms in wells of 0.5 atomic units at 300 K."""
INNER: dict[str, object] = {
    "levels": "<nmts> [1, 4] </nmts>",
    "well_level": "<mts_weights> [0, 1] </mts_weights>",
    "driver_level": "<mts_weights> [0, 1] </mts_weights>",
}


def collect_all(sources: list[IpiClient], found: list[Collected]) -> None:
    """What several clients of one socket get, until i-PI ends."""
    deadline = time.monotonic() + TIMEOUT
    while not all(each.ended for each in found):
        assert time.monotonic() < deadline, "i-PI did not end"
        for source, collected in zip(sources, found, strict=True):
            for event in source.receive() if not collected.ended else ():
                if isinstance(event, Started):
                    collected.started += 1
                    source.accept(-1)
                elif isinstance(event, Ended):
                    collected.ended.append(event)
                else:
                    collected.frames.append(event)


def test_two_clients_share_four_beads_and_follow_one_each(
    ipi_program: str, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All beads begin at one configuration, and it counts for each of them."""
    # Both are there before i-PI asks the first, which else would follow all at first.
    monkeypatch.setattr(line, "guard", lambda _: None)
    process = run_ipi(ipi_program, short_directory, nbeads=4)
    while not (short_directory / "driver").exists():
        assert process.poll() is None
        time.sleep(0.001)
    sources = [client(short_directory, folder=short_directory / n) for n in "ab"]
    collect_all(sources, found := [Collected(), Collected()])
    finish(process)
    beads = [
        read_bin(short_directory / f"o.pos_{bead}.bin", STEPS + 1)[1]
        for bead in range(4)
    ]
    for bead in beads:
        np.testing.assert_array_equal(bead[0], beads[0][0])
    assert sum(source.n_foreign for source in sources) == 2 * (STEPS + 1)
    followed = []
    for source, collected in zip(sources, found, strict=True):
        assert collected.started == 1
        steps = [each.frame.step for each in collected.frames]
        assert steps == list(range(1, STEPS))
        own = source._followed.first_rid  # the name that i-PI gave
        assert own is not None
        for each in collected.frames:
            wanted = beads[own - 4][each.frame.step] * ANGSTROM_PER_IPI_BOHR
            np.testing.assert_allclose(each.frame.positions, wanted, atol=1e-12)
        followed.append(own)
        source.close()
    assert len(set(followed)) == 2


def test_steps_that_go_to_a_second_client_end_the_run(
    ipi_program: str, short_directory: Path
) -> None:
    """In the legacy framing i-PI gives the steps of one bead now to this, now to that.

    Which steps a client has missed it cannot know; but that it has, and soon.
    """
    process = run_ipi(ipi_program, short_directory, consolidate="False", steps=1000)
    sources = [client(short_directory, folder=short_directory / n) for n in "ab"]
    with pytest.raises(FrameError, match="has left out steps for the 3rd time"):
        collect_all(sources, found := [Collected(), Collected()])
    for source in sources:
        source.close()
    process.kill()
    process.communicate(timeout=TIMEOUT)
    assert max(len(collected.frames) for collected in found) < 500


def test_batches_are_refused_before_a_padded_one_counts(
    ipi_program: str, short_directory: Path
) -> None:
    """Six beads in batches of four: the second is filled up with copies of its last."""
    text = ipi_input(OUTPUTS, steps=STEPS, nbeads=6).replace(
        "<latency>", "<batch_size>4</batch_size><latency>"
    )
    process = start_ipi(ipi_program, short_directory, text, init_xyz("False"))
    source = client(short_directory)
    with pytest.raises(SettingsError, match="i-PI sends 4 configurations at once"):
        collect(source, Collected())
    source.close()
    process.kill()
    process.communicate(timeout=TIMEOUT)


def test_atoms_at_rest_are_one_frame_a_step(
    ipi_program: str, short_directory: Path
) -> None:
    """Frames that are equal to the bit are copies only behind a lost connection."""
    text = ipi_input(OUTPUTS, steps=STEPS)
    begin, end = text.index("   <velocities"), text.index("  </initialize>")
    text = text[:begin] + text[end:]
    process = start_ipi(ipi_program, short_directory, text, init_xyz("False", 0.0))
    first, before = client(short_directory, folder=short_directory / "run"), Collected()
    collect(first, before, n_frames=10)
    first.close()
    second, after = client(short_directory, folder=short_directory / "run"), Collected()
    collect(second, after)
    finish(process)
    second.close()
    _, printed = read_bin(short_directory / "o.pos_0.bin", STEPS + 1)
    assert not np.ptp(printed, axis=0).any()
    assert before.started == after.started == 1
    frames = {each.frame.step: each.frame for each in before.frames + after.frames}
    # Of two that are equal around the break one may have been a copy.
    assert sorted(frames) in (list(range(1, STEPS)), list(range(1, STEPS - 1)))
    for frame in frames.values():
        assert frame.velocities is not None
        assert not frame.velocities.any()


def test_a_minimisation_is_answered_and_gives_no_frame(
    ipi_program: str, short_directory: Path
) -> None:
    """i-PI asks for its line searches under other names than for the first place."""
    text = ipi_input("", steps=8)
    begin, end = text.index("  <motion"), text.index("  <ensemble>")
    text = (
        f"{text[:begin]}  <motion mode='minimize'><optimizer mode='bfgs'/></motion>\n"
        f"{text[end:]}"
    )
    process = start_ipi(ipi_program, short_directory, text, init_xyz("False"))
    source, collected = client(short_directory), Collected()
    collect(source, collected)
    finish(process)
    source.close()
    assert collected.started == 1
    assert collected.frames == []
    assert source.n_foreign >= 2


def inner_level(
    ipi: str, folder: Path, time_step: float, dt_fs: float
) -> tuple[Collected, int]:
    """A driver on the inner level of two, which has a quarter of the time step."""
    text = ipi_input(OUTPUTS, steps=STEPS, dt_fs=dt_fs, **INNER)
    process = start_ipi(ipi, folder, text, init_xyz("False", SPREAD))
    source, collected = client(folder, time_step=time_step, stride=4), Collected()
    collect(source, collected)
    finish(process)
    source.close()
    return collected, source._series.step + 1


def test_on_an_inner_level_of_mts_a_quarter_of_the_time_step_gives_the_velocities(
    ipi_program: str, short_directory: Path
) -> None:
    """To rounding, where nothing acts on the outer one."""
    found, n_requests = inner_level(ipi_program, short_directory, DT / 4, DT / 4)
    assert n_requests == 4 * STEPS + 1
    assert [each.frame.step for each in found.frames] == list(range(4, 4 * STEPS, 4))
    _, printed = read_bin(short_directory / "o.vel_0.bin", STEPS + 1)
    unit = ANGSTROM_PER_IPI_BOHR / FS_PER_IPI_TIME
    for each in found.frames:
        wanted = printed[each.frame.step // 4] * unit
        np.testing.assert_allclose(
            each.frame.velocities, wanted, atol=1e-12 * np.abs(wanted).max()
        )


def test_an_inner_level_that_was_forgotten_shows_in_the_temperature(
    ipi_program: str, short_directory: Path
) -> None:
    """i-PI does not say on which level it asks; velocities are four times too slow."""
    found, _ = inner_level(ipi_program, short_directory, DT, DT)
    square = np.mean(
        [MASSES @ (each.frame.velocities**2).sum(axis=1) for each in found.frames]
    )
    mean = float(square) / (3 * len(MASSES) * BOLTZMANN)
    warning = check_temperature(mean, 300.0)
    assert warning is not None
    assert "but spectrum.temperature is 300 K" in warning
    assert check_temperature(16 * mean, 300.0) is None
