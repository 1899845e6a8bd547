"""kind = "files": finished CP2K runs, found by what their inputs say and nothing else.

tests/golden/cp2k/finished holds real runs of CP2K 2023.1, outputs cut to what is read:
`dft` two configurations of a molecule in a skewed cell without a field and in ±x,
`tight-binding` one, whose inputs have other coordinates and the opposite field.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mimyria.errors import CalculationError, SettingsError
from mimyria.frame import Frame
from mimyria.reference.codes.files import Files, FilesSettings

GOLDEN = Path(__file__).parents[2] / "golden" / "cp2k" / "finished"
FIELDS = np.array([[0.0, 0, 0], [2e-3, 0, 0], [-2e-3, 0, 0]])
SKEWED = np.array([[5, 0, 0], [0.5, 5, 0], [0, -0.3, 5]])
WATER = np.array([[5.1, 0.05, -0.02], [6.057, 0.06, 0.03], [4.86, 0.93, 0.1]])


def frame(positions, cell=SKEWED):
    return Frame(np.array([8, 1, 1]), np.array(positions), cell, None, 0)


@pytest.fixture
def first():
    return frame(WATER)


@pytest.fixture
def second():
    moved = WATER.copy()
    moved[1, 2] += 0.01
    return frame(moved)


def files(folder):
    return Files(FilesSettings(folder))


def forces_of(path):
    rows = path.read_text().split("Element ")[1].splitlines()[1:4]
    return np.array([row.split()[3:] for row in rows], float)


def shuffled(tmp_path):
    """The runs in other folders, in another order."""
    for number, path in enumerate(sorted(GOLDEN.glob("dft/*"), reverse=True)):
        shutil.copytree(path, tmp_path / f"depth{number % 2}" / f"run{number:02d}")
    return tmp_path


def test_runs_are_found_by_coordinates_cell_and_field(tmp_path, first, second):
    code = files(shuffled(tmp_path))
    assert code.version() == "2023.1"
    for name, configuration in (("a", first), ("b", second)):
        code.check(configuration)
        for index, field in enumerate(FIELDS):
            point = code.single_point(configuration, field, tmp_path, None)
            expected = forces_of(GOLDEN / "dft" / f"{name}{index}" / "cp2k.out")
            assert np.array_equal(point.forces, expected)
            assert np.array_equal(point.field, field)
            assert np.abs(point.quantum - SKEWED).max() < 1e-6
    one = code.single_point(first, FIELDS[0], tmp_path, None).forces
    other = code.single_point(second, FIELDS[0], tmp_path, None).forces
    assert np.abs(one - other).max() > 1e-4


def test_tight_binding_is_found_although_its_inputs_are_shifted_and_turned(tmp_path):
    """Its oxygen is drawn along the field, and the moment grows with it."""
    water = frame([[5.1, 5.05, 4.98], [6.057, 5.06, 5.03], [4.86, 5.93, 5.1]],
                  10 * np.eye(3))  # fmt: skip
    code = files(GOLDEN / "tight-binding")
    code.check(water)
    points = [code.single_point(water, field, tmp_path, None) for field in FIELDS]
    assert points[1].dipole[0] > points[0].dipole[0] > points[2].dipole[0]
    apt = (points[1].forces[0, 0] - points[2].forces[0, 0]) / 4e-3
    assert -1 < apt < -0.2
    moved = frame(water.positions, water.cell)
    moved.positions[1, 2] += 1e-4
    with pytest.raises(SettingsError, match="none of the 3 runs"):
        code.check(moved)


def test_tight_binding_runs_whose_field_acts_the_other_way_are_refused(tmp_path):
    """As a version of CP2K would give them that has another sign."""
    for name, other in (("a0", "a0"), ("a1", "a2"), ("a2", "a1")):
        run = tmp_path / name
        run.mkdir()
        shutil.copy(GOLDEN / "tight-binding" / name / "cp2k.inp", run)
        shutil.copy(GOLDEN / "tight-binding" / other / "cp2k.out", run)
    water = frame([[5.1, 5.05, 4.98], [6.057, 5.06, 5.03], [4.86, 5.93, 5.1]],
                  10 * np.eye(3))  # fmt: skip
    with pytest.raises(CalculationError, match="along the field, and must grow"):
        files(tmp_path).single_point(water, FIELDS[1], tmp_path, None)


@pytest.mark.parametrize(
    "change",
    ["position", "swapped", "cell", "elements", "image"],
)
def test_a_run_of_another_configuration_is_never_taken(tmp_path, first, change):
    positions, cell, numbers = WATER.copy(), SKEWED.copy(), np.array([8, 1, 1])
    if change == "position":
        positions[0, 0] += 2e-6
    elif change == "swapped":
        positions[[1, 2]] = positions[[2, 1]]
    elif change == "cell":
        cell = cell.T
    elif change == "elements":
        numbers = np.array([1, 8, 1])
    else:
        positions[0] += cell[0]
    other = Frame(numbers, positions, cell, None, 0)
    code = files(shuffled(tmp_path))
    code.check(first)
    with pytest.raises(SettingsError, match=r"none of the 6 runs .* that are under"):
        code.check(other)
    with pytest.raises(CalculationError, match="of this configuration in this field"):
        code.single_point(other, FIELDS[0], tmp_path, None)


def test_a_field_that_was_not_computed_is_an_error_with_its_reason(tmp_path, first):
    code = files(GOLDEN / "dft")
    with pytest.raises(CalculationError, match="of this configuration in this field"):
        code.single_point(first, np.array([0, 2e-3, 0]), tmp_path, None)
    with pytest.raises(CalculationError, match="of this configuration in this field"):
        code.single_point(first, np.array([2.001e-3, 0, 0]), tmp_path, None)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [("&PERIODIC_EFIELD", "&EFIELD", "no homogeneous periodic field"),
     ("INTENSITY", "DISPLACEMENT_FIELD\n INTENSITY", "is a displacement field D"),
     ("POLARISATION 1.0000000000000000", "POLARISATION", "must have three numbers"),
     ("      O 5.1", "      UNIT bohr\n      O 5.1", "holds 'UNIT', which is no elem"),
     ("PERIODIC XYZ", "ALPHA_BETA_GAMMA 90 80 90", "the cell is given by angles"),
     ("      A 5.0", "      A [bohr] 5.0", "could not convert string to float"),
     ("&COORD\n", "&COORD_OFF\n", "does not close the section")],
)  # fmt: skip
def test_inputs_that_may_mean_something_else_are_left_out(
    tmp_path, first, old, new, reason
):
    shutil.copytree(GOLDEN / "dft" / "a1", tmp_path / "a1")
    path = tmp_path / "a1" / "cp2k.inp"
    text = path.read_text()
    assert old in text
    text = text.replace(old, new)
    if "EFIELD" in new:
        text = text.replace("&END PERIODIC_EFIELD", "&END EFIELD")
    if "DISPLACEMENT" in new:
        text = text.replace("&END EFIELD", "&END PERIODIC_EFIELD")
    path.write_text(text)
    with pytest.raises(SettingsError, match=f"1 others were left out, .*{reason}"):
        files(tmp_path).check(first)
    # What is not understood is no hindrance for the rest.
    shutil.copytree(GOLDEN / "dft" / "a0", tmp_path / "a0")
    code = files(tmp_path)
    code.check(first)
    assert code.single_point(first, FIELDS[0], tmp_path, None).forces.shape == (3, 3)


def test_a_failed_run_counts_only_where_there_is_no_better_one(tmp_path, first):
    for name in ("bad", "worse"):
        shutil.copytree(GOLDEN / "dft" / "a1", tmp_path / name)
        output = tmp_path / name / "cp2k.out"
        output.write_text(output.read_text().replace("PROGRAM ENDED AT", ""))
    code = files(tmp_path)
    with pytest.raises(CalculationError, match=r"bad/cp2k\.out: .* is cut short"):
        code.single_point(first, FIELDS[1], tmp_path, None)
    shutil.copytree(GOLDEN / "dft" / "a1", tmp_path / "good")
    point = files(tmp_path).single_point(first, FIELDS[1], tmp_path, None)
    assert np.array_equal(point.forces, forces_of(GOLDEN / "dft" / "a1" / "cp2k.out"))


def test_two_runs_of_one_point_that_differ_are_not_chosen_from(tmp_path, first):
    for name in ("one", "two"):
        shutil.copytree(GOLDEN / "dft" / "a1", tmp_path / name)
    code = files(tmp_path)
    code.single_point(first, FIELDS[1], tmp_path, None)  # copies are no trouble
    output = tmp_path / "two" / "cp2k.out"
    text = output.read_text()
    assert text.count("-0.1273516841") == 1
    output.write_text(text.replace("-0.1273516841", "-0.1273816841"))
    with pytest.raises(CalculationError, match=r"their forces differ by 3\.0e-05"):
        files(tmp_path).single_point(first, FIELDS[1], tmp_path, None)


def test_a_folder_without_runs_is_an_error_that_says_what_was_looked_for(tmp_path):
    with pytest.raises(SettingsError, match="there is no folder"):
        files(tmp_path / "none").check(frame(WATER))
    with pytest.raises(SettingsError, match=r"no folder with cp2k\.inp and cp2k\.out"):
        files(tmp_path).check(frame(WATER))
