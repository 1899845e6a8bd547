"""Set aside: frames whose records were taken back, until they have records again.

The engine was told that they are safe and may have forgotten them. So before their
records are void they go into a file of the run folder, and a driver that is started
again takes them from there first: neither a kill nor a second failure of the device
costs one of them. The file has no program in it and is read without pickle.
"""

from __future__ import annotations

import io
import logging
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from mimyria.errors import MimyriaError, OutputError
from mimyria.files import replace_file
from mimyria.frame import Beads, Frame
from mimyria_driver.ownership import no_guard
from mimyria_driver.pending import Pending
from mimyria_driver.session import Session
from mimyria_driver.sources import Arrived

__all__ = ["SET_ASIDE_NAME", "SetAside"]

SET_ASIDE_NAME: Final = "set-aside.npz"

_UNREADABLE: Final = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
    MimyriaError,
)

_log = logging.getLogger(__name__)


class SetAside:
    """The frames of one run folder that are set aside.

    Attributes:
        held: step up to which all frames are with the driver, though not all have a
            record; −1: none is missing.
        void_from: step from which an earlier driver could not void its records any
            more; None: it has.
    """

    def __init__(self, folder: Path, guard: Callable[[], None] = no_guard) -> None:
        """Look at nothing yet.

        Args:
            folder: the run folder.
            guard: called before the file is changed; raises if the folder is another's.
        """
        self.held = -1
        self.void_from: int | None = None
        self._n_records = -1
        self._unwritten = False
        self._guard = guard
        self._path = folder / SET_ASIDE_NAME
        self._frames: list[Arrived] = []

    def put(self, pendings: Sequence[Pending], told: int, n_records: int) -> None:
        """Keep frames whose records will be void; those behind them stay.

        Args:
            pendings: in rising order, at least one.
            told: step that the engine was told to be safe.
            n_records: records in the journal; more of them say that these are void.
        """
        self.held = max(self.held, told)
        self._n_records = n_records
        last = pendings[-1].frame.step
        behind = [each for each in self._frames if each.frame.step > last]
        again = [Arrived(p.frame, p.place.previous_step) for p in pendings]
        self._frames = again + behind
        self._write()

    def restore(self, session: Session) -> list[Pending]:
        """Frames that an earlier driver set aside and that have no good record.

        Where that one ended, or the disk was full, before their records were void,
        `void_from` says what is to be done first.
        """
        frames = self._read()
        journal = session.journal
        last = journal.last_step
        if frames and journal.n_records <= self._n_records:
            first = frames[0].frame.step
            self.void_from = first if first <= last else None
        first = last + 1 if self.void_from is None else self.void_from
        self._frames = [each for each in frames if each.frame.step >= first]
        pendings = [
            session.place(each) if each.frame.step > last else session.known(each)
            for each in self._frames
        ]
        placed = [pending for pending in pendings if pending is not None]
        if not placed:
            self._forget()
            return []
        self.held = placed[-1].frame.step
        _log.warning(
            "%d frames from step %d on were set aside by an earlier driver, whose "
            "device calculated wrongly; they come first",
            len(placed),
            placed[0].frame.step,
            extra={"code": "frames_set_aside"},
        )
        return placed

    def went_back(self, step: int) -> None:
        """The engine takes another way from this step on."""
        self.held = min(self.held, step - 1)
        kept = [each for each in self._frames if each.frame.step < step]
        if len(kept) < len(self._frames):
            self._frames = kept
            self._write()

    def safe(self, step: int) -> bool:
        """Whether the engine may hear that this step is durable."""
        if step < self.held:
            return False
        self.held = -1
        return True

    def checked(self) -> None:
        """A canary was good: what has its records again is needed no longer."""
        if self.held < 0 and self._frames:
            self._forget()

    def save(self) -> None:
        """Before the end: try again where there was no room for the file."""
        if self._unwritten:
            self._write()

    def _forget(self) -> None:
        self._guard()
        self._frames = []
        self._unwritten = False
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        frames = [each.frame for each in self._frames]
        if not frames:
            self._forget()
            return
        stream = io.BytesIO()
        np.savez(
            stream,
            n_records=np.array(self._n_records),
            numbers=frames[0].numbers,
            pbc=np.array(frames[0].pbc),
            steps=np.array([frame.step for frame in frames]),
            replicas=np.array([frame.replica for frame in frames]),
            previous=np.array([each.previous_step for each in self._frames]),
            cells=np.array([frame.cell for frame in frames]),
            positions=np.array([frame.positions for frame in frames]),
            velocities=np.array([frame.velocities for frame in frames]),
            **_bead_arrays(frames),
        )
        try:
            replace_file(self._path, stream.getvalue(), self._guard)
            self._unwritten = False
        except OutputError as error:
            self._unwritten = True
            _log.warning("%s They are in memory only", error)

    def _read(self) -> list[Arrived]:
        try:
            content = io.BytesIO(self._path.read_bytes())
            with np.load(content, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            self._n_records = int(arrays.get("n_records", -1))
            return _arrived(arrays)
        except FileNotFoundError:
            return []
        except _UNREADABLE as error:
            _log.warning(
                "%s cannot be read (%s): its frames will be missing", self._path, error
            )
            return []


def _bead_arrays(frames: Sequence[Frame]) -> dict[str, Any]:
    """(n_frames, n_beads, n_atoms, 3) of ring polymers."""
    beads = [frame.beads for frame in frames if frame.beads is not None]
    if not beads:
        return {}
    return {
        "bead_positions": np.array([each.positions for each in beads]),
        "bead_velocities": np.array([each.velocities for each in beads]),
    }


def _arrived(arrays: dict[str, Any]) -> list[Arrived]:
    x, y, z = (bool(flag) for flag in arrays["pbc"])
    return [
        Arrived(
            Frame(
                arrays["numbers"],
                arrays["positions"][index],
                arrays["cells"][index],
                arrays["velocities"][index],
                int(arrays["steps"][index]),
                int(arrays["replicas"][index]),
                (x, y, z),
                Beads(arrays["bead_positions"][index], arrays["bead_velocities"][index])
                if "bead_positions" in arrays
                else None,
            ),
            int(arrays["previous"][index]),
        )
        for index in range(len(arrays["steps"]))
    ]
