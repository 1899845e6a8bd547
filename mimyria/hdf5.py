"""HDF5 from elsewhere: what a file must be before any of its data is read.

HDF5 can follow names out of a file (external links and storage, virtual datasets,
references), ask for libraries to undo its filters, and claim sizes that it does not
have. Nothing of this belongs into our files or into a trajectory, so a file that has it
is refused before memory is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import h5py

from mimyria.errors import FormatError

__all__ = ["check_contained"]

_FILTERS: Final = {1: "gzip", 2: "shuffle", 3: "fletcher32"}
_MAX_RATIO: Final = 1100
"""Deflate makes at most 1032 bytes of one."""
_SMALL: Final = 1 << 20
"""Bytes that may be claimed without storage: what was never written is zero."""
_MAX_OBJECTS: Final = 100_000
_MAX_ATTRIBUTES: Final = 1000
_MAX_ATTRIBUTE: Final = 1 << 24


def check_contained(group: h5py.Group, largest: int | None = None) -> None:
    """Refuse what leads out of the file or claims more than it stores.

    Args:
        group: checked with all below it.
        largest: bytes that a dataset may have; None: what its storage allows.

    Raises:
        FormatError: names the first such object.
    """
    _check_attributes(group)
    for number, (name, item) in enumerate(_objects(group)):
        if number >= _MAX_OBJECTS:
            raise FormatError(f"it holds more than {_MAX_OBJECTS} objects.")
        _check_attributes(item)
        if isinstance(item, h5py.Dataset):
            _check_dataset(name, item, largest)
        elif not isinstance(item, h5py.Group):
            raise FormatError(f"'{name}' is neither a group nor a dataset.")


def _objects(root: h5py.Group) -> Iterator[tuple[str, object]]:
    """Everything below a group, each object once, without recursion."""
    seen = {_address(root)}
    waiting = [root]
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise FormatError(f"'{name}' is a link; the file must hold its data.")
            item = group[name]
            address = _address(item)
            if address in seen:
                continue  # hard links may go round in circles
            seen.add(address)
            yield name, item
            if isinstance(item, h5py.Group):
                waiting.append(item)


def _address(item: h5py.Group | h5py.Dataset) -> int:
    return int(h5py.h5o.get_info(item.id).addr)


def _check_dataset(name: str, item: h5py.Dataset, largest: int | None) -> None:
    if item.external or item.is_virtual:
        raise FormatError(f"'{name}' must lie in the file itself, but is elsewhere.")
    if largest is not None and item.nbytes > largest:
        raise FormatError(
            f"'{name}' must have at most {largest} bytes, but has {item.nbytes}."
        )
    if item.nbytes > _SMALL + _MAX_RATIO * item.id.get_storage_size():
        raise FormatError(
            f"'{name}' claims {item.nbytes} bytes, but stores "
            f"{item.id.get_storage_size()} only."
        )
    _check_type(name, item.dtype)
    created = item.id.get_create_plist()
    for index in range(created.get_nfilters()):
        code = created.get_filter(index)[0]
        if code not in _FILTERS:
            raise FormatError(
                f"'{name}' has the filter {code}; only {', '.join(_FILTERS.values())} "
                "are read. Write the file anew with one of these."
            )


def _check_type(name: str, dtype: object) -> None:
    if h5py.check_ref_dtype(dtype) is not None:
        raise FormatError(f"'{name}' holds references, which are not followed.")


def _check_attributes(item: object) -> None:
    """Attributes are read as a whole, so their sizes come first."""
    attributes = item.attrs  # type: ignore[attr-defined]
    if len(attributes) > _MAX_ATTRIBUTES:
        raise FormatError(f"an object has more than {_MAX_ATTRIBUTES} attributes.")
    for name in attributes:
        found = attributes.get_id(name)
        if found.get_storage_size() > _MAX_ATTRIBUTE:
            raise FormatError(
                f"the attribute '{name}' has more than {_MAX_ATTRIBUTE} bytes."
            )
        _check_type(name, found.dtype)
