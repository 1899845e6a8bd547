"""Processes that are killed at random moments, and what is left of a run."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

import analytic
import numpy as np

from mimyria.storage import read_result
from mimyria_driver.identity import read_header
from mimyria_driver.journal import read_journal
from mimyria_driver.pipeline import rebuild

TIMEOUT = 240.0


@dataclass
class Driver:
    """The service as a process of its own, started as often as it takes.

    Attributes:
        arguments: of the program.
        folder: where its log is written.
        program: what python is told to run.
        prefix: words before python.
    """

    arguments: list[str]
    folder: Path
    program: tuple[str, ...] = (analytic.__file__,)
    prefix: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    kills: list[float] = field(default_factory=list)
    errors: str = ""

    def start(self) -> None:
        with (self.folder / "driver.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, sys.executable, *self.program, *self.arguments],
                stderr=log,
            )
        self.began = time.monotonic()

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(SIGKILL)
        self.process.wait(TIMEOUT)
        self.kills.append(time.monotonic() - self.began)

    def pause(self, seconds: float) -> None:
        assert self.process is not None
        self.process.send_signal(SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(SIGCONT)

    def finish(self) -> int:
        assert self.process is not None
        return self.process.wait(TIMEOUT)

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> str:
        return (self.folder / "driver.log").read_text()

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(TIMEOUT)


class Engine:
    """An MD program, started as often as it takes; children say by which command.

    Attributes:
        environment: of the program.
        n_kills: how often it was killed.
    """

    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.n_kills = 0

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        self.end()
        self.n_kills += 1

    def is_running(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(TIMEOUT)

    @property
    def log(self) -> str:
        return (self.folder / "engine.log").read_text()


@dataclass
class Command(Driver):
    """The same as a user starts it: `mimyria-driver run RUN.TOML`."""

    program: tuple[str, ...] = ("-m", "mimyria_driver", "run")

    @property
    def log(self) -> str:
        events = self.folder / "spectrum" / "events.jsonl"
        return super().log + events.read_text()


def run_file(folder: Path, source: str) -> str:
    """A RUN.TOML with the exact models; its path."""
    models = analytic.models()
    text = f"""
[run]
directory = "{folder}/spectrum"
[source]
{source}
[models]
apt = "{models["apt"]}"
pgt = "{models["pgt"]}"
device = "cpu"
search = "{models["search"]}"
[spectrum]
resolution = 200.0
plots = false
"""
    path = folder / "run.toml"
    path.write_text(text)
    return str(path)


def cpu_ticks(process: subprocess.Popen[bytes]) -> int:
    words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def wait_until_idle(driver: Driver) -> None:
    """Until it has loaded what it needs, and does no more than look now and then."""
    deadline = time.monotonic() + TIMEOUT
    assert driver.process is not None
    while time.monotonic() < deadline:
        before = cpu_ticks(driver.process)
        time.sleep(2.0)
        assert driver.is_running(), driver.log
        if before > 10 and cpu_ticks(driver.process) - before <= 4:
            return
    raise AssertionError("the driver is busy all the time")


def succeeded(engine: Engine, run_toml: str, step: int) -> None:
    """Kill a driver at a step, beside which another one is on standby."""
    folder = engine.folder
    first = Command([run_toml], folder)
    second = Command([run_toml, "--standby"], folder)
    first.start()
    with ended(engine, first), ended(engine, second):
        wait_until_idle(first)  # it has the folder, and waits for the engine
        second.start()
        wait_until_idle(second)
        engine.start()
        wait_for_step(folder, step, first.is_running)
        assert second.is_running()
        assert second.log.count("driver_started") == 1  # the first one alone
        first.kill()
        finish(second, engine)
    assert len(first.kills) == 1
    assert second.log.count("driver_started") == 2


def finish(driver: Driver, engine: Engine) -> None:
    """Wait for both, whose run is over and went well."""
    assert driver.finish() == 0, driver.log
    assert engine.process.wait(TIMEOUT) == 0, engine.log


@contextlib.contextmanager
def ended(engine: Engine, driver: Driver):
    """Whatever happens, neither is left behind."""
    try:
        yield
    finally:
        engine.end()
        driver.end()


def undisturbed(engine: Engine, driver: Driver) -> None:
    """Let both run to their end."""
    engine.start()
    with ended(engine, driver):
        driver.start()
        finish(driver, engine)


def hammered(engine: Engine, driver: Driver, folder, seed, n_kills) -> None:
    """The same while the driver is killed at random moments."""
    engine.start()
    with ended(engine, driver):
        hammer(driver, folder, engine.is_running, seed=seed, n_kills=n_kills)
        finish(driver, engine)
    assert len(driver.kills) == n_kills


def restarted(engine: Engine, driver: Driver, folder, moments, after=None) -> None:
    """The same while the engine is killed when the journal has reached some steps.

    Args:
        moments: steps, one for each kill.
        after: called after each kill.
    """
    driver.start()
    with ended(engine, driver):
        for step in moments:
            engine.start()
            wait_for_step(folder, step, driver.is_running)
            assert engine.is_running(), engine.log
            engine.kill()
            if after is not None:
                after()
        engine.start()
        finish(driver, engine)
    assert engine.n_kills == len(moments)


def moments_of(seed, n_steps, n_kills, least):
    """A step in each part of a run, at least so far from its beginning."""
    rng = np.random.default_rng(seed)
    part = n_steps // (n_kills + 1)
    return [
        n_steps * number // (n_kills + 1) + rng.integers(least, part)
        for number in range(n_kills)
    ]


def same_as(folder, quiet_folder) -> None:
    """The journal and its fold are those of the run that nobody disturbed."""
    assert journal_of(folder).read_bytes() == journal_of(quiet_folder).read_bytes()
    assert bits(folder) == bits(quiet_folder)
    check_rebuild(folder)


def hammer(driver, folder, is_running, seed, n_kills, longest=0.8):
    """Kill the driver at random moments: mostly while it takes frames, else before."""
    rng = np.random.default_rng(seed)
    driver.start()
    while len(driver.kills) < n_kills and is_running():
        known = last_step(folder)
        deadline = time.monotonic() + 60.0
        if rng.random() < 0.15:
            time.sleep(rng.uniform(0.0, 4.0))  # perhaps it has only begun to load
        else:
            while last_step(folder) == known and time.monotonic() < deadline:
                if not (is_running() and driver.is_running()):
                    return
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, longest))
        if not driver.is_running():
            return
        driver.kill()
        driver.start()


def journal_of(folder):
    return folder / "spectrum" / "journal"


def wait_for_step(folder, step, is_running=lambda: True):
    """Until a frame of this step or later is in the journal."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and is_running():
        if last_step(folder) >= step:
            return
        time.sleep(0.02)
    assert last_step(folder) >= step


def last_step(folder):
    """Step of the last whole record; what is being written does not count."""
    path = journal_of(folder)
    if not path.exists():
        return -1
    identity, start = read_header(path)
    size = identity.record_size
    n_records = (path.stat().st_size - start) // size
    if n_records < 1 or identity.grouping is None:
        return -1
    with path.open("rb") as file:
        file.seek(start + (n_records - 1) * size)
        return int.from_bytes(file.read(size)[8:16], "little", signed=True)


def steps(folder):
    return [record.step for record in read_journal(journal_of(folder))]


def bits(folder):
    """What must not differ: live records and all that is folded from them."""
    path = journal_of(folder)
    identity, _ = read_header(path)
    settings = analytic.make_settings(folder / "spectrum")
    pipeline = rebuild(path, identity, settings.spectrum)
    state = {
        f"{target}.{name}": array.tobytes()
        for target, arrays in pipeline.state().items()
        for name, array in arrays.items()
    }
    return state, pipeline.n_frames, pipeline.n_segments, pipeline.n_missing


def check_rebuild(folder):
    """The published result is the fold of the journal, to the bit."""
    path = journal_of(folder)
    identity, _ = read_header(path)
    settings = analytic.make_settings(folder / "spectrum")
    again = rebuild(path, identity, settings.spectrum).result({})
    result = read_result(folder / "spectrum" / "spectrum.h5")
    for name in ("dipole", "polarizability"):
        found, wanted = getattr(result, name), getattr(again, name)
        np.testing.assert_array_equal(found.values, wanted.values)
        np.testing.assert_array_equal(found.counts, wanted.counts)
    return result
