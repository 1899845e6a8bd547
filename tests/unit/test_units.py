"""Constants against the values of the fact sheets, to all digits given."""

import json

import pytest

from mimyria import units


def test_constants_are_those_of_the_reference_table(peer_fixtures):
    table = json.loads((peer_fixtures / "test_values.json").read_text())["constants"]
    expected = {
        "c_cm_fs": units.SPEED_OF_LIGHT,
        "K_IR_cm1_A3_K_per_e2A2_fs": units.IR_CONSTANT,
        "K_Raman_cm6_K_per_a06_fs": units.RAMAN_CONSTANT,
        "kB_amuA2fs2_K": units.BOLTZMANN,
        "hc_over_kB_cmK": units.HC_OVER_KB,
        "fsum_cm2_A3_amu_per_e2": units.FSUM_CONSTANT,
    }
    for name, value in expected.items():
        assert value == pytest.approx(table[name], rel=1e-12), name


def test_an_atomic_unit_of_velocity_is_as_ase_has_it():
    import ase.units

    factor = units.ANGSTROM_PER_BOHR / units.FS_PER_ATOMIC_TIME
    assert factor == pytest.approx(21.876912622, rel=1e-8)
    assert factor == pytest.approx(
        ase.units.Bohr / ase.units.AUT * ase.units.fs, rel=1e-6
    )


def test_two_femtoseconds_hold_wavenumbers_up_to_8339():
    assert units.nyquist_wavenumber(2.0) == pytest.approx(8339.10, abs=0.01)


def test_a_wavenumber_of_3400_has_a_period_of_ten_femtoseconds():
    period = 2 * 3.141592653589793 / units.angular_frequency(3400.0)
    assert period == pytest.approx(9.8107, abs=1e-4)


def test_the_time_of_ase_is_that_of_ase():
    import ase.units

    assert pytest.approx(1.0 / ase.units.fs, rel=1e-15) == units.FS_PER_ASE_TIME
