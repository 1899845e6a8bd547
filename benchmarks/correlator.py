"""Cost and memory of the streaming correlator, as CPU time of one thread.

    python benchmarks/correlator.py [SAMPLES]

Channels and pairs are those of a run: 3 channels with 6 pairs for the dipole velocity,
6 channels with 21 pairs for the polarizability velocity; 9 with 45 pairs are all
products of both. Samples come one by one, as in a run, and blocks for the errors
and the means of trajectories are kept. The time of a result is that of one look at
the run, blocks included.
"""

import os
import resource
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from mimyria.correlators import Correlator

LAGS = (256, 1024, 4096)
KINDS = ((3, 6), (6, 21), (9, 45))
STEPS = 64
"""Steps of one window; after 32 of them, blocks have doubled once."""

LIMIT = 30.0
"""Microseconds a sample may cost with 9 channels, 45 pairs and 4096 lags."""


def measure(n_channels, n_lags, n_samples):
    """Microseconds per sample, milliseconds per result, MB that are held."""
    samples = np.random.default_rng(1).normal(size=(1024, n_channels))
    correlator = Correlator(n_channels, n_lags, 2.0, "1", keep_trajectories=True)
    start = time.process_time()
    for number in range(n_samples):
        correlator.push(samples[number % 1024])
    used = time.process_time() - start
    start = time.process_time()
    correlator.result()
    result = time.process_time() - start
    held = sum(array.nbytes for array in correlator.state().values())
    return 1e6 * used / n_samples, 1e3 * result, held / 1e6


def main():
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else None
    print("channels  pairs   lags   samples   µs/sample   ms/result   MB held")
    for n_channels, n_pairs in KINDS:
        for n_lags in LAGS:
            n_samples = wanted or STEPS * n_lags
            cost, result, held = measure(n_channels, n_lags, n_samples)
            print(
                f"{n_channels:8d} {n_pairs:6d} {n_lags:6d} {n_samples:9d} "
                f"{cost:11.1f} {result:11.1f} {held:9.1f}"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak:.0f} MB")
    if cost > LIMIT:
        sys.exit(f"{cost:.1f} µs a sample is more than {LIMIT:.0f} µs")


if __name__ == "__main__":
    main()
