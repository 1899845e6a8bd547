"""Evaluation, canaries and what is known of faults, without a process."""

import json
from collections import deque
from dataclasses import replace

import numpy as np
import pytest

from mimyria.currents import Currents
from mimyria.errors import DeviceError, DeviceLostError, ModelError
from mimyria.frame import Frame
from mimyria.targets import APT
from mimyria.tensors import Tensors
from mimyria_driver.batching import take_batch
from mimyria_driver.evaluator import handle
from mimyria_driver.evaluator.canary import Canary
from mimyria_driver.evaluator.deaths import Deaths
from mimyria_driver.evaluator.evaluation import Evaluation, NotFinite, NotRepeated
from mimyria_driver.evaluator.faults import (
    FAILED,
    GONE,
    MEMORY,
    fault_of,
    wanted_memory,
)
from mimyria_driver.evaluator.rangecheck import RangeCheck
from mimyria_driver.pending import Pending
from mimyria_driver.quarantine import quarantine
from mimyria_driver.sequence import Place
from mimyria_driver.settings import ModelsSettings
from mimyria_driver.unchecked import Unchecked

STRIDE = 5


def frame(index):
    rng = np.random.default_rng(index)
    positions = rng.normal(size=(3, 3))
    cell = 8 * np.eye(3)
    return Frame(np.array([8, 1, 1]), positions, cell, 0.1 * positions, index * STRIDE)


class Description:
    name = "scripted"
    targets = (APT,)
    species = None
    sha256 = "0" * 64


class Source:
    """Gives positions times themselves, after what the script says for each call."""

    metadata = Description()

    def __init__(self, *script):
        self.script = deque(script)
        self.sizes = []

    def predict(self, frames):
        self.sizes.append(len(frames))
        act = self.script.popleft() if self.script else None
        if isinstance(act, BaseException):
            raise act
        answers = [f.positions[:, :, None] * f.positions[:, None, :] for f in frames]
        if act is not None:
            answers[-1][1, 0, 0] = act(answers[-1][1, 0, 0])
        return [Tensors(apt=answer) for answer in answers]


def nan(value):
    return np.nan


def other(value):
    return 1.5 * value


def evaluation(source, others=None):
    notes = []
    device = "cpu" if others is None else "cuda:0"
    second = None if others is None else lambda: {"apt": others}
    return Evaluation({"apt": source}, device, notes.append, second), notes


def out_of_memory():
    return MemoryError("Tried to allocate 3.50 GiB")


# -- memory ---------------------------------------------------------------------------


def test_pieces_stay_small_once_memory_was_short():
    source = Source(out_of_memory(), out_of_memory())
    evaluating, notes = evaluation(source)
    frames = [frame(index) for index in range(8)]
    wanted, _ = evaluation(Source())
    for found, expected in zip(
        evaluating.samples(frames), wanted.samples(frames), strict=True
    ):
        np.testing.assert_array_equal(found.currents.dipole, expected.currents.dipole)
    evaluating.samples(frames[:5])
    assert source.sizes == [8, 4, 2, 2, 2, 2, 2, 2, 1]
    assert len(notes) == 2
    assert "for 8 frame(s) at once (3584 MiB more wanted" in notes[0]


def test_one_frame_is_tried_twice():
    source = Source(out_of_memory())
    evaluating, notes = evaluation(source)
    assert len(evaluating.samples([frame(0)])) == 1
    assert (source.sizes, len(notes)) == ([1, 1], 1)
    evaluating, _ = evaluation(Source(out_of_memory(), out_of_memory()))
    with pytest.raises(DeviceError, match=r"one frame of 3 atoms: 3584 MiB more"):
        evaluating.samples([frame(0)])


# -- numbers --------------------------------------------------------------------------


def test_transient_nan_needs_a_second_opinion_that_agrees():
    evaluating, notes = evaluation(Source(nan), Source())
    assert len(evaluating.samples([frame(0), frame(1)])) == 2
    assert "step 5: the apt model gave numbers that are not finite" in notes[0]
    evaluating, notes = evaluation(Source(nan), Source(other))
    with pytest.raises(NotFinite, match=r"gave other numbers \(on the CPU finite\)"):
        evaluating.samples([frame(0)])
    assert notes == []


@pytest.mark.parametrize(
    ("others", "text"), [(Source(), "CPU finite"), (Source(nan), "CPU not finite")]
)
def test_nan_twice_is_poison_whatever_the_cpu_says(others, text):
    evaluating, _ = evaluation(Source(nan, nan), others)
    with pytest.raises(NotFinite, match=text) as raised:
        evaluating.samples([frame(0), frame(1)])
    assert len(raised.value.before) == 1


def test_sums_that_overflow_are_not_finite():
    huge = replace(frame(1), positions=np.full((3, 3), 1e150))
    huge = replace(huge, velocities=np.full((3, 3), 1e150))
    evaluating, _ = evaluation(Source())
    with (
        np.errstate(all="ignore"),
        pytest.raises(NotFinite, match="sum over its atoms") as raised,
    ):
        evaluating.samples([frame(0), huge])
    assert len(raised.value.before) == 1


# -- canaries -------------------------------------------------------------------------


class Examined(Source):
    """Has an example, whose answers are those of the script."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = deque(answers)

    def examine(self):
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


def test_example_has_to_come_out_to_the_bit():
    first = np.arange(1.0, 10.0)
    last_bit = np.nextafter(first, 100.0)
    source = Examined(first + 1, first + 1, first + 1, first, first, last_bit)
    canary = Canary({"apt": source, "pgt": source})
    assert canary.check() == ""
    assert "gave another answer than when this process began (off by" in canary.check()
    assert Canary({"apt": Examined(first)}).digest == canary.digest
    assert Canary({"apt": Examined(last_bit)}).digest != canary.digest


def test_example_that_is_far_from_the_stored_answer_is_a_reason():
    source = Examined(*[np.ones(9)] * 4, ModelError("off by far"))
    assert Canary({"apt": source}).check() == "off by far"


def test_source_without_an_example_is_held_to_its_first_frame():
    nothing = None
    source = Source(nothing, lambda value: value * (1 + 1e-7), other, nan)
    canary = Canary({"apt": source})
    assert canary.check() == ""  # there is no frame yet
    canary.begin([frame(3)])
    canary.begin([frame(4)])
    assert canary.check() == ""  # its last digits may scatter
    assert "scripted gave another answer to step 15" in canary.check()
    assert "off by nan" in canary.check()


# -- once more ------------------------------------------------------------------------


def last_bit(value):
    return np.nextafter(value, np.inf)


def test_own_model_has_to_give_the_same_bits_once_it_is_warm():
    source = Examined(np.ones(9))
    evaluating, _ = evaluation(source)
    batch = [frame(0), frame(1)]
    for _ in range(2):  # kernels of the first calls may be others
        source.script = deque([None, last_bit])
        evaluating.samples(batch, twice=True)
    source.script = deque([None, last_bit])
    with pytest.raises(NotRepeated, match=r"step 5 gave other numbers .*apt off by"):
        evaluating.samples(batch, twice=True)
    wanted, _ = evaluation(Source())
    source.script = deque()
    for found, expected in zip(
        evaluating.samples(batch, twice=True), wanted.samples(batch), strict=True
    ):
        np.testing.assert_array_equal(found.currents.dipole, expected.currents.dipole)


def test_other_sources_may_scatter_in_their_last_digits():
    evaluating, _ = evaluation(Source(*[None, last_bit] * 5, None, other))
    for _ in range(5):
        evaluating.samples([frame(0)], twice=True)
    with pytest.raises(NotRepeated, match="step 0"):
        evaluating.samples([frame(0)], twice=True)


def test_source_that_gives_its_own_array_again_is_found_out():
    class Reusing(Source):
        array = np.zeros((3, 3, 3))

        def predict(self, frames):
            self.array += 1.0
            return [Tensors(apt=self.array)]

    evaluating, _ = evaluation(Reusing())
    with pytest.raises(NotRepeated, match=r"off by 1.0e\+00 of 1.0e\+00"):
        evaluating.samples([frame(0)], twice=True)


def test_pieces_of_another_size_are_no_mismatch():
    source = Source(None, out_of_memory(), other, other)
    evaluating, notes = evaluation(source)
    evaluating.samples([frame(0), frame(1)], twice=True)
    assert source.sizes == [2, 2, 1, 1]
    assert len(notes) == 1


# -- what is unusual ------------------------------------------------------------------


def made(generator, sizes, n):
    """Samples of these sizes, correlated in time as those of a liquid are."""
    row = np.zeros(9)
    for index in range(n):
        row = 0.7 * row + np.sqrt(1 - 0.49) * generator.normal(size=9)
        size = sizes(index)
        yield Currents(size * row[:3], 1e-3 * size * row[3:])


def hits(check, samples):
    return [index for index, each in enumerate(samples) if check.look(each)]


def steady(index):
    return 2.0


def spoilt_at(places, factor, n=3000, sizes=steady):
    samples = list(made(np.random.default_rng(1), sizes, n))
    for place in places:
        exact = samples[place]
        samples[place] = replace(exact, polarizability=factor * exact.polarizability)
    return samples


def test_usual_samples_are_never_unusual():
    assert hits(RangeCheck(8.0), spoilt_at([], 1.0, 20000)) == []


def test_every_number_far_outside_is_found_also_in_a_row():
    places = [500, 501, 502, 1500]
    assert hits(RangeCheck(8.0), spoilt_at(places, 1e6)) == places
    assert hits(RangeCheck(0.0), spoilt_at(places, 1e6)) == []


def test_wrong_first_samples_hide_no_later_ones():
    check = RangeCheck(8.0)
    assert hits(check, spoilt_at([0, 3, 40, 300], 1e12)) == [300]


def test_slow_heating_and_cooling_are_usual():
    def sizes(index):
        return 10.0 ** np.sin(2 * np.pi * index / 5000)

    assert hits(RangeCheck(8.0), spoilt_at([], 1.0, 10000, sizes)) == []


def test_sudden_heating_is_followed():
    """From 3 K to 3000 K in one step, or from rest: told, and soon usual."""

    def sizes(index):
        return 1.0 if index < 1000 else 30.0

    found = hits(RangeCheck(8.0), spoilt_at([], 1.0, 3000, sizes))
    assert 0 < len(found) < 100
    assert found[0] == 1000
    assert found[-1] < 1200

    def from_rest(index):
        return 0.0 if index < 250 else 1.0

    assert hits(RangeCheck(8.0), spoilt_at([], 1.0, 3000, from_rest)) == []


def test_what_symmetry_makes_zero_is_not_judged_by_its_rounding():
    samples = []
    for index, each in enumerate(spoilt_at([], 1.0)):
        dipole = each.dipole.copy()
        dipole[2] = 1e-12 if index == 1000 else 1e-17
        samples.append(Currents(dipole, None))
    assert hits(RangeCheck(8.0), samples) == []


# -- deaths and faults ----------------------------------------------------------------


def test_three_deaths_in_ten_minutes_are_too_many_unless_they_are_one_story():
    deaths = Deaths()
    for now, story in [(0.0, "a"), (1.0, "a"), (2.0, "a"), (3.0, "b")]:
        deaths.add(now, story)
        assert not deaths.too_many
    deaths.add(599.0, "c")
    assert deaths.too_many
    late = Deaths()
    for now in (0.0, 301.0, 602.0, 903.0):
        late.add(now, now)
        assert not late.too_many
    assert late.total == 4


def test_pauses_grow_with_deaths_and_fall_back_after_a_good_stretch():
    deaths = Deaths()
    assert deaths.pause == 0.0
    pauses = []
    for now in range(9):
        deaths.add(float(now), "a")
        pauses.append(deaths.pause)
    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    deaths.add(605.0, "a")  # those of the first five seconds are forgotten
    assert deaths.pause == 8
    deaths.add(1300.0, "a")
    assert deaths.pause == 0.0


class Child:
    """Dies when it is told to, and says nothing."""

    dead = False

    def __init__(self, log_path):
        self.settings = None

    def send(self, message):
        if self.settings is None:
            self.settings = json.loads(message[9:])

    def write(self):
        return True

    def read(self):
        return [], not self.dead

    def bury(self):
        pass

    def ending(self):
        return "signal 9"

    def last_words(self):
        return "none"


def test_deadline_begins_behind_the_pause(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(handle, "Child", Child)
    monkeypatch.setattr(handle.time, "monotonic", lambda: now)
    settings = ModelsSettings(apt="python:a:b")
    evaluator = handle.Evaluator(settings, tmp_path / "log", first_deadline=10.0)
    evaluator.ready = {"device": "cpu"}  # it has been there before
    for pause in (0.0, 1.0):
        evaluator._child.dead = True
        assert evaluator.results() == []
        assert evaluator._child.settings["pause"] == pause
        evaluator.submit([frame(0)])  # this begins no other clock
    now += 10.5
    assert evaluator.results() == []
    assert evaluator.restarts == 2
    now += 1.0
    with pytest.raises(DeviceLostError, match=r"gave no answer in 10 s"):
        evaluator.results()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CUDA error: an illegal memory access was encountered", FAILED),
        ("CUDA error: unspecified launch failure", FAILED),
        ("CUDA error: an illegal instruction was encountered", FAILED),
        ("CUDA error: misaligned address", FAILED),
        ("CUDA error: invalid program counter", FAILED),
        ("CUDA error: hardware stack error", FAILED),
        ("CUDA error: uncorrectable ECC error encountered", FAILED),
        ("CUDA error: device-side assert triggered", FAILED),
        ("CUDA error: the launch timed out and was terminated", FAILED),
        ("CUDA error: an error that nobody has heard of", FAILED),
        ("CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm", FAILED),
        ("CUDA error: out of memory", MEMORY),
        ("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", MEMORY),
        ("DefaultCPUAllocator: can't allocate memory: you tried", MEMORY),
        ("CUDA error: no CUDA-capable device is detected", GONE),
        ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", GONE),
        ("No CUDA GPUs are available", GONE),
        ("mat1 and mat2 shapes cannot be multiplied", None),
    ],
)
def test_words_of_cuda_are_understood(text, kind):
    assert fault_of(RuntimeError(text)) == kind
    assert fault_of(ValueError(text)) is None


def test_own_error_of_torch_is_understood():
    import torch

    text = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total ..."
    assert fault_of(torch.OutOfMemoryError(text)) == MEMORY
    assert wanted_memory(RuntimeError(text)) == "20 MiB"
    assert wanted_memory(RuntimeError("Tried to allocate 512 bytes")) == "0 MiB"
    assert wanted_memory(MemoryError()) == "an unknown amount"


# -- which frames go together ---------------------------------------------------------


def waiting(*indices):
    return deque(Pending(frame(i), Place(-1, False), b"") for i in indices)


def taken(frames, size, hurry=False):
    batch = take_batch(frames, size, STRIDE, hurry=hurry)
    return [pending.frame.step // STRIDE for pending in batch]


def test_batches_are_those_of_the_steps():
    frames = waiting(*range(2, 11))
    assert taken(frames, 4) == [2, 3]  # the run began there
    assert taken(frames, 4) == [4, 5, 6, 7]
    assert taken(frames, 4) == []
    assert len(frames) == 3
    assert taken(frames, 4, hurry=True) == [8, 9, 10]
    assert taken(frames, 4, hurry=True) == []


def test_batch_of_one_never_waits():
    frames = waiting(3, 4)
    assert [taken(frames, 1), taken(frames, 1), taken(frames, 1)] == [[3], [4], []]


def test_gaps_and_branches_do_not_move_the_borders():
    frames = waiting(0, 1, 3, 9, 10, 8, 9, 10, 11)
    assert taken(frames, 4) == [0, 1, 3]
    assert taken(frames, 4) == [9, 10]  # then the engine went back to 8
    assert taken(frames, 4) == [8, 9, 10, 11]


# -- frames that no canary stands behind ----------------------------------------------


def test_canary_is_due_by_number_by_memory_or_by_time():
    (pending,) = waiting(0)
    size = 3 * 3 * 8 * 2 + 72
    by_number = Unchecked(3, 1e9)
    assert [by_number.submitted([pending]) for _ in range(3)] == [False, False, True]
    by_memory = Unchecked(1000, 1e9, most_bytes=2 * size)
    assert [by_memory.submitted([pending]) for _ in range(2)] == [False, True]
    by_memory.asked()
    assert not by_memory.submitted([pending])
    assert Unchecked(1000, 0.0).submitted([pending])
    assert not Unchecked(0, 0.0).submitted([pending])


def test_frames_that_went_back_are_kept_once_and_rise():
    unchecked = Unchecked(10, 1e9)
    for pending in waiting(1, 2, 3, 4):
        unchecked.came()
        unchecked.add(pending)
    back = Pending(frame(2), Place(STRIDE, True), b"")
    unchecked.add(back)
    assert unchecked.open
    kept = unchecked.take()
    assert [pending.frame.step // STRIDE for pending in kept] == [1, 2]
    assert not any(pending.place.rollback for pending in kept)
    assert not len(unchecked)
    assert not unchecked.open


def test_frame_that_cannot_be_put_away_still_ends_the_run(tmp_path):
    (tmp_path / "quarantine").write_text("in the way")
    error = quarantine(tmp_path, frame(1), 'it "died"\nof this')
    assert "It could not be kept" in str(error)
    assert error.exit_code == 65
