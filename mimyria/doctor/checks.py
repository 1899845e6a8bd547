"""Checks: all that `mimyria doctor` looks at, in order."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mimyria.doctor import devices, machine, operatorspeed, packages, programs, selftest
from mimyria.doctor.running import Check
from mimyria.doctor.service import look_at_service

__all__ = ["all_checks"]


def all_checks(folder: Path, *, quick: bool = False) -> list[Check]:
    """The checks.

    Args:
        folder: where runs will be.
        quick: without the self-test and what is measured.
    """
    checks = [
        Check("Python", packages.look_at_python, vital=True),
        Check("packages", packages.look_at_packages, vital=True),
        Check("processors", machine.look_at_processors),
        Check("memory", machine.look_at_memory),
        Check("disk", partial(machine.look_at_disk, folder), vital=True),
        Check("limits", machine.look_at_limits),
        Check("torch", devices.look_at_cpu, vital=True),
        Check("GPU", devices.look_at_gpu),
        Check("compiler", programs.look_at_compiler),
        Check("reference codes", programs.look_at_codes),
        Check("scheduler", programs.look_at_scheduler),
        Check("engines and service", partial(look_at_service, folder, quick=quick)),
        Check("self-test: models", selftest.look_at_models, vital=True, long=True),
        Check("self-test: spectrum", selftest.look_at_spectrum, vital=True, long=True),
        Check("operator", operatorspeed.look_at_operator, vital=True, long=True),
        Check("self-test: pace", selftest.look_at_pace, vital=True, long=True),
    ]
    return [check for check in checks if not (quick and check.long)]
