"""Autotrain in the small: cycles of students and an analytic teacher, with the truth.

Everything that a cycle of real networks has is there: a committee that differs in its
random start, configurations chosen by its disagreement, held-out frames at random,
spectra on stored trajectories. What is known here beside is the exact spectrum.
"""

from dataclasses import dataclass, replace

import numpy as np

from mimyria.autotrain.committeespectra import committee_spectra
from mimyria.autotrain.components import current_components
from mimyria.autotrain.judging import CycleEvidence, Judgement, Targets, judge
from mimyria.autotrain.testerrors import measure_test_errors
from mimyria.reference.selection import committee_score
from tests.analytic_teacher import (
    MASSES,
    NUMBERS,
    FlowingCharges,
    Motion,
    PolarizableBonds,
    Student,
    random_liquid,
    thermal_motion,
)
from tests.pair_teacher import InducedDipoles, MeckeCharges

INTERVAL = 2.0
RESOLUTION = 60.0
LIMITS = (20.0, 4000.0)


@dataclass(frozen=True, slots=True)
class Truth:
    """What no cycle of real networks knows.

    Attributes:
        score: Σ|S − S*| / Σ(S + S*) on the trajectories of the evidence, by kind.
        epsilon: √(ΣS_e/ΣS*) on the same, of the wavenumbers of the spectrum, by kind.
        whole_epsilon: the same of all wavenumbers, also of those beyond the spectrum.
        difference: (n,) — S − S* at each point, by kind.
        exact: (n,) — S*, by kind.
    """

    score: dict
    epsilon: dict
    whole_epsilon: dict
    difference: dict
    exact: dict


class School:
    """One seed: a liquid, a teacher, its trajectories, and a committee that learns."""

    def __init__(
        self, teacher, seed, *, n_molecules=4, n_members=4, n_samples=1000,
        n_trajectories=2, n_pool=120, n_test=24, strangers=False, **students,
    ):  # fmt: skip
        """Make all that is there before the first cycle.

        Args:
            teacher: gives exact tensors.
            seed: of everything random.
            n_molecules: of the liquid.
            n_members: of the committee.
            n_samples: of each trajectory, every `INTERVAL` fs.
            n_trajectories: on which spectra are compared.
            n_pool: configurations to choose from.
            n_test: held-out configurations.
            strangers: whether the last two are of another motion than the trajectories,
                whose modes have other energies: what no user of autotrain should do,
                which draws them from the trajectories.
            students: settings of each `Student`.
        """
        self.teacher, self.seed = teacher, seed
        self.rng = np.random.default_rng(seed)
        sites, rotations = random_liquid(self.rng, n_molecules)
        self.masses = np.tile(MASSES, n_molecules)
        self.numbers = np.tile(NUMBERS, n_molecules)

        def motion(times):
            return thermal_motion(self.rng, sites, rotations, times)

        if strangers:
            times = INTERVAL * np.arange(n_samples)
            self.trajectories = [motion(times) for _ in range(n_trajectories)]
            self.pool = motion(5e3 * np.arange(n_pool)).positions
            self.test = motion(5e3 * np.arange(n_test)).positions
        else:
            self._one_motion(motion, n_samples, n_trajectories, n_pool, n_test)
        self.pool_labels = teacher.tensors(self.pool)
        self.test_labels = teacher.tensors(self.test).reshape(
            n_test, -1, teacher.n_components
        )
        self.members = [
            Student(teacher, 1000 * seed + k, **students) for k in range(n_members)
        ]
        self.bases = [
            [member.basis_currents(each) for each in self.trajectories]
            for member in self.members
        ]
        self.exact = [self._exact(t) for t in self.trajectories]

    def _one_motion(self, motion, n_samples, n_trajectories, n_pool, n_test):
        """All from the same trajectories, the single frames 5 ps apart."""
        n_single = -(-(n_pool + n_test) // n_trajectories)
        times = np.concatenate(
            [INTERVAL * np.arange(n_samples), 5e3 * (1 + np.arange(n_single))]
        )
        whole = [motion(times) for _ in range(n_trajectories)]
        self.trajectories = [
            Motion(each.positions[:n_samples], each.velocities[:n_samples])
            for each in whole
        ]
        single = np.concatenate([each.positions[n_samples:] for each in whole])
        single = self.rng.permutation(single)
        self.test, self.pool = single[:n_test], single[n_test : n_test + n_pool]

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
        wrong = self._spectra([np.stack([e, e]) for e in errors])
        score, epsilon, everywhere, difference, right = {}, {}, {}, {}, {}
        for kind, spectra in exact.kinds.items():
            wanted, found = spectra.mean, model.kinds[kind].mean
            score[kind] = np.abs(found - wanted).sum() / (found + wanted).sum()
            power = sum((current_components(kind, e) ** 2).sum() for e in errors)
            whole = sum((current_components(kind, b[0]) ** 2).sum() for b in both)
            everywhere[kind] = float(np.sqrt(power / whole))
            seen = wrong.kinds[kind].mean.sum() / wanted.sum()
            epsilon[kind] = float(np.sqrt(seen))
            difference[kind], right[kind] = found - wanted, wanted
        return Truth(score, epsilon, everywhere, difference, right)


BANDS = ((20.0, 300.0), (300.0, 900.0), (1400.0, 1900.0), (3000.0, 4000.0))
COUNTS = (2, 4, 6, 8, 10, 12, 16)
TEACHERS = {
    "bonds": {"ir": FlowingCharges(0.03), "raman": PolarizableBonds(0.03)},
    "pairs": {"ir": MeckeCharges(), "raman": InducedDipoles()},
}
TOLERANCE = {
    "bonds": {"ir": 0.025, "raman": 0.01},
    "pairs": {"ir": 0.02, "raman": 0.01},
}
SWEEP = tuple(2.0 ** (k / 2) for k in range(-2, 5))


@dataclass(frozen=True, slots=True)
class Course:
    """What one seed learned, cycle by cycle.

    Attributes:
        history: evidence of each cycle.
        judgements: of each cycle, as the user would read them.
        truths: of each cycle.
        tolerance: that was asked for.
        share: of the statistical error that the model may be off by.
    """

    history: list[CycleEvidence]
    judgements: list[Judgement]
    truths: list[Truth]
    tolerance: float
    share: float

    @property
    def first(self):
        """First cycle whose true ε and true score are small enough."""
        return self._first("epsilon")

    @property
    def first_everywhere(self):
        """The same with the errors beyond the range of the spectrum."""
        return self._first("whole_epsilon")

    def _first(self, name):
        for k, (found, truth) in enumerate(
            zip(self.judgements, self.truths, strict=True)
        ):
            if (
                getattr(truth, name)[found.kind] <= self.tolerance
                and truth.score[found.kind] <= self.share * found.statistical
            ):
                return k
        return None

    @property
    def stop(self):
        """Cycle at which the rule stops."""
        return next((k for k, j in enumerate(self.judgements) if j.stop), None)


def course(observable, seed, counts=COUNTS, teacher="bonds", **settings):
    """All cycles of one seed."""
    tolerance = TOLERANCE[teacher][observable]
    targets = Targets({observable: tolerance}, bands=BANDS)
    history, judgements, truths = [], [], []
    school = School(TEACHERS[teacher][observable], seed, **settings)
    for evidence, truth in school.cycles(counts):
        history.append(evidence)
        judgements.append(judge(history, targets))
        truths.append(truth)
    return Course(history, judgements, truths, tolerance, targets.statistical_share)


def with_tolerance(each, tolerance):
    """The same cycles as one would have judged them who wants another ε."""
    observable = each.judgements[0].observable
    targets = Targets({observable: tolerance})
    judgements = [
        judge(each.history[: k + 1], targets) for k in range(len(each.history))
    ]
    return replace(each, judgements=judgements, tolerance=tolerance)


def sweep(courses):
    """Courses at other tolerances: where the target is first met between the ends.

    What is good enough from the first cycle on, or only in one of the last two, says
    nothing of when the rule stops.
    """
    found = []
    for each in courses:
        others = [with_tolerance(each, factor * each.tolerance) for factor in SWEEP]
        last = len(each.history) - 3
        found += [o for o in others if o.first is not None and 0 < o.first <= last]
    return found


def delays(courses, first="first"):
    """Stop minus the first cycle that truly meets the target, or what is missing.

    A training whose target is never met and that never stops is as it should be.
    """
    found = []
    for each in courses:
        true, stop = getattr(each, first), each.stop
        if true is not None and stop is not None:
            found.append(stop - true)
        elif true is None:
            found.append("neither" if stop is None else "never met")
        else:
            found.append("no stop")
    return found


def share_in_time(found):
    """Part of `delays` that are within one cycle, or neither."""
    return np.mean([x == "neither" or x in (-1, 0, 1) for x in found])


def over_coverage(courses, what="score"):
    """Claimed over true score of every cycle and every spectrum, by kind."""
    found = {}
    for each in courses:
        for judgement, truth in zip(each.judgements, each.truths, strict=True):
            for kind, claim in judgement.claims.items():
                ratio = getattr(claim, what) / truth.score[kind]
                found.setdefault(kind, []).append(ratio)
    return {kind: np.array(ratios) for kind, ratios in found.items()}


def points_covered(courses, floor=0.01):
    """Part of the points above 1 % of the highest that the curve covers, by kind."""
    found = {}
    for each in courses:
        for judgement, truth in zip(each.judgements, each.truths, strict=True):
            for kind, claim in judgement.claims.items():
                seen = truth.exact[kind] > floor * truth.exact[kind].max()
                inside = np.abs(truth.difference[kind]) <= claim.curve
                found.setdefault(kind, []).append(inside[seen].mean())
    return {kind: float(np.mean(shares)) for kind, shares in found.items()}


def bands_covered(courses):
    """Part of the bands whose true score is within the claim, by kind."""
    found = {}
    for each in courses:
        for judgement, truth in zip(each.judgements, each.truths, strict=True):
            for kind, claim in judgement.claims.items():
                off, right = truth.difference[kind], truth.exact[kind]
                for band in claim.bands:
                    grid = claim.wavenumbers
                    own = (grid >= band.low) & (grid <= band.high)
                    score = np.abs(off[own]).sum() / (2 * right + off)[own].sum()
                    found.setdefault(kind, []).append(band.score >= score)
    return {kind: float(np.mean(hits)) for kind, hits in found.items()}
