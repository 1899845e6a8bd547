"""Numbers that an independent program printed for the same trajectories.

Parity mode: the peer removes the mean of each trajectory, weights trajectories equally,
shifts its Hann window by one lag and has a factor π/3 too much in the IR. These four
habits are imitated here; everything else is ours. Its ANISO column is VH/15 where
γ² = 15 VH is right, so ours must be 225 times theirs.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mimyria import Frame, Tensors, currents
from mimyria.correlators import Correlator
from mimyria.spectra import (
    LagWindow,
    anisotropic_correlation,
    ir_absorption,
    isotropic_correlation,
    raman_spectra,
)
from mimyria.units import (
    DIPOLE_CORRELATION_UNIT,
    POLARIZABILITY_CORRELATION_UNIT,
    SPEED_OF_LIGHT,
)

FIXTURES = Path(__file__).parents[2].parent / "shared" / "data" / "peer-fixtures"
TOLERANCE = 5e-6
INTERVAL = 0.5
N_LAGS = 256

pytestmark = pytest.mark.skipif(
    not FIXTURES.is_dir(), reason=f"the peer's numbers are not at {FIXTURES}"
)


@pytest.fixture(scope="module")
def series():
    """Both currents of each trajectory, through Frame and Tensors."""
    result = {}
    with np.load(FIXTURES / "input.npz") as data:
        for name in "ABC":
            velocities, P, Q = (data[f"{name}_{key}"] for key in ("vel", "P", "Q"))
            n_atoms = velocities.shape[1]
            samples = [
                currents(
                    Frame(
                        np.ones(n_atoms, np.int64),
                        np.zeros((n_atoms, 3)),
                        10.0 * np.eye(3),
                        v,
                        step,
                    ),
                    Tensors(p, q),
                )
                for step, (v, p, q) in enumerate(zip(velocities, P, Q, strict=True))
            ]
            result[name] = (
                np.array([s.dipole for s in samples]),
                np.array([s.polarizability for s in samples]),
            )
    return result


def correlate(series, names, kind):
    """Ours, after the peer's removal of each trajectory's mean."""
    unit = (DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT)[kind]
    correlator = Correlator((3, 6)[kind], N_LAGS, INTERVAL, unit)
    for name in names:
        samples = series[name][kind]
        correlator.push(samples - samples.mean(axis=0))
        correlator.end_segment()
    return correlator.result()


def peer_window(length, n_lags):
    """The peer's cos²(π (l − 1)/2 length) for l <= length; 0 means all lags."""
    length = length or n_lags
    lags = np.arange(n_lags)
    weights = np.cos(0.5 * np.pi * (lags - 1) / length) ** 2
    return LagWindow("peer", np.where(lags <= length, weights, 0.0), math.nan)


def peer_columns(name):
    return np.loadtxt(FIXTURES / name, comments="#")[:, 1:]


def assert_same(ours, peer):
    assert ours.shape == peer.shape
    deviation = np.abs(ours - peer).max(axis=0) / np.abs(peer).max(axis=0)
    assert deviation.max() <= TOLERANCE, deviation


TAGS = pytest.mark.parametrize(("tag", "names"), [("one", "A"), ("two", "AB")])
WINDOWS = pytest.mark.parametrize("length", [0, 100])


@TAGS
def test_dipole_correlations_are_those_of_the_peer(series, tag, names):
    ours = correlate(series, names, 0)
    columns = np.stack([ours.column(a, a) for a in range(3)], axis=1)
    assert_same(columns, peer_columns(f"{tag}-apt.cf"))
    assert_same(columns.mean(axis=1, keepdims=True), peer_columns(f"{tag}-apt-iso.cf"))


@TAGS
def test_polarizability_correlations_are_those_of_the_peer(series, tag, names):
    ours = correlate(series, names, 1)
    assert_same(ours.values, peer_columns(f"{tag}-pgt.cf"))


def test_autocorrelations_of_unequal_trajectories_are_those_of_the_peer(series):
    for kind, name, columns in ((0, "apt", 3), (1, "pgt", 6)):
        long, short = (correlate(series, k, kind).values for k in "AC")
        equal_weights = 0.5 * (long + short)[:160, :columns]
        peer = peer_columns(f"longshort-{name}.cf")[:160, :columns]
        assert_same(equal_weights, peer)


@TAGS
def test_isotropic_averages_are_those_of_the_peer(series, tag, names):
    ours = correlate(series, names, 1)
    iso, g2 = isotropic_correlation(ours), anisotropic_correlation(ours)
    peer = peer_columns(f"{tag}-pgt-iso.cf")
    # Ours 225 times theirs: their column is VH/15, which is γ²/225.
    columns = np.stack([iso, g2 / 225, iso + 4 / 45 * g2, g2 / 15], axis=1)
    assert_same(columns, peer)


@TAGS
@WINDOWS
def test_ir_spectra_are_those_of_the_peer(series, tag, names, length):
    ours = correlate(series, names, 0)
    window = peer_window(length, ours.n_lags)

    def peer_way(correlation):
        spectrum = ir_absorption(
            correlation, volume=1000.0, temperature=300.0, window=window
        )
        return spectrum.wavenumbers, math.pi / 3 * spectrum.intensity

    wavenumbers, intensity = peer_way(ours)
    peer = np.loadtxt(FIXTURES / f"{tag}-ir-w{length}.spec", comments="#")
    assert_same(wavenumbers[:, np.newaxis], peer[:, :1])
    assert_same(intensity[:, np.newaxis], peer[:, 1:])
    by_axis = np.zeros((len(wavenumbers), 3))
    for axis in range(3):
        values = np.zeros_like(ours.values)
        values[:, axis] = 3 * ours.values[:, axis]
        by_axis[:, axis] = peer_way(replace(ours, values=values))[1]
    assert_same(by_axis, peer_columns(f"{tag}-irxyz-w{length}.spec"))


@TAGS
@WINDOWS
def test_raman_spectra_are_those_of_the_peer(series, tag, names, length):
    ours = correlate(series, names, 1)
    window = peer_window(length, ours.n_lags)
    spectra = raman_spectra(ours, window=window)
    columns = np.stack(
        [
            spectra["raman_iso"].intensity,
            spectra["raman_aniso"].intensity / 225,
            spectra["raman_vv"].intensity,
            spectra["raman_vh"].intensity,
        ],
        axis=1,
    )
    # The peer prints cm, we fs: the transform is over c t.
    assert_same(SPEED_OF_LIGHT * columns, peer_columns(f"{tag}-raman-w{length}.spec"))
