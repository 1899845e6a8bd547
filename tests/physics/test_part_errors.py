"""Errors of parts: bands of self and distinct terms, and of many groups."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from mimyria.contributions import SUMS, TOTALS, Layout
from mimyria.correlation import all_pairs
from mimyria.correlators import Correlator
from mimyria.groups import Grouping, group_atoms
from mimyria.merging import merge_results
from mimyria.partcorrelators import PartCorrelators
from mimyria.parts import Parts
from mimyria.partspectra import part_spectra
from mimyria.probes import Probes
from mimyria.selfcorrelators import SELF_NAMES, SelfCorrelators
from mimyria.spectra import compute_spectra
from mimyria.storage import Result, read_result, write_result
from mimyria.units import DIPOLE_CORRELATION_UNIT
from mimyria_driver.acceptance import _WINDOWS_PER_SIGN

N_LAGS = 202
SETTINGS = {
    "volume": 1000.0,
    "temperature": 300.0,
    "resolution": 250.0,
    "window": "gaussian",
    "max_wavenumber": 4000.0,
}
N_MOLECULES = 8
SHARED = 0.3  # of the motion of every molecule, in units of its own
PERIOD = _WINDOWS_PER_SIGN * N_LAGS  # frames with the same signs, as in a run
LINE = (0.35, 0.03)  # rad and decay per sample


def lines(rng, shape):
    """Series of a damped oscillator that noise drives."""
    r = np.exp(-LINE[1])
    noise = rng.normal(size=(shape[0] + 400, *shape[1:]))
    filtered = lfilter([1.0], [1.0, -2 * r * np.cos(LINE[0]), r * r], noise, axis=0)
    return filtered[400:]


def exact_line():
    """The correlation of one such series."""
    a, b = 2 * np.exp(-LINE[1]) * np.cos(LINE[0]), -np.exp(-2 * LINE[1])
    values = np.zeros(N_LAGS)
    values[0] = (1 - b) / ((1 + b) * ((1 - b) ** 2 - a**2))
    values[1] = a * values[0] / (1 - b)
    for lag in range(2, N_LAGS):
        values[lag] = a * values[lag - 1] + b * values[lag - 2]
    return values


def molecules(rng, n, shared=SHARED):
    """(n, molecules, 3) dipole velocities, with a motion that all have in common."""
    own = lines(rng, (n, N_MOLECULES, 3))
    return own + shared * lines(rng, (n, 1, 3))


def grouping(n_probes, steps=PERIOD):
    symbols = ["H"] * N_MOLECULES
    plain = group_atoms(symbols, symbols, np.ones(N_MOLECULES))
    probes = Probes(np.arange(N_MOLECULES), n_probes, steps)
    return Grouping(
        plain.names, plain.group, plain.species_names, plain.species, plain.masses,
        probes,
    )  # fmt: skip


def contributions(each, chosen, steps):
    """Rows as the journal holds them, from the dipole velocities of the molecules."""
    n, n_probes = len(each), chosen.probes.n_probes
    cells = np.full((n, 9), np.nan)
    cells[:, :3] = each.sum(axis=1)
    probes = np.full((n, n_probes, 9), np.nan)
    periods = steps // chosen.probes.steps
    for period in np.unique(periods):
        now = periods == period
        signs = chosen.probes.signs(int(steps[now][0]))
        probes[now, :, :3] = np.einsum("km,nma->nka", signs, each[now])
    unused = np.zeros((n, len(SUMS))), np.zeros((n, len(TOTALS)))
    rows = np.concatenate([cells, unused[0], probes.reshape(n, -1), unused[1]], axis=1)
    assert rows.shape[1] == Layout.of(chosen).size
    return rows


def run(rng, n, n_probes, first=0, shared=SHARED):
    """Parts and whole of a run that begins at some step."""
    each = molecules(rng, n, shared)
    chosen = grouping(n_probes)
    whole = Correlator(3, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT)
    whole.push(each.sum(axis=1))
    selves = SelfCorrelators(chosen, ("apt",), N_LAGS, 1.0)
    steps = np.arange(first, first + n)
    selves.push(contributions(each, chosen, steps), steps)
    return selves.parts(whole.result(), None), whole.result()


def truth(shared=SHARED):
    """The spectra of infinitely many samples."""
    line = 3 * exact_line()
    alone = N_MOLECULES * (1 + shared**2) * line
    distinct = N_MOLECULES * (N_MOLECULES - 1) * shared**2 * line
    correlator = Correlator(2, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT, ((0, 0), (1, 1)))
    correlation = replace(
        correlator.result(),
        values=np.stack([alone, distinct], axis=1),
        counts=np.full(N_LAGS, 10**9),
        blocks=None,
    )
    parts = Parts(SELF_NAMES, correlation, None, None, n_self=1)
    return part_spectra(parts, "ir", **SETTINGS)


def coverage(n_runs, n, n_probes, kind, shared=SHARED):
    """Runs begin at any step, for signs depend on it alone."""
    rng = np.random.default_rng(n + n_probes)
    expected = truth(shared)
    inside = {name: [] for name in SELF_NAMES}
    for _ in range(n_runs):
        parts, _ = run(rng, n, n_probes, int(rng.integers(10**8)), shared)
        for name, spectrum in part_spectra(parts, "ir", **SETTINGS).items():
            assert spectrum.error_kind == kind
            off = np.abs(spectrum.intensity - expected[name].intensity)
            inside[name].append(off <= 2 * spectrum.error)
    return {name: float(np.concatenate(hits).mean()) for name, hits in inside.items()}


@pytest.mark.parametrize("n_probes", [2, 8])
def test_the_truth_lies_within_two_errors_of_self_and_distinct(n_probes):
    for name, share in coverage(40, 9000, n_probes, "blocks").items():
        assert 0.90 <= share <= 0.97, name


@pytest.mark.slow
@pytest.mark.parametrize("n_probes", [1, 4, 8])
@pytest.mark.parametrize("n", [9_000, 40_000])
def test_the_truth_lies_within_two_errors_of_self_and_distinct_in_200_runs(n_probes, n):
    for name, share in coverage(200, n, n_probes, "blocks").items():
        assert 0.90 <= share <= 0.97, name


@pytest.mark.parametrize("n_probes", [2, 8])
def test_theory_holds_for_self_and_distinct_of_a_short_run(n_probes):
    """Molecules that move independently, which the formula takes them to do."""
    found = coverage(60, 4000, n_probes, "theory", shared=0.0)
    for name, share in found.items():
        assert 0.90 <= share <= 0.98, name


def test_blocks_of_self_and_distinct_add_up_to_the_whole():
    parts, whole = run(np.random.default_rng(1), 9000, 2)
    values = parts.dipole.values
    total = sum(whole.column(a, a) for a in range(3))
    np.testing.assert_allclose(values.sum(axis=1), total, atol=1e-12 * total[0])
    blocks = parts.dipole.blocks
    assert blocks.n_blocks >= 8
    # No two blocks share signs, but for the pieces at the ends.
    assert np.median(blocks.samples) >= PERIOD
    np.testing.assert_array_equal(blocks.counts.sum(axis=0), parts.dipole.counts)
    sums = values * parts.dipole.counts[:, np.newaxis]
    np.testing.assert_allclose(
        blocks.sums().sum(axis=0), sums, atol=1e-12 * np.abs(sums).max()
    )


def result_of(parts, whole):
    spectra = compute_spectra(whole, None, **SETTINGS)
    provenance = {"window": "gaussian", "atoms": N_MOLECULES}
    return Result(whole, None, spectra, 1000.0, 300.0, 1.0, provenance, parts)


def test_merged_self_and_distinct_terms_add_up_to_the_merged_whole(tmp_path):
    """Of runs whose signs changed in different shares of their pairs."""
    rng = np.random.default_rng(2)
    runs = [run(rng, 9000, 2), run(rng, 5000, 8)]
    for name, each in zip("ab", runs, strict=True):
        write_result(tmp_path / name, result_of(*each))
    stored = [read_result(tmp_path / name) for name in "ab"]
    merged = merge_results(stored, ["a", "b"]).result
    total = sum(merged.dipole.column(a, a) for a in range(3))
    dipole = merged.parts.dipole
    np.testing.assert_allclose(dipole.values.sum(axis=1), total, atol=1e-12 * total[0])
    assert merged.parts.n_self == 2
    sums = dipole.values * dipole.counts[:, np.newaxis]
    np.testing.assert_allclose(
        dipole.blocks.sums().sum(axis=0), sums, atol=1e-12 * np.abs(sums).max()
    )
    for part in part_spectra(merged.parts, "ir", **SETTINGS).values():
        assert part.error_kind == "blocks"


N_GROUPS = 12


def many_groups(n, seed=3):
    """Dipole velocities of twelve groups, neighbours of which move together."""
    own = lines(np.random.default_rng(seed), (n, N_GROUPS + 1, 3))
    return own[:, 1:] + 0.5 * own[:, :-1]


def correlate_groups(each):
    labels = [f"g{number:02d}" for number in range(N_GROUPS)]
    chosen = group_atoms(labels, ["H"] * N_GROUPS, np.ones(N_GROUPS))
    parts = PartCorrelators(chosen, ("apt",), N_LAGS, 1.0)
    rows = np.full((len(each), Layout.of(chosen).size), np.nan)
    currents = np.full((len(each), N_GROUPS, 9), np.nan)
    currents[..., :3] = each
    rows[:, : 9 * N_GROUPS] = currents.reshape(len(each), -1)
    parts.push(rows, np.arange(len(each)))
    return parts.parts(None, None)


@pytest.fixture(scope="module")
def groups():
    return correlate_groups(many_groups(10_000))


def test_many_groups_have_the_block_errors_of_all_their_pairs(groups):
    """Blocks of 2 G pairs give what those of all G (G + 1)/2 would have given."""
    assert groups.dipole.blocks is None
    assert len(groups.shares.dipole.pairs) == 2 * N_GROUPS
    correlator = Correlator(
        N_GROUPS, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT, components=(1.0, 1.0, 1.0)
    )
    correlator.push(many_groups(10_000).reshape(10_000, -1))
    full = replace(groups, dipole=correlator.result(), shares=None)
    for assigned in (False, True):
        found = part_spectra(groups, "ir", **SETTINGS, assigned=assigned)
        expected = part_spectra(full, "ir", **SETTINGS, assigned=assigned)
        assert list(found) == list(expected)
        for label in groups.names:
            one, other = found[label], expected[label]
            assert one.error_kind == other.error_kind == "blocks"
            assert one.error_dof == other.error_dof >= 7
            scale = np.abs(other.intensity).max()
            np.testing.assert_allclose(
                one.intensity, other.intensity, rtol=0, atol=1e-12 * scale
            )
            np.testing.assert_allclose(one.error, other.error, rtol=1e-6)


def test_pairs_of_many_groups_have_the_error_of_theory(groups):
    found = part_spectra(groups, "ir", **SETTINGS)
    pairs = [spectrum for label, spectrum in found.items() if "×" in label]
    assert len(pairs) == N_GROUPS * (N_GROUPS - 1) / 2
    assert {spectrum.error_kind for spectrum in pairs} == {"theory"}
    assert all(spectrum.dof is None for spectrum in pairs)


@pytest.mark.parametrize("assigned", [False, True])
def test_theory_gives_the_errors_of_blocks_of_a_long_run(assigned):
    n = 80_000
    correlator = Correlator(
        3, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT, components=(1.0, 1.0, 1.0)
    )
    correlator.push(many_groups(n)[:, :3].reshape(n, -1))
    of_blocks = Parts(("a", "b", "c"), correlator.result(), None, None)
    of_theory = replace(of_blocks, dipole=replace(of_blocks.dipole, blocks=None))
    blocks, theory = (
        part_spectra(parts, "ir", **SETTINGS, assigned=assigned)
        for parts in (of_blocks, of_theory)
    )
    for label, spectrum in blocks.items():
        assert spectrum.error_kind == "blocks"
        assert spectrum.error_dof >= 15
        assert theory[label].error_kind == "theory"
        ratio = theory[label].error / spectrum.error
        assert np.median(ratio) == pytest.approx(1.0, abs=0.25), label


def test_many_groups_add_up_and_survive_file_and_merging(groups, tmp_path):
    whole = Correlator(3, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT)
    whole.push(many_groups(10_000).sum(axis=1))
    other_whole = Correlator(3, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT)
    other_whole.push(many_groups(6_000, 4).sum(axis=1))
    others = correlate_groups(many_groups(6_000, 4))
    runs = [(groups, whole), (others, other_whole)]
    for name, (parts, correlator) in zip("ab", runs, strict=True):
        write_result(tmp_path / name, result_of(parts, correlator.result()))
    stored = [read_result(tmp_path / name) for name in "ab"]
    merged = merge_results(stored, ["a", "b"]).result
    for result in (*stored, merged):
        for assigned in (False, True):
            found = part_spectra(result.parts, "ir", **SETTINGS, assigned=assigned)
            total = sum(part.intensity for part in found.values())
            expected = compute_spectra(result.dipole, None, **SETTINGS)["ir"].intensity
            np.testing.assert_allclose(
                total, expected, rtol=0, atol=1e-12 * expected.max()
            )
            short = result is stored[1]
            assert found["g05"].error_kind == ("theory" if short else "blocks")


def test_assigned_spectra_have_errors_of_theory_in_a_short_run():
    rng = np.random.default_rng(8)
    assert all_pairs(2) == ((0, 0), (1, 1), (0, 1))
    values, errors = [], []
    for _ in range(60):
        own = lines(rng, (3000, 2, 3))
        own[:, 1] -= 0.6 * own[:, 0]
        correlator = Correlator(
            2, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT, components=(1.0, 1.0, 1.0)
        )
        correlator.push(own.reshape(3000, 6))
        parts = Parts(("a", "b"), correlator.result(), None, None)
        found = part_spectra(parts, "ir", **SETTINGS, assigned=True)
        assert all(part.error_kind == "theory" for part in found.values())
        values.append([part.intensity for part in found.values()])
        errors.append([part.error for part in found.values()])
    scatter = np.std(values, axis=0, ddof=1)
    stated = np.sqrt(np.mean(np.square(errors), axis=0))
    ratio = np.median(stated / scatter, axis=1)
    assert ratio == pytest.approx(1.0, abs=0.12)
