"""Parts of the spectra add up to the whole, whatever the groups are."""

import dataclasses

import numpy as np
import pytest

from mimyria.contributions import Layout, contributions
from mimyria.correlators import Correlator
from mimyria.currents import currents
from mimyria.frame import Frame
from mimyria.groups import group_atoms
from mimyria.partcorrelators import PartCorrelators
from mimyria.partspectra import part_spectra
from mimyria.spectra import compute_spectra
from mimyria.spectra.raman import anisotropic_correlation, isotropic_correlation
from mimyria.tensors import Tensors
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

SYMBOLS = ["O", "H", "H", "C", "O", "H"]
LABELS = ["water", "water", "water", "rest", "rest", "proton"]
NUMBERS = np.array([8, 1, 1, 6, 8, 1])
GROUPING = group_atoms(LABELS, SYMBOLS, np.arange(1.0, 7.0))
N_LAGS = 40
OPTIONS = {
    "volume": 500.0,
    "temperature": 300.0,
    "resolution": 1300.0,
    "window": "gaussian",
}


def frames(n, seed=0):
    rng = np.random.default_rng(seed)
    for step in range(n):
        pgt = rng.normal(size=(6, 3, 3, 3))
        yield (
            Frame(NUMBERS, np.zeros((6, 3)), np.eye(3), rng.normal(size=(6, 3)), step),
            Tensors(rng.normal(size=(6, 3, 3)), pgt + pgt.swapaxes(1, 2)),
        )


@pytest.fixture(scope="module")
def run():
    """Parts and whole of one run with a gap, gathered in different pieces."""
    parts = PartCorrelators(GROUPING, ("apt", "pgt"), N_LAGS, 1.0)
    dipole = Correlator(3, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT)
    polarizability = Correlator(6, N_LAGS, 1.0, POLARIZABILITY_CORRELATION_UNIT)
    waiting = []
    for step, (frame, tensor) in enumerate(frames(3000)):
        total = currents(frame, tensor)
        dipole.push(total.dipole)
        polarizability.push(total.polarizability)
        waiting.append(contributions(frame, tensor, GROUPING))
        if len(waiting) == 7 or step == 1000:
            parts.push(np.array(waiting), np.arange(len(waiting)))
            waiting = []
        if step == 1000:
            for one in (dipole, polarizability, parts):
                one.end_segment()
    parts.push(np.array(waiting), np.arange(len(waiting)))
    return parts.parts(None, None), dipole.result(), polarizability.result()


def total(correlation):
    weights = [1.0 if g == h else 2.0 for g, h in correlation.pairs]
    return correlation.values @ weights


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())


def test_correlations_of_the_groups_add_up_to_the_whole(run):
    parts, dipole, polarizability = run
    assert parts.names == ("proton", "rest", "water")
    whole = sum(dipole.column(a, a) for a in range(3))
    close(total(parts.dipole), whole)
    close(total(parts.isotropic), isotropic_correlation(polarizability))
    close(1.5 * total(parts.anisotropic), anisotropic_correlation(polarizability))
    np.testing.assert_array_equal(parts.dipole.counts, dipole.counts)


def test_a_group_is_what_its_atoms_alone_would_give(run):
    """The correlation of one group, by brute force over its own atoms."""
    members = np.array([label == "water" for label in LABELS])
    alone = Correlator(3, N_LAGS, 1.0, DIPOLE_CORRELATION_UNIT)
    for step, (frame, tensor) in enumerate(frames(3000)):
        alone.push(
            np.einsum("iab,ib->a", tensor.apt[members], frame.velocities[members])
        )
        if step == 1000:
            alone.end_segment()
    expected = alone.result()
    close(run[0].dipole.column(2, 2), sum(expected.column(a, a) for a in range(3)))


@pytest.mark.parametrize("assigned", [False, True])
def test_spectra_of_the_parts_add_up_to_the_whole(run, assigned):
    parts, dipole, polarizability = run
    whole = compute_spectra(dipole, polarizability, **OPTIONS)
    for kind in ("ir", "raman_iso", "raman_aniso"):
        found = part_spectra(parts, kind, **OPTIONS, assigned=assigned)
        assert len(found) == (3 if assigned else 6)
        summed = sum(part.intensity for part in found.values())
        close(summed, whole[kind].intensity)
        assert all(part.unit == whole[kind].unit for part in found.values())
        for part in found.values():
            assert part.error is not None


def test_assigned_spectrum_is_the_correlation_with_the_whole(run):
    parts = run[0]
    pairs = part_spectra(parts, "ir", **OPTIONS)
    assigned = part_spectra(parts, "ir", **OPTIONS, assigned=True)
    expected = pairs["rest"].intensity + 0.5 * (
        pairs["proton × rest"].intensity + pairs["rest × water"].intensity
    )
    close(assigned["rest"].intensity, expected)


def test_bits_do_not_depend_on_how_frames_were_cut():
    flat = np.array([contributions(f, t, GROUPING) for f, t in frames(600)])
    one, many = (
        PartCorrelators(GROUPING, ("apt", "pgt"), N_LAGS, 1.0) for _ in range(2)
    )
    one.push(flat, np.arange(len(flat)))
    for row in flat:
        many.push(row[None], np.arange(1))
    for name, state in one.state().items():
        for key, value in state.items():
            np.testing.assert_array_equal(value, many.state()[name][key])


def test_without_a_tensor_its_parts_are_absent():
    parts = PartCorrelators(GROUPING, ("apt",), N_LAGS, 1.0)
    frame, tensor = next(frames(1))
    only = dataclasses.replace(tensor, pgt=None)
    flat = contributions(frame, only, GROUPING)
    assert np.isnan(Layout.of(GROUPING).currents(flat[None])[0, :, 3:]).all()
    parts.push(flat[None], np.arange(1))
    found = parts.parts(None, None)
    assert found.isotropic is None
    assert found.dipole is not None
    assert part_spectra(found, "raman_iso", **OPTIONS) == {}
