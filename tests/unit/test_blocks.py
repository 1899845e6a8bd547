"""The store of blocks: constant in room, and the bits of adding neighbours."""

import tracemalloc

import numpy as np
import pytest

from mimyria.blocks import BlockStore

N_PAIRS, N_LAGS = 3, 400


def block(number):
    rng = np.random.default_rng(number)
    counts = np.maximum(10 - np.arange(N_LAGS), 0)
    return rng.normal(size=(N_PAIRS, N_LAGS)), counts


def close(store, n):
    """So many steps, gathered in blocks as the correlator does."""
    sums, counts = np.zeros((N_PAIRS, N_LAGS)), np.zeros(N_LAGS, np.int64)
    for number in range(n):
        each, each_counts = block(number)
        sums, counts = sums + each, counts + each_counts
        if store.takes(int(counts[0]), at_border=False):
            store.close(sums, counts)
            sums, counts = np.zeros_like(sums), np.zeros_like(counts)
    return sums, counts


@pytest.mark.parametrize("n", [3, 4, 7, 8, 29, 64])
def test_blocks_are_sums_of_neighbours_in_order(n):
    store = BlockStore(4, 10)
    close(store, n)
    found = store.state(N_PAIRS, N_LAGS)
    assert len(found["block_sums"]) == store.n_blocks < 4
    steps = store.length // 10
    for place, sums in enumerate(found["block_sums"]):
        members = [block(place * steps + i)[0] for i in range(steps)]
        np.testing.assert_allclose(sums, np.sum(members, axis=0), rtol=0, atol=1e-12)
        assert found["block_counts"][place, 0] == 10 * steps


def test_room_is_that_of_the_places_however_many_blocks_came():
    store = BlockStore(8, 10)
    close(store, 8)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        close(store, 3000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2000  # one block has 10 kB


def test_state_and_joined_store_are_apart_from_what_comes_later():
    one, other = BlockStore(4, 10), BlockStore(4, 10)
    close(one, 3)
    close(other, 2)
    state = one.state(N_PAIRS, N_LAGS)
    both = one.joined(other)
    kept = {name: array.copy() for name, array in state.items()}
    joined = both.state(N_PAIRS, N_LAGS)
    close(one, 9)
    for name, array in kept.items():
        np.testing.assert_array_equal(state[name], array)
        np.testing.assert_array_equal(both.state(N_PAIRS, N_LAGS)[name], joined[name])
    assert both.n_blocks == 3
    assert joined["block_counts"][:, 0].sum() == 50
