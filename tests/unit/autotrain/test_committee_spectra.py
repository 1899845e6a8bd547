"""Spectra of committees: sums of the same correlations as every other spectrum."""

import json

import numpy as np
import pytest

from mimyria.autotrain.committeespectra import CommitteeSpectra, committee_spectra
from mimyria.correlators import Correlator
from mimyria.errors import SettingsError, ShapeError
from mimyria.spectra import compute_spectra
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

SETTINGS = {"resolution": 200.0, "low": 20.0, "high": 4000.0}


def committee(rng, n_members=3, n_components=3, noise=0.3, lengths=(900, 700)):
    """Members that see the same current and add noise of their own."""
    found = []
    for length in lengths:
        white = rng.normal(size=(length + 8, n_components))
        smooth = (
            sum(white[k : k + length] for k in range(8))
            * np.cos(0.6 * np.arange(length))[:, np.newaxis]
        )
        found.append(
            smooth + noise * rng.normal(size=(n_members, length, n_components))
        )
    return found


def spectra_of(series, observable="ir", **settings):
    return committee_spectra(observable, series, 2.0, name="set", **SETTINGS | settings)


def plain_spectra(series, observable):
    """Those of a single current, in the usual way."""
    unit = (
        DIPOLE_CORRELATION_UNIT
        if observable == "ir"
        else POLARIZABILITY_CORRELATION_UNIT
    )
    correlator = Correlator(series[0].shape[1], 300, 2.0, unit)
    for each in series:
        correlator.push(each)
        correlator.end_segment()
    result = correlator.result()
    pair = (result, None) if observable == "ir" else (None, result)
    return compute_spectra(*pair, volume=1.0, temperature=1.0, resolution=200.0)


@pytest.mark.parametrize(
    ("observable", "kinds"),
    [("ir", ["ir"]), ("raman", ["raman_iso", "raman_vv", "raman_aniso"])],
)
def test_the_spectrum_of_the_mean_is_that_of_the_usual_way(observable, kinds):
    series = committee(
        np.random.default_rng(1), n_components=3 if observable == "ir" else 6
    )
    found = spectra_of(series, observable)
    usual = plain_spectra([each.mean(axis=0) for each in series], observable)
    for kind in kinds:
        mine = found.kinds[kind]
        places = np.searchsorted(usual[kind].wavenumbers, mine.wavenumbers - 1e-9)
        theirs = usual[kind].intensity[places]
        scale = theirs.max() / mine.mean.max()
        np.testing.assert_allclose(mine.mean * scale, theirs, atol=1e-10 * theirs.max())
        if observable == "raman":
            assert scale == pytest.approx(1)


def test_disagreement_is_half_the_spectrum_of_differences():
    series = committee(np.random.default_rng(2))
    found = spectra_of(series).kinds["ir"]
    pairs = [(0, 1), (0, 2), (1, 2)]
    wanted = np.mean(
        [
            spectra_of([np.stack([s[m] - s[n]] * 2) for s in series]).kinds["ir"].mean
            / 2
            for m, n in pairs
        ],
        axis=0,
    )
    np.testing.assert_allclose(
        found.disagreement, wanted, atol=1e-12 * found.mean.max()
    )
    np.testing.assert_allclose(
        found.mean, found.cross + found.disagreement / 3, atol=1e-12 * found.mean.max()
    )


def test_coherence_is_one_without_noise_and_less_where_noise_is():
    rng = np.random.default_rng(3)
    same = spectra_of(committee(rng, noise=0.0)).kinds["ir"]
    np.testing.assert_allclose(same.coherence[same.autos > 1e-3 * same.autos.max()], 1)
    noisy = spectra_of(committee(rng, noise=1.0, lengths=(9000,))).kinds["ir"]
    band = np.argmax(noisy.mean)
    far = noisy.wavenumbers > 3500.0 if noisy.wavenumbers[band] < 3000.0 else (
        noisy.wavenumbers < 500.0
    )  # fmt: skip
    assert noisy.coherence[band] > 0.8
    assert np.abs(noisy.coherence[far]).max() < 0.5


def test_the_cross_spectrum_is_free_of_the_noise_of_the_members():
    rng = np.random.default_rng(4)
    series = committee(rng, n_members=4, noise=1.0, lengths=(20_000,))
    clean = committee(
        np.random.default_rng(4), n_members=4, noise=0.0, lengths=(20_000,)
    )
    found, exact = spectra_of(series).kinds["ir"], spectra_of(clean).kinds["ir"]
    off = {
        name: np.abs(getattr(found, name) - exact.mean).sum() / exact.mean.sum()
        for name in ("autos", "mean", "cross")
    }
    assert off["cross"] < 0.5 * off["mean"] < 0.5 * 0.5 * off["autos"]


def test_a_member_that_leans_shows_it():
    base = committee(np.random.default_rng(5), n_members=1, noise=0.0)
    series = [np.concatenate([1.1 * s, s, 0.9 * s]) for s in base]
    found = spectra_of(series).kinds["ir"]
    np.testing.assert_allclose(
        found.leaning, 0.1 * found.mean, atol=1e-10 * found.mean.max()
    )


def test_statistical_errors_come_from_blocks_once_there_are_enough():
    rng = np.random.default_rng(6)
    short = spectra_of(committee(rng)).kinds["ir"]
    long = spectra_of(committee(rng, lengths=(9000,) * 2)).kinds["ir"]
    assert (short.error_kind, long.error_kind) == ("theory", "blocks")
    assert long.error.sum() / long.mean.sum() < short.error.sum() / short.mean.sum()


def test_spectra_survive_json():
    found = spectra_of(committee(np.random.default_rng(7)))
    again = CommitteeSpectra.from_dict(json.loads(json.dumps(found.as_dict())))
    assert again.as_dict() == found.as_dict()
    np.testing.assert_array_equal(again.kinds["ir"].mean, found.kinds["ir"].mean)


def test_what_is_no_committee_is_refused():
    rng = np.random.default_rng(8)
    with pytest.raises(SettingsError, match="at least one trajectory"):
        spectra_of([])
    with pytest.raises(ShapeError, match="two members or more"):
        spectra_of(committee(rng, n_members=1))
    with pytest.raises(ShapeError, match="needs 6 components"):
        spectra_of(committee(rng), "raman")
