"""Agreement: all MPI ranks do the same where one of them may not do it alone.

One MPI_Allreduce of one integer, by ctypes on the communicator of LAMMPS. It is used
by the policies that ask for it and by no other: a rank that never comes would leave the
others waiting. Python 3.8 and the standard library are enough.
"""

from __future__ import annotations

import ctypes
from typing import Any

from mimyria_driver.lammps.engine import HookError

__all__ = ["Agreement"]

# MPICH's numbers of MPI_INT and MPI_MAX; Open MPI has addresses.
_MPICH_INT = 0x4C000405
_MPICH_MAX = 0x58000001


class Agreement:
    """Whether any rank wants something."""

    def __init__(self, library: ctypes.CDLL, handle: int) -> None:
        """Find MPI in the process.

        Args:
            library: with the symbols of LAMMPS, and so of its MPI.
            handle: address of the LAMMPS instance.

        Raises:
            HookError: there is no MPI that can be called.
        """
        library.lammps_get_mpi_comm.argtypes = [ctypes.c_void_p]
        communicator = library.lammps_get_mpi_comm(handle)
        if not hasattr(library, "MPI_Allreduce"):
            raise HookError(
                "The policies stop and drop on several ranks need MPI, which this "
                "LAMMPS does not offer. Use policy=block."
            )
        self._reduce = library.MPI_Allreduce
        self._arguments: tuple[Any, Any, Any]
        pointer = ctypes.c_void_p
        if hasattr(library, "ompi_mpi_int"):
            library.MPI_Comm_f2c.restype = pointer
            library.MPI_Comm_f2c.argtypes = [ctypes.c_int]
            self._arguments = (
                pointer(
                    ctypes.addressof(ctypes.c_char.in_dll(library, "ompi_mpi_int"))
                ),
                pointer(
                    ctypes.addressof(ctypes.c_char.in_dll(library, "ompi_mpi_op_max"))
                ),
                pointer(library.MPI_Comm_f2c(communicator)),
            )
        else:
            self._arguments = (
                ctypes.c_int(_MPICH_INT),
                ctypes.c_int(_MPICH_MAX),
                ctypes.c_int(communicator),
            )

    def any(self, wanted: bool) -> bool:
        """Whether any rank wants it; every rank must ask."""
        mine, all_of_us = ctypes.c_int(int(wanted)), ctypes.c_int()
        kind, operation, communicator = self._arguments
        self._reduce(
            ctypes.byref(mine),
            ctypes.byref(all_of_us),
            ctypes.c_int(1),
            kind,
            operation,
            communicator,
        )
        return bool(all_of_us.value)
