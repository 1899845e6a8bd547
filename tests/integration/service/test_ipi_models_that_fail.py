"""A real i-PI beside networks that fail: it gets zeros, and its dynamics is the same.

Each fault is one of `faulty`. What fails once costs nothing. What fails always ends the
driver with a code and a file in quarantine; i-PI waits, and the next driver goes on.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import analytic
import faulty
import pytest
from hammer import Command, ended, finish, journal_of, steps, undisturbed
from test_kills_ipi import ELEMENTS, STRIDE, Ipi

from mimyria_driver.monitor import read_status

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(600)]

N_STEPS = 160
STRUCK = 80
POSITIONS = "<trajectory filename='pos' format='bin'> positions </trajectory>"


def prepared(ipi_program: str, folder: Path) -> tuple[Ipi, Command]:
    """An i-PI, and the driver as its users start it, with the networks of `faulty`."""
    ipi = Ipi(ipi_program, folder, N_STEPS, 2e-3, outputs=POSITIONS)
    path = folder / "run.toml"
    path.write_text(
        f"""
[source]
kind = "ipi"
address = "unix:{folder}/driver"
time_step = {analytic.TIME_STEP}
stride = {STRIDE}
elements = {list(ELEMENTS)}
[models]
apt = "python:faulty:make"
device = "cpu"
search = "{analytic.HERE}"
[spectrum]
resolution = 200.0
plots = false
"""
    )
    return ipi, Command([str(path)], folder)


@pytest.fixture(scope="module")
def quiet(ipi_program):
    with tempfile.TemporaryDirectory(prefix="mim-") as name:
        folder = Path(name) / "quiet"
        undisturbed(*prepared(ipi_program, folder))
        yield folder


@pytest.fixture
def plan(monkeypatch, tmp_path):
    def make(**fault):
        document = {"step": STRUCK, "log": str(tmp_path / "log"), **fault}
        monkeypatch.setenv("MIMYRIA_TEST_DEVICE", json.dumps(document))
        return tmp_path / "log"

    return make


def as_if_nothing_was(folder: Path, quiet: Path) -> None:
    assert steps(folder) == list(range(STRIDE, N_STEPS, STRIDE))
    assert journal_of(folder).read_bytes() == journal_of(quiet).read_bytes()
    printed = [each / "o.pos_0.bin" for each in (folder, quiet)]
    assert printed[0].read_bytes() == printed[1].read_bytes()


@pytest.mark.parametrize(
    ("kind", "times", "sign"),
    [
        ("nan", 1, "device_note"),
        ("inf", 1, "device_note"),
        ("memory", 1, "device_note"),
        ("illegal", 1, "evaluator_replaced"),
    ],
)
def test_what_fails_once_is_told_and_costs_nothing(
    ipi_program, short_directory, quiet, plan, kind, times, sign
):
    log = plan(kind=kind, times=times)
    folder = short_directory / "run"
    ipi, driver = prepared(ipi_program, folder)
    undisturbed(ipi, driver)
    assert faulty.lines(log) == [f"{kind} {STRUCK}"] * times
    assert sign in driver.log
    as_if_nothing_was(folder, quiet)


@pytest.mark.parametrize(("kind", "code"), [("nan", 65), ("inf", 65), ("memory", 69)])
def test_what_fails_always_ends_the_driver_and_not_ipi(
    ipi_program, short_directory, quiet, plan, kind, code, monkeypatch
):
    log = plan(kind=kind)
    folder = short_directory / "run"
    ipi, driver = prepared(ipi_program, folder)
    ipi.start()
    driver.start()
    with ended(ipi, driver):
        assert driver.finish() == code, driver.log
        assert ipi.is_running()  # it waits for the next client
        assert len(faulty.lines(log)) >= 2
        assert read_status(folder / "spectrum")["state"] == "failed"
        kept = folder / "spectrum" / "quarantine" / f"step-{STRUCK}.extxyz"
        assert kept.exists() == (code == 65)
        monkeypatch.delenv("MIMYRIA_TEST_DEVICE")
        driver.start()
        finish(driver, ipi)
    as_if_nothing_was(folder, quiet)
