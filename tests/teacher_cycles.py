"""Autotrain in the small: cycles of students and an analytic teacher, with the truth.

Everything that a cycle of real networks has is there: a committee that differs in its
random start, configurations chosen by its disagreement, held-out frames at random,
spectra on stored trajectories. What is known here beside is the exact spectrum.
"""

from dataclasses import dataclass

import numpy as np

from mimyria.autotrain.committeespectra import committee_spectra
from mimyria.autotrain.components import current_components
from mimyria.autotrain.judging import CycleEvidence
from mimyria.autotrain.testerrors import measure_test_errors
from mimyria.reference.selection import committee_score
from tests.analytic_teacher import (
    MASSES,
    NUMBERS,
    Student,
    random_liquid,
    thermal_motion,
)

INTERVAL = 2.0
RESOLUTION = 60.0
LIMITS = (20.0, 4000.0)


@dataclass(frozen=True, slots=True)
class Truth:
    """What no cycle of real networks knows.

    Attributes:
        score: Σ|S − S*| / Σ(S + S*) on the trajectories of the evidence, by kind.
        epsilon: √(∫S_e/∫S*) on the same, by kind.
        inside: part of the points where |S − S*| can be compared with a curve; the
            difference itself, by kind.
    """

    score: dict
    epsilon: dict
    difference: dict
    exact: dict


class School:
    """One seed: a liquid, a teacher, its trajectories, and a committee that learns."""

    def __init__(
        self, teacher, seed, *, n_molecules=4, n_members=4, n_samples=1500,
        n_trajectories=2, n_pool=120, n_test=20, n_functions=60, stiffness=1e-5,
    ):  # fmt: skip
        self.teacher, self.seed = teacher, seed
        self.rng = np.random.default_rng(seed)
        sites, rotations = random_liquid(self.rng, n_molecules)
        self.masses = np.tile(MASSES, n_molecules)
        self.numbers = np.tile(NUMBERS, n_molecules)

        def motion(times):
            return thermal_motion(self.rng, sites, rotations, times)

        times = INTERVAL * np.arange(n_samples)
        self.trajectories = [motion(times) for _ in range(n_trajectories)]
        self.pool = motion(5e3 * np.arange(n_pool)).positions
        self.pool_labels = teacher.tensors(self.pool)
        self.test = motion(5e3 * np.arange(n_test)).positions
        self.test_labels = teacher.tensors(self.test).reshape(
            n_test, -1, teacher.n_components
        )
        self.members = [
            Student(teacher, 1000 * seed + k, n_functions, stiffness)
            for k in range(n_members)
        ]
        self.bases = [
            [m.basis_currents(t) for t in self.trajectories] for m in self.members
        ]
        self.exact = [self._exact(t) for t in self.trajectories]

    def cycles(self, counts):
        """Evidence and truth of each cycle, with so many configurations."""
        chosen = list(self.rng.permutation(len(self.pool))[: counts[0]])
        for count in counts:
            if count > len(chosen):
                chosen += self._most_uncertain(count - len(chosen), chosen)
            for member in self.members:
                member.train(self.pool[chosen], self.pool_labels[chosen])
            yield self._evidence(count)

    def _most_uncertain(self, number, chosen):
        predictions = np.stack([m.predict(self.pool) for m in self.members])
        scores = np.array(
            [
                committee_score(list(predictions[:, k]), self.masses)
                for k in range(len(self.pool))
            ]
        )
        scores[chosen] = -np.inf
        return list(np.argsort(-scores)[:number])

    def _evidence(self, count):
        predictions = np.stack([m.predict(self.test) for m in self.members])
        n = len(self.test)
        errors = measure_test_errors(
            self.teacher.observable,
            [predictions[:, k] for k in range(n)],
            list(self.test_labels),
            [self.numbers] * n,
            [self.masses] * n,
        )
        series = [
            np.stack(
                [
                    np.einsum("tfja,fj->ta", bases[k], m.weights)
                    for m, bases in zip(self.members, self.bases, strict=True)
                ]
            )
            for k in range(len(self.trajectories))
        ]
        return (
            CycleEvidence(count, errors, self._spectra(series)),
            self._truth(series),
        )

    def _exact(self, motion):
        tensors = self.teacher.tensors(motion.positions)
        flat = tensors.reshape(*tensors.shape[:3], -1)
        return self.teacher.current(flat, motion.velocities).sum(axis=(1, 2))

    def _spectra(self, series):
        return committee_spectra(
            self.teacher.observable, series, INTERVAL, name=f"school {self.seed}",
            resolution=RESOLUTION, low=LIMITS[0], high=LIMITS[1],
        )  # fmt: skip

    def _truth(self, series):
        """Exact spectrum and that of the error: a committee of the two of them."""
        both = [
            np.stack([exact, each.mean(axis=0)])
            for exact, each in zip(self.exact, series, strict=True)
        ]
        errors = [each[1] - each[0] for each in both]
        model = self._spectra([np.stack([b[1], b[1]]) for b in both])
        exact = self._spectra([np.stack([b[0], b[0]]) for b in both])
        score, epsilon, difference, right = {}, {}, {}, {}
        for kind, spectra in exact.kinds.items():
            wanted, found = spectra.mean, model.kinds[kind].mean
            score[kind] = np.abs(found - wanted).sum() / (found + wanted).sum()
            power = sum((current_components(kind, e) ** 2).sum() for e in errors)
            whole = sum((current_components(kind, b[0]) ** 2).sum() for b in both)
            epsilon[kind] = float(np.sqrt(power / whole))
            difference[kind], right[kind] = found - wanted, wanted
        return Truth(score, epsilon, difference, right)
