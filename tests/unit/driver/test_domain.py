"""Networks of one process: sums, uncertainty, shares, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mimyria.data.scaling import Scaling
from mimyria.domainsums import domain_sums
from mimyria.errors import ModelError
from mimyria.frame import Frame
from mimyria.models import load_model
from mimyria.models.network import target_irreps
from mimyria.models.sumrule import species_shares
from mimyria.targets import APT, PGT
from mimyria_driver.domain.evaluation import LocalNetworks
from mimyria_driver.domain.ghosts import (
    Ghosts,
    neighbourhood,
    require_known_box,
    require_new_ghosts,
    require_reach,
    require_skin,
)
from mimyria_driver.lammps.engine import HookError
from mimyria_driver.lammps.summing import joined_sums
from tests.random_models import TINY, save_random_model
from tests.subdomains import shared_between

ELEMENTS = ("O", "H", "D")
NUMBERS = np.array([8, 1, 1])


@pytest.fixture
def frame(rng):
    kinds = rng.integers(0, 3, 40)
    cell = np.array([[9.0, 0.0, 0.0], [2.0, 8.5, 0.0], [-1.5, 1.0, 8.0]])
    places, velocities = rng.uniform(size=(40, 3)), rng.normal(size=(40, 3))
    return kinds, Frame(NUMBERS[kinds], places @ cell, cell, 0.01 * velocities, step=4)


def added_up(networks, kinds, frame, processes=(2, 1, 2)):
    """As the driver joins what the processes send; kinds of ghosts by their element."""
    raws = []
    for subdomain, own in shared_between(frame, processes, networks.reach + 1e-9):
        every = np.where(subdomain.numbers == 8, 0, 1)
        every[: len(own)] = kinds[own]
        raws.append(networks.sums(every, subdomain.positions, frame.velocities[own]))
    return joined_sums(raws, 3, frame.step)


def test_processes_add_up_to_the_whole_frame(tmp_path, frame):
    kinds, whole = frame
    apt = save_random_model(tmp_path / "apt.mimyria", whole, (APT,))
    pgt = save_random_model(
        tmp_path / "pgt.mimyria", whole, (PGT,), replace(TINY, cutoff=4.0)
    )
    networks = LocalNetworks([str(apt), str(pgt)], ELEMENTS)
    assert networks.reach == 8.0  # that of the one which looks farther
    summed = added_up(networks, kinds, whole)
    tensors = replace(
        load_model(apt).predict([whole])[0], pgt=load_model(pgt).predict([whole])[0].pgt
    )
    wanted = domain_sums(whole.velocities, kinds, 3, tensors)
    largest = np.abs(wanted.rows).max()
    np.testing.assert_allclose(
        summed.sums.rows, wanted.rows, rtol=0, atol=1e-6 * largest
    )
    assert summed.excess == 0.0


def test_a_committee_says_how_unsure_it_is_of_the_worst_atom(frame):
    kinds, whole = frame
    networks = LocalNetworks(["water-compact-committee"], ELEMENTS)
    summed = added_up(networks, kinds, whole)
    (model,) = networks._models
    ((_, known),) = model.predict_uncertain([whole])
    wanted = max(each.excess for each in known.values())
    assert wanted > 0
    assert summed.excess == pytest.approx(wanted, rel=1e-4)


def test_the_card_tells_models_and_shares(tmp_path, frame):
    _, whole = frame
    path = save_random_model(
        tmp_path / "m.mimyria", whole, (APT, PGT), replace(TINY, sum_rule="project")
    )
    metadata = load_model(path).metadata
    models = LocalNetworks([str(path)], ELEMENTS).models()
    scaling = Scaling.neutral(2, target_irreps((APT, PGT)).dim)
    shares = species_shares(scaling, (APT, PGT), [9, 27])
    for target, column in (("apt", 0), ("pgt", 9)):
        assert models[target]["sha256"] == metadata.sha256
        of_kind = [shares[1, column], shares[0, column], shares[0, column]]
        assert models[target]["shares"] == of_kind
    report = save_random_model(tmp_path / "r.mimyria", whole, (APT,))
    models = LocalNetworks([str(report)], ELEMENTS).models()
    assert list(models) == ["apt"]
    assert models["apt"]["shares"] is None


def test_models_that_one_process_cannot_answer_for_are_refused(
    tmp_path, frame, monkeypatch
):
    path = str(save_random_model(tmp_path / "m.mimyria", frame[1], (APT,)))
    with pytest.raises(ModelError, match="needs the file or name of a model"):
        LocalNetworks([], ELEMENTS)
    with pytest.raises(ModelError, match=r"may have one model, but .* give apt, apt\."):
        LocalNetworks([path, path], ELEMENTS)
    committee = load_model(path)
    settings = replace(committee.metadata.settings, sum_rule="project")
    committee.metadata = replace(committee.metadata, settings=settings, members=2)
    monkeypatch.setattr(
        "mimyria_driver.domain.evaluation.load_model", lambda name: committee
    )
    with pytest.raises(ModelError, match="is a committee that keeps the sum rule"):
        LocalNetworks(["committee"], ELEMENTS)


def test_ghosts_that_reach_too_little_are_refused_with_the_number():
    require_reach(14.0, 12.0, 2.0)
    with pytest.raises(HookError, match=r"must reach 14 Angstrom, but reach 13\.9"):
        require_reach(13.9, 12.0, 2.0)


class Informer:
    """The command `info` of LAMMPS, which writes a text."""

    def __init__(self, text):
        self.text = text

    @property
    def lammps_command(self):
        def command(handle, line):
            words = line.decode().split()
            wanted = ["info", "communication", "fixes", "out", "overwrite"]
            assert words[:5] == wanted
            if self.text is not None:
                with open(words[5], "w") as file:
                    file.write(self.text)

        return command


INFORMATION = """\
Communication mode = single
Communication cutoff = 17.5

Fix information:
Fix[  0]:      a,                style = npt/kk,           group = all
Fix[  1]:      tether,           style = spring/self,      group = walls
"""


def test_lammps_is_asked_for_its_ghosts_and_its_fixes():
    found = neighbourhood(Informer(INFORMATION), 0)
    assert (found.cutoff, found.fixes) == (17.5, ("npt/kk", "spring/self"))
    assert neighbourhood(Informer(None), 0) is None  # a rank that is not the first


def test_fixes_that_leave_ghosts_behind_are_refused():
    require_new_ghosts(["npt", "nve", "spring/self"])
    for style in ("deform", "deform/kk", "press/berendsen"):
        with pytest.raises(HookError, match=f"fix {style} changes the box at the end"):
            require_new_ghosts(["nve", style])
    for style in ("npt", "nph/sphere", "rigid/npt/small", "npt/omp", "balance"):
        require_known_box(["langevin", style])
    with pytest.raises(HookError, match="Define all other fixes before mimyria_domain"):
        require_known_box(["nve", "langevin"])


def test_atoms_that_moved_more_than_half_of_the_skin_are_refused():
    require_skin(1.0, 2.0, box_changes=False)
    require_skin(1.09, 2.0, box_changes=True)
    text = (
        r"moved by 1\.01 Angstrom and more .* skin of 2 Angstrom .* only 1 are allowed"
    )
    with pytest.raises(HookError, match=text):
        require_skin(1.01, 2.0, box_changes=False)


class Subdomain(Ghosts):
    """A rank of 2 x 1 x 1 with the right half of a box."""

    def __init__(self, cell, positions, n_ghosts=0, periodic=(1, 1, 1)):
        self.cell, self.positions = cell, positions
        self.n_ghosts, self.periodic = n_ghosts, periodic
        self.triclinic = bool(np.any(cell - np.diag(np.diag(cell))))

    n_local = property(lambda self: len(self.positions))
    n_all = property(lambda self: self.n_local + self.n_ghosts)

    def box(self):
        return self.cell.ravel().tolist(), [1.0, 2.0, 3.0], self.periodic

    def setting(self, name):
        assert name == "triclinic"
        return int(self.triclinic)

    def _three(self, name):
        place = {"sublo": np.array([0.5, 0, 0]), "subhi": np.ones(3)}[name[:5]]
        if name.endswith("_lambda"):
            return place
        return place * np.diag(self.cell) + [1.0, 2.0, 3.0]

    def _copied(self, name, n_atoms):
        assert (name, n_atoms) == ("x", self.n_local)
        return self.positions


@pytest.mark.parametrize("tilt", [0.0, 3.0])
def test_how_far_atoms_are_outside_is_measured_across_the_faces(rng, tilt):
    cell = np.array([[10.0, 0.0, 0.0], [tilt, 9.0, 0.0], [-tilt, 0.5 * tilt, 8.0]])
    places = rng.uniform(0.05, 0.95, (50, 3))
    places[:, 0] = 0.5 + 0.5 * places[:, 0]
    inside = places @ cell + [1.0, 2.0, 3.0]
    assert Subdomain(cell, inside).outside() == 0.0
    assert Subdomain(cell, inside[:0]).outside() == 0.0
    for axis, side in ((0, 0.5), (1, 0.0), (2, 1.0)):
        one, other = np.delete(cell, axis, axis=0)
        normal = np.cross(one, other)
        normal /= np.linalg.norm(normal) * np.sign(normal @ cell[axis])
        place = places[7].copy()
        place[axis] = side
        at_face = place @ cell + [1.0, 2.0, 3.0]
        moved = inside.copy()
        moved[7] = at_face + (0.3 if side == 1.0 else -0.3) * normal
        assert Subdomain(cell, moved).outside() == pytest.approx(0.3)


def test_a_frame_before_lammps_has_made_ghosts_is_noticed():
    """As after read_restart; an atom far from its images needs none."""
    cell = np.diag([30.0, 30.0, 30.0])
    centre = np.array([[16.0, 17.0, 18.0]])
    assert not Subdomain(cell, centre).lacks_ghosts(14.9)
    assert Subdomain(cell, centre).lacks_ghosts(15.1)
    assert not Subdomain(cell, centre, n_ghosts=1).lacks_ghosts(15.1)
    assert not Subdomain(cell, centre[:0]).lacks_ghosts(15.1)
    assert not Subdomain(cell, centre, periodic=(0, 0, 0)).lacks_ghosts(15.1)


@pytest.mark.parametrize(
    "text",
    [
        "Communication mode = multi\nCommunication cutoff for type 1 = 9\n",
        "Communication mode = multi\nCommunication cutoff = 9\n",
        "something else",
    ],
)
def test_several_communication_cutoffs_are_refused(text):
    with pytest.raises(HookError, match="Use `comm_modify mode single`"):
        neighbourhood(Informer(text), 0)
