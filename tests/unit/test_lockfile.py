"""One process's own folder: taken, seen, and free again."""

import fcntl
import threading

from mimyria.lockfile import hold_lock, is_locked


def test_the_second_does_not_get_it_and_a_look_sees_the_first(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    with hold_lock(path) as first:
        assert first
        assert is_locked(path)
        with hold_lock(path) as second:
            assert not second
    assert not is_locked(path)


def test_a_look_keeps_nobody_out(tmp_path):
    """`status` holds it for an instant."""
    path = tmp_path / "lock"
    with path.open("w") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        timer = threading.Timer(0.05, fcntl.flock, (look, fcntl.LOCK_UN))
        timer.start()
        with hold_lock(path) as is_ours:
            assert is_ours
        timer.join()
