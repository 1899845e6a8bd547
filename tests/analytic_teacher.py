"""A small liquid whose tensors are known exactly, and students that learn them.

Molecules of water vibrate harmonically in thermal equilibrium, each mode a sum of waves
of the width of a band, so that positions and velocities are known at any time. The
teacher is a model of flowing charges (IR) or of polarizable bonds (Raman) whose
parameters depend on both bonds, the angle and the surroundings; its tensors are the
derivatives with respect to the positions, written out by hand. A student is linear in
random functions of the bonds and the angle times the tensors that can be made of the
bond vectors. It knows nothing of the surroundings, and can come near the teacher but
never be equal to it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

KT = 300.0 * 8.31446e-7  # amu Å² fs⁻²
MASSES = np.array([15.999, 1.008, 1.008])
NUMBERS = np.array([8, 1, 1])
R0, ANGLE = 0.96, np.radians(104.5)
BANDS = (  # centre and width, cm⁻¹: translations, librations, bend, stretches
    (70.0, 30.0), (120.0, 40.0), (180.0, 50.0),
    (450.0, 80.0), (550.0, 80.0), (650.0, 80.0),
    (1640.0, 30.0), (3420.0, 80.0), (3520.0, 80.0),
)  # fmt: skip
WAVES = 16
PER_FS = 2 * np.pi * 2.99792458e-5  # rad/fs of 1 cm⁻¹


def _geometry():
    """(3, 3) — O, H, H in a plane, and the nine modes (9, 9) in mass-weighted space."""
    half = ANGLE / 2
    hydrogens = R0 * np.array(
        [[np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]]
    )
    molecule = np.concatenate([np.zeros((1, 3)), hydrogens])
    molecule -= MASSES @ molecule / MASSES.sum()
    root = np.sqrt(MASSES)[:, np.newaxis]
    guesses = [root * axis for axis in np.eye(3)]
    guesses += [root * np.cross(axis, molecule) for axis in np.eye(3)]
    bonds = molecule[1:] - molecule[0]
    bonds /= np.linalg.norm(bonds, axis=1, keepdims=True)
    bend = np.zeros((3, 3))
    bend[1:] = np.cross(bonds, [0, 0, 1.0]) * [[1], [-1]]
    guesses.append(root * bend)
    for sign in (1, -1):
        stretch = np.zeros((3, 3))
        stretch[1:] = bonds * [[1], [sign]]
        guesses.append(root * stretch)
    modes, _ = np.linalg.qr(np.stack([guess.ravel() for guess in guesses]).T)
    return molecule, modes.T


@dataclass(frozen=True, slots=True)
class Motion:
    """Positions and velocities, (n_samples, n_molecules, 3, 3), Å and Å/fs."""

    positions: np.ndarray
    velocities: np.ndarray


def thermal_motion(rng, sites, rotations, times):
    """One trajectory of the liquid, in equilibrium at 300 K."""
    molecule, modes = _geometry()
    n = len(sites)
    frequency = np.stack(
        [rng.normal(centre, width, (n, WAVES)) for centre, width in BANDS], axis=1
    )
    frequency = PER_FS * np.maximum(np.abs(frequency), 20.0)  # (n, 9, WAVES)
    size = np.sqrt(KT / WAVES) * rng.normal(size=(2, n, 9, WAVES))
    phase = (
        frequency[np.newaxis] * np.asarray(times)[:, np.newaxis, np.newaxis, np.newaxis]
    )
    sine, cosine = np.sin(phase), np.cos(phase)
    # Velocities have the variance kT, whatever the frequency.
    speed = (size[0] * cosine + size[1] * sine).sum(axis=-1)
    place = ((size[0] * sine - size[1] * cosine) / frequency).sum(axis=-1)
    root = np.sqrt(MASSES)[:, np.newaxis]

    def cartesian(q):
        moved = (q @ modes).reshape(len(q), n, 3, 3) / root
        return np.einsum("nab,tnib->tnia", rotations, moved)

    at_rest = np.einsum("nab,ib->nia", rotations, molecule) + sites[:, np.newaxis]
    return Motion(at_rest + cartesian(place), cartesian(speed))


def random_liquid(rng, n_molecules):
    """Sites about 3 Å apart and random orientations."""
    edge = int(np.ceil(n_molecules ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(edge)] * 3), axis=-1).reshape(-1, 3)
    sites = 3.0 * lattice[:n_molecules] + rng.normal(0, 0.25, (n_molecules, 3))
    rotations, _ = np.linalg.qr(rng.normal(size=(n_molecules, 3, 3)))
    return sites, rotations


class Local:
    """Coordinates of the bonds, and of the surroundings, of many frames."""

    def __init__(self, positions):
        self.bonds = positions[:, :, 1:] - positions[:, :, :1]  # (t, n, 2, 3)
        self.lengths = np.linalg.norm(self.bonds, axis=-1)
        self.units = self.bonds / self.lengths[..., np.newaxis]
        self.other_units = self.units[:, :, ::-1]
        self.x = self.lengths - R0
        self.other_x = self.x[..., ::-1]
        cosine = (self.units[:, :, 0] * self.units[:, :, 1]).sum(axis=-1)
        self.cosine = cosine[..., np.newaxis] - np.cos(ANGLE)  # (t, n, 1)
        self.oxygens = positions[:, :, 0]

    @cached_property
    def crowding(self):
        """(t, n) — how near the neighbours are — and its gradient (t, n, n, 3)."""
        apart = self.oxygens[:, :, np.newaxis] - self.oxygens[:, np.newaxis]
        near = np.exp(-((apart**2).sum(axis=-1)) / 8.0)
        n = near.shape[1]
        near[:, np.arange(n), np.arange(n)] = 0.0
        own = -apart / 4.0 * near[..., np.newaxis]  # ∂s_i/∂r_i from neighbour j
        gradient = -own
        gradient[:, np.arange(n), np.arange(n)] = own.sum(axis=2)
        return near.sum(axis=-1), gradient

    def slopes(self, by_own, by_other, by_cosine):
        """∂f/∂r of hydrogen k of f_k and of the other bond's function, as vectors.

        Args:
            by_own, by_other, by_cosine: (t, n, 2) — of f_k(x_k, x_l, cos).

        Returns:
            (t, n, 2, 2, 3) — [k, l]: the derivative of f_l for a move of hydrogen k.
        """
        turn = (
            self.other_units
            - self.units * (self.cosine + np.cos(ANGLE))[..., np.newaxis]
        ) / self.lengths[..., np.newaxis]
        found = np.empty((*self.x.shape, 2, 3))
        for k in range(2):
            for bond in range(2):
                by_length = by_own if k == bond else by_other
                found[:, :, k, bond] = (
                    by_length[:, :, bond, np.newaxis] * self.units[:, :, k]
                    + by_cosine[:, :, bond, np.newaxis] * turn[:, :, k]
                )
        return found


class FlowingCharges:
    """APT of a dipole moment Σ q_k d_k of all bonds."""

    observable, n_components = "ir", 9

    def __init__(self, surroundings=0.3):
        self.surroundings = surroundings

    def tensors(self, positions):
        """(t, n, 3, 3, 3)."""
        c = Local(positions)
        crowd, crowd_slope = c.crowding
        x, y, z = c.x, c.other_x, c.cosine
        charge = 0.33 + 0.5 * x - 3.0 * x**2 - 0.15 * y + 0.25 * z + 1.5 * x * z
        charge = charge + self.surroundings * (crowd - 0.6)[..., np.newaxis]
        slopes = c.slopes(
            0.5 - 6.0 * x + 1.5 * z,
            np.full_like(x, -0.15),
            0.25 + 1.5 * x,
        )
        apt = np.zeros((*positions.shape[:3], 3, 3))
        apt[:, :, 1:] = charge[..., np.newaxis, np.newaxis] * np.eye(3)
        apt[:, :, 1:] += np.einsum("tnla,tnklb->tnkab", c.bonds, slopes)
        apt[:, :, 0] = -apt[:, :, 1:].sum(axis=2)
        total = self.surroundings * c.bonds.sum(axis=2)  # (t, n, 3)
        apt[:, :, 0] += np.einsum("tia,tijb->tjab", total, crowd_slope)
        return apt

    @staticmethod
    def basis(c):
        """(t, n, 2, 5, 9) — tensors that can be made of the bond vectors."""
        u, w = c.units, c.other_units
        pairs = ((u, u), (u, w), (w, u), (w, w))
        eye = np.broadcast_to(np.eye(3), (*u.shape[:3], 3, 3))
        tensors = [
            eye,
            *(a[..., :, np.newaxis] * b[..., np.newaxis, :] for a, b in pairs),
        ]
        return np.stack([t.reshape(*u.shape[:3], 9) for t in tensors], axis=3)

    @staticmethod
    def current(tensors, velocities):
        """(..., 3) — tensors (..., 9) times velocities (..., 3)."""
        shaped = tensors.reshape(*tensors.shape[:-1], 3, 3)
        return np.einsum("...ab,...b->...a", shaped, velocities)


class PolarizableBonds:
    """PGT of a polarizability Σ_k A_k 1 + B_k u_k u_k of all bonds."""

    observable, n_components = "raman", 27

    def __init__(self, surroundings=0.3):
        self.surroundings = surroundings

    def tensors(self, positions):
        """(t, n, 3, 3, 3, 3)."""
        c = Local(positions)
        crowd, crowd_slope = c.crowding
        x, y, z, u = c.x, c.other_x, c.cosine, c.units
        strain = self.surroundings * (crowd - 0.6)[..., np.newaxis]
        uniaxial = 2.0 + 4.0 * x + 5.0 * x**2 + 0.5 * y + 1.0 * z + 3.0 * strain
        flat = c.slopes(5.0 + 8.0 * x + 3.0 * z, np.full_like(x, 0.6), 0.5 + 3.0 * x)
        along = c.slopes(4.0 + 10.0 * x, np.full_like(x, 0.5), np.full_like(x, 1.0))
        pgt = np.zeros((*positions.shape[:3], 3, 3, 3))
        eye = np.eye(3)
        own = pgt[:, :, 1:]
        own += np.einsum("ab,tnklc->tnkabc", eye, flat)
        own += np.einsum("tnla,tnlb,tnklc->tnkabc", u, u, along)
        turn = np.einsum("ac,tnkb->tnkabc", eye, u) + np.einsum(
            "bc,tnka->tnkabc", eye, u
        )
        turn -= 2 * np.einsum("tnka,tnkb,tnkc->tnkabc", u, u, u)
        own += (uniaxial / c.lengths)[..., np.newaxis, np.newaxis, np.newaxis] * turn
        pgt[:, :, 0] = -own.sum(axis=2)
        square = 3.0 * self.surroundings * np.einsum("tnka,tnkb->tnab", u, u)
        pgt[:, :, 0] += np.einsum("tiab,tijc->tjabc", square, crowd_slope)
        return pgt

    @staticmethod
    def basis(c):
        """(t, n, 2, 7, 27)."""
        u, w = c.units, c.other_units
        eye = np.eye(3)

        def triple(a, b, d):
            product = np.einsum("...a,...b,...c->...abc", a, b, d)
            return (product + product.swapaxes(-2, -3)) / 2

        def mixed(a):
            product = np.einsum("ac,...b->...abc", eye, a)
            return product + product.swapaxes(-2, -3)

        tensors = [
            np.einsum("ab,...c->...abc", eye, u),
            np.einsum("ab,...c->...abc", eye, w),
            mixed(u),
            triple(u, u, u),
            triple(u, u, w),
            triple(u, w, u),
            triple(w, w, u),
        ]
        return np.stack([t.reshape(*u.shape[:3], 27) for t in tensors], axis=3)

    @staticmethod
    def current(tensors, velocities):
        """(..., 6) in Voigt's order — tensors (..., 27) times velocities (..., 3)."""
        shaped = tensors.reshape(*tensors.shape[:-1], 3, 3, 3)
        rate = np.einsum("...abc,...c->...ab", shaped, velocities)
        return rate[..., (0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)]


class Student:
    """Linear in random waves of (x_k, x_l, cos) times the tensors of the bonds."""

    def __init__(self, teacher, seed, n_functions=40, stiffness=1e-4, smoothness=2.5):
        rng = np.random.default_rng(seed)
        self.teacher = teacher
        self.stiffness = stiffness
        self._scales = np.array([0.07, 0.07, 0.08])
        self._directions = rng.normal(size=(3, n_functions)) / smoothness
        self._phases = rng.uniform(0, 2 * np.pi, n_functions)
        self.weights = np.zeros(
            (
                n_functions,
                teacher.basis(Local(np.ones((1, 1, 3, 3)) * np.eye(3))).shape[3],
            )
        )

    def functions(self, c):
        """(t, n, 2, f)."""
        z = np.stack([c.x, c.other_x, np.broadcast_to(c.cosine, c.x.shape)], axis=-1)
        return np.cos((z / self._scales) @ self._directions + self._phases)

    def train(self, positions, tensors):
        """Ridge regression on the tensors of the hydrogens."""
        c = Local(positions)
        functions, basis = self.functions(c), self.teacher.basis(c)
        design = np.einsum("tnkf,tnkjc->tnkcfj", functions, basis)
        design = design.reshape(-1, self.weights.size)
        wanted = tensors[:, :, 1:].ravel()
        square = design.T @ design
        ridge = self.stiffness * np.trace(square) / len(square) * np.eye(len(square))
        solved = np.linalg.solve(square + ridge, design.T @ wanted)
        self.weights = solved.reshape(self.weights.shape)

    def predict(self, positions):
        """(t, 3 n, components) — tensors of all atoms, with the sum rule."""
        c = Local(positions)
        values = self.functions(c) @ self.weights
        own = np.einsum("tnkj,tnkjc->tnkc", values, self.teacher.basis(c))
        whole = np.concatenate([-own.sum(axis=2, keepdims=True), own], axis=2)
        return whole.reshape(len(positions), -1, self.teacher.n_components)

    def basis_currents(self, motion):
        """(t, f, j, 3 or 6) — the current is linear in the weights."""
        c = Local(motion.positions)
        relative = motion.velocities[:, :, 1:] - motion.velocities[:, :, :1]
        basis = self.teacher.basis(c)
        parts = self.teacher.current(basis, relative[:, :, :, np.newaxis])
        return np.einsum("tnkf,tnkja->tfja", self.functions(c), parts, optimize=True)
