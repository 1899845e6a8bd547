"""Extended XYZ: frames with velocities and response tensors, one text block each.

Columns are `velocities:R:3`, `REF_apt:R:9` and `REF_pgt:R:27` for labels, `apt:R:9` and
`pgt:R:27` for predictions; order and units stand in the comment line (`apt_order`,
`apt_unit`, `pgt_order`, `pgt_unit`, `velocities_unit`), and are asked for if missing.
Reading is ASE's. Writing is ours, because ASE rounds to eight decimals: numbers have 17
digits here and come back to the bit.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io.extxyz import read_xyz

from mimyria.errors import FormatError, MimyriaError, ShapeError
from mimyria.files import replacing
from mimyria.frame import Array, Frame
from mimyria.io.compressed import TextSource
from mimyria.io.layouts import TENSOR_LAYOUTS, VELOCITY_UNIT, velocity_factor
from mimyria.tensors import Tensors

__all__ = [
    "LABEL_PREFIX",
    "LabelledFrame",
    "read_extxyz",
    "read_frames",
    "write_extxyz",
]

LABEL_PREFIX: Final = "REF_"

_LAYOUT_KEYS: Final = (
    "velocities_unit",
    "apt_order",
    "apt_unit",
    "pgt_order",
    "pgt_unit",
)
_RESERVED: Final = ("step", "replica", *_LAYOUT_KEYS)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFrame:
    """A frame, the tensors that belong to it, and what else its comment line says.

    Attributes:
        frame: positions, cell, velocities.
        tensors: apt and pgt, each None where the file has none.
        info: further `key=value` entries of the comment line.
    """

    frame: Frame
    tensors: Tensors
    info: dict[str, Any] = field(default_factory=dict)


def read_extxyz(path: str | Path, **overrides: str) -> Iterator[LabelledFrame]:
    """Read frame after frame, converted to our units and index order.

    Labels (`REF_apt`) are taken before predictions (`apt`). `step` and `replica` come
    from the comment line; without them the step is the place in the file.

    Args:
        path: the file.
        **overrides: any of `apt_order`, `apt_unit`, `pgt_order`, `pgt_unit`,
            `velocities_unit`, in place of what the frames say.

    Raises:
        FormatError: the file is damaged or no extended XYZ.
        UnitError: a tensor or the velocities without order or unit.
    """
    unknown = set(overrides) - set(_LAYOUT_KEYS)
    if unknown:
        raise TypeError(f"read_extxyz has no argument {sorted(unknown)[0]}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(2, "No such file", str(path))
    return _read(path, overrides)


def _read(path: Path, overrides: dict[str, str]) -> Iterator[LabelledFrame]:
    source = TextSource(path)
    try:
        for index, atoms in enumerate(_blocks(source)):
            try:
                yield _labelled(atoms, index, overrides)
            except MimyriaError as error:
                raise type(error)(f"{path}, frame {index}: {error}") from error
    finally:
        source.close()


def read_frames(source: TextSource, velocities_unit: str | None) -> Iterator[Frame]:
    """The frames alone, from an open file.

    Args:
        source: the file.
        velocities_unit: unit of the velocities, where the frames do not say it.
    """
    overrides = {"velocities_unit": velocities_unit} if velocities_unit else {}
    for index, atoms in enumerate(_blocks(source)):
        try:
            frame = _labelled(atoms, index, overrides).frame
        except MimyriaError as error:
            raise type(error)(f"{source.path}, frame {index}: {error}") from error
        yield frame


def _blocks(source: TextSource) -> Iterator[Atoms]:
    """Frame after frame by ASE, which alone would read the file twice.

    It also keeps the place of every frame of a file; here memory stays constant, and
    compressed streams can be read, in which nobody can go back.
    """
    index = 0
    while True:
        first = source.line()
        if not first.strip():
            break
        try:
            block = [first, *source.lines(int(first) + 1)]
            if len(block) < int(first) + 2:
                raise ValueError(f"{len(block) - 2} atoms instead of {int(first)}")
            (atoms,) = read_xyz(io.StringIO("".join(block)), slice(0, 1))
        except MimyriaError:
            raise
        except Exception as error:  # ASE raises nearly anything for a damaged file
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk, not of the format
            raise FormatError(
                f"{source.path}, frame {index}: not readable as extended XYZ "
                f"({error}). Is the file complete?"
            ) from error
        yield atoms
        index += 1
    if index == 0:
        raise FormatError(f"{source.path} holds no frame. Is it the right file?")


def _labelled(atoms: Atoms, index: int, overrides: dict[str, str]) -> LabelledFrame:
    header = {**atoms.info, **overrides}
    velocities = atoms.arrays.get("velocities")
    if velocities is not None:
        velocities = np.asarray(velocities, np.float64)
        velocities = velocities * velocity_factor(header.get("velocities_unit"))
    frame = Frame(
        np.asarray(atoms.numbers, np.int64),
        np.asarray(atoms.positions, np.float64),
        np.asarray(atoms.cell.array, np.float64),
        velocities,
        int(header.get("step", index)),
        int(header.get("replica", 0)),
        (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
    )
    info = {key: _plain(v) for key, v in atoms.info.items() if key not in _RESERVED}
    return LabelledFrame(frame, _tensors(atoms, header), info)


def _tensors(atoms: Atoms, header: dict[str, Any]) -> Tensors:
    found: dict[str, Array] = {}
    for layout in TENSOR_LAYOUTS:
        name = layout.target.name
        columns = atoms.arrays.get(f"{LABEL_PREFIX}{name}", atoms.arrays.get(name))
        if columns is None:
            continue
        expected = (len(atoms), layout.target.n_components)
        if columns.shape != expected:
            raise ShapeError(
                f"the column {name} must have {expected[1]} numbers for each atom "
                f"({name}:R:{expected[1]}), but its shape is {columns.shape}."
            )
        order, unit = header.get(f"{name}_order"), header.get(f"{name}_unit")
        found[name] = layout.decode(columns, order, unit)
    return Tensors(**found)


def _plain(value: Any) -> Any:  # noqa: ANN401 - a comment line holds what it likes
    """Python's own number instead of a NumPy scalar."""
    return value.item() if isinstance(value, np.generic) else value


def write_extxyz(
    path: str | Path, frames: Iterable[LabelledFrame], *, prefix: str = LABEL_PREFIX
) -> None:
    """Write frames; the file appears when all of them are written.

    Args:
        path: the file; an existing one is replaced.
        frames: what to write, in our units and index order.
        prefix: before the names of tensor columns: `REF_` labels, empty predictions.

    Raises:
        OutputError: the file cannot be written.
        FormatError: an entry of `info` cannot stand in a comment line.
    """
    with replacing(Path(path)) as file:
        for labelled in frames:
            file.write(_block(labelled, prefix).encode())


def _block(labelled: LabelledFrame, prefix: str) -> str:
    frame, tensors = labelled.frame, labelled.tensors
    properties = ["species:S:1", "pos:R:3"]
    columns = [frame.positions]
    header: dict[str, Any] = {"step": frame.step, "replica": frame.replica}
    if frame.velocities is not None:
        properties.append("velocities:R:3")
        columns.append(frame.velocities)
        header["velocities_unit"] = VELOCITY_UNIT
    for layout in TENSOR_LAYOUTS:
        target = layout.target
        tensor: Array | None = getattr(tensors, target.name)
        if tensor is None:
            continue
        properties.append(f"{prefix}{target.name}:R:{target.n_components}")
        columns.append(tensor.reshape(frame.n_atoms, -1))
        header[f"{target.name}_order"] = target.order
        header[f"{target.name}_unit"] = target.unit
    for key in labelled.info:
        if key in header:
            raise FormatError(f"info may not hold '{key}'; the frame itself says it.")
    entries = [f"Properties={':'.join(properties)}"]
    if frame.cell.any():
        entries.insert(0, f'Lattice="{_numbers(frame.cell.ravel())}"')
    entries.append(
        'pbc="{}"'.format(" ".join("FT"[periodic] for periodic in frame.pbc))
    )
    entries += [f"{k}={_entry(k, v)}" for k, v in {**header, **labelled.info}.items()]
    lines = [str(frame.n_atoms), " ".join(entries)]
    for number, row in zip(frame.numbers, np.hstack(columns), strict=True):
        lines.append(f"{chemical_symbols[number]} {_numbers(row)}")
    return "\n".join(lines) + "\n"


def _numbers(row: Array) -> str:
    return " ".join(f"{value:.17g}" for value in row)


def _entry(key: str, value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "FT"[bool(value)]
    if isinstance(value, (int, float, np.integer, np.floating)):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "if":
        return f'"{_numbers(value)}"'
    if isinstance(value, str) and "\n" not in value:
        return json.dumps(value, ensure_ascii=False)
    raise FormatError(
        f"info['{key}'] must be a number, a row of numbers, or one line of text, but "
        f"is {value!r}."
    )
