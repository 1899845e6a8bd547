"""What the LAMMPS input script calls: start, a frame, finish.

`mimyria-driver hook FILE` joins this module with the three it needs to one file, which
runs inside LAMMPS on the standard library and pyzmq alone (Python 3.8 or later):

    python mimyria_start input 3 ENDPOINT "O H" 4 format ssi file mimyria_hook.py
    python mimyria_start invoke
    fix    mimyria all python/invoke 4 end_of_step mimyria_frame     # the LAST fix
    run    100000
    python mimyria_finish exists
    python mimyria_finish invoke

Every MPI rank sends its own atoms through its own socket. There is no collective call
and no thread, and never an exception on one rank of several: it would leave the others
waiting for ever.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import time
from typing import Any

from mimyria_driver.lammps.engine import Engine, HookError
from mimyria_driver.lammps.sender import RefusedError, Sender, write_line

__all__ = ["mimyria_finish", "mimyria_frame", "mimyria_start"]

EXIT_CODE = 76

_STATE: dict[str, Any] = {}


def mimyria_start(endpoint: str = "", elements: str = "", stride: int = 0) -> None:
    """Settings of the hook; each may come from the environment instead.

    Args:
        endpoint: ZeroMQ address of the driver or the path of its endpoint.json, or
            MIMYRIA_ENDPOINT.
        elements: symbols of the atom types, "O H", or MIMYRIA_ELEMENTS.
        stride: the N of fix python/invoke, or MIMYRIA_STRIDE.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # An embedded Python swallows Ctrl-C until Python code runs again.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    environment = os.environ
    endpoint = endpoint or environment.get("MIMYRIA_ENDPOINT", "")
    elements = elements or environment.get("MIMYRIA_ELEMENTS", "")
    stride = stride or int(environment.get("MIMYRIA_STRIDE", "0"))
    symbols = tuple(elements.replace(",", " ").split())
    try:
        _STATE["sender"] = Sender(endpoint, symbols, stride)
    except HookError as error:
        _stop(error)
    atexit.register(mimyria_finish)


def mimyria_frame(handle: object) -> None:
    """Called by fix python/invoke at the end of a sampled step."""
    try:
        if "sender" not in _STATE:
            mimyria_start()
        address = _address(handle)
        if _STATE.get("address") != address:
            _STATE["handle"] = handle
            _STATE["engine"] = Engine(_library(), address)
            _STATE["address"] = address
        _STATE["sender"].sample(_STATE["engine"])
    except Exception as error:
        _stop(error)


def mimyria_finish() -> None:
    """Wait until the driver has all frames on disk, and say goodbye."""
    sender = _STATE.pop("sender", None)
    if sender is None:
        return
    try:
        sender.finish()
        sender.close()
    except Exception as error:
        _stop(error)


def _address(handle: object) -> int:
    """Address of the LAMMPS instance in the capsule that LAMMPS hands over."""
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return int(get_pointer(handle, None) or 0)


def _library() -> ctypes.CDLL:
    """The library that this process runs, without loading another one."""
    library = ctypes.CDLL(None)
    if hasattr(library, "lammps_extract_global"):
        return library
    # A static `lmp` may hide its symbols; its own Python module knows the way.
    from lammps import lammps

    library = lammps(ptr=_STATE["handle"]).lib
    assert isinstance(library, ctypes.CDLL)
    return library


def _stop(error: Exception) -> None:
    """End LAMMPS with one clear line, on one rank or on many."""
    engine = _STATE.get("engine")
    _STATE.pop("sender", None)
    text = str(error) if isinstance(error, HookError) else repr(error)
    # Of a refusal all ranks hear; of anything else perhaps only this one.
    if engine is None or engine.rank == 0 or not isinstance(error, RefusedError):
        write_line(f"ERROR: {text}")
    if engine is None or engine.n_ranks == 1:
        # No traceback: the line above is what the user needs.
        sys.exit(EXIT_CODE)
    _abort_all_ranks()


def _abort_all_ranks() -> None:
    """An exception on one rank would leave the others waiting for ever."""
    time.sleep(0.2)  # lets rank 0 write its line
    try:
        library = ctypes.CDLL(None)
        if hasattr(library, "MPI_Comm_f2c"):
            library.MPI_Comm_f2c.restype = ctypes.c_void_p
            library.MPI_Comm_f2c.argtypes = [ctypes.c_int]
            library.lammps_get_mpi_comm.argtypes = [ctypes.c_void_p]
            communicator = library.MPI_Comm_f2c(
                library.lammps_get_mpi_comm(_STATE["address"])
            )
            library.MPI_Abort.argtypes = [ctypes.c_void_p, ctypes.c_int]
            library.MPI_Abort(communicator, EXIT_CODE)
    finally:
        os._exit(EXIT_CODE)
