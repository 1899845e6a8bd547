"""Merging: two runs are one run with a border, whatever their lengths."""

import argparse
import itertools
from dataclasses import replace

import numpy as np
import pytest

from mimyria.cli import merge as command
from mimyria.correlation import Correlation
from mimyria.correlators import Correlator
from mimyria.diagnostics import Diagnostic
from mimyria.elementvelocities import ElementVelocities
from mimyria.errors import IncompatibleError, OutputError
from mimyria.groups import group_atoms
from mimyria.merging import merge_correlations, merge_results
from mimyria.parts import Parts
from mimyria.spectra import compute_spectra
from mimyria.spectra.vdos import VELOCITY_CORRELATION_UNIT
from mimyria.storage import Result, read_result, write_result
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

N_LAGS, INTERVAL = 120, 2.0
ROUNDING = 1e-15
PROVENANCE = {
    "window": "bohman",
    "atoms": 3,
    "model_apt": "water 1a2b",
    "frames": 1,
    "segments": 1,
    "last_step": 7,
}


def correlate(segments, unit=DIPOLE_CORRELATION_UNIT, n_lags=N_LAGS):
    correlator = Correlator(segments[0].shape[1], n_lags, INTERVAL, unit)
    for segment in segments:
        correlator.push(segment)
        correlator.end_segment()
    return correlator.result()


def result(segments, temperature=300.0, volume=1000.0, n_lags=N_LAGS, **changes):
    dipole = correlate([s[:, :3] for s in segments], n_lags=n_lags)
    alpha = correlate(
        [s[:, 3:] for s in segments], POLARIZABILITY_CORRELATION_UNIT, n_lags
    )
    spectra = compute_spectra(
        dipole, alpha, volume=volume, temperature=temperature,
        resolution=200.0, window="bohman",
    )  # fmt: skip
    return Result(
        dipole, alpha, spectra, volume, temperature, INTERVAL, PROVENANCE | changes
    )


@pytest.fixture(scope="module")
def series():
    noise = np.random.default_rng(5).normal(size=(9000, 9))
    return np.apply_along_axis(np.convolve, 0, noise, [1.0, 0.5, -0.3], "same")


@pytest.mark.parametrize("cut", [4500, 100, 8700])
def test_two_halves_merged_are_the_run_with_a_border(series, cut):
    halves = [series[:cut], series[cut:]]
    whole = result(halves)
    merged = merge_results([result([half]) for half in halves], ["a", "b"]).result
    for name in ("dipole", "polarizability"):
        ours, theirs = getattr(merged, name), getattr(whole, name)
        assert np.array_equal(ours.counts, theirs.counts)
        assert ours.n_samples == theirs.n_samples
        np.testing.assert_allclose(
            ours.values,
            theirs.values,
            rtol=0,
            atol=4 * ROUNDING * np.abs(theirs.values).max(),
        )
    for name, spectrum in whole.spectra.items():
        np.testing.assert_allclose(
            merged.spectra[name].intensity,
            spectrum.intensity,
            rtol=1e-10,
            atol=1e-13 * np.nanmax(np.abs(spectrum.intensity)),
            err_msg=name,
        )


def test_the_blocks_of_both_add_up_to_the_whole(series):
    lengths = [0, 2000, 5500, 9000]
    runs = [correlate([series[a:b]]) for a, b in itertools.pairwise(lengths)]
    merged = merge_correlations(runs)
    assert merged.blocks is not None
    assert 3 <= merged.blocks.n_blocks < 32
    assert np.array_equal(merged.blocks.counts.sum(axis=0), merged.counts)
    sums = merged.blocks.sums().sum(axis=0)
    np.testing.assert_allclose(
        sums, merged.values * merged.counts[:, np.newaxis], rtol=0, atol=1e-9
    )
    samples = merged.blocks.samples
    assert samples.max() < 4 * np.median(samples)


def test_many_short_runs_keep_fewer_than_32_blocks(series):
    runs = [correlate([series[k : k + 150]]) for k in range(0, 9000, 150)]
    merged = merge_correlations(runs)
    assert 15 <= merged.blocks.n_blocks < 32
    assert merged.n_samples == 9000


def test_a_run_of_an_old_file_is_one_block(series):
    old = replace(correlate([series[:4000]]), blocks=None)
    new = correlate([series[4000:8000]])
    assert merge_correlations([old, new]).blocks.n_blocks >= 2
    assert merge_correlations([old, replace(new, blocks=None)]).blocks is None


def test_a_long_run_weighs_more(series):
    runs = [
        result([series[:1000]], temperature=300.0, volume=1000.0),
        result([series[1000:4000]], temperature=304.0, volume=1004.0),
    ]
    merged = merge_results(runs, ["a", "b"])
    assert merged.result.temperature == pytest.approx(303.0)
    assert merged.result.volume == pytest.approx(1003.0)
    assert merged.notices == ()
    assert [run.n_samples for run in merged.runs] == [1000, 3000]
    values = merged.result.dipole.values[0]
    first, second = (run.dipole.values[0] for run in runs)
    np.testing.assert_allclose(values, (first + 3 * second) / 4)


def test_lags_are_cut_to_those_that_both_have(series):
    runs = [result([series[:4000]]), result([series[4000:]], n_lags=150)]
    merged = merge_results(runs, ["a", "b"])
    assert merged.result.dipole.n_lags == N_LAGS
    assert "cut to the 120 lags that all runs have (238 fs)" in merged.notices[0]
    whole = result([series[:4000], series[4000:]])
    np.testing.assert_allclose(
        merged.result.dipole.values, whole.dipole.values, rtol=0, atol=1e-14
    )


def test_the_resolution_follows_lags_that_are_too_few(series):
    runs = [result([series[:4000]]), result([series[4000:]])]
    cut = replace(
        runs[1],
        dipole=merge_correlations([correlate([series[4000:, :3]], n_lags=80)]),
        polarizability=correlate(
            [series[4000:, 3:]], POLARIZABILITY_CORRELATION_UNIT, n_lags=80
        ),
    )
    merged = merge_results([runs[0], cut], ["a", "b"])
    assert any("give a resolution of" in notice for notice in merged.notices)
    assert merged.result.spectra["ir"].resolution > 200.0


def other(base, **changes):
    return replace(base, provenance=base.provenance | changes)


def test_what_does_not_belong_together_is_refused(series):
    base, more = result([series[:3000]]), result([series[3000:6000]])
    cases = {
        "atoms is 3 and 4": other(more, atoms=4),
        "model_apt is water 1a2b and water 9f": other(more, model_apt="water 9f"),
        "b has no polarizability correlation": replace(more, polarizability=None),
        "samples every 2 and 4 fs": replace(more, interval=4.0),
        "very same dipole correlation": base,
        "the unit of correlations": replace(
            more, dipole=replace(more.dipole, unit="D^2")
        ),
    }
    for text, wrong in cases.items():
        with pytest.raises(IncompatibleError, match=text):
            merge_results([base, wrong], ["a", "b"])
    with pytest.raises(IncompatibleError, match="needs two results or more"):
        merge_results([base], ["a"])


def test_another_state_is_reported(series):
    runs = [
        result([series[:3000]], temperature=300.0, volume=1000.0),
        result([series[3000:]], temperature=350.0, volume=1100.0),
    ]
    notices = merge_results(runs, ["a", "b"]).notices
    assert "differ in temperature by more than 3%" in notices[0]
    assert "differ in volume by more than 1%" in notices[1]


def parts(segment, names=("O", "H")):
    pairs = ((0, 0), (1, 1), (0, 1))
    correlator = Correlator(2, N_LAGS, INTERVAL, DIPOLE_CORRELATION_UNIT, pairs)
    correlator.push(segment[:, :2])
    return Parts(names, correlator.result(), None, None, 50.0)


def test_parts_are_merged_or_refused_or_left_out(series):
    runs = [
        replace(result([part]), parts=parts(part))
        for part in (series[:4000], series[4000:])
    ]
    merged = merge_results(runs, ["a", "b"]).result.parts
    assert merged.names == ("O", "H")
    assert merged.dipole.n_samples == 9000
    assert merged.isotropic is None
    assert merged.reliable_from == 50.0
    wrong = replace(runs[1], parts=replace(runs[1].parts, names=("O", "D")))
    with pytest.raises(IncompatibleError, match=r"the groups of b are O, D"):
        merge_results([runs[0], wrong], ["a", "b"])
    without = merge_results([runs[0], replace(runs[1], parts=None)], ["a", "b"])
    assert without.result.parts is None
    assert "parts are left out" in without.notices[0]


def test_groups_of_one_name_and_another_meaning_are_refused(series, tmp_path):
    symbols, masses = ["O", "H", "H"], np.array([16.0, 1.0, 1.0])
    same = group_atoms(symbols, symbols, masses)
    other = group_atoms(["O", "O", "H"], symbols, masses)
    runs = []
    for name, part, grouping in (
        ("a", series[:3000], same),
        ("b", series[3000:6000], same),
        ("c", series[6000:], other),
        ("old", series[2000:5000], None),
    ):
        path = tmp_path / f"{name}.h5"
        found = replace(parts(part), grouping=grouping)
        write_result(path, replace(result([part]), parts=found))
        runs.append(read_result(path))
    merged = merge_results(runs[:2], ["a", "b"])
    assert merged.notices == ()
    assert merged.result.parts.grouping.as_dict() == same.as_dict()
    text = r"the groups of a and c have the same names, but differ: atom 1 is in 'H' "
    with pytest.raises(IncompatibleError, match=text + "and in 'O'") as error:
        merge_results([runs[0], runs[3], runs[2]], ["a", "old", "c"])
    assert "\n" not in str(error.value)
    merged = merge_results([runs[0], runs[3]], ["a", "old"])
    assert merged.result.parts.grouping is None
    assert "only their names are checked" in merged.notices[0]


def with_velocities(base, segment, names=("H", "O"), n_probes=4):
    correlator = Correlator(
        2, N_LAGS, INTERVAL, VELOCITY_CORRELATION_UNIT, pairs=((0, 0), (1, 1))
    )
    correlator.push(segment[:, :2])
    moving = ElementVelocities(names, (4, 2), n_probes, correlator.result())
    return replace(base, velocities=moving)


def test_velocities_are_merged_or_refused_or_left_out(series):
    halves = [series[:3000], series[3000:]]
    runs = [
        with_velocities(result([half]), half, n_probes=n)
        for half, n in zip(halves, (4, 2), strict=True)
    ]
    merged = merge_results(runs, ["a", "b"]).result
    expected = np.mean(series[:, :2] ** 2, axis=0)
    found = merged.velocities.correlation
    np.testing.assert_allclose(found.values[0], expected, rtol=1e-12)
    assert found.n_samples == len(series)
    assert merged.velocities.n_probes == 2
    assert merged.spectra.keys() >= {"vdos_H", "vdos_O", "ir"}
    wrong = with_velocities(runs[1], halves[1], names=("D", "O"))
    with pytest.raises(
        IncompatibleError, match="velocities of b are those of 4 D, 2 O, but of a"
    ):
        merge_results([runs[0], wrong], ["a", "b"])
    without = merge_results([runs[0], result([halves[1]])], ["a", "b"])
    assert without.result.velocities is None
    assert "velocity spectra are left out" in without.notices[0]


def test_diagnostics_keep_the_name_of_their_run(series):
    check = Diagnostic("f-sum", 0.99, 1.0, 0.02, "ok", "fine")
    runs = [
        replace(result([part]), diagnostics=(check,))
        for part in (series[:4000], series[4000:])
    ]
    names = [d.name for d in merge_results(runs, ["a", "b"]).result.diagnostics]
    assert names == ["a: f-sum", "b: f-sum"]


def run(*words):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["merge", *map(str, words)])
    return arguments.run(arguments)


def test_the_command_writes_and_reports(series, tmp_path, capsys):
    paths = [tmp_path / "a.h5", tmp_path / "b.h5"]
    write_result(paths[0], result([series[:3000]]))
    write_result(paths[1], result([series[3000:]], temperature=306.0, frames=2))
    assert run(*paths, "--output", tmp_path / "all.h5") == 0
    merged = read_result(tmp_path / "all.h5")
    assert isinstance(merged.dipole, Correlation)
    assert merged.provenance["frames"] == 3
    assert merged.provenance["segments"] == 2
    assert merged.provenance["merged_runs"] == 2
    assert "last_step" not in merged.provenance
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split()[:4] == ["merged", "9000", "18.00", "1.000"]
    assert lines[3].split()[4] == "304.00"
    assert lines[4].split()[-2:] == ["2.83", "0.00"]
    with pytest.raises(OutputError, match="one of the files to merge"):
        run(*paths, "--output", paths[0])
