"""Row M1 of the catalogue: bugs planted into journal, disk and identity are caught.

Each bug is put into a copy of the sources, and the tests that should see it must fail
there. A bug whose place is not found any more fails, too, so that this list stays true.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DRIVER = "driver/mimyria_driver/"
UNIT = "tests/unit/driver/"
SERVICE = "tests/integration/service/"

# What is wrong: file, text, what it becomes, tests that must fail.
BUGS = {
    "crc ignored": (
        DRIVER + "scanning.py",
        "zlib.crc32(record[:-4]) == int",
        'int.from_bytes(record[-4:], "little") == int',
        [UNIT + "test_journal.py"],
    ),
    "crc of plain pieces ignored": (
        DRIVER + "scanning.py",
        "[:, 0] != found).any()",
        "[:, 0] != found).all()",
        [UNIT + "test_journal.py"],
    ),
    "part not cut back": (
        DRIVER + "journal.py",
        "os.ftruncate(self._descriptor, self._end)",
        "pass",
        [UNIT + "test_journal_on_bad_disks.py"],
    ),
    "sync tried again on the same file": (
        DRIVER + "journal.py",
        "                self._failed = error\n        if",
        "                diskio.sync_file(self._descriptor)\n        if",
        [UNIT + "test_journal_on_bad_disks.py"],
    ),
    "new file not compared": (
        DRIVER + "diskio.py",
        "if found.digest() != written.digest():",
        "if False:",
        [UNIT + "test_journal_on_bad_disks.py"],
    ),
    "every hole is a tear": (
        DRIVER + "scanning.py",
        "return durable is None or self.n_good < durable",
        "return False",
        [UNIT + "test_journal_on_bad_disks.py"],
    ),
    "every hole is damage": (
        DRIVER + "scanning.py",
        "return durable is None or self.n_good < durable",
        "return True",
        [UNIT + "test_journal_write_log.py"],
    ),
    "mark before sync": (
        DRIVER + "journal.py",
        "        self._unsynced.append(data)\n",
        "        self._unsynced.append(data)\n        self._mark.write(999)\n",
        [UNIT + "test_journal_write_log.py"],
    ),
    "acknowledged before sync": (
        DRIVER + "journal.py",
        "self.last_step = record.step\n",
        "self.last_step = self.durable_step = 8\n",
        [UNIT + "test_journal.py"],
    ),
    "epoch not looked at": (
        DRIVER + "ownership.py",
        "        if found == self.epoch:",
        "        if True:",
        [UNIT + "test_ownership.py"],
    ),
    "epoch not looked at before a result": (
        "mimyria/files.py",
        "        if confirm is not None:",
        "        if False:",
        [SERVICE + "test_zombie.py"],
    ),
    "lease ignored": (
        DRIVER + "ownership.py",
        "taken_over and _is_fresh(folder)",
        "False",
        [UNIT + "test_ownership.py"],
    ),
    "journal not copied on take-over": (
        DRIVER + "journal.py",
        "            if anew:",
        "            if False:",
        [UNIT + "test_journal_on_bad_disks.py"],
    ),
    "snapshot: own checksum ignored": (
        DRIVER + "snapshots.py",
        " or hashlib.sha256(payload).digest() != digest",
        "",
        [UNIT + "test_snapshots.py"],
    ),
    "snapshot: journal not compared": (
        DRIVER + "snapshots.py",
        'if _digest(journal, length) != about["journal"]:',
        "if False:",
        [UNIT + "test_snapshots.py"],
    ),
    "snapshot: rollback ignored": (
        DRIVER + "snapshots.py",
        'back <= about["last_step"]',
        "False",
        [UNIT + "test_snapshots.py"],
    ),
    "snapshot: sum rules lost": (
        DRIVER + "pipeline.py",
        '        self._rules.restore(states["rules"])\n',
        "",
        [UNIT + "test_snapshots.py"],
    ),
    "full disk: frame lost": (
        DRIVER + "keeping.py",
        "            self.evaluated.appendleft((pending, sample))\n",
        "",
        [SERVICE + "test_full_disk.py"],
    ),
    "full disk: result outruns the journal": (
        DRIVER + "keeping.py",
        "        if not self._disk.reason:\n            self._try",
        "        if True:\n            self._try",
        [SERVICE + "test_full_disk.py"],
    ),
    "full disk: no credit": (
        DRIVER + "underway.py",
        "self.n_at_work + len(self.keeper.evaluated)",
        "self.n_at_work",
        [SERVICE + "test_full_disk.py"],
    ),
    "repair: no new segment": (
        DRIVER + "mending.py",
        "if previous >= 0 and (not live or live[-1] != previous):",
        "if False:",
        [UNIT + "test_verify_rebuild_repair.py"],
    ),
    "repair: rollback not put back": (
        DRIVER + "mending.py",
        "            yield _changed(record, ROLLBACK, step)\n",
        "            pass\n",
        [UNIT + "test_verify_rebuild_repair.py"],
    ),
    "verify: result not compared": (
        DRIVER + "inspection.py",
        "    if differing:",
        "    if False:",
        [UNIT + "test_verify_rebuild_repair.py"],
    ),
    "masses ignored": (
        DRIVER + "checks.py",
        "    if found.grouping is None:\n        return\n    begun",
        "    return\n    begun",
        [SERVICE + "test_identity.py"],
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The sources and the tests, to be spoiled."""
    place = tmp_path_factory.mktemp("planted")
    for name in ("mimyria", "driver", "tests", "pyproject.toml", "docs"):
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, place / name, ignore=ignore)
        else:
            shutil.copy(source, place / name)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_planted_bug_is_caught(name, copy):
    file, text, wrong, tests = BUGS[name]
    path = copy / file
    sound = path.read_text()
    assert text in sound
    path.write_text(sound.replace(text, wrong, 1))
    environment = {**os.environ, "PYTHONPATH": f"{copy}:{copy / 'driver'}"}
    options = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    finally:
        path.write_text(sound)
    assert done.returncode == 1, done.stdout
    assert " failed" in done.stdout
