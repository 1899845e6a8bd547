"""The name of a run: made once, kept, and never a reason to end."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mimyria.errors import OutputError
from mimyria_driver import runid
from mimyria_driver.runid import take_run_id


def test_a_run_keeps_its_name_and_no_other_run_has_it(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    names = [take_run_id(folder) for folder in folders]
    assert [take_run_id(folder) for folder in folders] == names
    assert len(set(names)) == 2
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)
    assert (folders[0] / "run_id").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"no name\n", b"0123456789abcdef", b"a" * 10_000, b"\xff" * 17]
)
def test_what_is_no_name_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run_id").write_bytes(content)
    name = take_run_id(tmp_path)
    assert (tmp_path / "run_id").read_text() == f"{name}\n"


def test_a_pipe_in_its_place_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run_id")
    assert len(take_run_id(tmp_path)) == 16


def test_a_full_disk_leaves_the_run_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutputError(os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runid, "replace_file", full)
    assert take_run_id(tmp_path) == ""
    assert not (tmp_path / "run_id").exists()
