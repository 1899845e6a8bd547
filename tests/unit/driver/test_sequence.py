import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimyria.errors import FrameError
from mimyria_driver.sequence import Place, Sequencer


def digest(step, branch=0):
    return f"{step:06d}{branch:02d}".encode()


def test_frames_in_order_are_one_segment():
    sequencer = Sequencer(5)
    places = [sequencer.place(s, p, digest(s)) for s, p in ((5, -1), (10, 5), (15, 10))]
    assert places == [Place(-1, False), Place(5, False), Place(10, False)]


def test_missing_step_starts_a_segment():
    sequencer = Sequencer(5, last_step=10)
    assert sequencer.place(20, 15, digest(20)) == Place(-1, False)
    assert sequencer.place(25, 20, digest(25)) == Place(20, False)


def test_frame_whose_sender_means_another_neighbour_starts_a_segment():
    sequencer = Sequencer(5, last_step=10)
    assert sequencer.place(15, 12, digest(15)) == Place(-1, False)


def test_engine_that_goes_on_right_behind_continues_the_segment():
    sequencer = Sequencer(5, last_step=10)
    sequencer.start_stream()
    assert sequencer.place(15, -1, digest(15)) == Place(10, False)


def test_frame_seen_before_has_no_place():
    sequencer = Sequencer(5, 10, [(5, digest(5)), (10, digest(10))])
    assert sequencer.place(5, -1, digest(5)) is None
    assert sequencer.place(10, 5, digest(10)) is None
    assert sequencer.n_duplicates == 2
    assert sequencer.place(15, 10, digest(15)) == Place(10, False)


def test_other_branch_that_repeated_the_series_first_joins_it():
    sequencer = Sequencer(5, 15, [(5, digest(5)), (10, digest(10)), (15, digest(15))])
    assert sequencer.place(5, -1, digest(5)) is None
    assert sequencer.place(10, 5, digest(10, 1)) == Place(5, True)
    assert sequencer.last_step == 10
    assert sequencer.place(15, 10, digest(15)) == Place(10, False)


def test_other_branch_that_repeated_nothing_is_a_segment_of_its_own():
    sequencer = Sequencer(5, 15, [(5, digest(5)), (10, digest(10)), (15, digest(15))])
    assert sequencer.place(10, -1, digest(10, 1)) == Place(-1, True)


def test_steps_that_go_back_within_a_stream_are_refused():
    sequencer = Sequencer(5)
    sequencer.place(5, -1, digest(5))
    with pytest.raises(FrameError, match=r"step 5 came after step 5 .*do not reset"):
        sequencer.place(5, -1, digest(5, 1))


def test_negative_steps_are_refused():
    with pytest.raises(FrameError, match="steps start at 0"):
        Sequencer(5).place(-5, -1, digest(0))


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 13), st.integers(0, 3)),
        min_size=1,
        max_size=8,
    )
)
def test_series_is_that_of_the_last_branch_whatever_engines_do(streams):
    """A stream sends steps begin..begin+length of its branch; a model keeps score."""
    sequencer = Sequencer(1)
    series = {}
    for begin, length, branch in streams:
        sequencer.start_stream()
        previous = -1
        for step in range(begin, begin + length):
            content = digest(step, branch)
            place = sequencer.place(step, previous, content)
            previous = step
            if place is None:
                assert series[step] == content
                continue
            if place.rollback:
                series = {s: d for s, d in series.items() if s < step}
            assert not series or step > max(series)
            if place.previous_step >= 0:
                assert place.previous_step == step - 1 == max(series)
            series[step] = content
        assert sequencer.last_step == max(series)
    assert all(step in series for step in range(begin, begin + length))
