import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mimyria.contributions import Sample
from mimyria.currents import Currents
from mimyria.errors import EvaluatorError, ModelError
from mimyria.frame import Frame
from mimyria_driver.evaluator import messages


def frame(step):
    rng = np.random.default_rng(step)
    return Frame(
        np.array([8, 1, 1]),
        rng.normal(size=(3, 3)),
        rng.normal(size=(3, 3)),
        rng.normal(size=(3, 3)),
        step,
        pbc=(True, False, True),
    )


def test_frames_travel_to_the_bit():
    frames = [frame(step) for step in (0, 7, 2**40)]
    for found, sent in zip(
        messages.unpack_batch(messages.pack_batch(frames)), frames, strict=True
    ):
        assert (found.step, found.pbc) == (sent.step, sent.pbc)
        for name in ("numbers", "positions", "cell", "velocities"):
            np.testing.assert_array_equal(getattr(found, name), getattr(sent, name))


def test_currents_travel_to_the_bit_and_absent_ones_stay_absent():
    samples = [
        Currents(np.array([0.1, -0.0, 3e-300]), None),
        Currents(None, np.arange(6.0)),
    ]
    body = messages.pack_samples([Sample(currents) for currents in samples])
    assert all(sample.contributions is None for sample in messages.unpack_samples(body))
    first, second = (sample.currents for sample in messages.unpack_samples(body))
    np.testing.assert_array_equal(first.dipole, samples[0].dipole)
    assert first.polarizability is None
    assert second.dipole is None
    np.testing.assert_array_equal(second.polarizability, np.arange(6.0))


def test_contributions_of_groups_travel_to_the_bit():
    flat = np.array([1.5, np.nan, -0.0, 1e-300])
    sent = [Sample(Currents(np.arange(3.0), None), flat * n) for n in (1.0, 3.0)]
    found = messages.unpack_samples(messages.pack_samples(sent))
    for one, other in zip(found, sent, strict=True):
        np.testing.assert_array_equal(one.contributions, other.contributions)
        assert one.currents.polarizability is None


def test_errors_keep_their_kind_and_text():
    error = messages.unpack_error(messages.pack_error(ModelError("not this one")))
    assert type(error) is ModelError
    assert str(error) == "not this one"
    odd = messages.unpack_error(b'{"kind": "NoSuchError", "text": "x"}')
    assert type(odd) is EvaluatorError


@given(st.lists(st.binary(max_size=40), max_size=6), st.data())
def test_splitter_does_not_care_how_the_stream_was_cut(bodies, data):
    stream = b"".join(messages.wrap(b"R", body) for body in bodies)
    splitter = messages.Splitter()
    found = []
    while stream:
        n = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:n])
        stream = stream[n:]
    assert found == [(b"R", body) for body in bodies]
