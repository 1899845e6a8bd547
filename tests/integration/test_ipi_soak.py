"""L1 with a real i-PI: what a frame leaves behind must not grow."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from mimyria_driver.reading import live_records
from tests.integration.ipi_input import ipi_input
from tests.integration.test_ipi_client import DT, finish, init_xyz, start_ipi
from tests.soak.test_soak import MEMORY, STRIDE, check_usage, start


@pytest.mark.engine
@pytest.mark.parametrize(
    "n_steps",
    [
        pytest.param(20_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
        pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
def test_a_driver_of_ipi_stays_as_large_as_it_was(
    n_steps: int, ipi_program: str
) -> None:
    """Every step of a real i-PI is a frame."""
    place = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="mim-", dir=place) as name:
        folder = Path(name)
        step = STRIDE * DT
        text = ipi_input("", steps=n_steps, dt=step, dt_fs=step, latency=1e-5)
        ipi = start_ipi(ipi_program, folder, text, init_xyz("False", 0.02))
        report = folder / "driver.json"
        address = f"unix:{folder}/driver"
        driver = start("driver-of-ipi", folder / "run", n_steps, report, address)
        try:
            assert driver.wait(120.0 + n_steps / 40) == 0
            finish(ipi)
        finally:
            for process in (ipi, driver):
                process.kill()
                process.wait()
        said = check_usage("driver", np.array(json.loads(report.read_text())["rows"]))
        path = folder / "run" / "journal"
        steps = np.concatenate([chunk["step"] for chunk in live_records(path)])
        np.testing.assert_array_equal(steps, np.arange(1, n_steps))
        sys.stdout.write(f"{said}\n")
