"""The compatibility mode prints what Mimyria 0.9.0 printed, from samples to spectra."""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimyria import Frame, Tensors, currents
from mimyria.cli import spectrum as command
from mimyria.correlators import Correlator
from mimyria.errors import IncompatibleError, SettingsError
from mimyria.merging import merge_results
from mimyria.spectra import ir_absorption, raman_spectra, window_of_length
from mimyria.spectra.compat import (
    compat_correlation,
    compat_spectra,
    compat_window,
    stored_correlation,
)
from mimyria.storage import Result, read_result, write_result
from mimyria.units import (
    DIPOLE_CORRELATION_UNIT,
    POLARIZABILITY_CORRELATION_UNIT,
    SPEED_OF_LIGHT,
)

FIXTURES = Path(__file__).parents[2].parent / "shared" / "data" / "peer-fixtures"
TOLERANCE = 5e-6
INTERVAL = 0.5
CELL = {"volume": 1000.0, "temperature": 300.0}
UNITS = (DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT)

pytestmark = pytest.mark.skipif(
    not FIXTURES.is_dir(), reason=f"the peer's numbers are not at {FIXTURES}"
)
TAGS = pytest.mark.parametrize(("tag", "names"), [("one", "A"), ("two", "AB")])
LENGTHS = pytest.mark.parametrize("length", [0, 100])
RAMAN = [f"compat_raman_{kind}" for kind in ("iso", "aniso", "vv", "vh")]


@pytest.fixture(scope="module")
def series():
    found = {}
    with np.load(FIXTURES / "input.npz") as data:
        for name in "ABC":
            samples = [
                currents(
                    Frame(
                        np.ones(len(v), np.int64), np.zeros((len(v), 3)),
                        10.0 * np.eye(3), v, step,
                    ),
                    Tensors(p, q),
                )
                for step, (v, p, q) in enumerate(
                    zip(*(data[f"{name}_{key}"] for key in ("vel", "P", "Q")),
                        strict=True)
                )
            ]  # fmt: skip
            found[name] = (
                np.array([s.dipole for s in samples]),
                np.array([s.polarizability for s in samples]),
            )
    return found


def correlate(series, names, kind):
    return compat_correlation(
        [series[name][kind] for name in names], INTERVAL, UNITS[kind]
    )


def peer(name):
    return np.loadtxt(FIXTURES / name, comments="#")


def assert_same(ours, theirs):
    assert ours.shape == theirs.shape
    deviation = np.abs(ours - theirs).max(axis=0) / np.abs(theirs).max(axis=0)
    assert deviation.max() <= TOLERANCE, deviation


@TAGS
def test_correlations_of_samples_are_those_of_the_peer(series, tag, names):
    dipole, alpha = (correlate(series, names, kind) for kind in (0, 1))
    assert_same(dipole.values[:, :3], peer(f"{tag}-apt.cf")[:, 1:])
    assert_same(alpha.values, peer(f"{tag}-pgt.cf")[:, 1:])


def test_a_shorter_second_trajectory_counts_as_zero_where_it_ends(series):
    dipole, alpha = (correlate(series, "AC", kind) for kind in (0, 1))
    assert_same(dipole.values[:, :3], peer("longshort-apt.cf")[:, 1:])
    # Cross columns of that file are garbage of the peer and no truth.
    assert_same(alpha.values[:, :6], peer("longshort-pgt.cf")[:, 1:7])


def test_a_longer_second_trajectory_is_refused_where_the_peer_stops(series):
    with pytest.raises(IncompatibleError, match="Put the longest one first"):
        correlate(series, "CA", 0)
    with pytest.raises(SettingsError, match="at least one trajectory"):
        compat_correlation([], INTERVAL, UNITS[0])


@TAGS
@LENGTHS
def test_the_command_prints_the_spectra_of_the_peer(
    series, tag, names, length, tmp_path, capsys
):
    """Stored correlations of demeaned samples, then `--compat`: every column agrees."""
    stored, output = tmp_path / "run.h5", tmp_path / "compat.h5"
    both = [correlate(series, names, kind) for kind in (0, 1)]
    write_result(stored, Result(*both, {}, *CELL.values(), INTERVAL, {}))
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    words = ["--compat", "mimyria-0.9", "--window-length", str(length)]
    arguments = parser.parse_args(
        ["spectrum", str(stored), *words, "--output", str(output)]
    )
    assert arguments.run(arguments) == 0
    spectra = read_result(output).spectra
    ir = spectra["compat_ir"]
    columns = np.stack([ir.wavenumbers, ir.intensity], axis=1)
    assert_same(columns, peer(f"{tag}-ir-w{length}.spec"))
    columns = np.stack([spectra[name].intensity for name in RAMAN], axis=1)
    assert_same(columns, peer(f"{tag}-raman-w{length}.spec")[:, 1:])
    printed = capsys.readouterr().out
    assert f"window mimyria-0.9, {length or '256'} lags" in printed
    assert "Precision" not in printed  # nothing stands below it
    assert "note: these are the numbers of mimyria-0.9, not the right ones" in printed
    assert "the mean of each trajectory is not removed" in printed


def stream(series, names, n_lags=256):
    """A result of samples as they came, means and all; stops and goes on meanwhile."""
    found = []
    for kind, n_channels in ((0, 3), (1, 6)):
        correlator = Correlator(
            n_channels, n_lags, INTERVAL, UNITS[kind], keep_trajectories=True
        )
        for name in names:
            correlator.end_segment()
            for begin in range(0, 256, 47):
                correlator.push(series[name][kind][begin : begin + 47])
                correlator = Correlator.from_state(correlator.state())
        found.append(correlator.result())
    return Result(*found, {}, *CELL.values(), INTERVAL, {})


def imitate(result, folder, length):
    """The spectra of `mimyria spectrum --compat` for a stored result."""
    stored, output = folder / "run.h5", folder / "compat.h5"
    write_result(stored, result)
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    arguments = parser.parse_args(
        ["spectrum", str(stored), "--compat", "mimyria-0.9", "--window-length",
         str(length), "--output", str(output)]
    )  # fmt: skip
    assert arguments.run(arguments) == 0
    return read_result(output).spectra


def assert_same_spectra(spectra, tag, length):
    ir = spectra["compat_ir"]
    columns = np.stack([ir.wavenumbers, ir.intensity], axis=1)
    assert_same(columns, peer(f"{tag}-ir-w{length}.spec"))
    columns = np.stack([spectra[name].intensity for name in RAMAN], axis=1)
    assert_same(columns, peer(f"{tag}-raman-w{length}.spec")[:, 1:])


@TAGS
@pytest.mark.parametrize(("n_lags", "length"), [(256, 0), (256, 100), (101, 100)])
def test_a_stored_run_gives_the_spectra_of_the_peer(
    series, tag, names, n_lags, length, tmp_path, capsys
):
    """Raw samples stream into a file; the command removes the means afterwards."""
    result = stream(series, names, n_lags)
    mean = np.abs(series["A"][0].mean(axis=0)).max()
    assert mean > 0.01 * series["A"][0].std()  # there is something to remove
    assert_same_spectra(imitate(result, tmp_path, length), tag, length)
    printed = capsys.readouterr().out
    assert "the mean of each trajectory is removed; unbroken" in printed
    assert f"trajectories, all of equal weight: {len(names)}." in printed
    assert printed.count("note: ") == 2


def test_stored_runs_that_are_merged_give_the_spectra_of_the_peer(
    series, tmp_path, capsys
):
    runs = [stream(series, name) for name in "AB"]
    merged = merge_results(runs, ["a", "b"], resolution=400.0)
    assert_same_spectra(imitate(merged.result, tmp_path, 100), "two", 100)
    assert "all of equal weight: 2." in capsys.readouterr().out
    both = (runs[1].dipole, runs[1].polarizability)
    dipole, alpha = (replace(each, trajectories=None) for each in both)
    older = replace(runs[1], dipole=dipole, polarizability=alpha)
    merged = merge_results([runs[0], older], ["a", "b"], resolution=400.0)
    for name in ("dipole", "polarizability"):
        assert any(
            notice.startswith(f"{name}: not every file holds the means")
            for notice in merged.notices
        )
    imitate(merged.result, tmp_path, 100)
    assert "the mean of each trajectory is not removed" in capsys.readouterr().out


@pytest.mark.parametrize("names", ["AC", "CA"])
def test_stored_runs_of_unequal_length_are_those_of_the_peer(
    series, names, tmp_path, capsys
):
    """Equal weights, zeros beyond the shorter one; the order is that it can take."""
    result = stream(series, names)
    found, notes = stored_correlation(result.dipole, 0)
    assert_same(found.values[:, :3], peer("longshort-apt.cf")[:, 1:])
    found, _ = stored_correlation(result.polarizability, 0)
    assert_same(found.values[:, :6], peer("longshort-pgt.cf")[:, 1:7])
    assert any("no trajectory longer than the first" in n for n in notes) == (
        names == "CA"
    )
    expected = compat_spectra(
        *(correlate(series, "AC", kind) for kind in (0, 1)), **CELL, window_length=100
    )
    for name, spectrum in imitate(result, tmp_path, 100).items():
        top = np.abs(expected[name].intensity).max()
        np.testing.assert_allclose(
            spectrum.intensity, expected[name].intensity, rtol=0, atol=1e-12 * top
        )
    assert "trajectories differ in length: Raman spectra" in capsys.readouterr().out


def test_lags_that_are_not_stored_are_named(series):
    result = stream(series, "A", n_lags=80)
    for length, needed in ((100, 101), (0, 256), (1000, 256)):
        found, notes = stored_correlation(result.dipole, length)
        assert f"would use {needed} lags, but only 80 are stored" in notes[-1]
        assert found.n_lags == 80
    found, notes = stored_correlation(result.dipole, 79)
    assert len(notes) == 1
    assert found.n_lags == 256


def test_a_window_that_is_longer_than_the_run_is_said_to_end_there(
    series, tmp_path, capsys
):
    imitate(stream(series, "A", n_lags=300), tmp_path, 1000)
    out = capsys.readouterr().out
    assert "window mimyria-0.9, 1000 lags cut off after 256, resolution" in out
    older = stream(series, "A", n_lags=300)
    older = replace(
        older,
        dipole=replace(older.dipole, trajectories=None),
        polarizability=replace(older.polarizability, trajectories=None),
    )
    imitate(older, tmp_path, 1000)
    assert "1000 lags cut off after 256, resolution" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("length", "factor"), [(1000, 2.0), (1_000_000, 1.2067091288), (0, 2.0)]
)
def test_the_resolution_of_their_window_is_the_width_of_a_line(length, factor):
    """A Hann window, or none at all where all of it is cut off."""
    n_lags = 2000
    window = compat_window(length, n_lags, INTERVAL)
    reach = min(length or n_lags, n_lags)
    expected = factor / (2 * SPEED_OF_LIGHT * reach * INTERVAL)
    assert window.resolution == pytest.approx(expected, rel=5e-3)


@pytest.mark.parametrize(
    "words",
    [["--quantity", "ir"], ["--resolution", "20"], ["--raman-kind", "reduced"],
     ["--geometry", "z(xx)z"], ["--quantum-correction", "standard"],
     ["--parts"]],
)  # fmt: skip
def test_options_without_meaning_for_the_peer_are_refused(series, words, tmp_path):
    stored = tmp_path / "run.h5"
    dipole = correlate(series, "A", 0)
    write_result(stored, Result(dipole, None, {}, *CELL.values(), INTERVAL, {}))
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    arguments = parser.parse_args(
        ["spectrum", str(stored), "--compat", "mimyria-0.9", *words]
    )
    with pytest.raises(SettingsError, match=f"{words[0]} has no meaning beside"):
        arguments.run(arguments)


def test_the_mode_differs_from_ours_as_the_document_says(series):
    """The table of differences in docs/theory.md, in numbers."""
    dipole, alpha = (correlate(series, "A", kind) for kind in (0, 1))
    theirs = compat_spectra(dipole, alpha, **CELL, window_length=100)
    window = window_of_length("hann", 100 * INTERVAL, dipole.n_lags, INTERVAL)
    ours = ir_absorption(dipole, **CELL, window=window).intensity
    top = int(np.argmax(ours))
    ratio = theirs["compat_ir"].intensity[top] / ours[top]
    assert ratio == pytest.approx(1.06724, abs=5e-5)  # π/3 and 1.9 % of the window
    assert ratio / (math.pi / 3) == pytest.approx(1.019, abs=5e-4)
    raman = raman_spectra(alpha, window=compat_window(100, alpha.n_lags, INTERVAL))
    gamma = raman["raman_aniso"].intensity / raman["raman_vh"].intensity
    assert gamma == pytest.approx(15.0)
    aniso = theirs["compat_raman_aniso"].intensity
    assert theirs["compat_raman_vh"].intensity == pytest.approx(15.0 * aniso)


def test_their_window_has_its_top_at_lag_one_and_a_step_at_its_end():
    weights = compat_window(100, 256, INTERVAL).weights
    assert weights[0] == pytest.approx(np.cos(np.pi / 200) ** 2)
    assert int(np.argmax(weights)) == 1
    assert weights[100] > 0
    assert weights[101] == 0
    with pytest.raises(SettingsError, match="must be 0 or more lags"):
        compat_window(-1, 256, INTERVAL)
