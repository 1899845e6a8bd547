"""The state of a run on disk: one mark for each step that is done, and a summary.

    RUN/
        state.json           settings that count, and what is done (a summary)
        lock                 held by the process that works here
        log.jsonl            when what was done, for people and for the limit of hours
        survey/, test/, cycle-001/choose/ …
            begun.json       digest of all that goes into the step
            done.json        the mark: digests of what went in and of what came out

A mark is written when all that it names is on disk, and replaces nothing. It holds the
digests of the marks of the steps before it, so that marks form a chain; nothing in it
depends on when or where the work was done.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from mimyria.errors import FormatError, LockedError
from mimyria.files import make_folder, replace_file
from mimyria.lockfile import hold_lock, is_locked

__all__ = ["LAST_STEPS", "Mark", "RunFolder", "file_digest"]

SCHEMA_VERSION: Final = 1
LAST_STEPS: Final = ("choose", "reference", "train", "evaluate", "spectra", "judge")
"""The steps of a cycle, in their order."""

_DONE: Final = "done.json"
_BEGUN: Final = "begun.json"
_STATE: Final = "state.json"
_LOG: Final = "log.jsonl"
_CHUNK: Final = 1 << 20


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Mark:
    """What a step that is done came to.

    Attributes:
        step: its name, `cycle-001/train`.
        inputs: digest of all that went in.
        outputs: SHA-256 of each file that came out, by its path in the folder.
        facts: numbers and words that later steps and people want.
    """

    step: str
    inputs: str
    outputs: Mapping[str, str]
    facts: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the mark itself."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def line(self) -> str:
        """The step in words."""
        return str(self.facts.get("line", ""))

    def to_bytes(self) -> bytes:
        """As a JSON file."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        return json.dumps(content, indent=1, ensure_ascii=False).encode()


class RunFolder:
    """The folder of a run, and what is done in it.

    Attributes:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        """Nothing is read or written by this."""
        self.root = root

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process as long as the block lasts.

        Raises:
            LockedError: another process works in it.
        """
        make_folder(self.root)
        with hold_lock(self.root / "lock") as is_ours:
            if not is_ours:
                raise LockedError(
                    f"another mimyria autotrain works in {self.root}. Wait for it, or "
                    "end it; mimyria autotrain --status says how far it is."
                )
            yield

    def is_at_work(self) -> bool:
        """Whether a process works in it now."""
        return is_locked(self.root / "lock")

    def folder(self, step: str) -> Path:
        """Folder of a step."""
        return self.root / step

    def mark(self, step: str) -> Mark | None:
        """The mark of a step; None where it is not done.

        Raises:
            FormatError: the mark is damaged.
        """
        path = self.folder(step) / _DONE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("schema_version") != SCHEMA_VERSION:
                raise ValueError("it is of another version of the program")
            return Mark(**content)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FormatError(
                f"{path} is not readable ({error}). Remove it: what the step has left "
                "is used, and the mark is made again."
            ) from error

    def begin(self, step: str, inputs: str) -> bool:
        """Note that a step is begun; False where it was begun with other inputs."""
        make_folder(self.folder(step))
        path = self.folder(step) / _BEGUN
        with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            return bool(json.loads(path.read_text())["inputs"] == inputs)
        replace_file(path, json.dumps({"inputs": inputs}).encode())
        return True

    def forget(self, step: str) -> None:
        """Take back that a step was begun, and done."""
        for name in (_DONE, _BEGUN):
            (self.folder(step) / name).unlink(missing_ok=True)

    def finish(
        self, step: str, inputs: str, outputs: Sequence[Path], facts: Mapping[str, Any]
    ) -> Mark:
        """Write the mark of a step whose output is complete."""
        folder = self.folder(step)
        digests = {
            path.relative_to(folder).as_posix(): file_digest(path) for path in outputs
        }
        mark = Mark(step, inputs, digests, facts)
        replace_file(folder / _DONE, mark.to_bytes())
        return mark

    def verify(self, mark: Mark) -> None:
        """Hold what a step has left against its mark.

        Raises:
            FormatError: a file is missing or was altered.
        """
        folder = self.folder(mark.step)
        for name, wanted in mark.outputs.items():
            path = folder / name
            found = file_digest(path) if path.is_file() else None
            if found != wanted:
                what = "is missing" if found is None else "was altered"
                raise FormatError(
                    f"{path} {what} since {mark.step} was done. Put it back, or remove "
                    f"{folder} and the steps after it: they are then made again."
                )

    @property
    def cycles(self) -> int:
        """Number of the last cycle that was begun."""
        number = 0
        while self.folder(f"cycle-{number + 1:03d}").is_dir():
            number += 1
        return number

    def marks(self) -> dict[str, Mark]:
        """The marks of all steps that are done, in their order."""
        names = ["survey", "test"]
        for number in range(1, self.cycles + 1):
            names += [f"cycle-{number:03d}/{step}" for step in LAST_STEPS]
        found = {name: self.mark(name) for name in names}
        return {name: mark for name, mark in found.items() if mark is not None}

    def state(self) -> dict[str, Any] | None:
        """What `state.json` says; None where nothing was begun.

        Raises:
            FormatError: it is damaged, or of another version.
        """
        path = self.root / _STATE
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if content["schema_version"] != SCHEMA_VERSION:
                raise ValueError("it is of another version of the program")
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise FormatError(
                f"{path} is not readable ({error}). Remove it: it is made again from "
                "the marks of the steps."
            ) from error
        return content

    def write_state(self, settings: Mapping[str, Any], ended: str) -> None:
        """Put a new summary in the place of the old one.

        Args:
            settings: what may not change.
            ended: why the run is over; empty: it is not.
        """
        content = {
            "schema_version": SCHEMA_VERSION,
            "ended": ended,
            "steps": {name: mark.digest for name, mark in self.marks().items()},
            "settings": settings,
        }
        text = json.dumps(content, indent=1, ensure_ascii=False)
        replace_file(self.root / _STATE, text.encode())

    def log(self, step: str, seconds: float, line: str) -> None:
        """Add a line to the log; one that is cut short by a kill does no harm."""
        entry = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "step": step,
            "seconds": round(seconds, 1),
            "line": line,
        }
        with (self.root / _LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def seconds(self) -> dict[str, float]:
        """Time of work in each step, as far as the log knows."""
        total: dict[str, float] = {}
        with contextlib.suppress(FileNotFoundError):
            for text in (self.root / _LOG).read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    entry = json.loads(text)
                    name = str(entry["step"])
                    total[name] = total.get(name, 0.0) + float(entry["seconds"])
        return total
