"""From a result to the bytes of its file."""

from __future__ import annotations

import io
import json
from dataclasses import fields

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mimyria.correlation import Correlation, Trajectories
from mimyria.diagnostics import Diagnostic
from mimyria.elementvelocities import ElementVelocities
from mimyria.groups import Grouping
from mimyria.parts import Parts
from mimyria.spectra import Spectrum
from mimyria.storage.layout import (
    CORRELATIONS,
    FORMAT,
    LENGTHS,
    PARTS,
    SCALARS,
    SCHEMA_VERSION,
    SHARES,
    Result,
    content_digest,
)

__all__ = ["encode"]


def encode(result: Result) -> bytes:
    """The whole file, built in memory."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["schema_version"] = SCHEMA_VERSION
        for name, unit in SCALARS.items():
            _write(file, name, getattr(result, name), unit)
        _write_correlations(file.create_group("correlations"), result, CORRELATIONS)
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
        file.attrs["sha256"] = content_digest(file)
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
    _write_correlations(group, parts, PARTS)
    if parts.shares is not None:
        _write_parts(group.create_group(SHARES), parts.shares)


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
    for name in LENGTHS:
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
