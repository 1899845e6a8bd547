"""The state of a run: marks, the chain of them, the lock, and what was altered."""

import json

import pytest

from mimyria.autotrain.state import RunFolder
from mimyria.autotrain.status import status_lines
from mimyria.errors import FormatError, LockedError


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


def done(run, step="survey", inputs="a", text="result", **facts):
    assert run.begin(step, inputs)
    file = run.folder(step) / "file.txt"
    file.write_text(text)
    return run.finish(step, inputs, [file], {"line": "a line", **facts})


def test_a_mark_comes_back_as_it_was_written(run):
    mark = done(run, number=1.5)
    again = run.mark("survey")
    assert again == mark
    assert again.digest == mark.digest
    assert list(again.outputs) == ["file.txt"]
    run.verify(again)


def test_marks_of_other_outputs_have_other_digests(run, tmp_path):
    other = RunFolder(tmp_path / "other")
    assert done(run).digest == done(RunFolder(tmp_path / "twin")).digest
    assert done(run).digest != done(other, text="another").digest


@pytest.mark.parametrize(("damage", "what"), [(None, "is missing"), ("x", "altered")])
def test_output_that_was_altered_is_named(run, damage, what):
    mark = done(run)
    file = run.folder("survey") / "file.txt"
    file.write_text(damage) if damage else file.unlink()
    with pytest.raises(
        FormatError, match=rf"file.txt (was )?{what}.* since survey was"
    ):
        run.verify(mark)


def test_a_step_that_was_begun_with_other_inputs_is_not_gone_on_with(run):
    assert run.begin("test", "a")
    assert run.begin("test", "a")
    assert not run.begin("test", "b")
    run.forget("test")
    assert run.begin("test", "b")


def test_a_damaged_mark_says_what_to_do(run):
    done(run)
    (run.folder("survey") / "done.json").write_text("{")
    with pytest.raises(FormatError, match="Remove it: what the step has left is used"):
        run.mark("survey")


def test_two_at_once_are_refused_and_the_lock_goes_with_its_holder(run):
    with run.lock():
        assert run.is_at_work()
        other = RunFolder(run.root).lock()
        with pytest.raises(LockedError, match="another mimyria autotrain works in"):
            other.__enter__()
    assert not run.is_at_work()
    with RunFolder(run.root).lock():
        pass


def test_the_summary_is_made_of_the_marks(run):
    marks = [done(run), done(run, "test"), done(run, "cycle-001/choose")]
    run.write_state({"autotrain": {"seed": 1}}, "")
    state = run.state()
    assert state["steps"] == {mark.step: mark.digest for mark in marks}
    assert state["settings"] == {"autotrain": {"seed": 1}}
    (run.root / "state.json").unlink()
    assert run.state() is None
    run.write_state({"autotrain": {"seed": 1}}, "")
    assert run.state() == state


def test_a_summary_of_another_version_is_refused(run):
    done(run)
    (run.root / "state.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(FormatError, match="of another version of the program"):
        run.state()


def test_the_log_counts_time_though_its_last_line_was_cut(run):
    done(run)
    run.log("test", 2.0, "first")
    run.log("test", 3.5, "then")
    with (run.root / "log.jsonl").open("a") as file:
        file.write('{"step": "test", "sec')
    assert run.seconds() == {"test": 5.5}


def test_status_of_a_run_that_was_not_begun(run):
    with pytest.raises(
        FormatError, match=r"holds no run yet\. First: mimyria autotrain"
    ):
        status_lines(run)


def test_status_shows_each_cycle_with_its_next_step(run):
    done(run)
    done(run, "test")
    done(run, "cycle-001/choose")
    done(run, "cycle-001/reference")
    done(run, "cycle-001/train", n_train=3, epsilon={"ir": 0.123})
    run.write_state({}, "")
    run.log("cycle-001/train", 130.0, "")
    text = "\n".join(status_lines(run))
    assert "not at work, and not at its end" in text
    assert "test set: a line" in text
    assert "1      3               ir 12.3%               2 min  evaluate" in text
    with run.lock():
        assert "at work" in status_lines(run)[0]
    run.write_state({}, "the spectra are good enough")
    assert status_lines(run)[0].endswith("over: the spectra are good enough")
