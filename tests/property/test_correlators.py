"""Laws of the streaming correlator, against a direct sum."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimyria.correlators import Correlator, all_pairs
from mimyria.errors import (
    FormatError,
    FrameError,
    IncompatibleError,
    SettingsError,
    ShapeError,
)

EXACT = 1e-12
UNIT = "e^2 Angstrom^2 fs^-2"


def direct_sum(segments, n_lags, pairs):
    """The naive twin: every product of every pair, one lag at a time."""
    sums = np.zeros((n_lags, len(pairs)))
    counts = np.zeros(n_lags, dtype=np.int64)
    for x in segments:
        for lag in range(min(n_lags, len(x))):
            early, late = x[: len(x) - lag], x[lag:]
            counts[lag] += len(early)
            for column, (u, v) in enumerate(pairs):
                forward = (early[:, u] * late[:, v]).sum()
                backward = (early[:, v] * late[:, u]).sum()
                sums[lag, column] += 0.5 * (forward + backward)
    return sums / np.maximum(counts, 1)[:, np.newaxis], counts


def same_bits(one, other):
    return (
        np.array_equal(one.values, other.values)
        and np.array_equal(one.counts, other.counts)
        and np.array_equal(one.lags, other.lags)
        and one.n_samples == other.n_samples
    )


def push_in_chunks(correlator, samples, sizes):
    """Push with the sizes in turn, single samples as one-dimensional arrays."""
    begin, turn = 0, 0
    while begin < len(samples):
        size = sizes[turn % len(sizes)]
        chunk = samples[begin : begin + size]
        correlator.push(chunk[0] if len(chunk) == 1 else chunk)
        begin, turn = begin + size, turn + 1


@st.composite
def runs(draw):
    """Settings, segments (shorter and longer than the lags) and sizes of chunks."""
    n_channels = draw(st.integers(1, 4))
    n_lags = draw(st.integers(2, 400))
    lengths = draw(st.lists(st.integers(0, 1100), min_size=1, max_size=4))
    sizes = draw(st.lists(st.integers(1, 700), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    segments = [rng.normal(size=(n, n_channels)) for n in lengths]
    return n_channels, n_lags, segments, sizes


def correlate(n_channels, n_lags, segments, sizes):
    correlator = Correlator(n_channels, n_lags, 0.5, UNIT)
    for samples in segments:
        push_in_chunks(correlator, samples, sizes)
        correlator.end_segment()
    return correlator


@settings(max_examples=60, derandomize=True)
@given(runs())
def test_streaming_equals_direct_sum_for_any_chunking(run):
    n_channels, n_lags, segments, sizes = run
    result = correlate(n_channels, n_lags, segments, sizes).result()
    values, counts = direct_sum(segments, n_lags, result.pairs)
    assert np.array_equal(result.counts, counts)
    assert np.abs(result.values - values).max() <= EXACT * max(np.abs(values).max(), 1)


@settings(max_examples=40, derandomize=True)
@given(runs())
def test_chunking_does_not_change_one_bit(run):
    n_channels, n_lags, segments, sizes = run
    whole = correlate(n_channels, n_lags, segments, [10**6]).result()
    cut = correlate(n_channels, n_lags, segments, sizes).result()
    assert same_bits(whole, cut)


@settings(max_examples=40, derandomize=True)
@given(runs(), st.integers(0, 1100))
def test_state_goes_on_to_the_bit(run, stop):
    n_channels, n_lags, segments, sizes = run
    straight = correlate(n_channels, n_lags, segments, sizes)
    resumed = Correlator(n_channels, n_lags, 0.5, UNIT)
    for samples in segments:
        push_in_chunks(resumed, samples[:stop], sizes)
        resumed = Correlator.from_state(resumed.state())
        push_in_chunks(resumed, samples[stop:], sizes)
        resumed.end_segment()
    assert same_bits(straight.result(), resumed.result())
    state, again = straight.state(), resumed.state()
    assert state.keys() == again.keys()
    assert all(state[key].tobytes() == again[key].tobytes() for key in state)


@settings(max_examples=40, derandomize=True)
@given(runs())
def test_result_changes_nothing(run):
    n_channels, n_lags, segments, _sizes = run
    asked = Correlator(n_channels, n_lags, 0.5, UNIT)
    for samples in segments:
        for begin in range(0, len(samples), 97):
            asked.push(samples[begin : begin + 97])
            before = asked.state()
            asked.result()
            after = asked.state()
            assert all(np.array_equal(before[key], after[key]) for key in before)
        open_result = asked.result()
        asked.end_segment()
        assert same_bits(open_result, asked.result())
    assert same_bits(asked.result(), correlate(*run).result())


def demeaned_sum(segments, n_lags, pairs):
    """The slow twin of trajectories: demean, average each alone, then all alike."""
    there = [samples for samples in segments if len(samples)]
    single = [direct_sum([x - x.mean(axis=0)], n_lags, pairs)[0] for x in there]
    return np.mean(single, axis=0)


def with_trajectories(n_channels, n_lags, segments, sizes, state=False):
    correlator = Correlator(n_channels, n_lags, 0.5, UNIT, keep_trajectories=True)
    for samples in segments:
        correlator.end_segment()
        for begin in range(0, len(samples), 331):
            push_in_chunks(correlator, samples[begin : begin + 331], sizes)
            if state:
                correlator = Correlator.from_state(correlator.state())
    return correlator  # the last one stays open


def same_trajectories(one, other):
    return np.array_equal(one.values, other.values) and all(
        getattr(one, name) == getattr(other, name)
        for name in ("number", "first", "shortest", "longest")
    )


@settings(max_examples=60, derandomize=True)
@given(runs(), st.floats(-0.5, 0.5))
def test_trajectories_are_demeaned_and_count_alike_after_streaming(run, mean):
    n_channels, n_lags, segments, sizes = run
    segments = [samples + mean * (k + 1) for k, samples in enumerate(segments)]
    correlator = with_trajectories(n_channels, n_lags, segments, sizes)
    result, lengths = correlator.result(), [len(x) for x in segments if len(x)]
    if not lengths:
        assert result.trajectories is None
        return
    found = result.trajectories
    expected = demeaned_sum(segments, n_lags, result.pairs)
    scale = max(np.abs(result.values).max(), 1)
    assert np.abs(found.values - expected).max() <= 1e-13 * scale
    assert (found.number, found.first) == (len(lengths), lengths[0])
    assert (found.shortest, found.longest) == (min(lengths), max(lengths))
    correlator.end_segment()
    assert same_trajectories(correlator.result().trajectories, found)


@settings(max_examples=40, derandomize=True)
@given(runs())
def test_trajectories_go_on_to_the_bit_and_leave_the_rest_alone(run):
    n_channels, n_lags, segments, sizes = run
    segments.append(np.ones((5, n_channels)))
    straight = with_trajectories(n_channels, n_lags, segments, [10**6])
    resumed = with_trajectories(n_channels, n_lags, segments, sizes, state=True)
    one, two = straight.result(), resumed.result()
    assert same_bits(one, two)
    assert same_trajectories(one.trajectories, two.trajectories)
    assert same_bits(one, correlate(*run[:2], segments, sizes).result())
    state, again = straight.state(), resumed.state()
    assert all(state[key].tobytes() == again[key].tobytes() for key in state)


@settings(max_examples=40, derandomize=True)
@given(runs(), st.integers(0, 4))
def test_trajectories_of_merged_correlators_are_those_of_both(run, split):
    n_channels, n_lags, segments, sizes = run
    segments.append(np.ones((5, n_channels)))
    first = with_trajectories(n_channels, n_lags, segments[:split], sizes)
    second = with_trajectories(n_channels, n_lags, segments[split:], sizes)
    merged = first.merge(second).result().trajectories
    together = with_trajectories(n_channels, n_lags, segments, sizes).result()
    scale = max(np.abs(together.values).max(), 1)
    difference = np.abs(merged.values - together.trajectories.values).max()
    assert difference <= EXACT * scale
    for name in ("number", "first", "shortest", "longest"):
        assert getattr(merged, name) == getattr(together.trajectories, name)


def test_trajectories_of_vectors_are_multiplied_with_weights():
    rng = np.random.default_rng(14)
    weights, samples = (1.0, 1.0, 2.0), rng.normal(size=(700, 6)) + 0.4
    vectors = Correlator(
        2, 40, 1.0, "x", components=weights, keep_trajectories=True
    )  # fmt: skip
    singly = Correlator(6, 40, 1.0, "x", keep_trajectories=True)
    for correlator in (vectors, singly):
        correlator.push(samples)
    found, parts = vectors.result().trajectories, singly.result()
    alone = replace(parts, values=parts.trajectories.values)
    for column, (u, v) in enumerate(vectors.pairs):
        expected = sum(
            w * alone.column(3 * u + c, 3 * v + c) for c, w in enumerate(weights)
        )
        assert np.allclose(found.values[:, column], expected, rtol=0, atol=EXACT)


def test_trajectories_are_kept_only_on_request_and_not_merged_with_others():
    plain = Correlator(1, 10, 1.0, "x")
    plain.push(np.ones((30, 1)))
    assert plain.result().trajectories is None
    with pytest.raises(IncompatibleError, match="only if keep_trajectories is the"):
        plain.merge(Correlator(1, 10, 1.0, "x", keep_trajectories=True))


@settings(max_examples=40, derandomize=True)
@given(runs(), st.integers(0, 4))
def test_merge_equals_all_segments_in_one(run, split):
    n_channels, n_lags, segments, sizes = run
    first = correlate(n_channels, n_lags, segments[:split], sizes)
    second = Correlator(n_channels, n_lags, 0.5, UNIT)
    for samples in segments[split:]:
        second.end_segment()
        push_in_chunks(second, samples, sizes)  # the last one stays open
    merged = first.merge(second).result()
    together = correlate(*run).result()
    assert np.array_equal(merged.counts, together.counts)
    assert merged.n_samples == together.n_samples
    scale = max(np.abs(together.values).max(), 1)
    assert np.abs(merged.values - together.values).max() <= EXACT * scale
    assert same_bits(merged, second.merge(first).result())


def blocks_twin(segments, n_lags, step, max_blocks):
    """Which block each sample belongs to: the rule of closing, sample by sample."""
    length, open_block, sizes = step, [], []

    def close():
        nonlocal length, open_block
        sizes.append(open_block)
        open_block = []
        if len(sizes) == max_blocks:
            pairs = [sizes[i : i + 2] for i in range(0, len(sizes), 2)]
            sizes[:] = [[m for part in pair for m in part] for pair in pairs]
            length *= 2

    for number, segment in enumerate(segments):
        for time in range(len(segment)):
            open_block.append((number, time))
            if (time + 1) % step == 0 and len(open_block) >= length:
                close()
        if 2 * len(open_block) >= length:
            close()
    if open_block and sizes and 2 * len(open_block) < length:
        sizes[-1] = sizes[-1] + open_block
    elif open_block or not sizes:
        sizes.append(open_block)
    return sizes


@pytest.mark.parametrize("lengths", [[5000], [300, 4, 700, 256, 90, 1500], [40] * 60])
@pytest.mark.parametrize("max_blocks", [4, 8, 32])
def test_a_product_belongs_to_the_block_of_its_later_sample(lengths, max_blocks):
    n_lags = 20
    rng = np.random.default_rng(9)
    segments = [rng.normal(size=(n, 2)) for n in lengths]
    correlator = Correlator(2, n_lags, 0.5, UNIT, max_blocks=max_blocks)
    for samples in segments:
        push_in_chunks(correlator, samples, [13, 300])
        correlator.end_segment()
    blocks = correlator.result().blocks
    expected = blocks_twin(segments, n_lags, 256, max_blocks)
    assert blocks.n_blocks == len(expected)
    for block, members in enumerate(expected):
        for lag in (0, 1, 19):
            products = [
                segments[s][t, 0] * segments[s][t - lag, 0]
                for s, t in members
                if t >= lag
            ]
            assert blocks.counts[block, lag] == len(products)
            mean = np.mean(products) if products else 0.0
            assert blocks.values[block, lag, 0] == pytest.approx(mean, abs=EXACT)


@settings(max_examples=40, derandomize=True)
@given(runs(), st.sampled_from([2, 4, 32]))
def test_blocks_add_up_to_the_whole_and_go_on_to_the_bit(run, max_blocks):
    n_channels, n_lags, segments, sizes = run
    correlator = Correlator(n_channels, n_lags, 0.5, UNIT, max_blocks=max_blocks)
    for samples in segments:
        correlator.end_segment()
        push_in_chunks(correlator, samples, sizes)
        result = correlator.result()
        assert result.blocks.n_blocks <= max_blocks
        assert np.array_equal(result.blocks.counts.sum(axis=0), result.counts)
        whole = result.values * result.counts[:, np.newaxis]
        scale = max(np.abs(whole).max(), 1)
        assert np.abs(result.blocks.sums().sum(axis=0) - whole).max() <= EXACT * scale
        again = Correlator.from_state(correlator.state()).result()
        assert np.array_equal(again.blocks.values, result.blocks.values)
        assert np.array_equal(again.blocks.counts, result.blocks.counts)


def test_a_long_run_keeps_half_to_all_of_its_blocks():
    correlator = Correlator(1, 2, 1.0, "x")
    rng = np.random.default_rng(2)
    for _ in range(200):
        correlator.push(rng.normal(size=(512, 1)))
        if correlator.n_samples >= 16 * 256:
            blocks = correlator.result().blocks
            assert 16 <= blocks.n_blocks <= 32
            assert blocks.samples.max() <= 2 * blocks.samples[:-1].min()
    assert blocks.samples[0] == 4096


def test_merging_puts_the_blocks_of_both_in_a_row():
    rng = np.random.default_rng(3)
    long, short = (Correlator(1, 10, 1.0, "x", max_blocks=8) for _ in range(2))
    long.push(rng.normal(size=(256 * 40, 1)))
    short.push(rng.normal(size=(256 * 9, 1)))
    merged = long.merge(short).result()
    assert merged.blocks.n_blocks < 8
    assert np.array_equal(merged.blocks.counts.sum(axis=0), merged.counts)
    whole = merged.values * merged.counts[:, np.newaxis]
    assert np.allclose(merged.blocks.sums().sum(axis=0), whole, rtol=0, atol=1e-9)


def test_vectors_are_multiplied_component_by_component_with_weights():
    rng = np.random.default_rng(4)
    weights = (1.0, 1.0, 2.0)
    samples = rng.normal(size=(900, 6))
    vectors = Correlator(2, 40, 1.0, "x", components=weights)
    push_in_chunks(vectors, samples, [17, 500])
    singly = Correlator(6, 40, 1.0, "x")
    singly.push(samples)
    found, parts = vectors.result(), singly.result()
    assert found.pairs == ((0, 0), (1, 1), (0, 1))
    for u, v in found.pairs:
        expected = sum(
            w * parts.column(3 * u + c, 3 * v + c) for c, w in enumerate(weights)
        )
        assert np.allclose(found.column(u, v), expected, rtol=0, atol=EXACT)
    again = Correlator.from_state(vectors.state())
    assert again.components == weights
    assert same_bits(again.result(), found)
    with pytest.raises(IncompatibleError, match="only if components is the same"):
        vectors.merge(Correlator(2, 40, 1.0, "x"))
    with pytest.raises(SettingsError, match="components must be finite weights"):
        Correlator(2, 40, 1.0, "x", components=())


def test_blocks_can_be_left_out():
    correlator = Correlator(1, 10, 1.0, "x", max_blocks=0)
    correlator.push(np.ones((3000, 1)))
    assert correlator.result().blocks is None
    assert correlator.merge(correlator).result().blocks is None
    with pytest.raises(SettingsError, match="max_blocks must be an even number"):
        Correlator(1, 10, 1.0, "x", max_blocks=7)


def test_blocks_of_whole_segments_hold_no_part_of_one():
    """Segments of one length, in blocks of one each and then of two."""
    correlator = Correlator(1, 300, 1.0, UNIT, max_blocks=8, whole_segments=True)
    rng = np.random.default_rng(6)
    lengths = []
    for number in range(1, 14):
        correlator.push(rng.normal(size=(800, 1)))
        correlator.end_segment()
        blocks = correlator.result().blocks
        assert np.array_equal(blocks.counts.sum(axis=0), correlator.result().counts)
        lengths.append(sorted(set(blocks.samples.tolist())))
        again = Correlator.from_state(correlator.state())
        assert same_bits(again.result(), correlator.result())
        assert number < 8 or blocks.n_blocks >= 4
    # With the eighth blocks become two segments long; a ninth one is half of one.
    assert lengths[:7] == [[800]] * 7
    assert lengths[7] == [1600]
    assert all(set(found) <= {800, 1600} for found in lengths)


def test_long_run_with_many_lags_stays_exact():
    rng = np.random.default_rng(5)
    samples = rng.normal(size=(40_000, 2)) + 0.3
    result = correlate(2, 1500, [samples], [1, 4999, 333]).result()
    for lag in (0, 1, 700, 1499):
        early, late = samples[: len(samples) - lag], samples[lag:]
        auto = (early[:, 1] * late[:, 1]).mean()
        assert abs(result.column(1, 1)[lag] - auto) <= EXACT * result.values.max()


def test_cross_pairs_are_symmetrised():
    rng = np.random.default_rng(6)
    samples = rng.normal(size=(300, 3))
    forward = correlate(3, 50, [samples], [7]).result()
    reversed_time = correlate(3, 50, [samples[::-1]], [7]).result()
    assert np.allclose(forward.values, reversed_time.values, rtol=0, atol=1e-13)
    assert np.array_equal(forward.column(2, 0), forward.column(0, 2))


def test_sum_of_two_channels_has_the_sum_of_all_their_correlations():
    rng = np.random.default_rng(7)
    samples = rng.normal(size=(700, 2))
    parts = correlate(2, 60, [samples], [11]).result()
    total = correlate(1, 60, [samples.sum(axis=1, keepdims=True)], [11]).result()
    added = parts.column(0, 0) + parts.column(1, 1) + 2 * parts.column(0, 1)
    assert np.abs(total.values[:, 0] - added).max() <= EXACT * total.values[0, 0]


def test_pairs_come_autos_first_then_crosses_row_by_row():
    assert all_pairs(3) == ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    assert len(all_pairs(6)) == 21
    assert Correlator(6, 10, 1.0, "x").pairs == all_pairs(6)


def test_only_the_pairs_asked_for_are_kept():
    samples = np.random.default_rng(8).normal(size=(100, 3))
    chosen = Correlator(3, 20, 1.0, "x", pairs=[(2, 2), (1, 0)])
    chosen.push(samples)
    everything = Correlator(3, 20, 1.0, "x")
    everything.push(samples)
    assert np.array_equal(
        chosen.result().column(0, 1), everything.result().column(1, 0)
    )
    with pytest.raises(IncompatibleError, match="channels 0 and 0 were not correlated"):
        chosen.result().column(0, 0)


def test_no_samples_give_zeros_and_zero_counts():
    result = Correlator(3, 10, 0.5, UNIT).result()
    assert not result.values.any()
    assert not result.counts.any()
    assert result.n_samples == 0
    assert result.interval == 0.5


def test_a_sample_that_is_not_finite_is_refused_and_not_taken_in():
    correlator = Correlator(2, 10, 0.5, UNIT)
    with pytest.raises(FrameError, match="NaN or infinity"):
        correlator.push(np.array([[1.0, 2.0], [3.0, np.nan]]))
    assert correlator.n_samples == 0


def test_a_sample_of_other_size_is_refused():
    correlator = Correlator(3, 10, 0.5, UNIT)
    with pytest.raises(ShapeError, match=r"shape \(3,\) or \(n, 3\), but have \(4,\)"):
        correlator.push(np.zeros(4))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 10, 0.5, UNIT), "n_channels must be at least 1"),
        ((3, 1, 0.5, UNIT), "n_lags must be at least 2"),
        ((3, 10, 0.0, UNIT), "interval must be above 0 fs"),
        ((3, 10, 0.5, UNIT, [(0, 3)]), "pairs must name channels from 0 to 2"),
    ],
)
def test_senseless_settings_are_refused(arguments, text):
    with pytest.raises(SettingsError, match=text):
        Correlator(*arguments)


@pytest.mark.parametrize(
    "other",
    [
        Correlator(3, 11, 0.5, UNIT),
        Correlator(3, 10, 1.0, UNIT),
        Correlator(3, 10, 0.5, "another"),
        Correlator(3, 10, 0.5, UNIT, [(0, 0)]),
    ],
)
def test_merging_other_settings_is_refused(other):
    with pytest.raises(IncompatibleError, match=r"merged only if .* is the same"):
        Correlator(3, 10, 0.5, UNIT).merge(other)


def test_a_damaged_state_is_refused():
    state = Correlator(3, 10, 0.5, UNIT).state()
    incomplete = {key: state[key] for key in state if key != "window"}
    with pytest.raises(FormatError, match="needs the entry 'window'"):
        Correlator.from_state(incomplete)
    with pytest.raises(FormatError, match="version 3 is wanted"):
        Correlator.from_state(state | {"version": np.array(1)})
    with pytest.raises(FormatError, match="power of this correlator state must have"):
        Correlator.from_state(state | {"power": state["power"][:, :-2]})


def test_state_survives_npz_without_pickle(tmp_path):
    correlator = correlate(2, 30, [np.random.default_rng(1).normal(size=(80, 2))], [9])
    path = tmp_path / "state.npz"
    np.savez(path, **correlator.state())
    with np.load(path, allow_pickle=False) as saved:
        assert same_bits(Correlator.from_state(saved).result(), correlator.result())
