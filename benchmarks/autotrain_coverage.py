"""How well claims of spectral errors hold where the truth is known.

    OMP_NUM_THREADS=1 python benchmarks/autotrain_coverage.py [SEEDS]

Committees of students learn the exact tensors of an analytic teacher, configuration by
configuration, chosen by their disagreement; docs/autotrain-judging.md explains it. For
each observable a table of the cycles (medians over the seeds), the part of all cycles
whose true score is within the claimed one, by how much claims are too large, and when
the rule stopped. `rough` students go wild in configurations that they have not seen, so
that few held-out frames do not know the largest errors: the hard case.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.teacher_cycles import (
    COUNTS,
    TOLERANCE,
    bands_covered,
    course,
    over_coverage,
    points_covered,
)

CASES = {
    "ir": {"observable": "ir"},
    "raman": {"observable": "raman"},
    "ir, rough": {"observable": "ir", "smoothness": 1.5, "n_functions": 60},
    "raman, rough": {"observable": "raman", "smoothness": 1.5, "n_functions": 60},
}


def show(name, courses):
    kind = courses[0].judgements[0].kind
    print(f"\n## {name}: {len(courses)} seeds\n")
    print("| configurations | true ε | ε | true score | claimed | bound |")
    print("|---|---|---|---|---|---|")
    for k, count in enumerate(COUNTS):
        rows = [
            (
                c.truths[k].epsilon[kind],
                c.judgements[k].claim.epsilon,
                c.truths[k].score[kind],
                c.judgements[k].claim.score,
                c.judgements[k].claim.bound,
            )
            for c in courses
        ]
        cells = " | ".join(f"{100 * x:.2f} %" for x in np.median(rows, axis=0))
        print(f"| {count} | {cells} |")
    print("\n| spectrum | covered | claimed/true: 5 %, median, 95 % | bands | points |")
    print("|---|---|---|---|---|")
    bands, points = bands_covered(courses), points_covered(courses)
    for each, ratios in over_coverage(courses).items():
        low, middle, high = np.quantile(ratios, (0.05, 0.5, 0.95))
        print(
            f"| {each} | {np.mean(ratios >= 1):.1%} of {len(ratios)} | {low:.1f}, "
            f"{middle:.1f}, {high:.1f} | {bands[each]:.1%} | {points[each]:.1%} |"
        )
    show_stops(courses)


def show_stops(courses):
    for what, pairs in (
        ("meets ε, change and statistics", [(c.first, c.stop) for c in courses]),
        ("meets ε alone", [(c.first_in_error, c.stop) for c in courses]),
    ):
        show_delay(what, pairs, courses[0].tolerance)


def show_delay(what, pairs, tolerance):
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    later = np.array([b - a for a, b in known])
    counts = {int(k): int((later == k).sum()) for k in np.unique(later)}
    print(
        f"\nStop minus the first cycle that truly {what} ({tolerance:.1%}): "
        f"{counts}; never one or the other: "
        f"{len(pairs) - len(known)}"
    )


def main():
    n_seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    print(f"tolerances: {TOLERANCE}")
    for name, settings in CASES.items():
        show(name, [course(seed=seed, **settings) for seed in range(n_seeds)])


if __name__ == "__main__":
    main()
