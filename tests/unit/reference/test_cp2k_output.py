"""CP2K's output: what a run really printed, and all that must not be believed."""

import re
from pathlib import Path

import numpy as np
import pytest

from mimyria.errors import CalculationError
from mimyria.reference.codes.cp2k.output import read_output, version_in
from mimyria.units import ANGSTROM_PER_BOHR

GOLDEN = Path(__file__).parents[2] / "golden" / "cp2k"
CONVERGED = GOLDEN / "converged-2023.1.out"


def as_of_2025(text):
    """The same numbers in the layout that CP2K prints since 2025."""
    text = re.sub(
        r"energy \[a\.u\.\]:\s+(\S+)", r"energy [hartree]              \1", text
    )
    head, rest = text.split(" ATOMIC FORCES in [a.u.]\n")
    rows = [line.split() for line in rest.splitlines()[2:5]]
    lines = [
        " FORCES| Atomic forces [hartree/bohr]",
        " FORCES|   Atom     x               y               z               |f|",
    ]
    for row in rows:
        x, y, z = map(float, row[3:])
        length = np.linalg.norm([x, y, z])
        lines.append(
            f" FORCES| {row[0]:>6} {x: .10E} {y: .10E} {z: .10E} {length: .8E}"
        )
    lines.append(" FORCES| Sum    1.0E-04 1.0E-04 1.0E-04")
    return head + "\n".join(lines) + "\n\n" + "\n".join(rest.splitlines()[6:])


def written(tmp_path, text):
    path = tmp_path / "cp2k.out"
    path.write_text(text)
    return path


def test_a_converged_run_gives_all_its_numbers():
    result = read_output(CONVERGED, 3)
    assert result.version == "2023.1"
    assert result.energy == -17.133576291843333
    assert result.forces.shape == (3, 3)
    printed = re.findall(r"^ +\d +\d +[OH] +(.*)$", CONVERGED.read_text().split(
        "ATOMIC FORCES")[1], flags=re.MULTILINE)  # fmt: skip
    assert result.forces.tolist() == [
        [float(x) for x in row.split()] for row in printed
    ]


def test_dipole_moment_and_quantum_are_in_e_angstrom_and_rows_are_lattice_vectors():
    """A skewed cell: a transposed quantum would be seen."""
    result = read_output(CONVERGED, 3)
    cell = np.array([[5, 0, 0], [0.5, 5, 0], [0, -0.3, 5]])
    assert np.abs(result.quantum - cell).max() < 1e-6
    assert np.linalg.norm(result.dipole) == pytest.approx(0.515, abs=5e-3)


def test_the_layout_of_2025_gives_the_same_numbers(tmp_path):
    old = read_output(CONVERGED, 3)
    new = read_output(written(tmp_path, as_of_2025(CONVERGED.read_text())), 3)
    assert np.abs(new.forces - old.forces).max() < 1e-12
    assert new.energy == old.energy


def test_tight_binding_prints_its_moment_in_another_way():
    result = read_output(GOLDEN / "tight-binding-2023.1.out", 3)
    assert result.dipole == pytest.approx([0, 0, 0.74535487 * ANGSTROM_PER_BOHR])
    assert result.quantum is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [("not-converged-2023.1.out", r"SCF did not converge \(4 steps in all\)"),
     ("aborted-2023.1.out", r"CP2K aborted: The requested atomic potential "
      r"<GTH-PBE-q7> for element <O> was not found in the potential file")],
)  # fmt: skip
def test_a_run_that_failed_is_an_error_with_its_reason(name, reason):
    with pytest.raises(CalculationError, match=reason) as caught:
        read_output(GOLDEN / name, 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.97])
def test_an_output_that_was_cut_anywhere_is_an_error(tmp_path, share):
    text = CONVERGED.read_text()
    path = written(tmp_path, text[: int(share * text.index("PROGRAM ENDED AT"))])
    with pytest.raises(CalculationError, match="cut short; its last line is"):
        read_output(path, 3)


@pytest.mark.parametrize(
    ("pattern", "substitute", "reason"),
    [(r"SCF run converged in", "", "does not say that the SCF converged"),
     (r"ATOMIC FORCES in", "", "holds no forces"),
     (r"ENERGY\|", "", "holds no total energy"),
     (r"\n +3 +2 +H  .*(?=\n SUM)", "", "forces of 2 atoms instead of 3"),
     (r"\n +2 +2 +H  .*(?=\n.*\n SUM)", "", "not in order: atom 3 stands at place 2"),
     (r"(\n +3 +2 +H +)\S+(?=.*\n SUM)", r"\1*********", "of 2 atoms instead of 3")],
)  # fmt: skip
def test_a_missing_number_is_an_error(tmp_path, pattern, substitute, reason):
    text, changes = re.subn(pattern, substitute, CONVERGED.read_text())
    assert changes == 1
    with pytest.raises(CalculationError, match=reason):
        read_output(written(tmp_path, text), 3)


def test_more_forces_than_atoms_are_an_error():
    with pytest.raises(CalculationError, match="forces of 3 atoms instead of 2"):
        read_output(CONVERGED, 2)


def test_no_output_at_all_is_an_error(tmp_path):
    with pytest.raises(CalculationError, match=r"wrote no output cp2k\.out"):
        read_output(tmp_path / "cp2k.out", 3)


def test_the_version_is_found_in_outputs_and_in_what_the_program_says():
    assert version_in(CONVERGED.read_text()) == "2023.1"
    assert version_in(" CP2K version 2026.1 (Development Version)\n") == "2026.1"
    assert version_in("cp: missing operand") is None
