"""Result files: everything a run has found, in one HDF5 file.

The only module that knows these files. One is built in memory and appears whole; it
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
import io
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimyria.correlation import Blocks, Correlation, Trajectories
from mimyria.diagnostics import Diagnostic
from mimyria.elementvelocities import ElementVelocities
from mimyria.errors import FormatError
from mimyria.files import replace_file
from mimyria.groups import Grouping
from mimyria.parts import SELF_NAMES, Parts
from mimyria.spectra import Spectrum
from mimyria.spectra.spectrum import BLOCKS, THEORY

__all__ = [
    "RESULT_NAME",
    "SCHEMA_VERSION",
    "Result",
    "is_result",
    "read_result",
    "write_result",
]

RESULT_NAME: Final = "spectrum.h5"
"""Name of the result file in the folder of a run."""

SCHEMA_VERSION: Final = 3
_READABLE: Final = (1, 2, 3)

_FORMAT: Final = "mimyria-result"
_SCALARS: Final = {"volume": "Angstrom^3", "temperature": "K", "interval": "fs"}
_CORRELATIONS: Final = ("dipole", "polarizability")
_PARTS: Final = ("dipole", "isotropic", "anisotropic")
_LENGTHS: Final = ("number", "first", "shortest", "longest")
_SHARES: Final = "shares"
_LARGEST: Final = 2**31  # bytes; a small file can claim a dataset of terabytes


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


def write_result(path: str | Path, result: Result) -> None:
    """Write a result file; an existing one is replaced at once and as a whole.

    Raises:
        OutputError: the file cannot be written.
    """
    replace_file(Path(path), _encode(result))


def is_result(path: str | Path) -> bool:
    """Whether a file calls itself a result; it may still be damaged.

    Raises:
        FormatError: it is a folder.
    """
    _refuse_folder(Path(path))
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return bool(file.attrs.get("format") == _FORMAT)


def read_result(path: str | Path) -> Result:
    """Read a result file.

    Raises:
        FormatError: it is no result file, of another version, or was altered.
        FileNotFoundError: it is not there.
    """
    path = Path(path)
    _refuse_folder(path)
    content = path.read_bytes()
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            _check_header(file)
            return _decode(file)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{path} is not a readable HDF5 result file ({error}). Is it complete? "
            "The run can write it again from its journal."
        ) from error


def _refuse_folder(path: Path) -> None:
    """Say where the result file of a run is, to who gives the folder of the run."""
    if not path.is_dir():
        return
    inside = [path / RESULT_NAME, *sorted(path.glob(f"*/{RESULT_NAME}"))]
    inside = [each for each in inside if each.is_file()]
    advice = (
        f"Give the result file in it: {inside[0]}"
        if inside
        else f"There is no {RESULT_NAME} in it; give the result file of a run"
    )
    raise FormatError(f"a result file is wanted, but {path} is a folder. {advice}.")


def _encode(result: Result) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["format"] = _FORMAT
        file.attrs["schema_version"] = SCHEMA_VERSION
        for name, unit in _SCALARS.items():
            _write(file, name, getattr(result, name), unit)
        _write_correlations(file.create_group("correlations"), result, _CORRELATIONS)
        if result.parts is not None:
            _write_parts(file.create_group("parts"), result.parts)
            if result.parts.grouping is not None:
                # Beside the parts, where older versions look for correlations only.
                _write(file, "grouping", _as_bytes(result.parts.grouping), "1")
        if result.velocities is not None:
            _write_velocities(file.create_group("velocities"), result.velocities)
        spectra = file.create_group("spectra", track_order=True)
        for name, spectrum in result.spectra.items():
            _write_spectrum(spectra.create_group(name), spectrum)
        for number, diagnostic in enumerate(result.diagnostics):
            group = file.create_group(f"diagnostics/{number:02d}")
            for part in fields(Diagnostic):
                group.attrs[part.name] = getattr(diagnostic, part.name)
        provenance = file.create_group("provenance", track_order=True)
        for name, value in result.provenance.items():
            provenance.attrs[name] = value
        file.attrs["sha256"] = _digest(file)
    return buffer.getvalue()


def _write(group: h5py.Group, name: str, values: ArrayLike, unit: str) -> None:
    group.create_dataset(name, data=values).attrs["unit"] = unit


def _as_bytes(grouping: Grouping) -> NDArray[np.uint8]:
    text = json.dumps(grouping.as_dict(), ensure_ascii=False)
    return np.frombuffer(text.encode(), np.uint8)


def _write_parts(group: h5py.Group, parts: Parts) -> None:
    group.attrs["names"] = json.dumps(parts.names, ensure_ascii=False)
    group.attrs["reliable_from"] = parts.reliable_from
    group.attrs["reliable_from_unit"] = "cm^-1"
    group.attrs["n_self"] = parts.n_self
    _write_correlations(group, parts, _PARTS)
    if parts.shares is not None:
        _write_parts(group.create_group(_SHARES), parts.shares)


def _write_correlations(
    group: h5py.Group, source: Result | Parts, names: tuple[str, ...]
) -> None:
    for name in names:
        correlation: Correlation | None = getattr(source, name)
        if correlation is not None:
            _write_correlation(group.create_group(name), correlation)


def _write_correlation(group: h5py.Group, correlation: Correlation) -> None:
    _write(group, "lags", correlation.lags, "fs")
    _write(group, "values", correlation.values, correlation.unit)
    _write(group, "counts", correlation.counts, "1")
    _write(group, "pairs", np.array(correlation.pairs, np.int64), "1")
    _write(group, "n_samples", correlation.n_samples, "1")
    if correlation.blocks is not None:
        _write(group, "blocks/values", correlation.blocks.values, correlation.unit)
        _write(group, "blocks/counts", correlation.blocks.counts, "1")
    if correlation.trajectories is not None:
        _write_trajectories(
            group.create_group("trajectories"),
            correlation.trajectories,
            correlation.unit,
        )


def _write_trajectories(
    group: h5py.Group, trajectories: Trajectories, unit: str
) -> None:
    _write(group, "values", trajectories.values, unit)
    for name in _LENGTHS:
        group.attrs[name] = getattr(trajectories, name)


def _write_velocities(group: h5py.Group, velocities: ElementVelocities) -> None:
    group.attrs["names"] = json.dumps(velocities.names)
    group.attrs["n_atoms"] = json.dumps(velocities.n_atoms)
    group.attrs["n_probes"] = velocities.n_probes
    _write_correlation(group, velocities.correlation)


def _write_spectrum(group: h5py.Group, spectrum: Spectrum) -> None:
    _write(group, "wavenumbers", spectrum.wavenumbers, "cm^-1")
    _write(group, "intensity", spectrum.intensity, spectrum.unit)
    if spectrum.error is not None:
        _write(group, "error", spectrum.error, spectrum.unit)
        if spectrum.error_kind is not None:
            group["error"].attrs["kind"] = spectrum.error_kind
    _write(group, "resolution", spectrum.resolution, "cm^-1")
    for name in ("dof", "error_dof"):
        if getattr(spectrum, name) is not None:
            _write(group, name, getattr(spectrum, name), "1")


def _check_header(file: h5py.File) -> None:
    if file.attrs.get("format") != _FORMAT:
        raise FormatError(
            "this HDF5 file is not a result of mimyria (its attribute 'format' must be "
            f"'{_FORMAT}'). Give the result file of a run."
        )
    version = int(file.attrs["schema_version"])
    if version not in _READABLE:
        raise FormatError(
            f"schema_version must be one of {_READABLE}, but is {version}. "
            "Read it with the version of mimyria that wrote it, or a newer one."
        )
    _check_local(file)
    if file.attrs.get("sha256") != _digest(file):
        raise FormatError(
            "the content does not match its SHA-256: the file was damaged or altered. "
            "Take another copy, or write it again from the run's journal."
        )


def _check_local(group: h5py.Group) -> None:
    """Refuse links and storage that lead out of the file, before any data is read."""
    for name in group:
        item = group.get(name, getlink=True)
        if not isinstance(item, h5py.HardLink):
            raise FormatError(f"'{name}' is a link; a result file holds its own data.")
        child = group[name]
        if isinstance(child, h5py.Group):
            _check_local(child)
        elif child.external or child.is_virtual or child.nbytes > _LARGEST:
            raise FormatError(f"'{name}' must lie in the file itself, within 2 GiB.")


def _digest(file: h5py.File) -> str:
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
                digest.update(f"\0{key}={_plain(item.attrs[key])!r}".encode())

    add("/", file)
    file.visititems(add)  # in the order of names
    return digest.hexdigest()


def _decode(file: h5py.File) -> Result:
    found = _read_correlations(file["correlations"])
    return Result(
        found.get("dipole"),
        found.get("polarizability"),
        {name: _read_spectrum(name, group) for name, group in file["spectra"].items()},
        float(file["volume"][()]),
        float(file["temperature"][()]),
        float(file["interval"][()]),
        {name: _plain(value) for name, value in file["provenance"].attrs.items()},
        _read_parts(file["parts"], file.get("grouping")) if "parts" in file else None,
        tuple(
            Diagnostic(**{name: _plain(value) for name, value in group.attrs.items()})
            for group in file.get("diagnostics", {}).values()
        ),
        _read_velocities(file["velocities"]) if "velocities" in file else None,
    )


def _read_parts(group: h5py.Group, grouping: h5py.Dataset | None) -> Parts:
    found = _read_correlations(group)
    names = tuple(str(name) for name in json.loads(group.attrs["names"]))
    dipole, isotropic, anisotropic = (found.get(name) for name in _PARTS)
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
        _read_parts(group[_SHARES], None) if _SHARES in group else None,
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
        name: _read_correlation(item) for name, item in group.items() if name != _SHARES
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
    numbers = (int(group.attrs[name]) for name in _LENGTHS)
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


def _plain(value: Any) -> Any:  # noqa: ANN401 - attributes hold text and numbers
    return value.item() if isinstance(value, np.generic) else value
