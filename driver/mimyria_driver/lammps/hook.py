"""What the LAMMPS input script calls: start, a frame, finish.

`mimyria-driver hook FILE` joins this module with the others it needs to one file, which
runs inside LAMMPS on the standard library and pyzmq alone (Python 3.8 or later):

    python mimyria_start input 3 ENDPOINT "O H" 4 format ssi file mimyria_hook.py
    python mimyria_start invoke
    fix    mimyria all python/invoke 4 end_of_step mimyria_frame     # the LAST fix
    run    100000
    python mimyria_finish exists
    python mimyria_finish invoke

The engine waits for a driver that is away, for ever. A fourth argument (format ssis) or
the environment says otherwise, as "policy=spill wait=60"; see `options`. With
"barrier=1000" and `restart 1000 md.a md.b` no restart file of LAMMPS is ever ahead of
the driver; the next run begins with the better one of the two:

    python   mimyria_newest input 2 md.a md.b return v_newest format sss exists
    variable newest python mimyria_newest
    variable begin string ${newest}                  # "none" at the first time
    variable known equal is_file(${begin})
    if       "${known} == 1" then "read_restart ${begin}" else "read_data ..."

and, so that the series goes on without a border, gives the driver the frame that it
begins with, after `mimyria_start`:

    python mimyria_frame input 1 SELF format p exists
    python mimyria_frame invoke

Several runs of one driver (source.replicas) have an endpoint with {replica} in it,
"spectrum/replicas/{replica}/endpoint.json": the option replica=K or MIMYRIA_REPLICA
says which it is, or the partition of `-partition 8x2`. Partitions of unequal size need
the option, from a variable of style world.

Every MPI rank sends its own atoms through its own socket. There is no thread, no
collective call but for the policies stop and drop, and never an exception on one rank
of several: it would leave the others waiting for ever. Trouble in the first two frames
is an error of the input and ends LAMMPS; after that MD goes on alone, unless the policy
is stop or abort.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import time
from typing import Any

from mimyria_driver.lammps.access import own_endpoint
from mimyria_driver.lammps.agreement import Agreement
from mimyria_driver.lammps.engine import Engine, HookError
from mimyria_driver.lammps.options import parse_options
from mimyria_driver.lammps.sender import RefusedError, Sender, write_line

__all__ = ["mimyria_finish", "mimyria_frame", "mimyria_newest", "mimyria_start"]

EXIT_CODE = 76
RESTART_MARK = b"LammpS RestartT"  # a restart file begins and ends with it

_STATE: dict[str, Any] = {}


def mimyria_start(
    endpoint: str = "", elements: str = "", stride: int = 0, options: str = ""
) -> None:
    """Settings of the hook; each may come from the environment instead.

    Args:
        endpoint: ZeroMQ address of the driver or the path of its endpoint.json, or
            MIMYRIA_ENDPOINT.
        elements: symbols of the atom types, "O H", or MIMYRIA_ELEMENTS.
        stride: the N of fix python/invoke, or MIMYRIA_STRIDE.
        options: what to do while the driver is away, as "policy=spill wait=60".
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
        chosen = parse_options(options)
        _STATE["sender"] = Sender(endpoint, symbols, stride, options=chosen)
        _STATE["stride"] = stride
    except HookError as error:
        _end_lammps(error)
    atexit.register(_at_exit)


def mimyria_frame(handle: object) -> None:
    """Called by fix python/invoke at the end of a sampled step."""
    try:
        if "sender" not in _STATE:
            mimyria_start()
        address = _address(handle)
        if _STATE.get("address") != address:
            _meet(handle, address)
        sender, engine = _STATE["sender"], _STATE["engine"]
        if engine.step % _STATE["stride"] == 0:
            sender.sample(engine)
        if sender.stopping:
            _library().lammps_force_timeout(ctypes.c_void_p(address))
    except Exception as error:
        _handle(error)


def mimyria_finish() -> None:
    """Wait until the driver has all frames on disk, and say goodbye."""
    sender = _STATE.pop("sender", None)
    if sender is None:
        return
    restart = sender.options.restart if sender.stopping else "none"
    _finish(sender)
    if restart != "none":
        # Between two commands of the script, on all ranks: allowed and safe.
        command = _library().lammps_command
        command.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        command(_STATE["address"], f"write_restart {restart}".encode())
        if _STATE["engine"].rank == 0:
            write_line(f"stopped; {restart} holds the state")


def mimyria_newest(first: str, second: str) -> str:
    """The newer of two restart files that is complete, or "none"."""
    whole = [path for path in (first, second) if _is_whole(path)]
    return max(whole, key=os.path.getmtime) if whole else "none"


def _is_whole(path: str) -> bool:
    """Whether LAMMPS came to the end of this file."""
    try:
        with open(path, "rb") as file:
            begins = file.read(len(RESTART_MARK)) == RESTART_MARK
            file.seek(-64, os.SEEK_END)
            return begins and RESTART_MARK in file.read()
    except OSError:
        return False


def _meet(handle: object, address: int) -> None:
    """An engine that was not here before."""
    _STATE["handle"] = handle
    engine = _STATE["engine"] = Engine(_library(), address)
    _STATE["address"] = address
    sender = _STATE["sender"]
    replica = sender.options.replica
    sender.endpoint = own_endpoint(sender.endpoint, replica, engine.partition)
    if engine.n_ranks > 1 and sender.options.policy in ("stop", "drop"):
        sender.agree = Agreement(_library(), address).any


def _finish(sender: Sender) -> None:
    try:
        sender.finish()
    except Exception as error:
        write_line(f"{_text(error)} The last frames may be missing.")
    sender.close()


def _at_exit() -> None:
    """The script has ended without a word."""
    sender = _STATE.pop("sender", None)
    if sender is not None:
        _finish(sender)


def _handle(error: Exception) -> None:
    """After a call that failed: go on alone, unless the user wants otherwise."""
    sender = _STATE.get("sender")
    if sender is None or sender.must_end(error):
        _end_lammps(error)
        return
    rank = _STATE["engine"].rank
    if rank == 0 or not isinstance(error, RefusedError):
        write_line(f"ERROR: {_text(error)} {sender.consequence}")
    sender.detach(_text(error))


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, HookError) else repr(error)


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


def _end_lammps(error: Exception) -> None:
    """End LAMMPS with one clear line, on one rank or on many."""
    engine = _STATE.get("engine")
    _STATE.pop("sender", None)
    # Of a refusal all ranks hear; of anything else perhaps only this one.
    if engine is None or engine.rank == 0 or not isinstance(error, RefusedError):
        write_line(f"ERROR: {_text(error)}")
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
