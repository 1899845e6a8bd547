"""Polarizability by two routes, and fields that did not act as they should."""

import numpy as np
import pytest

from mimyria.reference import pgt_stencil
from mimyria.reference.response import field_response, polarizability_from_energies
from mimyria.reference.stencils import apt_stencil
from mimyria.units import ANGSTROM_PER_BOHR

FIELDS = pgt_stencil(2e-3)
ALPHA = np.array([[9.0, 0.7, -0.3], [0.7, 8.0, 0.5], [-0.3, 0.5, 11.0]])
MOMENT = np.array([0.4, -0.9, 0.2])  # e a0


def energies(fields, sign=1.0):
    linear = -sign * fields @ MOMENT
    return -17.0 + linear - 0.5 * np.einsum("ka,ab,kb->k", fields, ALPHA, fields)


def dipoles(fields, sign=1.0):
    return ANGSTROM_PER_BOHR * (MOMENT + sign * fields @ ALPHA)


def test_energies_give_the_polarizability():
    found = polarizability_from_energies(FIELDS, energies(FIELDS))
    assert np.abs(found - ALPHA).max() < 1e-7
    assert polarizability_from_energies(apt_stencil(1e-3), np.zeros(6)) is None


def test_a_sound_field_gives_both_alike():
    response = field_response(FIELDS, dipoles(FIELDS), energies(FIELDS), None)
    assert np.abs(response.alpha - ALPHA).max() < 1e-9
    assert response.difference < 1e-7
    assert response.finding == ""


def test_a_moment_on_another_branch_is_the_same():
    cell = np.array([[9.0, 0, 0], [1.5, 8, 0], [-0.7, 1.1, 8]])
    jumps = np.random.default_rng(1).integers(-2, 3, (13, 3)) @ cell
    # The energy contains −M·E with the moment that is printed, as CP2K's does.
    lower = energies(FIELDS) - np.einsum("ka,ka->k", jumps, FIELDS) / ANGSTROM_PER_BOHR
    response = field_response(FIELDS, dipoles(FIELDS) + jumps, lower, cell)
    assert np.abs(response.alpha - ALPHA).max() < 1e-8
    assert response.difference < 1e-6
    assert response.finding == ""


def test_a_field_of_the_opposite_sign_is_noticed():
    response = field_response(FIELDS, dipoles(FIELDS, -1), energies(FIELDS, -1), None)
    assert "the field acted with the opposite sign" in response.finding


def test_a_field_that_is_not_homogeneous_is_noticed():
    """As a sawtooth, through which charge flows: energies say more than moments."""
    odd = energies(FIELDS) - 300.0 * FIELDS[:, 2] ** 2
    response = field_response(FIELDS, dipoles(FIELDS), odd, None)
    assert "did not act as a homogeneous one" in response.finding


@pytest.mark.parametrize("missing", ["dipoles", "energies"])
def test_one_route_alone_says_what_it_can(missing):
    given = {"dipoles": dipoles(FIELDS), "energies": energies(FIELDS), missing: None}
    response = field_response(FIELDS, quantum=None, **given)
    assert (response.alpha is None) is (missing == "dipoles")
    assert (response.alpha_energy is None) is (missing == "energies")
