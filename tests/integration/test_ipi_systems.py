"""Several systems in one real i-PI: each its own run; replicas that are exchanged."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zmq

from mimyria.units import ANGSTROM_PER_IPI_BOHR, FS_PER_IPI_TIME
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.sequence import Sequencer
from mimyria_driver.sources import Arrived, Ended, Started
from tests.integration import test_ipi_hook as hook
from tests.integration.ipi_input import ipi_input
from tests.integration.test_ipi_client import (
    Collected,
    client,
    collect,
    finish,
    init_xyz,
    launch_ipi,
)
from tests.integration.test_ipi_ensembles import SPREAD

pytestmark = [pytest.mark.engine, pytest.mark.slow]

STEPS = 60
UNIT = ANGSTROM_PER_IPI_BOHR / FS_PER_IPI_TIME
TEMPERATURES = (300.0, 390.0)


def start_ipi(ipi: str, folder: Path, text: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    (folder / "input.xml").write_text(text)
    for number in range(2):
        path = folder / f"init{number}.xyz"
        path.write_text(init_xyz("False", SPREAD * (1 + 0.1 * number)))
    return launch_ipi(ipi, folder)


def split(text: str) -> tuple[str, str, str, str, str]:
    """What is before, the socket, what is between, the system, the end."""
    found = re.fullmatch(
        r"(.*?)( <ffsocket.*</ffsocket>)(.*?)( <system>.*</system>)(.*)",
        text,
        re.DOTALL,
    )
    assert found is not None
    return found.groups()  # type: ignore[return-value]


def input_of(numbers: tuple[int, ...], shared: bool = False) -> str:
    """NVE of the systems with these numbers, from cold: no random numbers are used."""
    before, socket, between, system, end = split(ipi_input("", steps=STEPS))
    before = before.replace("<output prefix='o'>\n\n </output>", "<output/>")
    system = re.sub(r"<velocities.*</velocities>", "", system)
    names = [("driver" if shared else f"driver{number}") for number in numbers]
    sockets = [socket.replace("driver", name) for name in dict.fromkeys(names)]
    systems = [
        system.replace("init.xyz", f"init{number}.xyz").replace("'driver'", f"'{name}'")
        for number, name in zip(numbers, names, strict=True)
    ]
    return "".join([before, *sockets, between, *systems, end])


def contents(collected: Collected) -> list[tuple[int, bytes, bytes]]:
    return [
        (f.frame.step, f.frame.positions.tobytes(), f.frame.velocities.tobytes())
        for f in collected.frames
    ]


def both(folder: Path) -> list[Collected]:
    """Two clients, one for each socket, served in turn until i-PI ends."""
    sources = [
        client(folder, address=f"unix:{folder}/driver{number}") for number in range(2)
    ]
    found = [Collected(), Collected()]
    while not all(each.ended for each in found):
        poller = zmq.Poller()
        for source in sources:
            poller.register(source.pollable, zmq.POLLIN)
        poller.poll(20)
        for source, collected in zip(sources, found, strict=True):
            for event in source.receive() if not collected.ended else []:
                if isinstance(event, Started):
                    source.accept(-1)
                elif isinstance(event, Ended):
                    collected.ended.append(event)
                else:
                    collected.frames.append(event)
    for source in sources:
        source.close()
    return found


def test_two_systems_with_a_socket_each_are_two_single_runs(
    ipi_program: str, short_directory: Path
) -> None:
    process = start_ipi(ipi_program, short_directory / "both", input_of((0, 1)))
    together = both(short_directory / "both")
    finish(process)
    for number in range(2):
        folder = short_directory / f"single{number}"
        process = start_ipi(ipi_program, folder, input_of((number,)))
        source = client(folder, address=f"unix:{folder}/driver{number}")
        single = Collected()
        collect(source, single)
        finish(process)
        source.close()
        assert [each.frame.step for each in single.frames] == list(range(1, STEPS))
        assert contents(together[number]) == contents(single)
    assert contents(together[0]) != contents(together[1])


def test_of_two_systems_at_one_socket_the_first_is_followed_and_the_other_said(
    ipi_program: str, short_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = start_ipi(ipi_program, short_directory, input_of((0, 1), shared=True))
    source, collected = client(short_directory), Collected()
    collect(source, collected)
    finish(process)
    source.close()
    assert [each.frame.step for each in collected.frames] == list(range(1, STEPS))
    assert source.n_foreign >= STEPS
    said = [each for each in caplog.records if "another bead or system" in each.message]
    assert len(said) == 1
    assert said[0].code == "foreign_requests"  # type: ignore[attr-defined]


# -- exchange of replicas -------------------------------------------------------------


def exchange_input(stride: float) -> str:
    """Two temperatures; exchanges are tried with the probability 1/stride a step."""
    outputs = "".join(
        f"<trajectory filename='{name}' format='bin'> {what} </trajectory>"
        for name, what in (("vel", "velocities"), ("pos", "positions"))
    )
    bath = "<thermostat mode='svr'><tau units='femtosecond'> 50 </tau></thermostat>"
    text = ipi_input(outputs, steps=STEPS, ensemble="nvt", bath=bath)
    before, _, between, system, end = split(text)
    system = system.replace("<force forcefield='driver'></force>", "")
    systems = [
        system.replace("init.xyz", f"init{number}.xyz").replace("300", f"{each:g}")
        for number, each in enumerate(TEMPERATURES)
    ]
    systems = [
        each.replace("<system>", f"<system prefix='s{number}'>")
        for number, each in enumerate(systems)
    ]
    smotion = (
        f"<smotion mode='remd'><remd><stride> {stride:g} </stride></remd></smotion>"
    )
    return "".join([before, between, smotion, *systems, end])


def hook_frames(folder: Path) -> list[list[Arrived]]:
    """All frames of both places of a hooked i-PI."""
    receivers = [LammpsReceiver(f"ipc://{folder}/00{number}") for number in range(2)]
    words = ["--endpoint", f"ipc://{folder}/{{replica}}"]
    process = hook.start(folder, *words)
    found: list[list[Arrived]] = [[], []]
    left = {0, 1}
    while left:
        poller = zmq.Poller()
        for receiver in receivers:
            poller.register(receiver.pollable, zmq.POLLIN)
        assert poller.poll(1000) or process.poll() is None
        for number, receiver in enumerate(receivers):
            for event in receiver.receive():
                if isinstance(event, Started):
                    receiver.accept(-1)
                elif isinstance(event, Ended):
                    left.discard(number)
                else:
                    found[number].append(event)
                    receiver.acknowledge(event.frame.step)
    assert process.wait(hook.TIMEOUT) == 0
    for receiver in receivers:
        receiver.close()
    return found


def read_all(folder: Path, name: str) -> np.ndarray:
    """(2, STEPS + 1, 9, 3) of both systems."""
    return np.array(
        [
            hook.read_bin(folder / f"s{number}_o.{name}_0.bin", STEPS + 1)[1]
            for number in range(2)
        ]
    )


@pytest.mark.usefixtures("ipi_program")
def test_replica_exchange_gives_a_series_of_each_temperature_with_borders(
    short_directory: Path,
) -> None:
    """Of each ensemble, whatever system has it; no pair crosses an exchange."""
    folder = short_directory
    (folder / "input.xml").write_text(exchange_input(6.0))
    for number in range(2):
        (folder / f"init{number}.xyz").write_text(init_xyz("False", SPREAD))
    found = hook_frames(folder)
    # A row for each exchange: the step it came after, and the ensemble of each system.
    rows = np.loadtxt(folder / "o.remd_idx", ndmin=2)
    holder = np.zeros((STEPS + 1, 2), int)  # system of each ensemble at each step
    holder[:] = (0, 1)
    exchanged = []
    for row in rows:
        step, index = int(row[0]) + 1, row[1:].astype(int).tolist()
        holder[step:] = [index.index(0), index.index(1)]
        exchanged.append(step)
    assert 2 <= len(exchanged) < STEPS / 3
    velocities, positions = read_all(folder, "vel"), read_all(folder, "pos")
    for place, arrived in enumerate(found):
        steps = [each.frame.step for each in arrived]
        assert steps == [s for s in range(STEPS + 1) if s not in exchanged]
        sequencer = Sequencer(1)
        places = [
            sequencer.place(each.frame.step, each.previous_step, bytes([k]) * 8)
            for k, each in enumerate(arrived)
        ]
        starts = [
            step
            for step, found_place in zip(steps, places, strict=True)
            if found_place is not None and found_place.previous_step < 0
        ]
        expected = [0] + [s + 1 for s in exchanged if s < STEPS and s + 1 in steps]
        assert starts == expected
        for each in arrived:
            system = holder[each.frame.step, place]
            np.testing.assert_allclose(
                each.frame.velocities,
                velocities[system, each.frame.step] * UNIT,
                rtol=1e-12,
            )
            np.testing.assert_allclose(
                each.frame.positions,
                positions[system, each.frame.step] * ANGSTROM_PER_IPI_BOHR,
                rtol=1e-12,
            )
    # The other one of the two has been at each place.
    assert {tuple(row) for row in holder} == {(0, 1), (1, 0)}
