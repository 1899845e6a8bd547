"""Defects of an earlier program that spoil reference data: one test for each.

The oracle is a toy molecule whose dipole moment and polarizability are explicit
functions of the positions. Forces in a field are derivatives of its energy by a complex
step, tensors are derivatives of M and α by the same, so that both routes are exact and
share nothing but the functions.
"""

import subprocess
import sys

import numpy as np
import pytest

from mimyria import Frame, Tensors
from mimyria.errors import FrameError, ShapeError, UnitError
from mimyria.io.extxyz import LabelledFrame, read_extxyz, write_extxyz
from mimyria.reference import (
    RadialDescriptor,
    apt_stencil,
    detect_normalisation,
    field_quality,
    find_outliers,
    fit_tensors,
    pgt_stencil,
)

H = 2e-3
ANGSTROM = 1.8897261246  # bohr; CODATA 2018, written out so that units.py is checked
CHARGES = np.array([0.7, -0.4, -0.5, 0.2])
# Bohr; no symmetry, so that no transposed tensor looks like itself.
POSITIONS = np.array(
    [[0.1, 0.2, -0.3], [1.9, 0.4, 0.6], [-0.8, 2.1, 0.5], [0.3, -0.9, 2.2]]
)


def pairs(r):
    for i in range(len(r)):
        for j in range(i):
            d = r[i] - r[j]
            yield i, j, d, (d * d).sum()


def dipole(r):
    """Σ q r and charges that flow along the bonds; e a0."""
    moment = CHARGES @ r
    for i, j, d, square in pairs(r):
        # The flow along a bond feels a third atom: the APT becomes asymmetric.
        third = r[i] - r[(i + 1) % len(r)]
        flow = np.exp(-0.2 * square) * (
            1.0 + 2.0 * np.exp(-0.1 * (third * third).sum())
        )
        moment = moment + (0.3 + 0.2 * i - 0.1 * j) * flow * d
    return moment


def polarizability(r):
    """A sphere and a cigar for every bond; a0³."""
    alpha = np.zeros((3, 3), dtype=r.dtype)
    for i, j, d, square in pairs(r):
        size = (5.0 + i + 0.5 * j) * np.exp(-0.15 * square)
        alpha = alpha + size * (np.eye(3) + 1.5 * np.outer(d, d) / square)
    return alpha


def derivative(function, r, step=1e-30):
    """(..., n_atoms, 3) — to the last bit, for functions without |·|."""
    columns = []
    for index in np.ndindex(r.shape):
        shifted = r.astype(complex)
        shifted[index] += 1j * step
        columns.append(np.imag(function(shifted)) / step)
    return np.moveaxis(np.array(columns).reshape(*r.shape, *np.shape(columns[0])),
                       (0, 1), (-2, -1))  # fmt: skip


def forces_in(fields):
    """−∂/∂r of E0 − M·E − E·α·E/2, one field after the other; Eh/a0."""

    def energy(r, field):
        repulsion = sum(np.exp(-0.7 * square) for *_, square in pairs(r))
        M, alpha = dipole(r), polarizability(r)
        return 0.4 * repulsion - field @ M - 0.5 * field @ alpha @ field

    return np.stack(
        [-derivative(lambda r, E=field: energy(r, E), POSITIONS) for field in fields]
    )


def displaced():
    """Tensors by displacement of the atoms, in Å: apt[i, a, b], pgt[i, a, b, c]."""
    r = POSITIONS / ANGSTROM
    apt = derivative(lambda x: dipole(x * ANGSTROM) / ANGSTROM, r)
    pgt = derivative(lambda x: polarizability(x * ANGSTROM), r)
    return np.moveaxis(apt, 1, 0), np.moveaxis(pgt, 2, 0)


def fitted(fields=None, applied=None):
    fields = pgt_stencil(H) if fields is None else fields
    forces = forces_in(fields if applied is None else applied)
    return fields, forces, fit_tensors(fields, forces)


def test_d1_tensors_rotate_with_the_positions_they_are_stored_with():
    """Tensors beside the positions of another frame break the rule of rotation.

    X = Σ_i P_i[a, b] ε_bde r_ie = ε_ade M_e of a molecule is antisymmetric, whatever M.
    """
    levi = np.zeros((3, 3, 3))
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        levi[a, b, c], levi[b, a, c] = 1.0, -1.0
    _, _, fit = fitted()
    turned = np.einsum("iab,bde,ie->ad", fit.apt, levi, POSITIONS)
    assert np.abs(turned + turned.T).max() < 1e-9
    moment = np.einsum("ade,e->ad", levi, dipole(POSITIONS))
    assert np.abs(turned - moment).max() < 1e-9
    other = POSITIONS + 0.3 * np.random.default_rng(1).normal(size=(4, 3))
    turned = np.einsum("iab,bde,ie->ad", fit.apt, levi, other)
    assert np.abs(turned + turned.T).max() > 0.1


def test_d4_the_pgt_is_per_angstrom():
    _, _, fit = fitted()
    _, pgt = displaced()
    assert np.abs(fit.pgt - pgt).max() < 1e-6
    assert np.abs(fit.pgt / 1.88973 - pgt).max() > 1.0  # without the factor
    assert np.abs(fit.pgt * 1.88973 - pgt).max() > 1.0  # with it twice


def test_d4_a_file_says_its_unit_and_a_reader_asks_for_it(tmp_path):
    _, _, fit = fitted()
    path = tmp_path / "set.extxyz"
    frame = Frame(np.array([8, 1, 1, 6]), POSITIONS / ANGSTROM, np.zeros((3, 3)),
                  None, 0, pbc=(False,) * 3)  # fmt: skip
    write_extxyz(path, [LabelledFrame(frame, Tensors(fit.apt, fit.pgt))])
    (read,) = read_extxyz(path)
    np.testing.assert_array_equal(read.tensors.pgt, fit.pgt)
    unit = 'pgt_unit="e^2 a0^2 Eh^-1 Angstrom^-1"'
    text = path.read_text()
    assert unit in text
    path.write_text(text.replace(unit, 'pgt_unit="e^2 a0^2 Eh^-1 a0^-1"'))
    (read,) = read_extxyz(path)
    assert np.abs(read.tensors.pgt - ANGSTROM * fit.pgt).max() < 1e-6
    path.write_text(text.replace(unit, ""))
    with pytest.raises(UnitError, match="pgt_unit must be one of"):
        next(read_extxyz(path))


@pytest.mark.parametrize("fields", [apt_stencil(H), pgt_stencil(H)], ids=["6", "13"])
def test_d5_both_routes_give_one_order_of_indices(fields):
    _, _, fit = fitted(fields)
    apt, pgt = displaced()
    assert np.abs(fit.apt - apt).max() < 1e-9
    assert np.abs(fit.apt.transpose(0, 2, 1) - apt).max() > 0.1
    if fit.pgt is not None:
        assert np.abs(fit.pgt - pgt).max() < 1e-6
        for axes in ((0, 3, 1, 2), (0, 1, 3, 2)):
            assert np.abs(fit.pgt.transpose(axes) - pgt).max() > 0.1


def test_d5_a_transposed_apt_in_a_file_must_say_so(tmp_path):
    _, _, fit = fitted(apt_stencil(H))
    frame = Frame(np.array([8, 1, 1, 6]), POSITIONS / ANGSTROM, np.zeros((3, 3)),
                  None, 0, pbc=(False,) * 3)  # fmt: skip
    path = tmp_path / "set.extxyz"
    transposed = Tensors(np.ascontiguousarray(fit.apt.transpose(0, 2, 1)))
    write_extxyz(path, [LabelledFrame(frame, transposed)])
    text = path.read_text()
    path.write_text(text.replace('apt_order="dM_a/dr_b"', 'apt_order="dM_b/dr_a"'))
    (read,) = read_extxyz(path)
    np.testing.assert_array_equal(read.tensors.apt, fit.apt)
    path.write_text(text.replace('apt_order="dM_a/dr_b"', ""))
    with pytest.raises(UnitError, match="apt_order must be one of"):
        next(read_extxyz(path))


def normalised(fields):
    """What a program makes of vectors whose direction it normalises to length H."""
    lengths = np.linalg.norm(fields, axis=1, keepdims=True)
    return np.where(lengths > 0, H * fields / np.where(lengths > 0, lengths, 1), 0)


@pytest.mark.parametrize("program", ["components", "normalises"])
@pytest.mark.parametrize("belief", ["components", "normalises"])
def test_normalised_and_component_fields_are_not_mixed_up(program, belief):
    """The earlier program had the two formulas under each other's name."""
    kinds = {"components": pgt_stencil(H), "normalises": normalised(pgt_stencil(H))}
    _, _, exact = fitted()
    fields, forces, fit = fitted(kinds[belief], kinds[program])
    found = detect_normalisation(fields, forces)
    verdict = field_quality(fields, forces, fit, CHARGES.sum()).verdict
    off_diagonal = np.abs(fit.pgt - exact.pgt)[:, [0, 0, 1], [1, 2, 2]].max()
    if program == belief:
        assert found.verdict == "consistent"
        assert found.ratios == pytest.approx([1.0] * 3, abs=1e-6)
        assert off_diagonal < 1e-6
        assert verdict.level == "sound"
    else:
        name, ratio = (
            ("shorter", 0.5**0.5) if program == "normalises" else ("longer", 2.0**0.5)
        )
        assert found.verdict == name
        assert found.ratios == pytest.approx([ratio] * 3, abs=1e-5)
        assert off_diagonal > 1.0
        assert verdict.level == "wrong"
        assert "correct the vectors, the forces are good" in verdict.findings[0]


def test_d2_d9_neighbours_are_right_in_any_cell():
    """Skewed cells, and cutoffs beyond half the box, for the choice of frames."""
    rng = np.random.default_rng(2)
    cell = np.array([[4.0, 0.0, 0.0], [3.5, 3.0, 0.0], [-2.0, 2.5, 3.5]])
    positions = rng.uniform(0, 1, (5, 3)) @ cell
    numbers = np.array([8, 1, 1, 8, 1])
    descriptor = RadialDescriptor((1, 8), cutoff=7.0)
    small = descriptor.of(Frame(numbers, positions, cell, None, 0))
    shifts = np.array(list(np.ndindex(3, 3, 3))) @ cell
    repeated = Frame(
        np.tile(numbers, 27),
        (positions + shifts[:, np.newaxis]).reshape(-1, 3),
        3 * cell,
        None,
        0,
    )
    np.testing.assert_allclose(descriptor.of(repeated), small, atol=1e-10)
    nearest_only = Frame(numbers, positions, cell, None, 0, pbc=(False,) * 3)
    assert np.abs(descriptor.of(nearest_only) - small).max() > 0.1


def test_d10_a_periodic_frame_without_a_cell_is_refused():
    frame = Frame(np.array([8]), np.zeros((1, 3)), np.zeros((3, 3)), None, 7)
    with pytest.raises(FrameError, match=r"step 7: .* cell has no volume"):
        RadialDescriptor((8,)).of(frame)


def test_d12_one_failed_point_costs_its_frame_alone():
    """What did not end is refused by name; the quality of the others is untouched."""
    fields, forces, _ = fitted()
    rng = np.random.default_rng(3)
    noisy = [forces + 1e-9 * rng.normal(size=forces.shape) for _ in range(8)]
    noisy[2][9] = noisy[2][0]  # a point that never saw its field
    noisy[5][4] = np.nan  # a point that never ended
    with pytest.raises(ShapeError, match="a calculation has failed"):
        fit_tensors(fields, noisy[5])
    found = {
        number: field_quality(
            fields, values, fit_tensors(fields, values), CHARGES.sum()
        )
        for number, values in enumerate(noisy)
        if number != 5
    }
    levels = {number: quality.verdict.level for number, quality in found.items()}
    assert levels.pop(2) == "wrong"
    assert set(levels.values()) == {"sound"}
    assert set(levels) == {0, 1, 3, 4, 6, 7}
    places = {outlier.frame for outlier in find_outliers(list(found.values()))}
    assert places == {2}


def test_d13_a_choice_is_the_same_in_every_process():
    program = (
        "import numpy as np; from mimyria import Frame; "
        "from mimyria.reference import SelectionSettings, select_frames\n"
        "rng = np.random.default_rng(0); Z = np.array([17, 8, 1, 6, 11])\n"
        "frames = [Frame(Z, rng.uniform(0, 5, (5, 3)), 5 * np.eye(3), None, i) "
        "for i in range(25)]\n"
        "for method in ('random', 'farthest'):\n"
        "    s = SelectionSettings(method=method, count=8, pool=20, seed=3)\n"
        "    print(method, [place for place, _ in select_frames(frames, s)])"
    )
    printed = set()
    for seed in ("2", "99"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True,
            text=True, check=True, timeout=200,
        )  # fmt: skip
        printed.add(done.stdout)
    assert len(printed) == 1
    assert "random [" in printed.pop()


def test_d14_the_sum_rules_are_held_and_a_lost_atom_is_noticed():
    fields, forces, fit = fitted()
    found = field_quality(fields, forces, fit, CHARGES.sum())
    assert found.apt_sum < 1e-9
    assert found.pgt_sum < 1e-6
    assert found.net_force < 1e-12
    lost = forces[:, :3]
    found = field_quality(fields, lost, fit_tensors(fields, lost), CHARGES.sum())
    assert found.verdict.level == "suspicious"
    assert "the sum rule of the APT is missed" in str(found.verdict)
    assert "the sum rule of the PGT is missed" in str(found.verdict)
