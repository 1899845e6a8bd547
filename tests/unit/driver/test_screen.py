"""The full-screen view: sizes, places, keys, and a terminal that is given back."""

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from mimyria.correlation import Correlation
from mimyria.diagnostics import Diagnostic
from mimyria.spectra import compute_spectra
from mimyria.storage import Result, write_result
from mimyria.units import (
    DIPOLE_CORRELATION_UNIT,
    POLARIZABILITY_CORRELATION_UNIT,
    angular_frequency,
)
from mimyria_driver import cli
from mimyria_driver.monitor import Monitor
from mimyria_driver.screen.app import Watcher
from mimyria_driver.screen.dots import area, bar, columns, levels, sparkline
from mimyria_driver.screen.glyphs import can_show, to_ascii
from mimyria_driver.screen.history import History
from mimyria_driver.screen.layout import compose
from mimyria_driver.screen.plot import plot_lines
from mimyria_driver.snapshot import Snapshot

BANDS = (700.0, 1650.0, 3400.0)
BUSY = Snapshot(
    state="running",
    engine="LAMMPS 1",
    atoms=192,
    durable=1000,
    in_flight=7,
    segments=1,
    step=4000,
    sampled=2.0,
    temperature=298.4,
    errors={"ir": 0.1},
    targets={"ir": 0.05},
    device="cpu",
    models={"apt": "ab" * 32, "pgt": "cd" * 32},
)


def correlation(unit, n_channels, amplitudes, pairs):
    """Damped cosines at `BANDS` in every diagonal pair."""
    lags = 2.0 * np.arange(2000)
    curve = sum(
        a * np.exp(-lags / 200.0) * np.cos(angular_frequency(nu) * lags)
        for nu, a in zip(BANDS, amplitudes, strict=True)
    )
    values = np.stack([curve * (u == v) for u, v in pairs], axis=1)
    return Correlation(lags, values, np.full(2000, 10**6), pairs, unit, 10**6)


def made_result(weights=(0.5, 0.4, 1.0)):
    from itertools import combinations_with_replacement

    three = ((0, 0), (1, 1), (2, 2))
    six = tuple(combinations_with_replacement(range(6), 2))
    dipole = correlation(DIPOLE_CORRELATION_UNIT, 3, weights, three)
    polar = correlation(POLARIZABILITY_CORRELATION_UNIT, 6, (0.2, 0.3, 1.0), six)
    facts = {"volume": 1000.0, "temperature": 300.0}
    spectra = compute_spectra(dipole, polar, **facts, resolution=20.0)
    checks = (
        Diagnostic("f-sum dipole", 0.99, 1.0, 0.02, "ok", "fine"),
        Diagnostic("temperature H", 290.0, 300.0, 2.0, "look", "cold"),
    )
    return Result(dipole, polar, spectra, 1000.0, 300.0, 2.0, diagnostics=checks)


@pytest.fixture(scope="module")
def result_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("result") / "spectrum.h5"
    write_result(path, made_result())
    return path


@pytest.fixture
def folder(tmp_path, result_file):
    """A run folder with a status and a result."""
    shutil.copy(result_file, tmp_path / "spectrum.h5")
    put(tmp_path, BUSY)
    return tmp_path


def put(directory, snapshot):
    monitor = Monitor(directory, console=Console(file=io.StringIO()))
    monitor.begin()
    monitor.tick(lambda: snapshot, force=True)
    monitor.close()


def picture(directory, width, height, keys="", colours=True):
    watcher = Watcher(directory)
    watcher.press(keys)
    system = "standard" if colours else None
    console = Console(file=io.StringIO(), force_terminal=colours, color_system=system)
    scene = watcher.scene(console, keys=True)
    return [line.plain for line in compose(scene, width, height)]


# -- the picture ----------------------------------------------------------------------


def test_picture_fills_every_terminal_exactly(folder):
    watcher, console = Watcher(folder), Console(file=io.StringIO())
    sizes = [(20, 3), (44, 12), (80, 24), (80, 70), (120, 40), (151, 12), (220, 60)]
    for keys in ("", "i", "rs"):
        watcher.press(keys)
        scene = watcher.scene(console, keys=True)
        for width, height in sizes:
            lines = [line.plain for line in compose(scene, width, height)]
            assert len(lines) == height
            assert {len(line) for line in lines} == {width}
            assert all(len(to_ascii(line)) == width for line in lines)
            assert all(to_ascii(line).isascii() for line in lines)


@pytest.mark.parametrize("state", ["loading", "waiting", "draining", "failed", "ended"])
def test_picture_of_a_run_without_a_result_says_so(state, tmp_path):
    for snapshot in (Snapshot(state=state), replace(BUSY, state=state)):
        put(tmp_path, snapshot)
        shown = "\n".join(picture(tmp_path, 80, 24))
        assert "no spectrum yet" in shown
        assert state in shown


def test_marks_and_ticks_stand_over_their_wavenumbers(result_file):
    from mimyria_driver.screen.findings import ResultReader

    reader = ResultReader(result_file.parent)
    assert reader.look()
    ir = reader.findings.spectra["ir"]
    lines = [t.plain for t in plot_lines(ir, reader.findings.bands["ir"], 169, 20)]
    axis = lines[-2].index("└") + 1  # the column of 0 cm⁻¹; 160 columns of 25 cm⁻¹
    per_column = float(min(4000.0, ir.wavenumbers[-1])) / (169 - axis)
    for wavenumber in (1000, 2000, 3000):
        first = lines[-1].index(f" {wavenumber} ") + 1
        middle = first + len(str(wavenumber)) // 2
        assert abs((middle - axis) * per_column - wavenumber) <= 1.5 * per_column
    text = "\n".join(lines[:-2])
    marks = [int(number) for number in re.findall(r"\b\d{3,4}\b", text)]
    found = sorted(m for m in marks if any(abs(m - nu) < 10 for nu in BANDS))
    assert [round(m, -1) for m in found] == pytest.approx(list(BANDS), abs=10)
    for mark in found:
        row = next(line for line in lines if f"{mark}" in line)
        middle = row.index(str(mark)) + len(str(mark)) / 2
        assert abs((middle - axis) * per_column - mark) <= 2 * per_column


def test_bands_checks_and_time_left_are_in_the_picture(folder):
    shown = "\n".join(picture(folder, 120, 44))
    for text in (
        "LAMMPS 1, 192 atoms · step 4000 · 2.00 ps · 298 K",
        "IR and Raman on cpu",
        "25 %  1000 frames",  # (0.05/0.1)²
        "f-sum dipole",
        "0.99 ± 0.02  wanted 1",
        "▲ look  temperature H",
        "band 1650",
        "IR · α n / cm⁻¹",
        "Raman · S of VV",
    ):
        assert text in shown
    assert shown.index("temperature H") < shown.index("f-sum dipole")


def test_keys_choose_the_spectrum_and_its_scale(folder):
    both = "\n".join(picture(folder, 120, 44))
    assert "IR · α n" in both
    assert "Raman · S" in both
    assert "Raman · S" not in "\n".join(picture(folder, 120, 44, "\t"))
    assert "IR · α n" not in "\n".join(picture(folder, 120, 44, "\t\t"))
    assert picture(folder, 120, 44, "\t\t\t")[6:20] == both.splitlines()[6:20]
    assert "√(α n / cm⁻¹)" in "\n".join(picture(folder, 120, 44, "is"))
    watcher = Watcher(folder)
    assert watcher.press("x")
    assert not watcher.press("iq")


def test_driver_that_is_down_leaves_its_last_result(folder):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    path = folder / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"process": process.pid}))
    shown = "\n".join(picture(folder, 120, 40))
    assert "no driver; it was running" in shown
    assert "CRIT" in shown
    assert "last result: 1000000 frames" in shown


def test_result_that_is_damaged_leaves_the_one_before(folder):
    watcher = Watcher(folder)
    good = watcher._reader.findings
    path = folder / "spectrum.h5"
    path.write_bytes(path.read_bytes()[:-100])
    watcher._reader._next = 0.0
    watcher.look()
    assert watcher._reader.findings is good
    console = Console(file=io.StringIO(), width=200)
    lines = compose(watcher.scene(console), 200, 50)
    shown = "\n".join(line.plain for line in lines)
    assert "is not a readable HDF5 result file" in shown
    assert "band 1650" in shown


def test_watching_changes_nothing_in_the_run_folder(folder, capsys):
    def state():
        return {
            p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()
        }

    before = state()
    assert cli.main(["watch", "--once", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "band 1650" in shown
    assert state() == before


def test_output_without_unicode_gets_ascii(folder, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert cli.main(["watch", "--once", str(folder)]) == 0
    sys.stdout.flush()
    shown = raw.getvalue().decode("ascii")
    assert "IR | a n / cm-1" in shown
    assert "##" in shown
    assert not can_show("latin-1")
    assert can_show("utf-8")


# -- what it is drawn with ------------------------------------------------------------


def test_line_narrower_than_a_column_is_not_lost():
    grid = np.linspace(0.0, 4000.0, 4001)
    values = np.zeros(4001)
    values[1234] = 5.0
    found = columns(grid, values, (0.0, 4000.0), 100)
    assert found[30] == 5.0  # column 30 is 1200 to 1240 cm⁻¹
    assert np.count_nonzero(found) == 1
    coarse = columns(grid[::1000], np.arange(5.0), (0.0, 4000.0), 8)
    assert coarse[::2] == pytest.approx([0.0, 1.0, 2.0, 3.0])


def test_area_has_as_many_dots_as_its_levels():
    heights = levels(np.array([0.0, 0.01, 0.5, 1.0, 1.0, 2.0]), 1.0, 3)
    assert heights.tolist() == [0, 1, 6, 12, 12, 12]
    drawn = area(heights, 3)
    dots = [[(ord(c) - 0x2800).bit_count() for c in row if c != " "] for row in drawn]
    assert sum(map(sum, dots)) == heights.sum()
    assert drawn[0].tolist() == [" ", "⢸", "⣿"]
    assert levels(np.ones(2), 0.0, 3).tolist() == [0, 0]


def test_bars_and_histories_have_the_right_lengths():
    assert bar(0.0, 8) == ("", "░" * 8)
    assert bar(0.5, 8) == ("████", "░░░░")
    assert bar(1.0, 8) == ("█" * 8, "")
    assert bar(9.0, 4) == bar(1.0, 4)
    assert bar(np.nan, 4) == ("", "░░░░")
    assert [len("".join(bar(p, 7))) for p in np.linspace(0, 1, 57)] == [7] * 57
    assert sparkline([0.0, 5.0, 10.0], 2) == "▅█"
    assert sparkline([0.0, 0.0], 9) == "▁▁"
    assert sparkline([], 5) == ""


def test_history_is_that_of_one_driver():
    history = History()
    base = {"state": "running", "process": 1, "in_flight": 3}
    for mono, durable in ((10.0, 100), (12.0, 120), (12.0, 120), (14.0, 160)):
        history.add({**base, "mono": mono, "durable": durable})
    assert list(history.rates) == [10.0, 20.0]
    assert list(history.lags) == [3.0, 3.0]
    history.add({**base, "process": 2, "mono": 15.0, "durable": 500})
    history.add({**base, "process": 2, "mono": 5.0, "durable": 0})
    history.add({**base, "state": "ended", "mono": 20.0, "durable": 600})
    history.add({"state": "running", "durable": 5})
    assert list(history.rates) == [10.0, 20.0]


# -- a real terminal ------------------------------------------------------------------


SIZES = ("COLUMNS", "LINES")
"""Where they are set, they are obeyed in place of the terminal's own size; tests that
run side by side have them from readline."""
SHELL = {name: value for name, value in os.environ.items() if name not in SIZES}


class Terminal:
    """The command in a terminal of its own."""

    def __init__(self, directory, **environment):
        self._ours, theirs = pty.openpty()
        self.resize(80, 24)
        self.before = termios.tcgetattr(self._ours)
        self.said = ""
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-X", "faulthandler"),
                *("-m", "mimyria_driver", "watch", str(directory)),
            ],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**SHELL, "TERM": "xterm-256color", **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)

    def resize(self, width, height):
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, size)

    def press(self, keys):
        self.said = ""
        os.write(self._ours, keys.encode())

    def read_until(self, text):
        end = time.monotonic() + 60
        while text not in self.said:
            if time.monotonic() > end:
                drawn, self.said = self.said, ""
                self.process.send_signal(signal.SIGABRT)  # it says where it stands
                self.end()
                pytest.fail(f"{text!r} is not in {drawn!r}; it stood in {self.said}")
            self._read(1.0)

    def end(self):
        """The exit code, after all was read."""
        code = None
        while code is None:
            self._read(0.1)
            code = self.process.poll()
        self._read(0.1)
        self.after = termios.tcgetattr(self._ours)
        os.close(self._ours)
        return code

    def _read(self, seconds):
        if select.select([self._ours], [], [], seconds)[0]:
            with contextlib.suppress(OSError):  # it has ended
                self.said += os.read(self._ours, 65536).decode(errors="replace")


@pytest.mark.timeout(120)
def test_terminal_is_used_and_given_back(folder):
    terminal = Terminal(folder)
    terminal.read_until("leave")
    assert "\x1b[?1049h" in terminal.said
    assert "IR · α n / cm⁻¹" in terminal.said
    terminal.press("s")
    terminal.read_until("square root")
    terminal.said = ""
    terminal.resize(160, 40)
    terminal.read_until("S of VV")
    put(folder, BUSY)  # it has spoken just now, however long this took
    terminal.press("q")
    assert terminal.end() == 0
    assert "\x1b[?1049l" in terminal.said
    last = terminal.said.partition("\x1b[?1049l")[2]
    assert last.startswith("OK: running · 1000 frames")
    assert terminal.after == terminal.before


@pytest.mark.timeout(120)
def test_terminal_is_given_back_after_a_signal_without_colours_and_unicode(folder):
    terminal = Terminal(folder, NO_COLOR="1", PYTHONIOENCODING="ascii")
    terminal.read_until("leave")
    drawn = terminal.said
    assert drawn.isascii()
    assert not re.search(r"\x1b\[[0-9;]*(3|9)[0-7]m", drawn)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.end() == 128 + signal.SIGTERM
    assert "\x1b[?1049l" in terminal.said
    assert "Traceback" not in terminal.said
    assert terminal.after == terminal.before


@pytest.mark.timeout(120)
def test_dumb_terminal_gets_lines(folder):
    put(folder, replace(BUSY, state="ended"))
    terminal = Terminal(folder, TERM="dumb")
    assert terminal.end() == 0
    assert "\x1b" not in terminal.said
    assert len(terminal.said.splitlines()) == 1
    assert terminal.said.startswith("ended · 1000 frames")
