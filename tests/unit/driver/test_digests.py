"""The memory of the last frames: a dictionary that forgets, in constant room."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimyria_driver.digests import MEMORY, Digests


def digest(number):
    return number.to_bytes(8, "little")


@settings(max_examples=200)
@given(
    most=st.integers(1, 6),
    moves=st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=40),
)
def test_ring_is_a_dictionary_of_the_last_steps(most, moves):
    ring, model, last = Digests(most=most), {}, -1
    for number, (forward, distance) in enumerate(moves):
        if forward:
            last += distance
            ring.append(last, digest(number))
            model[last] = digest(number)
            model = dict(list(model.items())[-most:])
        else:
            last = max(-1, last - distance)
            ring.forget_from(last + 1)
            model = {step: each for step, each in model.items() if step <= last}
        assert list(ring) == list(model.items())
        assert len(ring) == len(model)
        for step in range(-2, last + 3):
            assert ring.get(step) == model.get(step)
            assert (step in ring) == (step in model)


def test_digests_of_zeros_keep_their_length():
    ring = Digests([(4, bytes(8)), (8, b"a" + bytes(7))])
    assert list(ring) == [(4, bytes(8)), (8, b"a" + bytes(7))]


@pytest.mark.parametrize("n_frames", [1, 3 * MEMORY])
def test_memory_is_the_same_after_one_frame_and_after_many(n_frames):
    tracemalloc.start()
    try:
        ring = Digests()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for step in range(n_frames):
            ring.append(step, digest(step))
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert before > 16 * MEMORY
    assert most - before < 1000
    assert after - before < 1000
