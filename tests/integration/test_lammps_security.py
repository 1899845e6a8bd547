"""The hook inside the real LAMMPS, over TCP with keys, found by its endpoint file."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from mimyria_driver.lammps.bundle import bundle_hook
from mimyria_driver.lammps.listening import listen
from mimyria_driver.lammps.security import load_keys
from mimyria_driver.sources import Arrived, Ended, Started

pytestmark = pytest.mark.engine

TIMEOUT = 60.0
SCRIPT = """
units real
lattice fcc 5.3
region box block 0 2 0 2 0 2
create_box 1 box
create_atoms 1 box
mass 1 39.948
pair_style lj/cut 5.0
pair_coeff * * 0.24 3.4
velocity all create 300.0 4711 loop geom
timestep 2.0
fix integrate all nve
python mimyria_start input 3 {endpoint} "Ar" 4 format ssi file mimyria_hook.py
python mimyria_start invoke
fix mimyria all python/invoke 4 end_of_step mimyria_frame
run 80
python mimyria_finish exists
python mimyria_finish invoke
"""


def start(program: str, environment: dict[str, str], folder: Path, endpoint: str):
    (folder / "mimyria_hook.py").write_text(bundle_hook())
    (folder / "in.lammps").write_text(SCRIPT.format(endpoint=endpoint))
    return subprocess.Popen(
        [program, "-in", "in.lammps", "-screen", "none"],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_frames_come_over_tcp_with_the_keys_of_the_run(
    lammps_program, engine_environment, short_directory
) -> None:
    receiver = listen("tcp://127.0.0.1:*", short_directory)
    lammps = start(lammps_program, engine_environment, short_directory, "endpoint.json")
    steps: list[int] = []
    ended = False
    deadline = time.monotonic() + TIMEOUT
    while not ended and time.monotonic() < deadline:
        receiver._socket.poll(50)
        for event in receiver.receive():
            if isinstance(event, Started):
                receiver.accept(-1)
            elif isinstance(event, Arrived):
                steps.append(event.frame.step)
            ended = ended or isinstance(event, Ended)
        if steps and receiver._session is not None:
            receiver.acknowledge(steps[-1])
    _, said = lammps.communicate(timeout=TIMEOUT)
    receiver.close()
    assert lammps.returncode == 0, said
    assert steps == list(range(steps[0], 81, 4))
    assert len(steps) >= 20


@pytest.mark.parametrize(
    ("mode", "text"),
    [(0o644, "others may read or write it"), (0o600, "is no endpoint of a driver")],
)
def test_an_endpoint_file_that_is_not_safe_ends_lammps_with_the_reason(
    mode, text, lammps_program, engine_environment, short_directory
) -> None:
    path = short_directory / "endpoint.json"
    path.write_text("{}")
    path.chmod(mode)
    lammps = start(lammps_program, engine_environment, short_directory, "endpoint.json")
    _, said = lammps.communicate(timeout=TIMEOUT)
    assert lammps.returncode != 0
    assert text in said
    assert "Traceback" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_socket_of_another_user_ends_lammps_with_the_reason(
    lammps_program, engine_environment, short_directory
) -> None:
    receiver = listen(f"ipc://{short_directory}/engine", short_directory)
    os.chown(short_directory / "engine", 65534, 65534)
    lammps = start(lammps_program, engine_environment, short_directory, "endpoint.json")
    _, said = lammps.communicate(timeout=TIMEOUT)
    receiver.close()
    assert lammps.returncode != 0
    assert "is not a socket of yours, but of user 65534" in said
    assert not (short_directory / "curve.json").exists()


def test_keys_that_were_exchanged_are_waited_for_not_believed(
    lammps_program, engine_environment, short_directory
) -> None:
    """An engine with keys of another run gets no word in, and says that it waits."""
    receiver = listen("tcp://127.0.0.1:*", short_directory)
    (short_directory / "curve.json").unlink()
    other = load_keys(short_directory / "curve.json")
    path = short_directory / "endpoint.json"
    told = path.read_text()
    mine = receiver._doorman._keys
    assert mine is not None
    for name in ("client", "client_secret"):
        told = told.replace(getattr(mine, name), getattr(other, name))
    path.write_text(told)
    lammps = start(lammps_program, engine_environment, short_directory, "endpoint.json")
    deadline = time.monotonic() + TIMEOUT
    while not receiver._doorman.n_refused and time.monotonic() < deadline:
        assert receiver.receive() == []
        time.sleep(0.02)
    assert receiver._doorman.n_refused
    assert lammps.poll() is None
    lammps.kill()
    lammps.communicate()
    receiver.close()
