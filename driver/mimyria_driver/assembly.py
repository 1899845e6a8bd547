"""Assembly: from settings to the source they describe.

Each kind of source is imported only when it is wanted, so that i-PI's users need no
LAMMPS and nobody needs both.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mimyria.errors import SettingsError
from mimyria.frame import Array
from mimyria_driver.credit import bounded
from mimyria_driver.settings import Settings
from mimyria_driver.sources import Source

__all__ = ["atoms_of", "build_source", "engine_endpoint"]

_IPC: Final = "ipc://"


def build_source(settings: Settings) -> Source:
    """The source that the settings describe.

    Raises:
        SettingsError: the atoms of a run cannot be found out, or the source cannot
            listen where it should.
    """
    source = settings.source
    if source.kind == "lammps":
        from mimyria_driver.lammps.listening import listen

        return listen(
            engine_endpoint(settings),
            settings.run.directory,
            insecure_tcp=source.insecure_tcp,
            bind_any=source.bind_any,
        )
    assert source.time_step is not None
    if source.kind == "lammps-dump":
        from mimyria_driver.lammps.dumpsource import open_dump

        assert source.path is not None
        return open_dump(
            source.path,
            settings.run.directory,
            source.types,
            source.time_step,
            source.stride,
        )
    if source.kind == "ipi":
        from mimyria_driver.ipi.client import IpiClient

        assert source.address is not None
        numbers, masses = atoms_of(source.elements, source.structure)
        return IpiClient(
            source.address,
            numbers,
            masses,
            source.time_step,
            source.stride,
            n_beads=source.beads,
            folder=settings.run.directory,
        )
    if source.kind == "imd":
        return _imd(settings)
    from mimyria.io.trajectory import parse_elements
    from mimyria_driver.replay import ReplaySource

    assert source.path is not None
    return ReplaySource(
        [source.path, *map(Path, source.more)],
        source.time_step,
        source.stride,
        source.velocities_unit,
        kind=source.format,
        elements=parse_elements(source.types),
    )


def _imd(settings: Settings) -> Source:
    from mimyria_driver.imd.source import ImdSource

    source = settings.source
    assert source.address is not None
    assert source.time_step is not None
    assert source.units is not None
    numbers, masses = atoms_of(source.elements, source.structure)
    # As many as the service takes before it lets any engine wait.
    most = bounded(settings.run.credit, len(numbers), least=2 * settings.models.batch)
    return ImdSource(
        source.address,
        numbers,
        masses,
        source.time_step,
        source.stride,
        source.units,
        most=most,
    )


def engine_endpoint(settings: Settings) -> str:
    """Where the hook of LAMMPS connects; by default a socket in the run folder.

    The path of a socket may have 107 bytes only, so it is given from here if that is
    shorter.
    """
    endpoint = settings.source.endpoint or f"{_IPC}{settings.run.directory}/engine"
    if not endpoint.startswith(_IPC):
        return endpoint
    path = Path(endpoint.removeprefix(_IPC))
    return _IPC + min(str(path), os.path.relpath(path), key=len)


def atoms_of(
    elements: Sequence[str], structure: Path | None, name: str = "source.elements"
) -> tuple[NDArray[np.int64], Array]:
    """Atomic numbers and masses (amu) of a run, from its elements or a file.

    Args:
        elements: symbols of all atoms; used where there is no file.
        structure: a file that ASE can read.
        name: of the setting with the elements, for messages.

    Raises:
        SettingsError: the atoms cannot be found out.
    """
    from ase import Atoms
    from ase.io import read

    try:
        atoms = Atoms(list(elements)) if structure is None else read(structure, index=0)
    except (OSError, KeyError, ValueError) as error:
        raise SettingsError(
            f"the atoms cannot be taken from {structure or name}: {error}. Give a file "
            "that ASE can read, or element symbols."
        ) from error
    assert isinstance(atoms, Atoms)
    return atoms.numbers.astype(np.int64), atoms.get_masses().astype(np.float64)
