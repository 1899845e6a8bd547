"""Checks of the service, in order."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mimyria.doctor import Check
from mimyria_driver.doctor.engines import look_at_ipi, look_at_library, look_at_lmp
from mimyria_driver.doctor.parts import look_at_journal, look_at_sockets

__all__ = ["service_checks"]


def service_checks(folder: Path, *, quick: bool = False) -> list[Check]:
    """The checks.

    Args:
        folder: where runs will be.
        quick: without the self-test of the journal.
    """
    checks = [
        Check("LAMMPS on PATH", look_at_lmp),
        Check("LAMMPS in Python", look_at_library),
        Check("i-PI", look_at_ipi),
        Check("sockets", look_at_sockets),
    ]
    journal = Check("journal", partial(look_at_journal, folder), vital=True)
    return checks if quick else [*checks, journal]
