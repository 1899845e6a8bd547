"""Checks: all that `mimyria doctor` looks at, in order.

What a check needs is imported when it is run: a package that is broken then costs the
checks that need it, and not the doctor.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from mimyria.doctor.finding import Finding
from mimyria.doctor.running import Check

__all__ = ["all_checks"]


def all_checks(folder: Path, *, quick: bool = False) -> list[Check]:
    """The checks.

    Args:
        folder: where runs will be.
        quick: without the self-test and what is measured.
    """
    return [
        Check("Python", _look("packages.look_at_python"), vital=True),
        Check("packages", _look("packages.look_at_packages"), vital=True),
        Check("processors", _look("machine.look_at_processors")),
        Check("memory", _look("machine.look_at_memory")),
        Check("disk", partial(_look("machine.look_at_disk"), folder), vital=True),
        Check("limits", _look("machine.look_at_limits")),
        Check("torch", _look("devices.look_at_cpu"), vital=True),
        Check("GPU", _look("devices.look_at_gpu")),
        Check("compiler", _look("programs.look_at_compiler")),
        Check("reference codes", _look("programs.look_at_codes")),
        Check("scheduler", _look("programs.look_at_scheduler")),
        Check(
            "engines and service",
            partial(_look("service.look_at_service"), folder, quick=quick),
        ),
        *(_self_test() if not quick else []),
    ]


def _self_test() -> list[Check]:
    """What takes seconds; no spectrum can be made where one of them fails."""
    tests = {
        "self-test: models": "selftest.look_at_models",
        "self-test: spectrum": "selftest.look_at_spectrum",
        "operator": "operatorspeed.look_at_operator",
        "self-test: pace": "selftest.look_at_pace",
    }
    return [Check(title, _look(name), vital=True) for title, name in tests.items()]


def _look(name: str) -> Callable[..., Iterable[Finding]]:
    """A function of this package by the names of its module and its own."""
    module, _, function = name.partition(".")

    def look(*arguments: object, **options: object) -> Iterable[Finding]:
        found = getattr(importlib.import_module(f"mimyria.doctor.{module}"), function)
        findings: Iterable[Finding] = found(*arguments, **options)
        return findings

    return look
