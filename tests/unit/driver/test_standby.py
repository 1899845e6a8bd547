"""A second driver waits for the lock of the first one, and no longer."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from mimyria_driver.journal import lock_folder
from mimyria_driver.standby import wait_for_folder


def test_the_folder_is_free_when_its_driver_is_gone(tmp_path: Path) -> None:
    assert wait_for_folder(tmp_path, lambda: False)  # there was never one
    lock = lock_folder(tmp_path)
    timer = threading.Timer(0.6, os.close, [lock])
    began = time.monotonic()
    timer.start()
    assert wait_for_folder(tmp_path, lambda: False)
    assert time.monotonic() - began > 0.5
    timer.join()
    os.close(lock_folder(tmp_path))  # it was not taken by the wait


def test_a_signal_ends_the_wait(tmp_path: Path) -> None:
    lock = lock_folder(tmp_path)
    began = time.monotonic()
    assert not wait_for_folder(tmp_path, lambda: time.monotonic() - began > 0.3)
    os.close(lock)
