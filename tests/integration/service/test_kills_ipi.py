"""A real i-PI while drivers and i-PI itself are killed at random moments."""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from pathlib import Path
from signal import SIGKILL

import analytic
import forgetful
import numpy as np
import pytest
from hammer import (
    Driver,
    Engine,
    bits,
    check_rebuild,
    cpu_ticks,
    ended,
    finish,
    hammered,
    last_step,
    moments_of,
    restarted,
    run_file,
    same_as,
    steps,
    succeeded,
    undisturbed,
    wait_for_step,
)

from mimyria_driver.identity import read_header
from tests.integration.ipi_input import ipi_input

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1500)]

ELEMENTS = ("O", "H", "H") * 3
STRIDE = 4
PROPERTIES = "  <properties stride='1' filename='out' flush='1'> [step] </properties>"
CHECKPOINTS = (
    PROPERTIES + "\n  <checkpoint stride='50' filename='chk' overwrite='True'/>"
)
# A checkpoint to the bit, and no motion of the whole that i-PI takes away again when it
# starts, which makes the next step another one in the last bit.
FULL = "%24.16e"
DEFAULT = "%16.8e"


class Ipi(Engine):
    """i-PI, which goes on from its checkpoint when it is started again."""

    def __init__(
        self,
        program,
        folder,
        n_steps,
        latency,
        number_format=FULL,
        fixcom=False,
        outputs=CHECKPOINTS,
        n_beads=1,
    ):
        folder.mkdir()
        super().__init__(folder)
        self.program = program
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        (folder / "input.xml").write_text(
            ipi_input(
                outputs,
                steps=n_steps,
                latency=latency,
                number_format=number_format,
                fixcom=f"<fixcom>{fixcom}</fixcom>",
                nbeads=n_beads,
            ).replace("{dt_fs: 0.5}", f"{{dt_fs: 0.5, nbeads: {n_beads}}}")
        )
        rng = np.random.default_rng(3)
        rows = [
            f"{element} {x:.6f} {y:.6f} {z:.6f}"
            for element, (x, y, z) in zip(
                ELEMENTS, rng.normal(scale=0.04, size=(9, 3)), strict=True
            )
        ]
        head = "# CELL(abcABC): 20 22 24 80 75 70 positions{angstrom} cell{angstrom}"
        (folder / "init.xyz").write_text("\n".join(["9", head, *rows]) + "\n")

    def command(self):
        checkpoint = self.folder / "o.chk"
        begin = "input.xml"
        if checkpoint.exists() and "</simulation>" in checkpoint.read_text():
            begin = "begin.xml"
            checkpoint.rename(self.folder / begin)
        elif (self.folder / "begin.xml").exists():
            begin = "begin.xml"  # killed in the middle of writing: the one before
        return [self.program, "-S", f"{self.folder}/", begin]


def driver_of(folder, kind="ipi"):
    arguments = [kind, str(folder / "spectrum"), f"unix:{folder}/driver", *ELEMENTS]
    return Driver(arguments, folder)


@pytest.fixture(scope="module")
def quiet(ipi_program):
    """Undisturbed runs by their length."""

    runs = {}
    with tempfile.TemporaryDirectory(prefix="mim-") as name:

        def run(n_steps):
            if n_steps not in runs:
                folder = Path(name) / str(n_steps)
                ipi = Ipi(ipi_program, folder, n_steps, 1e-4)
                undisturbed(ipi, driver_of(folder))
                runs[n_steps] = folder
            return runs[n_steps]

        yield run


def kill_evaluator(driver):
    """SIGKILL for the process with the networks; its number."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        for path in Path(f"/proc/{driver.process.pid}/task").glob("*/children"):
            for child in map(int, path.read_text().split()):
                words = Path(f"/proc/{child}/cmdline").read_bytes()
                if b"mimyria_driver.evaluator" in words:
                    os.kill(child, SIGKILL)
                    return child
        time.sleep(0.02)
    pytest.fail("the driver has no evaluator")


class Watch:
    """Looks how long i-PI stands still, from its first step to its end."""

    longest, n_steps = 0.0, 0

    def __init__(self, ipi):
        self._ipi = ipi
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _look(self):
        path, size, since = self._ipi.folder / "o.out", 0, None
        while not self._over.wait(0.05) and self._ipi.is_running():
            now = time.monotonic()
            if path.exists() and path.stat().st_size != size:
                size, since = path.stat().st_size, now
                self.n_steps += 1
            elif since is not None:
                self.longest = max(self.longest, now - since)


@pytest.mark.slow
def test_killed_driver_of_ring_polymers_misses_nothing(ipi_program, short_directory):
    """All beads of a step together: none is missed, mixed or counted twice."""
    n_steps, folders = 120, [short_directory / name for name in ("quiet", "killed")]
    runs = [
        (Ipi(ipi_program, f, n_steps, 4e-3, n_beads=4), driver_of(f, "ipi-beads"))
        for f in folders
    ]
    undisturbed(*runs[0])
    assert steps(folders[0]) == expected(n_steps)
    identity, _ = read_header(folders[0] / "spectrum" / "journal")
    assert identity.n_beads == 4
    hammered(*runs[1], folders[1], 2, 1)
    same_as(folders[1], folders[0])


@pytest.mark.slow
def test_ring_polymers_go_back_with_all_beads(ipi_program, short_directory):
    """i-PI's own restart of a ring polymer differs in the last bits."""
    n_steps, folder = 110, short_directory / "killed"
    ipi = Ipi(ipi_program, folder, n_steps, 2e-3, n_beads=4)
    driver = driver_of(folder, "ipi-beads")

    def until_the_socket_is_removed():
        # Else a quick i-PI finds that of the killed one, and ends with an error.
        deadline = time.monotonic() + 30.0
        while (folder / "driver").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    restarted(ipi, driver, folder, [68], until_the_socket_is_removed)
    assert driver.log.count("i-PI went back from step") == 1
    assert steps(folder) == expected(n_steps)
    check_rebuild(folder)


def expected(n_steps):
    return list(range(STRIDE, n_steps, STRIDE))


@pytest.mark.parametrize(
    ("n_kills", "n_steps"),
    [
        pytest.param(2, 300, id="short"),
        pytest.param(50, 3_500, id="soak", marks=pytest.mark.soak),
    ],
)
def test_killed_driver_of_ipi_misses_nothing(
    ipi_program, short_directory, quiet, n_kills, n_steps
):
    """R1, N9: to the bit the journal of the quiet run, and i-PI never hangs."""
    folder = short_directory / "killed"
    ipi = Ipi(ipi_program, folder, n_steps, 5e-3)
    hammered(ipi, driver_of(folder), folder, 2, n_kills)
    assert steps(folder) == expected(n_steps)
    same_as(folder, quiet(n_steps))


@pytest.mark.parametrize(
    ("n_kills", "n_steps"),
    [
        pytest.param(1, 300, id="short"),
        pytest.param(10, 3_000, id="soak", marks=pytest.mark.soak),
    ],
)
def test_killed_ipi_goes_on_to_the_bit(
    ipi_program, short_directory, quiet, n_kills, n_steps
):
    """R2, N9: from full-precision checkpoints; stale sockets are in nobody's way."""
    folder = short_directory / "killed"
    ipi = Ipi(ipi_program, folder, n_steps, 2e-3)
    driver = driver_of(folder)

    def until_the_socket_is_removed():
        begin, before = time.monotonic(), cpu_ticks(driver.process)
        while (folder / "driver").exists() and time.monotonic() < begin + 30.0:
            time.sleep(0.05)
        assert not (folder / "driver").exists()
        # It looks for i-PI now and then, and does nothing else.
        ticks = os.sysconf("SC_CLK_TCK") * (time.monotonic() - begin)
        assert cpu_ticks(driver.process) - before < 0.3 * ticks

    moments = moments_of(8, n_steps, n_kills, 10)
    restarted(ipi, driver, folder, moments, until_the_socket_is_removed)
    # One that dies with the configuration of its checkpoint takes no step back.
    assert n_kills // 2 <= driver.log.count("i-PI went back from step") <= n_kills
    assert driver.log.count("at which no i-PI listens any more") == n_kills
    assert steps(folder) == expected(n_steps)
    quiet_folder = quiet(n_steps)
    assert bits(folder) == bits(quiet_folder)
    check_rebuild(folder)


@pytest.mark.slow
def test_driver_on_standby_takes_over_from_a_killed_one(
    ipi_program, short_directory, quiet
):
    """To the bit the journal of the quiet run, and i-PI goes on without a pause."""
    folder, n_steps = short_directory / "killed", 300
    ipi = Ipi(ipi_program, folder, n_steps, 5e-3)
    source = (
        f'kind = "ipi"\naddress = "unix:{folder}/driver"\n'
        f"time_step = {analytic.TIME_STEP}\nstride = {STRIDE}\n"
        f"elements = {list(ELEMENTS)}"
    )
    succeeded(ipi, run_file(folder, source), 80)
    assert steps(folder) == expected(n_steps)
    same_as(folder, quiet(n_steps))


@pytest.mark.parametrize(
    ("n_kills", "n_steps"),
    [
        pytest.param(2, 300, id="short", marks=pytest.mark.slow),
        pytest.param(10, 1_500, id="soak", marks=pytest.mark.soak),
    ],
)
def test_driver_of_ipi_stays_while_its_evaluators_are_killed(
    ipi_program, short_directory, quiet, n_kills, n_steps
):
    """N9: one driver for the whole run; i-PI waits for no evaluator for 30 s."""
    folder = short_directory / "killed"
    ipi = Ipi(ipi_program, folder, n_steps, 5e-3, outputs=PROPERTIES)
    driver = driver_of(folder)
    # Three deaths in ten minutes are the fault of a device; here they are not.
    driver.program = (forgetful.__file__,)
    killed, watch = set(), Watch(ipi)
    ipi.start()
    driver.start()
    with ended(ipi, driver), watch:
        for step in moments_of(5, n_steps, n_kills, 10):
            wait_for_step(folder, step, driver.is_running)
            killed.add(kill_evaluator(driver))
        finish(driver, ipi)
    assert len(killed) == n_kills
    assert driver.log.count("starting another") == n_kills
    assert watch.n_steps > n_steps / 10
    assert watch.longest < 30.0
    assert steps(folder) == expected(n_steps)
    same_as(folder, quiet(n_steps))


@pytest.mark.soak
@pytest.mark.parametrize(("number_format", "fixcom"), [(DEFAULT, False), (FULL, True)])
def test_ipi_that_does_not_restart_to_the_bit_replaces_the_old_branch(
    ipi_program, short_directory, number_format, fixcom
):
    """R7: eight digits, or a centre of mass that is fixed once more: one segment."""
    folder, n_steps = short_directory / "killed", 300
    ipi = Ipi(ipi_program, folder, n_steps, 2e-3, number_format, fixcom)
    driver = driver_of(folder)
    driver.start()
    with ended(ipi, driver):
        ipi.start()
        wait_for_step(folder, 130, driver.is_running)
        ipi.kill()
        reached = last_step(folder)
        (folder / "driver").unlink()
        ipi.start()
        finish(driver, ipi)
    back = re.search(r"i-PI went back from step (\d+) to (\d+)", driver.log)
    assert back
    assert int(back[2]) in (50, 100, 150)
    assert int(back[1]) >= reached
    if number_format == DEFAULT:
        assert "took another way" in driver.log
    assert steps(folder) == expected(n_steps)
    result = check_rebuild(folder)
    assert result.provenance["segments"] == 1
