"""Claims of spectral errors against an analytic teacher, and when training stops.

The teachers' tensors are exact, so that the true spectral error of each committee is
known. When to stop was settled before the teacher of pairs, or seeds from 3000 on, were
looked at.
docs/autotrain-judging.md has the tables of benchmarks/autotrain_coverage.py.
"""

import numpy as np
import pytest

from tests.analytic_teacher import (
    KT,
    MASSES,
    R0,
    FlowingCharges,
    Local,
    PolarizableBonds,
    random_liquid,
    thermal_motion,
)
from tests.pair_teacher import (
    InducedDipoles,
    MeckeCharges,
    pair_dipole,
    pair_polarizability,
)
from tests.teacher_cycles import (
    bands_covered,
    course,
    delays,
    over_coverage,
    points_covered,
    share_in_time,
    sweep,
)


@pytest.fixture(scope="module")
def liquid():
    rng = np.random.default_rng(1)
    return thermal_motion(rng, *random_liquid(rng, 4), 2.0 * np.arange(400))


@pytest.fixture(scope="module")
def courses():
    return {
        "ir": [course("ir", seed) for seed in range(2)],
        "raman": [course("raman", 0)],
        "ir of pairs": [course("ir", 2000, teacher="pairs")],
        "raman of pairs": [course("raman", 2000, teacher="pairs")],
    }


def dipole(positions, surroundings):
    """Of one frame, from the same charges as the teacher's."""
    c = Local(positions[np.newaxis])
    x, y, z, (crowd, _) = c.x, c.other_x, c.cosine, c.crowding
    charge = 0.33 + 0.5 * x - 3.0 * x**2 - 0.15 * y + 0.25 * z + 1.5 * x * z
    charge = charge + surroundings * (crowd - 0.6)[..., np.newaxis]
    return (charge[..., np.newaxis] * c.bonds).sum(axis=(0, 1, 2))


def polarizability(positions, surroundings):
    c = Local(positions[np.newaxis])
    x, y, z, (crowd, _) = c.x, c.other_x, c.cosine, c.crowding
    strain = surroundings * (crowd - 0.6)[..., np.newaxis]
    flat = 5 * x + 4 * x**2 + 3 * x * z + 0.6 * y + 0.5 * z
    along = 2.0 + 4.0 * x + 5.0 * x**2 + 0.5 * y + 1.0 * z + 3.0 * strain
    pairs = np.einsum("tnka,tnkb->tnkab", c.units, c.units)
    parts = flat[..., np.newaxis, np.newaxis] * np.eye(3)
    return (parts + along[..., np.newaxis, np.newaxis] * pairs).sum(axis=(0, 1, 2))


@pytest.mark.parametrize(
    ("teacher", "moment", "strength"),
    [
        (FlowingCharges(0.3), dipole, 0.3),
        (PolarizableBonds(0.3), polarizability, 0.3),
        (MeckeCharges(0.1), pair_dipole, 0.1),
        (InducedDipoles(1.0), pair_polarizability, 1.0),
    ],
)
def test_the_tensors_of_a_teacher_are_derivatives(liquid, teacher, moment, strength):
    positions = liquid.positions[7]
    tensors = teacher.tensors(positions[np.newaxis])[0]
    step = 1e-5
    for molecule, atom, axis in np.ndindex(2, 3, 3):
        moved = [positions.copy(), positions.copy()]
        moved[0][molecule, atom, axis] += step
        moved[1][molecule, atom, axis] -= step
        plus, minus = (moment(each, strength) for each in moved)
        np.testing.assert_allclose(
            tensors[molecule, atom][..., axis], (plus - minus) / (2 * step), atol=1e-7
        )


def test_the_liquid_is_in_equilibrium_and_its_velocities_belong_to_its_positions(
    liquid,
):
    kinetic = MASSES[:, np.newaxis] * liquid.velocities**2
    assert kinetic.mean() / KT == pytest.approx(1, abs=0.1)
    central = (liquid.positions[2:] - liquid.positions[:-2]) / 4.0
    off = central - liquid.velocities[1:-1]
    # Differences over 4 fs lose 28 % of a stretch of 3500 cm⁻¹, and hydrogen stretches.
    assert np.abs(off[:, :, 0]).max() < 0.2 * np.abs(liquid.velocities[:, :, 0]).max()
    assert Local(liquid.positions).lengths.mean() == pytest.approx(R0, abs=0.05)


def test_the_claimed_error_covers_the_true_one_in_every_cycle(courses):
    ratios = over_coverage([each for own in courses.values() for each in own])
    assert set(ratios) == {"ir", "raman_iso", "raman_vv", "raman_aniso"}
    for kind, ratio in ratios.items():
        assert ratio.min() >= 1, (kind, ratio)


def test_the_claimed_error_is_worth_more_than_the_bound(courses):
    everything = [*courses["ir"], *courses["raman"]]
    claimed, bound = over_coverage(everything), over_coverage(everything, "bound")
    for kind in ("ir", "raman_iso"):
        assert np.median(claimed[kind]) < 6
        assert np.median(claimed[kind]) < 0.8 * np.median(bound[kind])
        assert (claimed[kind] <= bound[kind] * (1 + 1e-12)).all()


def test_training_stops_within_one_cycle_of_the_first_that_is_good_enough(courses):
    for name, own in courses.items():
        assert share_in_time(delays(own)) == 1, (name, delays(own))
    assert all(isinstance(each, int) for each in delays(courses["ir"]))


def test_the_calibrated_error_is_that_of_the_trajectories(courses):
    found = [
        judgement.claim.epsilon / truth.epsilon["ir"]
        for each in courses["ir"]
        for judgement, truth in zip(each.judgements, each.truths, strict=True)
    ]
    assert np.median(found) == pytest.approx(1, abs=0.2)


IN_TIME = {
    ("bonds", "ir"): 0.9,
    ("bonds", "raman"): 0.9,
    ("pairs", "ir"): 0.75,
    ("pairs", "raman"): 0.65,
}
"""What docs/autotrain-judging.md says of each teacher, and why pairs come late."""


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("observable", ["ir", "raman"])
@pytest.mark.parametrize(("teacher", "seed"), [("bonds", 3000), ("pairs", 2000)])
def test_claims_hold_and_training_stops_in_time_in_twenty_four_other_seeds(
    observable, teacher, seed
):
    courses = [course(observable, seed + k, teacher=teacher) for k in range(24)]
    for kind, ratio in over_coverage(courses).items():
        assert (ratio >= 1).mean() >= 0.95, kind
    # Of VV, most of which is isotropic, bands of its smaller part are not sure.
    judged = courses[0].judgements[0].kind
    assert bands_covered(courses)[judged] >= 0.95
    assert points_covered(courses)[judged] >= 0.95
    at_other_tolerances = delays(sweep(courses))
    assert len(at_other_tolerances) > 24
    for found in (delays(courses), at_other_tolerances):
        assert share_in_time(found) >= IN_TIME[teacher, observable]
