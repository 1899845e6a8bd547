"""Row N3: LAMMPS and driver on two hosts, with keys, over a line that fails.

The hosts are network namespaces with a cable between them, which takes root.
"""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from hammer import (
    Command,
    ended,
    finish,
    last_step,
    run_file,
    same_as,
    steps,
    undisturbed,
    wait_for_step,
)
from waterruns import Lammps, driver_of, expected

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]

ADDRESS = "10.77.0.1"
N_STEPS = 800


def tried(*words):
    """What a command says, and whether it went well."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        return False, str(error)
    return done.returncode == 0, done.stdout + done.stderr


def must(*words):
    good, said = tried(*words)
    assert good, (words, said)
    return said


class Line:
    """A cable between the host of the driver and that of the engine."""

    def __init__(self):
        number = os.getpid()
        self.hosts = (f"mimyria-d{number}", f"mimyria-e{number}")
        self.ports = (f"md{number}", f"me{number}")

    def lay(self):
        """Skips where the user may not."""
        for host in self.hosts:
            good, said = tried("ip", "netns", "add", host)
            if not good:
                pytest.skip(f"no network namespaces here: {said}")
        near, far = self.ports
        good, said = tried(
            *("ip", "link", "add", near, "netns", self.hosts[0], "type", "veth"),
            *("peer", "name", far, "netns", self.hosts[1]),
        )
        if not good:
            pytest.skip(f"no cable between namespaces here: {said}")
        for index, (host, port) in enumerate(zip(self.hosts, self.ports, strict=True)):
            address = f"10.77.0.{index + 1}/30"
            must("ip", "-n", host, "addr", "add", address, "dev", port)
            must("ip", "-n", host, "link", "set", port, "up")
            must("ip", "-n", host, "link", "set", "lo", "up")

    def remove(self):
        for host in self.hosts:
            tried("ip", "netns", "delete", host)

    def on(self, index):
        """Words that make a command run on one of the hosts."""
        return ("ip", "netns", "exec", self.hosts[index])

    def switch(self, state):
        must("ip", "-n", self.hosts[0], "link", "set", self.ports[0], state)


@pytest.fixture
def line():
    made = Line()
    try:
        made.lay()
        yield made
    finally:
        made.remove()


class Run:
    """One run over the line, and the same at home, to compare it with."""

    def __init__(self, line, engine, folder):
        self.line, self.engine, self.home = line, engine, folder / "quiet"
        self.folder = folder / "far"
        self.lammps = Lammps(*engine, self.folder, N_STEPS, 200)
        endpoint = ["-var", "endpoint", "spectrum/endpoint.json"]
        self.lammps.words = [*line.on(1), *self.lammps.words, *endpoint]
        source = f'kind = "lammps"\nendpoint = "tcp://{ADDRESS}:*"\nbind_any = true'
        path = run_file(self.folder, source)
        self.driver = Command([path], self.folder, prefix=line.on(0))

    def under_way(self, step):
        self.driver.start()
        self.lammps.start()
        wait_for_step(self.folder, step, self.driver.is_running)

    def check(self):
        assert steps(self.folder) == expected(N_STEPS)
        text = (self.folder / "spectrum" / "endpoint.json").read_text()
        assert ADDRESS in text
        assert "server_key" in text
        undisturbed(Lammps(*self.engine, self.home, N_STEPS, 200), driver_of(self.home))
        same_as(self.folder, self.home)


@pytest.fixture
def run(line, lammps_program, engine_environment, short_directory):
    return Run(line, (lammps_program, engine_environment), short_directory)


def test_line_that_goes_down_and_up_again_changes_nothing(run):
    """For less than anybody's patience, and for longer than all of it."""
    with ended(run.lammps, run.driver):
        run.under_way(40)
        for seconds in (2.0, 15.0):
            run.line.switch("down")
            time.sleep(1.0)  # what had arrived is written
            before = last_step(run.folder)
            time.sleep(seconds)
            assert last_step(run.folder) == before < N_STEPS
            run.line.switch("up")
            wait_for_step(run.folder, before + 40, run.driver.is_running)
        finish(run.driver, run.lammps)
    assert "waiting for the driver" in run.lammps.log
    assert "the driver is there again" in run.lammps.log
    run.check()


def lose_by_netem(line):
    """5 % and 50 ms, where the kernel has it; how to count what was lost."""
    host, port = line.hosts[0], line.ports[0]
    words = ("root", "netem", "loss", "5%", "delay", "50ms")
    good, said = tried("tc", "-n", host, "qdisc", "add", "dev", port, *words)

    def n_lost():
        shown = must("tc", "-s", "-n", host, "qdisc", "show", "dev", port)
        return int(shown.split("dropped ")[1].split(",")[0])

    return n_lost if good else None, said


def lose_by_iptables(line):
    """5 % of what either host sends, without a delay."""
    for index in (0, 1):
        words = ("-A", "INPUT", "-p", "tcp", "-m", "statistic", "--mode", "random")
        rule = (*words, "--probability", "0.05", "-j", "DROP")
        good, said = tried(*line.on(index), "iptables", *rule)
        if not good:
            return None, said

    def n_lost():
        shown = [must(*line.on(each), "iptables", "-nvxL", "INPUT") for each in (0, 1)]
        return sum(int(text.splitlines()[2].split()[0]) for text in shown)

    return n_lost, ""


def test_line_that_loses_packets_changes_nothing(run):
    n_lost, reason = lose_by_netem(run.line)
    if n_lost is None:
        n_lost, why_not = lose_by_iptables(run.line)
        reason = f"no netem ({reason.strip()}) and no iptables ({why_not.strip()})"
    if n_lost is None:
        pytest.skip(reason)
    with ended(run.lammps, run.driver):
        run.under_way(4)
        finish(run.driver, run.lammps)
    assert n_lost() > 10
    run.check()
