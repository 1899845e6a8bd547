"""Frames of ring polymers: the mean over the beads, and everywhere that they travel."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimyria.contributions import Layout, Sample
from mimyria.currents import Currents
from mimyria.errors import FrameError, IncompatibleError, ShapeError
from mimyria.frame import Beads, Frame
from mimyria.groups import group_atoms
from mimyria.io import read_extxyz
from mimyria.ringpolymer import bead_frames, ring_polymer
from mimyria.sumrules import SumRules
from mimyria.targets import APT, PGT
from mimyria.tensors import Tensors
from mimyria.units import BOLTZMANN
from mimyria_driver import checks
from mimyria_driver.evaluator import messages
from mimyria_driver.evaluator.evaluation import Evaluation, NotFinite, NotRepeated
from mimyria_driver.identity import Identity, pack_header, read_header
from mimyria_driver.journal import Journal
from mimyria_driver.lammps.session import Session
from mimyria_driver.pending import Pending
from mimyria_driver.quarantine import quarantine
from mimyria_driver.runcard import RunCard, pack_card, unpack_card
from mimyria_driver.sequence import Place
from mimyria_driver.setaside import SetAside
from mimyria_driver.sources import RunDescription
from mimyria_driver.wire import (
    Kind,
    Message,
    WireError,
    decode,
    encode,
    pack_box,
)

NUMBERS = np.array([8, 1, 1, 8, 1, 1])
MASSES = np.where(NUMBERS == 8, 15.999, 1.008)
SYMBOLS = ["O" if number == 8 else "H" for number in NUMBERS]
GROUPING = group_atoms(["a", "a", "b", "b", "c", "c"], SYMBOLS, MASSES)
CELL = np.array([[9.0, 0.0, 0.0], [1.0, 8.0, 0.0], [-0.5, 0.3, 7.0]])
N_BEADS = 4


def polymer(seed=0, step=12, n_beads=N_BEADS, scale=0.2):
    rng = np.random.default_rng(seed)
    middle = rng.uniform(size=(6, 3)) @ CELL
    beads = Beads(
        middle + rng.normal(scale=scale, size=(n_beads, 6, 3)),
        rng.normal(scale=0.03, size=(n_beads, 6, 3)),
    )
    return ring_polymer(NUMBERS, beads, CELL, step)


class Curved:
    """Tensors that depend on the positions, as formulas; frames are counted."""

    class metadata:  # noqa: N801 - stands for a description
        name, targets, species, sha256 = "curved", (APT, PGT), None, "0" * 64

    def __init__(self, spoil=None):
        self.asked = []
        self.spoil = spoil

    @staticmethod
    def tensors(x):
        outer = x[:, :, None] * x[:, None, :]
        apt = np.sin(outer) + 0.3 * np.eye(3)
        pgt = outer[:, :, :, None] * np.cos(x)[:, None, None, :]
        return Tensors(apt, 0.5 * (pgt + pgt.swapaxes(1, 2)))

    def predict(self, frames):
        found = [self.tensors(frame.positions) for frame in frames]
        for frame, tensors in zip(frames, found, strict=True):
            if self.spoil is not None:
                self.spoil(frame, tensors, len(self.asked))
            self.asked.append((frame.step, frame.replica))
        return found


def evaluation(source, grouping=GROUPING):
    made = Evaluation({"apt": source, "pgt": source}, "cpu", lambda text: None)
    made.grouping = grouping
    return made


def by_hand(frame):
    """Plain loops over beads and atoms."""
    dipole, alpha = np.zeros(3), np.zeros((3, 3))
    for x, v in zip(frame.beads.positions, frame.beads.velocities, strict=True):
        tensors = Curved.tensors(x)
        for atom in range(len(NUMBERS)):
            dipole += tensors.apt[atom] @ v[atom] / len(frame.beads)
            alpha += tensors.pgt[atom] @ v[atom] / len(frame.beads)
    return dipole, alpha


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_beads=st.integers(1, 6))
def test_the_sample_is_the_mean_over_the_beads(seed, n_beads):
    frames = [polymer(seed, step, n_beads) for step in (0, 4)]
    source = Curved()
    samples = evaluation(source).samples(frames)
    # One batch, in which each bead has its own neighbour list.
    assert source.asked == [(s, b) for s in (0, 4) for b in range(n_beads)]
    for frame, sample in zip(frames, samples, strict=True):
        dipole, alpha = by_hand(frame)
        np.testing.assert_allclose(sample.currents.dipole, dipole, atol=1e-13)
        wanted = alpha[(0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)]
        size = np.abs(Curved.tensors(frame.beads.positions[0]).pgt).max()
        np.testing.assert_allclose(
            sample.currents.polarizability, wanted, atol=1e-13 * size
        )


def test_constant_tensors_give_the_current_of_the_centroid():
    frame = polymer()
    apt = np.random.default_rng(8).normal(size=(6, 3, 3))

    class Constant(Curved):
        def predict(self, frames):
            return [Tensors(apt) for _ in frames]

    made = Evaluation({"apt": Constant()}, "cpu", lambda text: None)
    (sample,) = made.samples([frame])
    wanted = np.einsum("iab,ib->a", apt, frame.velocities)
    np.testing.assert_allclose(sample.currents.dipole, wanted, atol=1e-15)


def test_parts_of_groups_add_up_to_the_mean_and_kinetic_energies_are_the_centroid_s():
    frame = polymer()
    (sample,) = evaluation(Curved()).samples([frame])
    layout, rows = Layout.of(GROUPING), sample.contributions[np.newaxis]
    total = layout.currents(rows)[0].sum(axis=0)
    np.testing.assert_allclose(total[:3], sample.currents.dipole, atol=1e-13)
    np.testing.assert_allclose(
        total[3:], sample.currents.polarizability, rtol=1e-11, atol=1e-11
    )
    doubled = MASSES * (frame.velocities**2).sum(axis=1)
    for row, atoms in zip(layout.sums(rows)[0], GROUPING.members, strict=True):
        assert row[0] == pytest.approx(doubled[atoms].sum(), rel=1e-14)


def test_the_f_sum_rule_holds_for_thermal_beads():
    """Beads move as at P times the temperature; the mean of them obeys the rule."""
    rng, temperature = np.random.default_rng(4), 300.0
    spread = np.sqrt(BOLTZMANN * temperature * N_BEADS / MASSES)[:, None]
    rules, made = SumRules(GROUPING), evaluation(Curved())
    for step in range(1500):
        beads = Beads(
            rng.normal(size=(N_BEADS, 6, 3)),
            spread * rng.normal(size=(N_BEADS, 6, 3)),
        )
        (sample,) = made.samples([ring_polymer(NUMBERS, beads, CELL, step)])
        rules.push(
            sample.currents.dipole[None],
            sample.currents.polarizability[None],
            sample.contributions[None],
        )
    found = {each.name: each for each in rules.diagnostics(temperature)}
    for name in ("f-sum dipole", "f-sum Raman full", "f-sum dipole H"):
        assert abs(found[name].value - 1.0) < 4 * found[name].error < 0.3
    for symbol in ("O", "H"):
        one = found[f"temperature {symbol}"]
        assert abs(one.value - temperature) < 4 * one.error < 60.0


def test_the_centroid_of_beads_that_were_wrapped_one_by_one_is_among_them():
    frame = polymer(scale=0.05)
    jumps = np.random.default_rng(2).integers(-1, 2, size=(N_BEADS, 6, 3))
    jumps[0] = 0
    wrapped = Beads(frame.beads.positions + jumps @ CELL, frame.beads.velocities)
    found = ring_polymer(NUMBERS, wrapped, CELL, 0)
    np.testing.assert_allclose(found.positions, frame.positions, atol=1e-13)


# -- bad beads ------------------------------------------------------------------------


def test_one_bead_that_is_not_finite_spoils_its_step_alone():
    def spoil(frame, tensors, number):
        if (frame.step, frame.replica) == (4, 2):
            tensors.apt[1, 0, 0] = np.nan

    made = evaluation(Curved(spoil))
    frames = [polymer(step, step) for step in (0, 4, 8)]
    with pytest.raises(NotFinite, match="bead 2: the apt model gave numbers") as caught:
        made.samples(frames)
    (before,) = caught.value.before
    np.testing.assert_allclose(before.currents.dipole, by_hand(frames[0])[0])


def test_one_bead_that_comes_out_otherwise_makes_the_batch_another_one():
    def spoil(frame, tensors, number):
        if frame.replica == 3 and number >= 4:
            tensors.apt[1, 0, 0] *= 1.5

    with pytest.raises(NotRepeated, match="step 12 gave other numbers"):
        evaluation(Curved(spoil)).samples([polymer()], twice=True)


@pytest.mark.parametrize("array", ["positions", "velocities"])
def test_one_bead_that_is_no_number_is_refused(array):
    frame = polymer()
    getattr(frame.beads, array)[1, 3, 0] = np.nan
    description = RunDescription("x", NUMBERS, MASSES, 0.5, 4, n_beads=N_BEADS)
    with pytest.raises(FrameError, match=f"step 12: {array} must be finite, but row 3"):
        checks.check_frame(frame, description)


def test_frames_with_other_beads_than_the_run_began_with_are_refused():
    description = RunDescription("x", NUMBERS, MASSES, 0.5, 4, n_beads=N_BEADS)
    checks.check_frame(polymer(), description)
    with pytest.raises(FrameError, match="has 3 beads, but the run began with 4"):
        checks.check_frame(polymer(n_beads=3), description)
    plain = Frame(NUMBERS, np.zeros((6, 3)), CELL, np.zeros((6, 3)), 0)
    with pytest.raises(FrameError, match="has 1 beads, but the run began with 4"):
        checks.check_frame(plain, description)


def test_shapes_of_beads_are_checked():
    with pytest.raises(ShapeError, match="velocities of the beads must have the sh"):
        Frame(
            NUMBERS,
            np.zeros((6, 3)),
            CELL,
            np.zeros((6, 3)),
            0,
            beads=Beads(np.zeros((4, 6, 3)), np.zeros((3, 6, 3))),
        )


# -- where they travel ----------------------------------------------------------------


def same(one, other):
    assert (one.step, one.pbc, len(one.beads)) == (other.step, other.pbc, N_BEADS)
    for name in ("numbers", "positions", "cell", "velocities"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for name in ("positions", "velocities"):
        np.testing.assert_array_equal(
            getattr(one.beads, name), getattr(other.beads, name)
        )


def test_beads_travel_to_the_evaluator_and_the_worst_of_them_back():
    frames = [polymer(step, step) for step in (0, 4, 8)]
    found = messages.unpack_batch(messages.pack_batch(frames))
    for one, other in zip(found, frames, strict=True):
        same(one, other)
    sent = [Sample(Currents(np.arange(3.0), None), None, 2.5, bead=3)]
    (back,) = messages.unpack_samples(messages.pack_samples(sent))
    assert (back.excess, back.bead) == (2.5, 3)


def test_a_digest_sees_every_bead():
    digests = set()
    for bead in range(N_BEADS):
        for array in ("positions", "velocities"):
            frame = polymer()
            getattr(frame.beads, array)[bead, 0, 0] += 1e-12
            digests.add(checks.frame_digest(frame))
    assert len(digests | {checks.frame_digest(polymer())}) == 2 * N_BEADS + 1


def test_frames_that_are_set_aside_keep_their_beads(tmp_path):
    frames = [polymer(step, step) for step in (4, 8)]
    aside = SetAside(tmp_path)
    aside.put([Pending(f, Place(-1, False), b"") for f in frames], 8, 7)
    later = SetAside(tmp_path)
    for one, other in zip(later._read(), frames, strict=True):
        same(one.frame, other)


def test_quarantine_keeps_all_beads(tmp_path):
    frame = polymer()
    quarantine(tmp_path, frame, "bead 2: not finite")
    found = list(read_extxyz(tmp_path / "quarantine" / "step-12.extxyz"))
    assert [each.frame.replica for each in found] == list(range(N_BEADS))
    for each, bead in zip(found, bead_frames(frame), strict=True):
        np.testing.assert_array_equal(each.frame.positions, bead.positions)


# -- formats --------------------------------------------------------------------------

PLAIN = Identity((8, 1, 1), 0.5, 4, {"apt": "a" * 64}, {"engine": "x"})
WITH_BEADS = Identity(
    (8, 1, 1), 0.5, 4, {"apt": "a" * 64}, {"engine": "x"}, n_beads=N_BEADS
)


def test_only_journals_of_beads_have_version_4(tmp_path):
    """Older programs read and continue all others, and refuse these."""
    plain, beads = pack_header(PLAIN), pack_header(WITH_BEADS)
    assert (plain[8], beads[8]) == (3, 4)
    assert b'"beads": 4, "models"' in beads
    assert b"beads" not in plain
    # Written for good: journals of today have to be read by any later program.
    assert [hashlib.sha256(each).hexdigest()[:16] for each in (plain, beads)] == [
        "279a4a87c552ab9a",
        "ba8c2170ee33f78b",
    ]
    Journal.create(tmp_path / "journal", WITH_BEADS).close()
    assert read_header(tmp_path / "journal")[0] == WITH_BEADS


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        (PLAIN, WITH_BEADS, "one system a frame, but the frames come with all 4 beads"),
        (WITH_BEADS, PLAIN, "all 4 beads of a ring polymer, but the frames come with"),
    ],
)
def test_a_journal_is_continued_with_the_same_estimator_only(found, wanted, words):
    with pytest.raises(IncompatibleError, match=words):
        checks.check_identity(found, wanted, "journal")


CARD = RunCard(
    "i-PI 3", "atomic", ("O", "H"), 0.5, 1, 2.0, 4.0, (1, 1, 1), beads=N_BEADS
)


def hello(card=CARD):
    types = np.where(NUMBERS == 8, 1, 2).astype("<i4").tobytes()
    ids = np.arange(1, 7, dtype="<i8").tobytes()
    parts = (pack_card(card), ids, types, MASSES.astype("<f8").tobytes())
    return Message(Kind.HELLO, 0, n_atoms=6, n_local=6, parts=parts)


def beads_message(frame, kind=Kind.BEADS):
    """As the hook makes it: for each atom its beads, in engine's units."""
    rng = np.random.default_rng(1)
    order = rng.permutation(6)
    parts = (
        pack_box((2 * CELL).ravel(), (0.0, 0.0, 0.0)),
        np.arange(1, 7, dtype="<i8")[order].tobytes(),
        (2 * frame.beads.positions.swapaxes(0, 1)[order]).tobytes(),
        (0.5 * frame.beads.velocities.swapaxes(0, 1)[order]).tobytes(),
    )
    return Message(kind, 12, -1, 6.0, n_atoms=6, n_local=6, parts=parts)


def test_beads_travel_over_the_wire_of_the_hook():
    session = Session({0: hello()})
    assert session.description.n_beads == N_BEADS
    raw = encode(beads_message(polymer()))
    (arrived,) = session.add(decode(raw))
    same(arrived.frame, polymer())


def test_a_message_with_beads_stays_as_it_is_written_today():
    numbers = (np.arange(36.0) / 8).tobytes()
    parts = (pack_box(range(9), (0.0, 0.0, 0.0)), bytes(24), numbers, numbers)
    message = Message(Kind.BEADS, 12, 8, 6.0, n_atoms=3, n_local=3, parts=parts)
    raw = encode(message)
    assert decode(raw) == message
    assert [len(part) for part in raw] == [64, 96, 24, 288, 288]
    assert hashlib.sha256(b"".join(raw)).hexdigest()[:16] == "6c631de027bfb9d5"


def test_a_card_says_beads_only_where_there_are_any():
    assert unpack_card(pack_card(CARD)) == CARD
    plain = RunCard("i-PI 3", "atomic", ("O",), 0.5, 1, 2.0, 4.0, (1, 1, 1))
    assert b"beads" not in pack_card(plain)
    for wrong in (b"0", b"-1", b"4097", b"true", b"2.0", b'"4"'):
        raw = pack_card(CARD).replace(b'"beads": 4', b'"beads": ' + wrong)
        with pytest.raises(WireError, match="'beads' of the run card must be from 1"):
            unpack_card(raw)


def test_messages_of_another_number_of_beads_are_refused():
    session = Session({0: hello()})
    with pytest.raises(FrameError, match="began with 4 beads, but now has 3"):
        session.add(beads_message(polymer(n_beads=3)))
    with pytest.raises(FrameError, match="began with messages BEADS, but now sends F"):
        session.add(beads_message(polymer(n_beads=1), Kind.FRAME))
    torn = beads_message(polymer())
    parts = (*torn.parts[:2], torn.parts[2][:-24], torn.parts[3])
    with pytest.raises(WireError, match="must have a multiple of 144 bytes"):
        encode(Message(Kind.BEADS, 12, -1, 6.0, n_atoms=6, n_local=6, parts=parts))
