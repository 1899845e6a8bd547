"""Extended XYZ: frames with velocities and response tensors, one text block each.

Columns are `velocities:R:3`, `REF_apt:R:9` and `REF_pgt:R:27` for labels, `apt:R:9` and
`pgt:R:27` for predictions; order and units stand in the comment line (`apt_order`,
`apt_unit`, `pgt_order`, `pgt_unit`, `velocities_unit`), and are asked for if missing.
Where only some atoms have labels, `REF_apt_mask:L:1` and `REF_pgt_mask:L:1` say which.
Reading is ASE's. Writing is ours, because ASE rounds to eight decimals: numbers have 17
digits here and come back to the bit.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io.extxyz import read_xyz

from mimyria.errors import FormatError, MimyriaError, ShapeError
from mimyria.files import replacing
from mimyria.frame import Array, Frame
from mimyria.io.atoms import frame_from_atoms
from mimyria.io.compressed import TextSource
from mimyria.io.labelled import LabelledFrame, Mask
from mimyria.io.layouts import (
    MASK_SUFFIX,
    TENSOR_LAYOUTS,
    VELOCITY_UNIT,
    decode_mask,
    velocity_factor,
)
from mimyria.targets import TARGETS
from mimyria.tensors import Tensors

__all__ = [
    "LABEL_PREFIX",
    "LabelledFrame",
    "format_extxyz",
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


def read_extxyz(path: str | Path, **overrides: str) -> Iterator[LabelledFrame]:
    """Read frame after frame, converted to our units and index order.

    Labels (`REF_apt`) are taken before predictions (`apt`). `step` and `replica` come
    from the comment line; without them the step is the place in the file. Tensors of
    atoms that a mask leaves out are NaN, whatever the file holds there.

    Args:
        path: the file.
        **overrides: any of `apt_order`, `apt_unit`, `pgt_order`, `pgt_unit`,
            `velocities_unit`, in place of what the frames say.

    Raises:
        FormatError: the file is damaged or no extended XYZ, or a label is not finite.
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
    step, replica = int(header.get("step", index)), int(header.get("replica", 0))
    frame = frame_from_atoms(atoms, velocities, step, replica)
    info = {key: _plain(v) for key, v in atoms.info.items() if key not in _RESERVED}
    tensors, masks = _tensors(atoms, header)
    return LabelledFrame(frame, tensors, info, masks)


def _tensors(atoms: Atoms, header: dict[str, Any]) -> tuple[Tensors, dict[str, Mask]]:
    found: dict[str, Array] = {}
    masks: dict[str, Mask] = {}
    for layout in TENSOR_LAYOUTS:
        name = layout.target.name
        column = _column(atoms, name)
        if column is None:
            continue
        columns = atoms.arrays[column]
        expected = (len(atoms), layout.target.n_components)
        if columns.shape != expected:
            raise ShapeError(
                f"the column {name} must have {expected[1]} numbers for each atom "
                f"({name}:R:{expected[1]}), but its shape is {columns.shape}."
            )
        order, unit = header.get(f"{name}_order"), header.get(f"{name}_unit")
        found[name] = layout.decode(columns, order, unit)
        mask = atoms.arrays.get(f"{column}{MASK_SUFFIX}")
        if mask is not None:
            masks[name] = decode_mask(mask, f"{column}{MASK_SUFFIX}")
            found[name][~masks[name]] = np.nan
    return Tensors(**found), masks


def _column(atoms: Atoms, name: str) -> str | None:
    """Column of a tensor: labels before predictions, None where there is neither."""
    columns = [
        column
        for column in (f"{LABEL_PREFIX}{name}", name)
        if column in atoms.arrays or f"{column}{MASK_SUFFIX}" in atoms.arrays
    ]
    for column in columns:
        if column not in atoms.arrays:
            raise FormatError(
                f"there is a column {column}{MASK_SUFFIX}, but no {column}. Add the "
                "labels, or remove their mask."
            )
    return columns[0] if columns else None


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
            file.write(format_extxyz(labelled, prefix).encode())


def format_extxyz(labelled: LabelledFrame, prefix: str = LABEL_PREFIX) -> str:
    """What `write_extxyz` writes for one frame, whole lines.

    Raises:
        FormatError: an entry of `info` cannot stand in a comment line.
    """
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
        # NaN without a label: whoever does not know the mask shall notice.
        known = labelled.labelled(target.name)[:, np.newaxis]
        columns.append(np.where(known, tensor.reshape(frame.n_atoms, -1), np.nan))
        header[f"{target.name}_order"] = target.order
        header[f"{target.name}_unit"] = target.unit
    for key in labelled.info:
        if key in header:
            raise FormatError(f"info may not hold '{key}'; the frame itself says it.")
    masked = [name for name in TARGETS if name in labelled.masks]
    properties += [f"{prefix}{name}{MASK_SUFFIX}:L:1" for name in masked]
    masks = [labelled.masks[name] for name in masked]
    comment = _comment(frame, properties, {**header, **labelled.info})
    rows = _rows(frame, np.hstack(columns), masks)
    return "\n".join([str(frame.n_atoms), comment, *rows, ""])


def _comment(frame: Frame, properties: list[str], values: dict[str, Any]) -> str:
    entries = [f"Properties={':'.join(properties)}"]
    if frame.cell.any():
        entries.insert(0, f'Lattice="{_numbers(frame.cell.ravel())}"')
    entries.append(
        'pbc="{}"'.format(" ".join("FT"[periodic] for periodic in frame.pbc))
    )
    entries += [f"{key}={_entry(key, value)}" for key, value in values.items()]
    return " ".join(entries)


def _rows(frame: Frame, columns: Array, masks: Sequence[Mask]) -> Iterator[str]:
    """A line for each atom: symbol, numbers, and T or F of each mask."""
    for atom, (number, row) in enumerate(zip(frame.numbers, columns, strict=True)):
        flags = "".join(" T" if mask[atom] else " F" for mask in masks)
        yield f"{chemical_symbols[number]} {_numbers(row)}{flags}"


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
