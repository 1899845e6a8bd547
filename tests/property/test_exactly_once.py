"""Any interleaving of faults: each step of the final trajectory once, and nothing else.

The window and the receiver are the real ones, over a transport in which any message may
come late, twice or never; the engine and the driver die when hypothesis wants. What is
checked are the invariants of facts on reliability, I1 to I5.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hypothesis
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mishaps import FAULTS, MODES, run, runs, weights


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(runs(*MODES))
def any_faults(given: tuple[str, list[tuple[str, int]]]) -> None:
    run(*given)


def test_each_step_enters_exactly_once() -> None:
    """N6, and the faults have really happened."""
    FAULTS.clear()
    any_faults()
    for name in (
        "duplicates",
        "rollbacks",
        "gaps",
        "reordered",
        "doubled",
        "lost",
        "lost ends",
        "old files",
        "wandered",
        "driver kills",
        "engine kills",
    ):
        assert FAULTS[name] > 0, name


@pytest.mark.soak
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("seed", range(10))
def test_long_runs_of_faults(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(500):
        mode = MODES[rng.integers(len(MODES))]
        n_actions = int(rng.integers(100, 2000))
        actions = list(
            zip(
                rng.choice(weights(mode), n_actions).tolist(),
                rng.integers(0, 60, n_actions).tolist(),
                strict=True,
            )
        )
        run(mode, actions)


def test_a_confirmation_without_the_welcome_before_it_stops_nothing() -> None:
    """The new connection has to be made again, although no frame is waiting."""
    silence = [("wait", 0), ("wait", 0)]
    run("exact", [*[("turn", 0)] * 4, *silence, ("turn", 0), ("lose", 0)])
