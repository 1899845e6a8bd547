"""Row R8 of the catalogue: what an engine may bring when it comes back."""

import numpy as np
import pytest
from analytic import (
    MASSES,
    NUMBERS,
    STRIDE,
    ScriptedSource,
    arrivals,
    description,
    trajectory,
)
from inline import quiet_settings, whole_run
from instant import fold_of, serve_here

from mimyria.errors import FrameError, IncompatibleError
from mimyria.storage import read_result
from mimyria_driver.inspection import inspect_run
from mimyria_driver.reading import read_journal
from mimyria_driver.sources import Ended, Started

N = 40

HEAVY = np.where(NUMBERS == 1, 2.014, MASSES)

CHANGES = {
    "one atom less": (
        {"numbers": NUMBERS[:-1], "masses": MASSES[:-1]},
        FrameError,
        "was written for 6 atoms, but the engine has 5",
    ),
    "one atom more": (
        {"numbers": np.append(NUMBERS, 1), "masses": np.append(MASSES, 1.008)},
        FrameError,
        "was written for 6 atoms, but the engine has 7",
    ),
    "another order": (
        {"numbers": NUMBERS[::-1].copy(), "masses": MASSES[::-1].copy()},
        FrameError,
        "in another order",
    ),
    "another element": (
        {"numbers": np.where(np.arange(6) == 2, 8, NUMBERS)},
        FrameError,
        "or others",
    ),
    "another time step": (
        {"time_step": 0.25},
        IncompatibleError,
        "has a frame every 4 x 0.5 fs, but the engine sends one every 4 x 0.25 fs",
    ),
    "a time step in other units": (
        {"time_step": 0.5e-3},
        IncompatibleError,
        "has a frame every",
    ),
    "another stride": (
        {"stride": 2},
        IncompatibleError,
        "but the engine sends one every 2 x 0.5 fs",
    ),
    "other isotopes": (
        {"masses": HEAVY},
        IncompatibleError,
        r"a mass of 1.008 amu for atom 1, but the engine has 2.014 amu \(4 atoms",
    ),
    "masses in other units": (
        {"masses": MASSES * 1822.888},
        IncompatibleError,
        "other isotopes, another order of atoms, or other units",
    ),
}


def first_part(directory):
    serve_here(quiet_settings(directory), ScriptedSource(whole_run(trajectory(N))))
    return (directory / "journal").read_bytes()


@pytest.mark.parametrize("name", CHANGES)
def test_another_run_is_refused_by_a_driver_that_was_started_again(name, tmp_path):
    changes, error, text = CHANGES[name]
    before = first_part(tmp_path)
    source = ScriptedSource(whole_run(trajectory(N), **changes))
    with pytest.raises(error, match=text) as raised:
        serve_here(quiet_settings(tmp_path), source)
    assert raised.value.exit_code == 65
    assert "another run.directory" in source.refused
    assert (tmp_path / "journal").read_bytes() == before
    assert not inspect_run(tmp_path).problems


@pytest.mark.parametrize("name", CHANGES)
def test_another_run_is_refused_by_a_driver_that_runs(name, tmp_path):
    changes, error, text = CHANGES[name]
    events = whole_run(trajectory(N))[:-1]
    events += whole_run(trajectory(2 * N), **changes)
    source = ScriptedSource(events)
    with pytest.raises(error, match=text):
        serve_here(quiet_settings(tmp_path), source)
    assert source.refused
    assert len(list(read_journal(tmp_path / "journal"))) == N
    assert read_result(tmp_path / "spectrum.h5").provenance["frames"] == N
    assert not inspect_run(tmp_path).problems


def test_another_charge_is_refused(tmp_path):
    before = first_part(tmp_path)
    settings = quiet_settings(tmp_path, models={"charge": -1.0})
    with pytest.raises(IncompatibleError, match="total charge of 0 e"):
        serve_here(settings, ScriptedSource(whole_run(trajectory(N))))
    assert (tmp_path / "journal").read_bytes() == before


def test_masses_of_another_table_are_the_same_atoms(tmp_path):
    first_part(tmp_path)
    masses = MASSES * (1 + 6e-5)
    serve_here(quiet_settings(tmp_path), ScriptedSource(whole_run(masses=masses)))
    assert not inspect_run(tmp_path).problems
    assert len(list(read_journal(tmp_path / "journal"))) == 100


def test_engine_that_comes_back_later_leaves_a_gap_that_is_counted(tmp_path, caplog):
    frames = trajectory(2 * N)
    first_part(tmp_path)
    events = [Started(description()), *arrivals(frames[N + 7 :]), Ended("the end")]
    assert serve_here(quiet_settings(tmp_path), ScriptedSource(events)) == 0
    result = read_result(tmp_path / "spectrum.h5")
    assert result.provenance["segments"] == 2
    assert result.provenance["missing_frames"] == 7
    assert result.provenance["frames"] == 2 * N - 7
    assert "frames are missing between step" in caplog.text
    assert not inspect_run(tmp_path).problems


@pytest.mark.parametrize("shift", [0.0, 1e-13, 1.0])
def test_engine_that_comes_back_earlier_repeats_or_replaces(shift, tmp_path):
    """The same frames again, frames a rounding off, and those of another seed."""
    other = trajectory(2 * N, shift=shift)
    first_part(tmp_path)
    events = [Started(description()), *arrivals(other[N // 2 :]), Ended("the end")]
    source = ScriptedSource(events, resumes=False)
    assert serve_here(quiet_settings(tmp_path), source) == 0
    kept = list(read_journal(tmp_path / "journal"))
    assert [record.step for record in kept] == [STRIDE * i for i in range(2 * N)]
    assert not inspect_run(tmp_path).problems
    starts = [record.step for record in kept if record.previous_step < 0]
    # A branch that repeats nothing of the series begins a segment of its own.
    assert starts == ([0, STRIDE * N // 2] if shift else [0])
    if not shift:
        undisturbed = tmp_path / "undisturbed"
        serve_here(quiet_settings(undisturbed), ScriptedSource(whole_run(other)))
        assert fold_of(tmp_path) == fold_of(undisturbed)
