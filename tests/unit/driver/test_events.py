"""events.jsonl: every line of every module, rotated, never in the way of a run."""

import errno
import json
import logging
import os
import re
import threading
from pathlib import Path

import pytest

from mimyria_driver.events import CODES, EventLog
from mimyria_driver.lines import Lines, shown

LOG = logging.getLogger("mimyria_driver.journal")


def lines_of(directory, name="events.jsonl"):
    return [json.loads(line) for line in (directory / name).read_text().splitlines()]


@pytest.fixture
def events(tmp_path):
    with EventLog(tmp_path) as log:
        log.start()
        yield log


def test_plain_logging_of_any_module_becomes_an_event(events, tmp_path):
    LOG.warning("the disk\n is slow: %d ms", 300)
    logging.getLogger("mimyria_driver.ipi.client").info("connected")
    LOG.debug("not worth it")
    first, second = lines_of(tmp_path)
    assert first["msg"] == "the disk is slow: 300 ms"
    assert (first["level"], first["code"]) == ("warning", "journal")
    assert (second["level"], second["code"]) == ("info", "ipi")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["ts"])
    assert 0 < first["mono"] <= second["mono"]


def test_code_and_fields_are_kept_and_counted(events, tmp_path):
    extra = {"code": "gap", "fields": {"before": 4, "step": 12}}
    LOG.warning("frames are missing", extra=extra)
    (entry,) = lines_of(tmp_path)
    assert entry["code"] == "gap"
    assert entry["fields"] == {"before": 4, "step": 12}
    assert events.counts["gap"] == 1
    assert "gap" in CODES


def test_last_three_warnings_are_remembered(events):
    for number in range(5):
        LOG.warning("warning %d", number)
    LOG.info("no warning")
    assert [each["text"] for each in events.warnings] == [
        "warning 2",
        "warning 3",
        "warning 4",
    ]


def test_nothing_is_written_before_the_folder_is_ours(tmp_path):
    with EventLog(tmp_path) as log:
        LOG.warning("said early")
        assert list(tmp_path.iterdir()) == []
        log.start()
        assert [each["msg"] for each in lines_of(tmp_path)] == ["said early"]
    with EventLog(tmp_path / "other"):
        LOG.warning("never ours")
    assert not (tmp_path / "other").exists()


def test_errors_are_synced_and_other_lines_are_not(events, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    LOG.warning("a warning")
    assert not synced
    LOG.error("an error")
    assert len(synced) == 1


def test_files_are_rotated_and_bounded(tmp_path):
    with EventLog(tmp_path, file_bytes=2000, files=4) as log:
        log.start()
        for number in range(200):
            LOG.info("line %d of many", number)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["events.jsonl", *(f"events.jsonl.{i}" for i in (1, 2, 3))]
    assert all((tmp_path / name).stat().st_size <= 2000 for name in names)
    order = ["events.jsonl.3", "events.jsonl.2", "events.jsonl.1", "events.jsonl"]
    said = [each["msg"] for name in order for each in lines_of(tmp_path, name)]
    assert said[-1] == "line 199 of many"
    first = 200 - len(said)
    assert said == [f"line {n} of many" for n in range(first, 200)]


def test_file_is_for_its_owner_and_no_link_is_followed(tmp_path):
    before = os.umask(0)
    try:
        with EventLog(tmp_path) as log:
            log.start()
            LOG.info("x")
    finally:
        os.umask(before)
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o777 == 0o600
    other = tmp_path / "run"
    other.mkdir()
    (other / "events.jsonl").symlink_to(tmp_path / "stolen")
    with EventLog(other) as log:
        log.start()
        LOG.info("x")
    assert log.lost == 1
    assert not (tmp_path / "stolen").exists()


def test_full_disk_costs_lines_and_no_run_and_the_next_line_is_whole(
    events, tmp_path, monkeypatch
):
    LOG.info("before")
    write = os.write

    def torn(descriptor, data):
        return write(descriptor, data[:10])

    monkeypatch.setattr(os, "write", torn)
    LOG.info("torn")

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    LOG.error("lost")
    monkeypatch.setattr(os, "write", write)
    LOG.info("after")
    assert events.lost == 1
    raw = (tmp_path / "events.jsonl").read_text().splitlines()
    assert len(raw) == 3
    assert json.loads(raw[0])["msg"] == "before"
    assert json.loads(raw[2])["msg"] == "after"


def test_torn_end_of_an_earlier_process_is_ended_first(tmp_path):
    (tmp_path / "events.jsonl").write_text('{"msg": "whole"}\n{"msg": "to')
    with EventLog(tmp_path) as log:
        log.start()
        LOG.info("next")
    last = (tmp_path / "events.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["msg"] == "next"


def test_threads_do_not_tear_lines(events, tmp_path):
    def speak():
        for number in range(200):
            LOG.info("line %d", number, extra={"code": "gap"})

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines_of(tmp_path)) == 800
    assert events.counts["gap"] == 800


def test_loggers_are_left_as_they_were(tmp_path):
    logger = logging.getLogger("mimyria_driver")
    before = (logger.level, list(logger.handlers))
    with EventLog(tmp_path):
        assert logger.isEnabledFor(logging.INFO)
    assert (logger.level, list(logger.handlers)) == before


def test_every_code_is_in_the_manual():
    manual = Path(__file__).parents[3] / "docs" / "operation.md"
    text = manual.read_text()
    assert [code for code in CODES if f"`{code}`" not in text] == []


# -- stderr ---------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def speak(capsys):
    clock = Clock()
    lines = Lines(clock=clock)
    logger = logging.getLogger("mimyria_driver.test_lines")
    logger.addHandler(lines)
    logger.propagate = False

    def said():
        return capsys.readouterr().err.splitlines()

    yield logger, clock, lines, said
    logger.removeHandler(lines)
    logger.propagate = True


def test_first_line_of_a_kind_comes_at_once_and_then_one_a_minute(speak):
    logger, clock, lines, said = speak
    for step in range(50):
        logger.warning("frame %d is odd", step)
    logger.warning("something else")
    assert said() == [
        "mimyria-driver: frame 0 is odd",
        "mimyria-driver: something else",
    ]
    lines.tick()
    assert said() == []
    clock.now = 61.0
    lines.tick()
    assert said() == ["mimyria-driver: frame 49 is odd (and 48 more)"]
    logger.warning("frame %d is odd", 50)
    assert said() == []
    clock.now = 122.0
    logger.warning("frame %d is odd", 51)
    assert said() == ["mimyria-driver: frame 50 is odd"]
    lines.close()


def test_what_is_held_back_is_shown_at_the_end(speak):
    logger, _, lines, said = speak
    logger.warning("again")
    logger.warning("again")
    said()
    lines.close()
    assert said() == ["mimyria-driver: again"]


def test_what_the_user_was_told_already_is_not_shown_again(speak):
    logger, _, _, said = speak
    logger.error("the end", extra={"shown": True})
    logger.info("a life event")
    assert said() == []


def test_command_leaves_logging_as_it_was():
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with shown(debug=True):
        assert root.level == logging.DEBUG
        assert len(root.handlers) == len(before[1]) + 1
    assert (root.level, list(root.handlers)) == before
