"""Run folders: what is refused, and what everything made there is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mimyria.errors import AccessError, OutputError
from mimyria.files import open_private, replace_file
from mimyria_driver.folders import check_folder, private_files
from mimyria_driver.journal import lock_folder

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root can give files away")
NOBODY = 65534


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_can_write_in_is_refused(tmp_path: Path, mode) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(AccessError, match="others may write in the run folder") as told:
        lock_folder(tmp_path)
    assert told.value.exit_code == 77
    assert not list(tmp_path.iterdir())
    tmp_path.chmod(0o755)
    os.close(lock_folder(tmp_path))


@pytest.mark.parametrize("name", ["journal", "status.json", "lock", "snapshots/a"])
@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe"])
def test_links_and_pipes_in_a_run_folder_are_refused(
    tmp_path: Path, name: str, kind: str
) -> None:
    run = tmp_path / "run"
    (run / name).parent.mkdir(parents=True, mode=0o700)
    precious = tmp_path / "precious"
    if kind == "pipe":
        os.mkfifo(run / name)
    else:
        (run / name).symlink_to(precious)
    if kind == "link":
        precious.write_text("mine")
    with pytest.raises(AccessError, match=r"this is a (link|device or pipe)"):
        lock_folder(run)
    assert precious.exists() == (kind == "link")


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "scratch")
    os.close(lock_folder(tmp_path / "run"))


@needs_root
def test_root_is_warned_in_the_folder_of_another(tmp_path: Path, caplog) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    check_folder(tmp_path)
    assert f"belongs to user {NOBODY}, but the driver runs as root" in caplog.text


@needs_root
def test_the_folder_of_another_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(AccessError, match="belongs to user 0, not to you"):
        check_folder(tmp_path)


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_what_is_made_is_private_whatever_the_umask_was(tmp_path: Path, umask) -> None:
    before = os.umask(umask)
    try:
        with private_files():
            (tmp_path / "folder").mkdir()
            (tmp_path / "file").touch()
        assert os.umask(umask) == umask
        replace_file(tmp_path / "secret", b"", private=True)
    finally:
        os.umask(before)
    modes = {
        each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()
    }
    assert modes == {"folder": 0o700, "file": 0o600, "secret": 0o600}


def test_a_link_is_replaced_and_never_written_through(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    link = tmp_path / "result"
    link.symlink_to(precious)
    replace_file(link, b"new")
    assert (precious.read_text(), link.read_text()) == ("mine", "new")
    assert not link.is_symlink()
    link.unlink()
    link.symlink_to(precious)
    with (
        pytest.raises(OSError, match="symbolic link"),
        open(link, "w", opener=open_private),
    ):
        pass
    assert precious.read_text() == "mine"


def test_an_output_in_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Does the folder exist"):
        replace_file(tmp_path / ".." / "absent" / "x", b"", private=True)
