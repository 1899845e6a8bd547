"""Campaigns with the real CP2K: liquid water by GFN1-xTB, kills, failures, old runs."""

from __future__ import annotations

import random
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from mimyria.io.extxyz import read_extxyz
from mimyria.reference.codes.cp2k import Cp2k, Cp2kSettings
from mimyria.reference.codes.cp2k.inputfile import read_input
from mimyria.reference.referenceset import read_reference_set
from tests.conftest import SHARED
from tests.integration.reference.conftest import REPOSITORY, Command

pytestmark = pytest.mark.engine

INPUTS = REPOSITORY / "inputs" / "cp2k"
MOLECULE = """3
Lattice="10 0 0 0 10 0 0 0 10" Properties=species:S:1:pos:R:3 pbc="T T T"
O 5.1 5.05 4.98
H 6.057 5.06 5.03
H 4.86 5.93 5.1
"""


@pytest.fixture(scope="module")
def waters(cp2k_program, tmp_path_factory):
    """inputs/cp2k/water-xtb as it ships, planned, run and collected."""
    folder = tmp_path_factory.mktemp("cp2k") / "water-xtb"
    shutil.copytree(INPUTS / "water-xtb", folder)
    reference = Command(folder, timeout=900)
    reference("plan")
    assert "all tasks are done" in reference("run")
    said = reference("collect", "--output", "set.extxyz")
    assert said == "1 configurations in set.extxyz, set.npz, set.md\n"
    return reference


@pytest.mark.timeout(900)
def test_eight_waters_give_both_tensors_that_obey_the_sum_rules(waters):
    (frame,) = read_reference_set(waters.folder / "set.extxyz")
    (stored,) = read_extxyz(waters.folder / "set.extxyz")
    (planned,) = read_extxyz(waters.folder / "water8.extxyz")
    assert np.array_equal(stored.frame.positions, planned.frame.positions)
    assert np.array_equal(stored.frame.cell, planned.frame.cell)
    assert frame.forces.shape == (13, 24, 3)
    apt, pgt = stored.tensors.apt, stored.tensors.pgt
    assert np.abs(apt.sum(axis=0)).max() < 5e-7
    assert np.abs(pgt.sum(axis=0)).max() < 2e-3
    assert np.abs(pgt - pgt.transpose(0, 2, 1, 3)).max() < 1e-12
    assert str(frame.quality().verdict) == "sound"
    oxygen = stored.frame.numbers == 8
    diagonal = np.einsum("iaa->ia", apt)
    assert (diagonal[oxygen] < 0).all()
    assert (diagonal[~oxygen].mean(axis=1) > 0).all()
    response = frame.response()
    assert response.finding == ""
    assert np.linalg.eigvalsh(response.alpha).min() > 0
    assert response.difference < 1e-3  # h is finite: seen 1.1e-4


@pytest.mark.timeout(900)
def test_the_applied_field_is_the_one_that_was_meant(waters):
    """CP2K normalises POLARISATION, and tight binding turns the field round."""
    with np.load(waters.folder / "set.npz") as arrays:
        fields = arrays["0000/fields"]
    tasks = waters.folder / "reference" / "tasks"
    for index, field in enumerate(fields):
        tree = read_input(tasks / "0000" / f"point-{index:02d}" / "cp2k.inp")
        efield = tree.find("FORCE_EVAL", "DFT", "PERIODIC_EFIELD")
        if index == 0:
            assert efield is None
            continue
        intensity = float(efield.get("INTENSITY"))
        direction = np.array(efield.get("POLARISATION").split(), float)
        assert intensity == pytest.approx(2e-3 * np.sqrt(np.count_nonzero(field)))
        applied = -intensity * direction / np.linalg.norm(direction)
        assert np.abs(applied - field).max() < 1e-15


@pytest.mark.timeout(900)
def test_displacements_of_an_oxygen_agree(waters):
    """Six single points: the APT alone, of one atom."""
    said = waters("check", "--configurations", "1", "--tensor", "apt", "--atoms", "0")
    assert "0000 APT: agree" in said


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_displacements_of_two_atoms_agree_to_a_percent(waters):
    """84 single points; the default of the command is an oxygen and a hydrogen."""
    said = waters("check", "--configurations", "1")
    verdicts = [line for line in said.splitlines() if "largest difference" in line]
    assert [line.split(";")[0] for line in verdicts] == [
        "0000 APT: agree",
        "0000 PGT: agree",
    ]
    assert "would not be seen" not in said
    shares = [float(line.split("), ")[1].split(" %")[0]) for line in verdicts]
    assert max(shares) < 0.1  # percent
    # The next data sheet tells of it.
    waters("collect", "--output", "checked.extxyz")
    assert "agree" in (waters.folder / "checked.md").read_text()


@pytest.mark.timeout(900)
def test_finished_runs_are_found_wherever_they_lie(waters, here, refused, tmp_path):
    points = list((waters.folder / "reference" / "tasks" / "0000").glob("point-*"))
    assert len(points) == 13
    random.Random(1).shuffle(points)
    for number, point in enumerate(points):
        run = tmp_path / "old" / f"{number % 3}" / f"job{number}"
        run.mkdir(parents=True)
        for name in ("cp2k.inp", "cp2k.out"):
            shutil.copy(point / name, run / name)
    source = waters.folder / "water8.extxyz"
    shutil.copy(source, tmp_path / "water8.extxyz")
    (tmp_path / "campaign.toml").write_text(
        "[campaign]\nframes = ['water8.extxyz']\n"
        "[code]\nkind = 'files'\nfolder = 'old'\nmethod = 'GFN1-xTB'\n"
    )
    here("plan")
    here("run")
    here("collect", "--output", "set.extxyz")
    (found,) = read_reference_set(tmp_path / "set.extxyz")
    (expected,) = read_reference_set(waters.folder / "set.extxyz")
    assert np.array_equal(found.forces, expected.forces)
    assert np.array_equal(found.dipoles, expected.dipoles)
    assert found.info["code"] == "CP2K 2023.1" or expected.info["code"] != "CP2K 2023.1"
    # One hydrogen a little elsewhere is another configuration.
    text = source.read_text()
    assert text.count("5.9392339999999999") == 1
    (tmp_path / "water8.extxyz").write_text(text.replace("5.93923399", "5.93943399"))
    said = refused(78, "plan")
    assert "none of the 13 runs" in said
    assert "is of this configuration (same atoms in the same order, same cell)." in said


@pytest.fixture
def molecule(cp2k_program, tmp_path):
    """One molecule in a box: a second a point. Writes the campaign with changes."""
    shutil.copy(INPUTS / "water-xtb" / "water.inp", tmp_path)
    (tmp_path / "molecule.extxyz").write_text(MOLECULE)

    def write(code="", campaign="", fields="stencil = 'apt'"):
        (tmp_path / "campaign.toml").write_text(
            f"[campaign]\nframes = ['molecule.extxyz']\n{campaign}\n"
            f"[code]\nkind = 'cp2k'\ninput = 'water.inp'\n{code}\n[fields]\n{fields}\n"
        )

    write()
    return write


def wait_for(path, seconds=120):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.05)


def stamps(folder, name):
    return {path: path.stat().st_mtime_ns for path in folder.rglob(name)}


def test_a_killed_campaign_goes_on_and_no_finished_run_is_done_again(
    molecule, here, tmp_path
):
    here("plan")
    task = tmp_path / "reference" / "tasks" / "0000"
    process = Command(tmp_path).start("run")
    wait_for(task / "point-02" / "point.npz")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finished = stamps(task, "point.npz")
    assert 3 <= len(finished) < 7
    # Killed between the end of CP2K and the note of it: the run is read, not repeated.
    noted, cut = task / "point-01", task / "point-02"
    for point in (noted, cut):
        (point / "point.npz").unlink()
    outputs = stamps(task, "cp2k.out")
    whole = (cut / "cp2k.out").read_bytes()
    (cut / "cp2k.out").write_bytes(whole[: len(whole) // 2])
    here("run")
    after = stamps(task, "cp2k.out")
    assert after[noted / "cp2k.out"] == outputs[noted / "cp2k.out"]
    assert after[cut / "cp2k.out"] > outputs[cut / "cp2k.out"]
    kept = {p: t for p, t in finished.items() if p.parent not in (noted, cut)}
    assert kept.items() <= stamps(task, "point.npz").items()
    assert len(stamps(task, "point.npz")) == 7
    here("collect", "--output", "set.extxyz")
    (frame,) = read_reference_set(tmp_path / "set.extxyz")
    assert np.abs(frame.fit().apt.sum(axis=0)).max() < 5e-7


def test_a_moved_atom_changes_the_moment_more_than_a_field_and_is_no_error(
    molecule, tmp_path
):
    """As `check` computes it: from the wave function of the atoms at rest."""
    code = Cp2k(Cp2kSettings(tmp_path / "water.inp"))
    (at_rest,) = read_extxyz(tmp_path / "molecule.extxyz")
    positions = at_rest.frame.positions.copy()
    positions[1, 2] -= 0.02
    moved = replace(at_rest.frame, positions=positions)
    field = np.array([0, 0, 2e-3])
    folders = [tmp_path / name for name in ("rest", "moved", "field")]
    for folder in folders:
        folder.mkdir()
    rest = code.single_point(at_rest.frame, np.zeros(3), folders[0], None)
    zero = code.single_point(moved, np.zeros(3), folders[1], folders[0])
    in_field = code.single_point(moved, field, folders[2], folders[0])
    assert in_field.dipole[2] < rest.dipole[2]
    assert in_field.dipole[2] > zero.dipole[2]


@pytest.mark.parametrize(
    ("code", "reason"),
    [("command = 'true'", "'true --version' does not say a version of CP2K; is it CP2"),
     ("command = 'no-such-cp2k'", "there is no program 'no-such-cp2k'. Install CP2K"),
     ("timeout = 0.2", "CP2K was ended after 0.2 s (code.timeout) without a result.")],
)  # fmt: skip
def test_a_cp2k_that_gives_nothing_is_a_failed_task_with_its_reason(
    molecule, here, refused, code, reason
):
    molecule(code, "retries = 0")
    here("plan")
    _, err = here("run", code=75)
    (line,) = [line for line in err.splitlines() if line.startswith("0000 failed")]
    assert reason in line
    assert "0 of 1 tasks are done, 1 failed; mimyria reference status says why" in err
    assert reason in here("status")[0]
    said = refused(65, "collect", "--output", "set.extxyz")
    assert f"0000 failed: {line.split('given up: ')[1]}" in said


def test_an_scf_that_does_not_converge_is_a_failed_task(
    molecule, here, refused, tmp_path
):
    molecule(campaign="retries = 0")
    path = tmp_path / "water.inp"
    text = path.read_text()
    path.write_text(
        text.replace("MAX_SCF 30", "MAX_SCF 2").replace("MAX_SCF 10", "MAX_SCF 1")
    )
    here("plan")
    _, err = here("run", code=75)
    reason = "0000 failed: point-00, field (0, 0, 0): the SCF did not converge (4 steps"
    assert reason.replace("failed", "failed, given up") in err
    assert reason in refused(65, "collect", "--output", "set.extxyz")
    # A better input is another campaign; the old one does not take it unseen.
    path.write_text(text)
    assert "the settings of CP2K have changed" in refused(65, "run")


def test_an_input_that_cannot_work_is_refused_before_anything_runs(
    molecule, refused, tmp_path
):
    path = tmp_path / "water.inp"
    text = path.read_text()
    path.write_text(text.replace("EPS_SCF 1.0E-9", "EPS_SCF 1.0E-6"))
    assert "&SCF EPS_SCF must be 1e-07 or below" in refused(78, "plan")
    path.write_text(text.replace("&OT", "&DIAGONALIZATION").replace(
        "&END OT", "&END DIAGONALIZATION"))  # fmt: skip
    assert "&DFT/&SCF must use &OT" in refused(78, "plan")
    path.unlink()
    assert "There is no file" in refused(66, "plan")
    molecule('command = "cp2k.psmp \'"')
    assert "code.command must be a command as in a shell" in refused(78, "plan")
    assert not (tmp_path / "reference").exists()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_stored_dft_forces_are_computed_again(cp2k_program, tmp_path):
    """RPBE by inputs/cp2k/water: zero field, then ±x from its wave function."""
    data = SHARED / "data" / "water16-rpbe"
    if not data.is_dir():
        pytest.skip(f"no reference data at {data}")
    with np.load(data / "fields_and_forces.npz") as arrays:
        number, fields = int(arrays["ids"][0]), arrays["fields"][:3]
        forces = arrays["forces"][0]
    assert not fields[0].any()
    (frame,) = [
        each.frame
        for each in read_extxyz(data / "configurations.extxyz")
        if each.info["id"] == number
    ]
    code = Cp2k(Cp2kSettings(INPUTS / "water" / "water.inp"))
    code.check(frame)
    for index, field in enumerate(fields):
        folder = tmp_path / str(index)
        folder.mkdir()
        guess = tmp_path / "0" if index else None
        point = code.single_point(frame, field, folder, guess)
        assert np.abs(point.forces - forces[index]).max() < 1e-5
