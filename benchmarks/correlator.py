"""Cost of the streaming correlator per sample, as CPU time of one thread.

    python benchmarks/correlator.py

Channels and pairs are those of a run: 3 channels with 6 pairs for the dipole velocity,
6 channels with 21 pairs for the polarizability velocity.
"""

import time

import numpy as np

from mimyria.correlators import Correlator

LAGS = (256, 1024, 4096)
BLOCKS = 8
REPEATS = 3


def microseconds_per_sample(n_channels, n_lags):
    samples = np.random.default_rng(1).normal(size=(BLOCKS * n_lags, n_channels))
    best = np.inf
    for _ in range(REPEATS):
        correlator = Correlator(n_channels, n_lags, 2.0, "1")
        start = time.process_time()
        for sample in samples:
            correlator.push(sample)
        best = min(best, time.process_time() - start)
    return 1e6 * best / len(samples)


def main():
    print("lags    dipole (6 pairs)    polarizability (21 pairs)    µs per sample")
    for n_lags in LAGS:
        dipole = microseconds_per_sample(3, n_lags)
        polarizability = microseconds_per_sample(6, n_lags)
        print(f"{n_lags:5d} {dipole:13.1f} {polarizability:22.1f}")


if __name__ == "__main__":
    main()
