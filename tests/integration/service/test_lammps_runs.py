"""Runs of the real LAMMPS that break off, change or do not fit, and the real driver."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from dataclasses import dataclass

import analytic
import numpy as np
import pytest
from instant import InstantEvaluator, serve_here
from waterruns import INPUTS

from mimyria.contributions import Sample, contributions
from mimyria.currents import currents
from mimyria.errors import MimyriaError
from mimyria.storage import read_result
from mimyria.tensors import Tensors
from mimyria_driver.assembly import build_source
from mimyria_driver.journal import read_journal
from mimyria_driver.monitor import read_status
from tests.integration.hookruns import script, start

pytestmark = pytest.mark.engine

ENDPOINT = "ipc://spectrum/engine"
STRIDE = 4
TIMEOUT = 120.0
PATIENCE = 60.0  # s without a frame: a test that hangs ends


@dataclass
class Done:
    """What is left of a LAMMPS and its driver."""

    code: int
    said: str
    engine_code: int
    log: str


def lj(steps=80, **options) -> str:
    """The input of `hookruns` with atoms that the exact models know."""
    text = script(ENDPOINT, elements="O H", steps=steps, **options)
    masses = "mass 1 15.999\nmass 2 1.008\n"
    text = text.replace("timestep 2.0", "timestep 0.5")
    return text.replace("velocity all create", f"{masses}velocity all create", 1)


def run(engine, folder, text, *, ranks=1, check="refuse", **evaluator) -> Done:
    """One LAMMPS, and the service with an evaluator that costs no time."""
    settings = analytic.make_settings(
        folder / "spectrum",
        run={"patience": PATIENCE},
        source={"kind": "lammps", "check_velocities": check},
    )
    lammps = start(engine, folder, text, ranks=ranks)
    code, said = 0, ""
    try:
        serve_here(
            settings,
            lambda: build_source(settings),
            evaluator=InstantEvaluator(**evaluator),
        )
    except MimyriaError as error:
        code, said = error.exit_code, str(error)
    try:
        log, _ = lammps.communicate(timeout=TIMEOUT)
    finally:
        lammps.kill()
        lammps.communicate(timeout=TIMEOUT)
    return Done(code, said, lammps.returncode, log)


def records_of(folder):
    return list(read_journal(folder / "spectrum" / "journal"))


MANY_RUNS = """run 40
min_style cg
minimize 0.0 1.0e-8 60 1000
velocity all create 250.0 4712 loop geom
run 40
reset_timestep 0
run 40
write_data after.data nocoeff
clear
"""


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_minimise_reset_timestep_and_clear_begin_segments_of_one_series(
    engine, short_directory, ranks
):
    """No pair of frames crosses over, none is lost, none replaces another."""
    text = lj(steps=0)
    head, rest = text.split("python mimyria_start", 1)
    hook = f"fix mimyria all python/invoke {STRIDE} end_of_step mimyria_frame\n"
    begin = "python mimyria_start" + rest.split("dump check")[0]
    finish = "python mimyria_finish" + rest.split("python mimyria_finish", 1)[1]
    after = head.replace("system.data", "after.data").replace("4711", "4713")
    text = head + begin + MANY_RUNS + after + hook + "run 40\n" + finish
    done = run(engine, short_directory, text, ranks=ranks)
    assert (done.code, done.engine_code) == (0, 0), done
    records = records_of(short_directory)
    begins = [each.step for each in records if each.previous_step < 0]
    pieces = np.split(
        records, [k for k, r in enumerate(records) if r.previous_step < 0]
    )
    pieces = [[each.step for each in piece] for piece in pieces if len(piece)]
    assert len(begins) == len(pieces) == 4
    assert pieces[0] == list(range(4, 41, 4))
    for before, piece in itertools.pairwise(pieces):
        assert 10 <= len(piece) <= 11
        assert (np.diff(piece) == STRIDE).all()
        assert piece[0] >= before[-1] + 2 * STRIDE
    result = read_result(short_directory / "spectrum" / "spectrum.h5")
    assert result.provenance["segments"] == 4
    n_pairs = sum(len(piece) - 1 for piece in pieces)
    assert result.dipole.counts[1] == n_pairs  # of neighbours, within segments alone


LATER = "The run goes on alone; its spectrum ends here."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            "timestep 1.0",
            "has a frame every 4 x 0.5 fs, but the engine",
            id="timestep",
        ),
        pytest.param(
            "group gone id 2 5\ndelete_atoms group gone compress no",
            "was written for 64 atoms, but the engine has 62",
            id="deleted",
        ),
        pytest.param(
            "create_atoms 2 single 2.35 4.1 5.6 units box",
            "was written for 64 atoms, but the engine has 65",
            id="inserted",
        ),
        pytest.param(
            "region all block EDGE EDGE EDGE EDGE EDGE EDGE\n"
            "fix more all evaporate 10 1 all 4711",
            "62 atoms, but the engine has|64 atoms, but the engine has 63",
            id="evaporate",
        ),
        pytest.param(
            "fix step all dt/reset 10 0.1 0.9 0.01 units box",
            "has a frame every 4 x 0.5 fs, but the engine",
            id="dt-reset",
        ),
    ],
)
def test_what_is_no_more_the_same_run_is_refused_and_md_goes_on_alone(
    engine, short_directory, change, said
):
    text = lj().replace("run 80", f"run 80\n{change}\nrun 80")
    done = run(engine, short_directory, text)
    assert done.code == 65, done.said
    assert any(each in done.said for each in said.split("|")), done.said
    assert done.engine_code == 0, done.log
    assert "The driver refuses this run: " in done.log
    assert LATER in done.log
    steps = [each.step for each in records_of(short_directory)]
    assert steps == list(range(4, steps[-1] + 1, 4))
    assert 80 <= steps[-1] < 90  # evaporation has its own interval


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        pytest.param(
            lj(stride=12),
            65,
            "a frame every 6 fs shows vibrations up to 2780",
            id="6fs",
        ),
        pytest.param(
            script(ENDPOINT, stride=1), 66, "knows the elements [1, 8]", id="elements"
        ),
        pytest.param(
            lj(extra="fix step all dt/reset 1 0.1 0.9 0.01 units box", stride=1),
            65,
            "fs, but the engine sends one every",
            id="dt-reset",
        ),
    ],
)
def test_a_run_that_does_not_fit_ends_both_with_the_same_reason(
    engine, short_directory, text, code, said
):
    done = run(engine, short_directory, text)
    assert done.code == code, done.said
    assert done.engine_code == 76, done.log
    assert said in done.said
    (line,) = [each for each in done.log.splitlines() if "mimyria: ERROR" in each]
    assert line.startswith("mimyria: ERROR: The driver refuses this run: ")
    assert said in line


POISON = '''run 80
python poison input 1 SELF format p here """
def poison(handle):
    import ctypes
    engine = _STATE["engine"]
    first = engine._library.lammps_extract_atom(engine._handle, b"x")
    rows = ctypes.cast(first, ctypes.POINTER(ctypes.POINTER(ctypes.c_double)))
    rows[0][3] = float("{value}")
"""
unfix mimyria
fix poison all python/invoke 84 end_of_step poison
fix mimyria all python/invoke 4 end_of_step mimyria_frame
run 80
'''


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_coordinates_that_are_no_numbers_are_refused(engine, short_directory, value):
    """Of a step of which LAMMPS itself has not noticed it yet."""
    text = lj().replace("run 80\n", POISON.format(value=value))
    done = run(engine, short_directory, text)
    assert done.code == 65, done.said
    assert "finite" in done.said
    assert [each.step for each in records_of(short_directory)] == list(range(4, 81, 4))


def test_a_lammps_that_is_gone_is_shown_and_its_frames_are_kept(
    engine, short_directory
):
    """An error of LAMMPS: no goodbye; the driver waits for the next one, till EXIT."""
    text = lj().replace("run 80", "run 80\nlattice none 1 2 3")
    folder = short_directory / "spectrum"
    seen = []

    def end_it():
        deadline = time.monotonic() + TIMEOUT
        while not (seen and seen[-1] is False) and time.monotonic() < deadline:
            time.sleep(0.2)
            with contextlib.suppress(MimyriaError):
                seen.append(read_status(folder)["engine_alive"])
        (folder / "EXIT").touch()

    watcher = threading.Thread(target=end_it)
    watcher.start()
    done = run(engine, short_directory, text)
    watcher.join()
    assert done.engine_code == 1, done.log
    assert done.code == 0, done.said
    assert True in seen
    assert seen[-1] is False
    assert [each.step for each in records_of(short_directory)] == list(range(4, 81, 4))


HALF_STEPS = "as those of half steps are"


def half_steps() -> str:
    bath = "fix bath all langevin 300 300 100 4711 gjf vhalf\nfix integrate all nve"
    return lj(steps=160).replace("fix integrate all nve", bath)


def test_half_step_velocities_are_refused(engine, short_directory):
    done = run(engine, short_directory, half_steps())
    assert done.code == 65, done
    assert HALF_STEPS in done.said
    assert 'source.check_velocities = "warn"' in done.said
    assert done.engine_code == 0  # the dynamics go on


def test_half_step_velocities_that_are_wanted_are_said_once(
    engine, short_directory, caplog
):
    done = run(engine, short_directory, half_steps(), check="warn")
    assert (done.code, done.engine_code) == (0, 0), done
    said = [
        each.getMessage()
        for each in caplog.records
        if getattr(each, "code", "") == "velocities"
    ]
    assert len(said) == 1
    assert HALF_STEPS in said[0]
    assert len(records_of(short_directory)) == 40


CHARGES = {8: -1.1128, 1: 0.5564}
DIPOLE = """
compute all_of_it all chunk/atom bin/1d x lower 1000.0
compute dipole all dipole/chunk all_of_it
fix dipole all ave/time 1 1 1 c_dipole[1] c_dipole[2] c_dipole[3] mode vector &
    file dipole.txt format " %.16g"
"""


def fixed_charges(frame, grouping):
    """P = q 1, through the program's own sums."""
    charges = np.array([CHARGES[each] for each in frame.numbers.tolist()])
    none = np.zeros((frame.n_atoms, 3, 3, 3))
    tensors = Tensors(charges[:, None, None] * np.eye(3), none)
    return Sample(currents(frame, tensors), contributions(frame, tensors, grouping))


def test_fixed_charges_give_the_derivative_of_the_dipole_of_lammps(
    engine, short_directory
):
    """dM/dt of the journal against `compute dipole/chunk` of the steps around."""
    for name in ("settings.lammps", "water64.data"):
        (short_directory / name).write_text((INPUTS / name).read_text())
    hook = script(ENDPOINT, elements="O H").split("python mimyria_start", 1)[1]
    hook = "python mimyria_start" + hook.split("dump check")[0]
    text = (
        "include settings.lammps\n"
        "velocity all create 300.0 20231 mom yes rot no dist gaussian\n"
        f"fix integrate all nve\n{DIPOLE}{hook}run 60\n"
        "python mimyria_finish exists\npython mimyria_finish invoke\n"
    )
    done = run(engine, short_directory, text, sample=fixed_charges)
    assert (done.code, done.engine_code) == (0, 0), done
    lines = (short_directory / "dipole.txt").read_text().splitlines()[3:]
    dipoles = np.array([line.split()[1:] for line in lines if len(line.split()) == 4])
    dipoles = dipoles.astype(float)
    assert len(dipoles) == 61
    records = records_of(short_directory)
    assert [each.step for each in records] == list(range(4, 61, 4))
    for record in records[:-1]:
        expected = dipoles[record.step + 1] - dipoles[record.step - 1]  # e Å in 1 fs
        np.testing.assert_allclose(record.currents.dipole, expected, rtol=0, atol=1e-9)
        assert np.abs(expected).max() > 1e-3
