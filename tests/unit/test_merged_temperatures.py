"""Runs that are merged are of one temperature, by what was measured in them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from mimyria.diagnostics import Diagnostic
from mimyria.kinetics import kinetic_temperature
from mimyria.merging import compare_temperatures, measured_temperatures, merge_results
from mimyria.merging.temperatures import Measured
from mimyria.units import BOLTZMANN
from tests.unit.test_merging import result

T = 300.0
DROPLET = 24  # atoms
LIQUID = 1536


def measured(temperatures, n_atoms, errors=math.nan):
    errors = np.broadcast_to(errors, np.shape(temperatures))
    return [
        Measured(f"run {k}", float(t), float(e), 3 * n_atoms - 3)
        for k, (t, e) in enumerate(zip(temperatures, errors, strict=True))
    ]


def verdict(*arguments):
    return compare_temperatures(measured(*arguments)).verdict


@pytest.mark.parametrize("n_atoms", [3, DROPLET])
def test_single_frames_of_one_temperature_are_never_wrong(n_atoms):
    """Frames scatter more than any mean of them: 2000 times 16, of Maxwell's law."""
    rng = np.random.default_rng(1)
    masses = np.resize([15.999, 1.008, 1.008], n_atoms)
    spread = np.sqrt(BOLTZMANN * T / masses)[:, None]

    def frame():
        velocities = spread * rng.normal(size=(n_atoms, 3))
        velocities -= masses @ velocities / masses.sum()
        return kinetic_temperature(masses, velocities)

    temperatures = np.array([frame() for _ in range(32000)]).reshape(2000, 16)
    assert np.std(temperatures) / T == pytest.approx(
        math.sqrt(2 / (3 * n_atoms - 3)), rel=0.03
    )
    wrong = sum(verdict(each, n_atoms) == "wrong" for each in temperatures)
    assert wrong <= 2  # 0.2 are expected


def test_runs_of_oscillators_that_keep_their_energies_are_at_most_looked_at():
    """NVE: each has half its energy as kinetic one, and keeps it for ever."""
    rng = np.random.default_rng(2)
    freedom = 3 * DROPLET - 3
    energies = rng.gamma(freedom, BOLTZMANN * T, size=(2000, 16))
    temperatures = energies / (freedom * BOLTZMANN)
    found = {verdict(each, DROPLET, 0.1) for each in temperatures}
    assert found == {"look"}


@pytest.mark.parametrize("n_runs", [2, 16, 1000])
def test_errors_of_equal_runs_are_never_looked_at(n_runs):
    rng = np.random.default_rng(3)
    errors = 20.0 * np.ones(n_runs)
    found = {
        verdict(T + errors * rng.normal(size=n_runs), DROPLET, errors)
        for _ in range(200)
    }
    assert found == {"ok"}


@pytest.mark.parametrize(
    ("temperatures", "n_atoms", "expected"),
    [
        ([300, 390], LIQUID, "wrong"),
        (np.geomspace(300, 450, 8), 192, "wrong"),
        ([300, 390], DROPLET, "look"),  # as NVE may
        ([300, 308], LIQUID, "ok"),  # 3 % are not worth a word
        ([300, 900], DROPLET, "wrong"),
    ],
)
def test_temperatures_of_replica_exchange_are_told_apart(
    temperatures, n_atoms, expected
):
    found = compare_temperatures(measured(temperatures, n_atoms, 0.5))
    assert found.verdict == expected
    assert found.value == pytest.approx(temperatures[-1] - temperatures[0])
    assert found.error == pytest.approx(math.sqrt(0.5))
    if expected != "ok":
        last = len(temperatures) - 1
        assert f"run {last} has had {temperatures[-1]:.4g} K and" in found.sentence


def test_limit_of_the_ensemble_is_that_of_normal_cube_roots():
    """Two runs: S has one degree of freedom, so its root is a normal number."""
    freedom = 3 * LIQUID - 3
    scatter = math.sqrt(2 / (9 * freedom))
    limit = ndtri(1 - 0.5e-4) * math.sqrt(2) * scatter  # of a difference
    for factor, expected in ((0.999, "ok"), (1.001, "wrong")):
        roots = np.array([1 - factor * limit / 2, 1 + factor * limit / 2])
        assert verdict(T * roots**3, LIQUID) == expected


def test_runs_of_unknown_error_are_compared_by_the_ensemble_alone():
    assert verdict([300, 390], DROPLET) == "ok"
    one = measured([300, 310, 390], DROPLET, [1.0, 1.0, math.nan])
    found = compare_temperatures(one)
    assert found.value == pytest.approx(10.0)  # of those that are known
    assert compare_temperatures(one[:1]) is None


def test_merging_says_it_whatever_temperature_the_settings_give():
    rng = np.random.default_rng(4)

    def run_at(kinetic, atoms=LIQUID):
        check = Diagnostic("temperature O", kinetic, 300.0, 0.5, "ok", "")
        one = result([rng.normal(size=(1000, 9))], atoms=atoms)
        provenance = {**one.provenance, "kinetic_temperature": kinetic}
        return replace(one, provenance=provenance, diagnostics=(check,))

    runs = [run_at(301.0), run_at(389.0)]
    names = ["a", "b"]
    errors = [each.error for each in measured_temperatures(runs, names)]
    assert errors == pytest.approx([0.5, 0.5])
    merged = merge_results(runs, names)
    assert merged.result.diagnostics[0].verdict == "wrong"
    assert "b has had 389 K and a 301 K, more than runs" in merged.notices[0]
    merged = merge_results([run_at(301.0), run_at(302.0)], names)
    assert (merged.result.diagnostics[0].verdict, merged.notices) == ("ok", ())
