"""The plan of a campaign: fields and code of all tasks, fixed once, in `campaign.json`.

Tasks may be added later; fields and code may not change, since tensors of two methods
must not be mixed unseen. The code is compared by the digest of its identity.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mimyria.errors import FormatError, IncompatibleError
from mimyria.files import replace_file
from mimyria.frame import Array
from mimyria.reference.campaign.settings import Settings
from mimyria.reference.campaign.tasks import Task
from mimyria.reference.codes.protocol import Code

__all__ = ["Plan", "identity_digest"]

SCHEMA_VERSION: Final = 1
_FILE: Final = "campaign.json"


def identity_digest(code: Code) -> str:
    """SHA-256 of everything in the settings of a code that changes its numbers."""
    return hashlib.sha256(f"{code.name}\n{code.identity}".encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What all tasks of a campaign share.

    Attributes:
        folder: of the campaign.
        settings_path: the campaign file.
        fields: (n_fields, 3) a.u. — the first is zero.
        code_name: as people write it.
        identity: digest of the code's settings.
        names: of the tasks that are looked at; None: all that are in the folder.
    """

    folder: Path
    settings_path: Path
    fields: Array
    code_name: str
    identity: str
    names: frozenset[str] | None = None

    @classmethod
    def of(cls, settings: Settings, code: Code) -> Plan:
        """The plan that a campaign file asks for."""
        return cls(
            settings.directory,
            settings.path,
            settings.fields.vectors(),
            code.name,
            identity_digest(code),
        )

    @classmethod
    def load(cls, folder: Path) -> Plan:
        """Read the plan of a campaign.

        Raises:
            FormatError: there is none, or it is damaged.
        """
        path = folder / _FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["schema_version"] != SCHEMA_VERSION:
                raise ValueError("it is of another version of the program")
            return cls(
                folder,
                (folder / content["settings"]).resolve(),
                np.array(content["fields"], np.float64).reshape(-1, 3),
                str(content["code"]),
                str(content["identity"]),
            )
        except FileNotFoundError:
            raise FormatError(
                f"{folder} holds no campaign yet. First: mimyria reference plan"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{path} is not readable ({error}). Remove it, and plan again: tasks "
                "and their finished points are kept."
            ) from error

    @classmethod
    def load_or_none(cls, folder: Path) -> Plan | None:
        """The plan of a campaign; None where nothing was planned yet."""
        return cls.load(folder) if (folder / _FILE).exists() else None

    def save(self) -> None:
        """Write the plan into its folder."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "settings": os.path.relpath(self.settings_path.resolve(), self.folder),
            "fields": self.fields.tolist(),
            "code": self.code_name,
            "identity": self.identity,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / _FILE, json.dumps(content, indent=1).encode())

    def require_same_code(self, code: Code) -> None:
        """Refuse a code whose numbers differ from those that are already there.

        Raises:
            IncompatibleError: the settings have changed since the campaign was planned.
        """
        if identity_digest(code) != self.identity:
            raise IncompatibleError(
                f"the settings of {code.name} have changed since the campaign in "
                f"{self.folder} was planned. Put them back, or set another "
                "campaign.directory for the new ones."
            )

    def require_same(self, other: Plan) -> None:
        """Refuse other fields or another code.

        Raises:
            IncompatibleError: names what differs.
        """
        if self.fields.shape != other.fields.shape or (
            np.abs(self.fields - other.fields).max() > 0
        ):
            raise IncompatibleError(
                f"the campaign in {self.folder} was planned with other fields "
                f"({len(self.fields)}, component {np.abs(self.fields).max():g} a.u.). "
                "Set another campaign.directory for the new ones."
            )
        if self.identity != other.identity:
            raise IncompatibleError(
                f"the campaign in {self.folder} was planned with other settings of "
                f"{self.code_name}. Set another campaign.directory for the new ones."
            )

    def task(self, name: str) -> Task:
        """One task by its name, planned or not."""
        return Task(self.folder / "tasks" / name)

    def tasks(self) -> list[Task]:
        """All tasks, in the order of their names."""
        folder = self.folder / "tasks"
        if not folder.is_dir():
            return []
        found = (Task(each) for each in sorted(folder.iterdir()))
        return [
            task
            for task in found
            if task.exists and (self.names is None or task.name in self.names)
        ]
