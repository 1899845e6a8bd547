"""Result files: everything a run has found, in one HDF5 file.

Only this package knows these files. One is built in memory and appears whole; it
carries a SHA-256 of its content, because HDF5 itself does not notice a flipped bit.

    /                     format, schema_version, sha256
    /volume               Å³
    /temperature          K
    /interval             fs
    /correlations/<name>  lags, values, counts, pairs, n_samples, blocks (the same),
                          trajectories (values, and attributes: number of segments,
                          samples of the first, the shortest, the longest)
    /parts/<name>         the same for groups of atoms; attributes names: a JSON list,
                          reliable_from: cm^-1, 0 where it is not there; n_self
    /parts/shares/<name>  the same for groups with themselves and with the whole
    /grouping             JSON in UTF-8, as bytes: what the groups of the parts are
    /velocities           the same of the elements; attributes names, n_atoms: JSON
                          lists, n_probes
    /spectra/<name>       wavenumbers, intensity, error, resolution, dof, error_dof;
                          attribute kind of error: blocks, theory or bootstrap
    /diagnostics/<nn>     attributes: name, value, expected, error, verdict, sentence
    /provenance           attributes: versions, models, settings

Correlations are `dipole` and `polarizability`; those of parts `dipole`, `isotropic` and
`anisotropic`. Every dataset has an attribute `unit`; the unit of plain numbers is "1".
What was not calculated is not there. Version 1 had no blocks, parts, diagnostics and
degrees of freedom; it is read as a result without them. Version 2 had no shares, n_self
and kinds of errors, which follow from the rest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import h5py
import numpy as np

from mimyria.correlation import Correlation
from mimyria.diagnostics import Diagnostic
from mimyria.elementvelocities import ElementVelocities
from mimyria.parts import Parts
from mimyria.spectra import Spectrum

__all__ = [
    "CORRELATIONS",
    "FORMAT",
    "LENGTHS",
    "PARTS",
    "READABLE",
    "RESULT_NAME",
    "SCALARS",
    "SCHEMA_VERSION",
    "SHARES",
    "Result",
    "content_digest",
    "plain",
]

RESULT_NAME: Final = "spectrum.h5"
"""Name of the result file in the folder of a run."""

SCHEMA_VERSION: Final = 3
READABLE: Final = (1, 2, 3)

FORMAT: Final = "mimyria-result"
SCALARS: Final = {"volume": "Angstrom^3", "temperature": "K", "interval": "fs"}
CORRELATIONS: Final = ("dipole", "polarizability")
PARTS: Final = ("dipole", "isotropic", "anisotropic")
LENGTHS: Final = ("number", "first", "shortest", "longest")
SHARES: Final = "shares"


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a run has found.

    Attributes:
        dipole: correlation of the dipole velocity, or None.
        polarizability: correlation of the polarizability velocity, or None.
        spectra: by name.
        volume: volume of the cell, Å³.
        temperature: temperature of the ensemble, K.
        interval: time between samples, fs.
        provenance: where it comes from: versions, models, settings.
        parts: correlations between groups of atoms, or None.
        diagnostics: what the run says about its own soundness.
        velocities: correlations of the velocities of each element, or None.
    """

    dipole: Correlation | None
    polarizability: Correlation | None
    spectra: dict[str, Spectrum]
    volume: float
    temperature: float
    interval: float
    provenance: dict[str, str | int | float] = field(default_factory=dict)
    parts: Parts | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    velocities: ElementVelocities | None = None


def content_digest(file: h5py.File) -> str:
    """SHA-256 of all names, types, shapes, numbers and attributes but itself."""
    digest = hashlib.sha256()

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        digest.update(f"\0{name}\0".encode())
        if isinstance(item, h5py.Dataset):
            array = np.asarray(item[()])
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        for key in sorted(item.attrs):
            if key != "sha256":
                digest.update(f"\0{key}={plain(item.attrs[key])!r}".encode())

    add("/", file)
    file.visititems(add)  # in the order of names
    return digest.hexdigest()


def plain(value: Any) -> Any:  # noqa: ANN401 - attributes hold text and numbers
    """Python's own number instead of a NumPy scalar."""
    return value.item() if isinstance(value, np.generic) else value
