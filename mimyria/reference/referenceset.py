"""A reference set: configurations, the forces in fields they come from, and tensors.

It is kept as three files of one name: `NAME.extxyz` (tensors, residuals and provenance
of each frame), `NAME.npz` (fields, forces and dipoles, from which the tensors can be
made again), `NAME.md` (the data sheet, for people). Tensors are always fitted anew from
the forces, so that old and new frames of a set are treated alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import FormatError, IncompatibleError
from mimyria.files import replace_file
from mimyria.frame import Array, Frame
from mimyria.io.extxyz import read_extxyz, write_extxyz
from mimyria.io.labelled import LabelledFrame
from mimyria.reference.agreement import CheckResult
from mimyria.reference.displaced import DisplacedTensors
from mimyria.reference.finite_field import FieldFit, fit_tensors
from mimyria.reference.localfield import field_inside
from mimyria.reference.npz import packed, unpacked
from mimyria.reference.quality import INFO_PREFIX, FieldQuality, field_quality
from mimyria.reference.response import FieldResponse, field_response
from mimyria.tensors import Tensors

__all__ = ["ReferenceFrame", "merged", "read_reference_set", "write_reference_set"]

_ARRAYS: Final = ("fields", "forces", "dipoles", "energies")


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceFrame:
    """One configuration with everything that was computed of it.

    Attributes:
        name: identity in the set, `0008`.
        frame: the configuration.
        fields: (n_fields, 3) a.u. — as they were really applied.
        forces: (n_fields, n_atoms, 3) Eh/a0.
        info: where it is from and how it was computed, for its comment line.
        charge: total charge, e.
        mask: (n_atoms,) — atoms whose tensors are kept; None: all.
        dipoles: (n_fields, 3) e Å — on the printed branch; None where not printed.
        energies: (n_fields,) Eh; None likewise.
        displaced: tensors of some atoms by moving them, where that was done.
    """

    name: str
    frame: Frame
    fields: Array
    forces: Array
    info: Mapping[str, Any]
    charge: float = 0.0
    mask: NDArray[np.bool_] | None = None
    dipoles: Array | None = None
    energies: Array | None = None
    displaced: DisplacedTensors | None = None

    def fit(self) -> FieldFit:
        """Tensors by least squares on the actual fields."""
        return fit_tensors(self.fields, self.forces)

    def quality(self) -> FieldQuality:
        """All residuals."""
        return field_quality(self.fields, self.forces, self.fit(), self.charge)

    def response(self) -> FieldResponse:
        """How the whole frame follows the field."""
        periodic = any(self.frame.pbc)
        # An electron that goes once around: the lattice vectors, times e.
        quantum = self.frame.cell * np.array(self.frame.pbc)[:, None]
        return field_response(
            self.fields, self.dipoles, self.energies, quantum if periodic else None
        )

    def check(self) -> CheckResult | None:
        """Its tensors held against those of displaced atoms, where there are any."""
        if self.displaced is None:
            return None
        return self.displaced.compared(self.name, self.fit())

    def in_the_liquid(self) -> ReferenceFrame:
        """The same, by the macroscopic field in the liquid it was cut from.

        The fields are those inside the cluster, E_inside = L E_outside, so that tensors
        and residuals follow from the same forces as before. Tensors of displaced atoms
        are those of the cluster in vacuum, and are left behind.

        Raises:
            FormatError: it is no cluster, or its dipole moments are not known.

        Source: docs/theory.md, eq. (70), (71).
        """
        volume, alpha = self.info.get("cluster_volume"), self.response().alpha
        if volume is None or alpha is None:
            raise FormatError(
                f"{self.name} is no cluster with dipole moments, so the field inside "
                "it is not known. Leave --local-field out."
            )
        inside = field_inside(alpha, float(volume))
        info = {**self.info, "local_field": inside.ravel()}
        fields = self.fields @ inside.T
        return replace(self, fields=fields, info=info, displaced=None)

    def labelled(self) -> LabelledFrame:
        """The frame with its tensors, residuals and provenance."""
        fit = self.fit()
        quality = field_quality(self.fields, self.forces, fit, self.charge)
        info = {
            "id": self.name,
            **self.info,
            "charge": self.charge,
            "fields_au": self.fields.ravel(),
            **quality.as_info(),
            **self._response_info(),
        }
        tensors = Tensors(fit.apt, fit.pgt)
        masks = {}
        if self.mask is not None:
            names = [n for n in ("apt", "pgt") if getattr(tensors, n) is not None]
            masks = dict.fromkeys(names, self.mask)
        return LabelledFrame(self.frame, tensors, info, masks)

    def _response_info(self) -> dict[str, Any]:
        response = self.response()
        info: dict[str, Any] = {}
        if response.alpha is not None:
            info["polarizability_au"] = response.alpha.ravel()
        if not math.isnan(response.difference):
            info["polarizability_difference"] = response.difference
        return info


def merged(
    old: list[ReferenceFrame], new: list[ReferenceFrame]
) -> list[ReferenceFrame]:
    """Both sets as one, in the order of their names; a frame of both stands once.

    It is that of the new set; what only the old one has of displaced atoms is kept.

    Raises:
        IncompatibleError: one name stands for two configurations.
    """
    frames = {frame.name: frame for frame in old}
    for frame in new:
        twin = frames.get(frame.name)
        if twin is not None and not _same_configuration(twin.frame, frame.frame):
            raise IncompatibleError(
                f"the frame {frame.name} of the old set is another configuration than "
                "that of the new one. Give the new ones other ids."
            )
        displaced = frame.displaced or (twin.displaced if twin else None)
        frames[frame.name] = replace(frame, displaced=displaced)
    return [frames[name] for name in sorted(frames)]


def _same_configuration(one: Frame, other: Frame) -> bool:
    return (
        np.array_equal(one.numbers, other.numbers)
        and np.allclose(one.positions, other.positions, rtol=0, atol=1e-8)
        and np.allclose(one.cell, other.cell, rtol=0, atol=1e-8)
    )


def write_reference_set(
    path: Path, frames: list[ReferenceFrame], sheet: str
) -> tuple[Path, Path, Path]:
    """Write `NAME.extxyz`, `NAME.npz` and `NAME.md`; gives their paths.

    Args:
        path: of the extxyz file; the others lie beside it.
        frames: the set.
        sheet: text of the data sheet.
    """
    arrays_path, sheet_path = path.with_suffix(".npz"), path.with_suffix(".md")
    arrays: dict[str, Array] = {}
    for frame in frames:
        for name in _ARRAYS:
            value = getattr(frame, name)
            if value is not None:
                arrays[f"{frame.name}/{name}"] = value
        if frame.displaced is not None:
            for name, value in frame.displaced.as_arrays().items():
                arrays[f"{frame.name}/{name}"] = value
    replace_file(arrays_path, packed(arrays))
    write_extxyz(path, [frame.labelled() for frame in frames])
    replace_file(sheet_path, sheet.encode())
    return path, arrays_path, sheet_path


def read_reference_set(path: Path) -> list[ReferenceFrame]:
    """Read a set back, from its extxyz file and the npz file beside it.

    Raises:
        FormatError: a frame has no name, or no forces, or a file is damaged.
    """
    arrays = _arrays(path.with_suffix(".npz"))
    frames = []
    for number, labelled in enumerate(read_extxyz(path)):
        info = dict(labelled.info)
        name = _name(info.pop("id", None))
        own = {
            key.removeprefix(f"{name}/"): array
            for key, array in arrays.items()
            if key.startswith(f"{name}/")
        }
        if name is None or "fields" not in own or "forces" not in own:
            raise FormatError(
                f"{path}, frame {number} (id {name}): no forces of it in "
                f"{path.with_suffix('.npz').name}."
            )
        charge = float(info.pop("charge", 0.0))
        mask = labelled.masks.get("apt", labelled.masks.get("pgt"))
        kept = {
            key: value
            for key, value in info.items()
            if not key.startswith((INFO_PREFIX, "fields_au", "polarizability_"))
        }
        frames.append(
            ReferenceFrame(
                name,
                labelled.frame,
                own["fields"],
                own["forces"],
                kept,
                charge,
                mask,
                own.get("dipoles"),
                own.get("energies"),
                DisplacedTensors.from_arrays(own),
            )
        )
    return frames


def _name(identity: object) -> str | None:
    """Ids of four digits come back from extxyz as numbers."""
    if isinstance(identity, int):
        return f"{identity:04d}"
    return None if identity is None else str(identity)


def _arrays(path: Path) -> dict[str, Array]:
    try:
        return unpacked(path)
    except FileNotFoundError:
        raise FormatError(
            f"there is no {path.name} beside the set; its forces are missing."
        ) from None
