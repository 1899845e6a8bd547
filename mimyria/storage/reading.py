"""From a file to its result: nothing is taken before header and digest are right."""

from __future__ import annotations

import json
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from mimyria.correlation import Blocks, Correlation, Trajectories
from mimyria.diagnostics import Diagnostic
from mimyria.elementvelocities import ElementVelocities
from mimyria.errors import FormatError
from mimyria.groups import Grouping
from mimyria.hdf5 import check_contained
from mimyria.parts import SELF_NAMES, Parts
from mimyria.spectra import Spectrum
from mimyria.spectra.spectrum import BLOCKS, THEORY
from mimyria.storage.layout import (
    FORMAT,
    LENGTHS,
    PARTS,
    READABLE,
    SHARES,
    Result,
    content_digest,
    plain,
)

__all__ = ["check_header", "decode"]

_LARGEST: Final = 2**31  # bytes; a small file can claim a dataset of terabytes


def check_header(file: h5py.File) -> None:
    """Refuse what is no result of a known version, or was altered.

    Raises:
        FormatError: says which of these.
    """
    if file.attrs.get("format") != FORMAT:
        raise FormatError(
            "this HDF5 file is not a result of mimyria (its attribute 'format' must be "
            f"'{FORMAT}'). Give the result file of a run."
        )
    version = int(file.attrs["schema_version"])
    if version not in READABLE:
        raise FormatError(
            f"schema_version must be one of {READABLE}, but is {version}. "
            "Read it with the version of mimyria that wrote it, or a newer one."
        )
    check_contained(file, _LARGEST)
    if file.attrs.get("sha256") != content_digest(file):
        raise FormatError(
            "the content does not match its SHA-256: the file was damaged or altered. "
            "Take another copy, or write it again from the run's journal."
        )


def decode(file: h5py.File) -> Result:
    """The result in a file that has passed `check_header`."""
    found = _read_correlations(file["correlations"])
    return Result(
        found.get("dipole"),
        found.get("polarizability"),
        {name: _read_spectrum(name, group) for name, group in file["spectra"].items()},
        float(file["volume"][()]),
        float(file["temperature"][()]),
        float(file["interval"][()]),
        {name: plain(value) for name, value in file["provenance"].attrs.items()},
        _read_parts(file["parts"], file.get("grouping")) if "parts" in file else None,
        tuple(
            Diagnostic(**{name: plain(value) for name, value in group.attrs.items()})
            for group in file.get("diagnostics", {}).values()
        ),
        _read_velocities(file["velocities"]) if "velocities" in file else None,
    )


def _read_parts(group: h5py.Group, grouping: h5py.Dataset | None) -> Parts:
    found = _read_correlations(group)
    names = tuple(str(name) for name in json.loads(group.attrs["names"]))
    dipole, isotropic, anisotropic = (found.get(name) for name in PARTS)
    definition = None
    if grouping is not None:
        text = _array(grouping, np.uint8).tobytes().decode()
        definition = Grouping.from_dict(json.loads(text))
    return Parts(
        names,
        dipole,
        isotropic,
        anisotropic,
        float(group.attrs.get("reliable_from", 0.0)),
        definition,
        # Of version 2 the number is not known; with one process the error is not too
        # small.
        int(group.attrs.get("n_self", 1 if names == SELF_NAMES else 0)),
        _read_parts(group[SHARES], None) if SHARES in group else None,
    )


def _read_velocities(group: h5py.Group) -> ElementVelocities:
    return ElementVelocities(
        tuple(str(name) for name in json.loads(group.attrs["names"])),
        tuple(int(number) for number in json.loads(group.attrs["n_atoms"])),
        int(group.attrs["n_probes"]),
        _read_correlation(group),
    )


def _read_correlations(group: h5py.Group) -> dict[str, Correlation]:
    return {
        name: _read_correlation(item) for name, item in group.items() if name != SHARES
    }


def _read_correlation(group: h5py.Group) -> Correlation:
    values = group["values"]
    return Correlation(
        _array(group["lags"], np.float64),
        _array(values, np.float64),
        _array(group["counts"], np.int64),
        tuple((int(u), int(v)) for u, v in group["pairs"][()]),
        str(values.attrs["unit"]),
        int(group["n_samples"][()]),
        Blocks(
            _array(group["blocks/values"], np.float64),
            _array(group["blocks/counts"], np.int64),
        )
        if "blocks" in group
        else None,
        _read_trajectories(group["trajectories"]) if "trajectories" in group else None,
    )


def _read_trajectories(group: h5py.Group) -> Trajectories:
    numbers = (int(group.attrs[name]) for name in LENGTHS)
    return Trajectories(_array(group["values"], np.float64), *numbers)


def _read_spectrum(name: str, group: h5py.Group) -> Spectrum:
    intensity = group["intensity"]
    error = group.get("error")
    error_dof = int(group["error_dof"][()]) if "error_dof" in group else None
    return Spectrum(
        _array(group["wavenumbers"], np.float64),
        _array(intensity, np.float64),
        str(intensity.attrs["unit"]),
        name,
        None if error is None else _array(error, np.float64),
        float(group["resolution"][()]),
        float(group["dof"][()]) if "dof" in group else None,
        error_dof,
        None if error is None else _error_kind(error, error_dof),
    )


def _error_kind(error: h5py.Dataset, error_dof: int | None) -> str:
    """Kind of an error; before version 3 only blocks had degrees of freedom."""
    usual = THEORY if error_dof is None else BLOCKS
    return str(error.attrs.get("kind", usual))


def _array(dataset: h5py.Dataset, dtype: type[Any]) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(dataset[()], dtype=dtype)
    return array
