"""A second analytic teacher, of another form, to try what was found with the first.

All is a sum over pairs of atoms. The dipole moment has Mecke's function for each bond,
a charge that goes from hydrogen to the oxygen of another molecule, and a part of the
distance of the two hydrogens. The polarizability has bonds that saturate, a part of the
same distance, and dipoles that molecules induce in each other. Students are those of
the first teacher, and know bonds and angles of their own molecule alone.
"""

import numpy as np

from tests.analytic_teacher import R0, FlowingCharges, PolarizableBonds

H0 = 2 * R0 * np.sin(np.radians(104.5) / 2)  # distance of the hydrogens at rest, Å


class Pair:
    """Distances and directions of pairs of atoms, and where their derivatives go."""

    def __init__(self, positions, first, second):
        """From `second` to `first`; each is (molecules, atoms) for many pairs."""
        self.first, self.second = first, second
        here, there = ((slice(None), *atoms) for atoms in (first, second))
        self.vector = positions[here] - positions[there]  # (t, p, 3)
        self.length = np.linalg.norm(self.vector, axis=-1)
        self.unit = self.vector / self.length[..., np.newaxis]

    def add(self, tensors, derivative):
        """Add (t, p, ..., 3) by the vector to the derivatives by both positions."""
        for atoms, sign in ((self.first, 1.0), (self.second, -1.0)):
            np.add.at(tensors, (slice(None), *atoms), sign * derivative)


def bonds(positions):
    n = positions.shape[1]
    molecule, hydrogen = np.repeat(np.arange(n), 2), np.tile([1, 2], n)
    return Pair(positions, (molecule, hydrogen), (molecule, 0 * hydrogen))


def hydrogens(positions):
    molecule = np.arange(positions.shape[1])
    return Pair(positions, (molecule, 0 * molecule + 1), (molecule, 0 * molecule + 2))


def contacts(positions, atoms):
    """From the oxygen of a molecule to atoms of others."""
    n = positions.shape[1]
    other, atom, own = np.meshgrid(range(n), atoms, range(n), indexing="ij")
    # Of two oxygens each pair counts once.
    kept = other < own if atoms == (0,) else other != own
    other, atom, own = other[kept], atom[kept], own[kept]
    return Pair(positions, (other, atom), (own, 0 * own))


class MeckeCharges:
    """APT of Mecke's bonds, charge transfer, and a part of the hydrogens' distance."""

    observable, n_components = "ir", 9
    basis = staticmethod(FlowingCharges.basis)
    current = staticmethod(FlowingCharges.current)

    def __init__(self, transfer=0.004):
        self.transfer = transfer

    def tensors(self, positions):
        """(t, n, 3, 3, 3)."""
        apt = np.zeros((*positions.shape[:3], 3, 3))
        own = bonds(positions)
        self._charge(apt, own, 1.6 * np.exp(-own.length / 0.6), 0.6)
        far = contacts(positions, (1, 2))
        charge = self.transfer * np.exp(-(far.length - 1.8) / 0.4)
        self._charge(apt, far, charge, 0.4)
        self._bisector(apt, positions)
        return apt

    @staticmethod
    def _charge(apt, pair, charge, reach):
        """Of the moments q(r) d with q ~ exp(−r/reach)."""
        derivative = charge[..., np.newaxis, np.newaxis] * np.eye(3)
        slope = -charge / reach
        derivative = derivative + np.einsum(
            "tp,tpa,tpb->tpab", slope, pair.vector, pair.unit
        )
        pair.add(apt, derivative)

    @staticmethod
    def _bisector(apt, positions):
        """Of the moments g(h) (d_1 + d_2), g = 0.1 sin(2 (h − h0))."""
        pair = hydrogens(positions)
        whole = positions[:, :, 1] + positions[:, :, 2] - 2 * positions[:, :, 0]
        size = 0.1 * np.sin(2 * (pair.length - H0))
        slope = 0.2 * np.cos(2 * (pair.length - H0))
        pair.add(apt, np.einsum("tp,tpa,tpb->tpab", slope, whole, pair.unit))
        own = size[..., np.newaxis, np.newaxis] * np.eye(3)
        apt[:, :, 1] += own
        apt[:, :, 2] += own
        apt[:, :, 0] -= 2 * own


class InducedDipoles:
    """PGT of saturating bonds, the hydrogens' distance, and induced dipoles."""

    observable, n_components = "raman", 27
    basis = staticmethod(PolarizableBonds.basis)
    current = staticmethod(PolarizableBonds.current)

    def __init__(self, polarizability=1.0):
        self.polarizability = polarizability

    def tensors(self, positions):
        """(t, n, 3, 3, 3, 3)."""
        pgt = np.zeros((*positions.shape[:3], 3, 3, 3))
        own = bonds(positions)
        bent = np.tanh((own.length - R0) / 0.15)
        slope = (1 - bent**2) / 0.15
        self._pair(pgt, own, 0.8 * slope, 2.5 + 0.6 * bent, 0.6 * slope)
        across = hydrogens(positions)
        near = np.exp(-((across.length / 1.2) ** 2))
        flat = -2 * across.length / 1.2**2 * near
        self._pair(pgt, across, 2.0 * flat, 1.5 * near, 1.5 * flat)
        far = contacts(positions, (0,))
        # α T α, and the isotropic part of α T α T α.
        size, r = self.polarizability, far.length
        along, by_r = 6 * size**2 / r**3, -18 * size**2 / r**4
        self._pair(pgt, far, -by_r / 3 - 24 * size**3 / r**7, along, by_r)
        return pgt

    @staticmethod
    def _pair(pgt, pair, flat_slope, along, along_slope):
        """Of A(r) 1 + B(r) u u, from A', B and B'."""
        u, eye = pair.unit, np.eye(3)
        derivative = np.einsum("tp,ab,tpc->tpabc", flat_slope, eye, u)
        thrice = np.einsum("tpa,tpb,tpc->tpabc", u, u, u)
        turn = np.einsum("ac,tpb->tpabc", eye, u) + np.einsum("bc,tpa->tpabc", eye, u)
        turn = (along / pair.length)[..., np.newaxis, np.newaxis, np.newaxis] * (
            turn - 2 * thrice
        )
        derivative = derivative + turn
        derivative += along_slope[..., np.newaxis, np.newaxis, np.newaxis] * thrice
        pair.add(pgt, derivative)


def pair_dipole(positions, transfer):
    """Moment of one frame, (3,), from the same functions."""
    frame = positions[np.newaxis]
    own, far, across = bonds(frame), contacts(frame, (1, 2)), hydrogens(frame)
    charge = 1.6 * np.exp(-own.length / 0.6)
    moved = transfer * np.exp(-(far.length - 1.8) / 0.4)
    whole = frame[:, :, 1] + frame[:, :, 2] - 2 * frame[:, :, 0]
    bent = 0.1 * np.sin(2 * (across.length - H0))
    parts = ((charge, own.vector), (moved, far.vector), (bent, whole))
    return sum((size[..., np.newaxis] * d).sum(axis=(0, 1)) for size, d in parts)


def pair_polarizability(positions, size):
    """Polarizability of one frame, (3, 3), from the same functions."""
    frame = positions[np.newaxis]
    own, far, across = bonds(frame), contacts(frame, (0,)), hydrogens(frame)
    bent = np.tanh((own.length - R0) / 0.15)
    near = np.exp(-((across.length / 1.2) ** 2))
    along = 6 * size**2 / far.length**3
    found = np.zeros((3, 3))
    for pair, a, b in (
        (own, 0.8 * bent, 2.5 + 0.6 * bent),
        (across, 2.0 * near, 1.5 * near),
        (far, -along / 3 + 4 * size**3 / far.length**6, along),
    ):
        found += a.sum() * np.eye(3)
        found += np.einsum("tp,tpa,tpb->ab", b, pair.unit, pair.unit)
    return found
