"""The error tree of the library and the service.

Every error is a child of `MimyriaError` and of the builtin it resembles, carries the
exit code a command ends with, and says what was wanted, what was found, what to do.

    MimyriaError                 70  a bug when raised bare
    ├── SettingsError            78  a setting or option that cannot be used
    ├── ShapeError               65  an array of the wrong shape
    ├── UnitError                65  a missing, unknown or wrong unit or index order
    ├── FormatError              65  a file that is not what it should be
    ├── FrameError               65  a frame the driver refuses (atoms, NaN, stride)
    ├── IncompatibleError        65  data that do not belong together
    ├── CalculationError         70  an electronic-structure calculation failed
    ├── ModelError               66  a model missing, altered or asked too much
    ├── DeviceError              69  no such compute device, or it is too small
    ├── DeviceLostError          75  the device fails: try again, on another node
    ├── KernelError              69  the C++ kernel is demanded and cannot be built
    ├── EvaluatorError           70  the evaluator died or gave no finite numbers
    ├── OutputError              73  a result that cannot be created
    ├── JournalError             74  a damaged or unwritable journal
    │   ├── DiskFullError        74  no room for a record; it goes on when there is
    │   └── LockedError          75  another driver has the run folder
    ├── EngineError              75  the engine went away; try again
    ├── ResourceError            75  memory ran out; try again
    ├── ProtocolError            76  a peer broke the protocol
    └── AccessError              77  another user could read, write or answer here

The codes follow sysexits.h, so that a job script can tell "queue me again" (75) from
"give up" (all others).
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AccessError",
    "CalculationError",
    "DeviceError",
    "DeviceLostError",
    "DiskFullError",
    "EngineError",
    "EvaluatorError",
    "FormatError",
    "FrameError",
    "IncompatibleError",
    "JournalError",
    "KernelError",
    "LockedError",
    "MimyriaError",
    "ModelError",
    "OutputError",
    "ProtocolError",
    "ResourceError",
    "SettingsError",
    "ShapeError",
    "UnitError",
    "one_line",
]


class MimyriaError(Exception):
    """Base of all errors that mimyria raises on purpose."""

    exit_code: ClassVar[int] = 70


class SettingsError(MimyriaError, ValueError):
    """A setting is unknown, missing, or has a value that cannot be used."""

    exit_code = 78


class ShapeError(MimyriaError, ValueError):
    """An array does not have the shape that its meaning demands."""

    exit_code = 65


class UnitError(MimyriaError, ValueError):
    """A unit or an index order is missing, unknown, or not the one wanted."""

    exit_code = 65


class FormatError(MimyriaError, ValueError):
    """A file is not in the format it should be in."""

    exit_code = 65


class FrameError(MimyriaError, ValueError):
    """The driver refuses a frame or a stream of frames."""

    exit_code = 65


class IncompatibleError(MimyriaError, ValueError):
    """Two pieces of data cannot be combined."""

    exit_code = 65


class CalculationError(MimyriaError, RuntimeError):
    """An electronic-structure calculation failed, or its output cannot be trusted."""

    exit_code = 70


class ModelError(MimyriaError, ValueError):
    """A model file is missing or altered, or was not trained for what is asked."""

    exit_code = 66


class DeviceError(MimyriaError, RuntimeError):
    """The compute device asked for is not there, or has too little memory."""

    exit_code = 69


class DeviceLostError(MimyriaError, RuntimeError):
    """The compute device fails again and again; that of another node may not."""

    exit_code = 75


class KernelError(MimyriaError, RuntimeError):
    """The compiled kernel of the networks cannot be built or used."""

    exit_code = 69


class EvaluatorError(MimyriaError, RuntimeError):
    """The evaluator process died, hung, or returned numbers that are not finite."""

    exit_code = 70


class OutputError(MimyriaError, OSError):
    """A result file cannot be created."""

    exit_code = 73


class JournalError(MimyriaError, OSError):
    """The journal is damaged, or cannot be written."""

    exit_code = 74


class DiskFullError(JournalError):
    """There is no room for a record; nothing was changed, and it can be tried again."""


class LockedError(JournalError):
    """Another driver has the run folder, or has taken it over."""

    exit_code = 75


class EngineError(MimyriaError, RuntimeError):
    """The MD engine went away or did not come."""

    exit_code = 75


class ResourceError(MimyriaError, RuntimeError):
    """A resource of the machine ran out, such as memory; nothing kept is lost."""

    exit_code = 75


class ProtocolError(MimyriaError, RuntimeError):
    """A peer sent something that the protocol does not allow."""

    exit_code = 76


class AccessError(MimyriaError, RuntimeError):
    """A file, folder or socket is not this user's alone."""

    exit_code = 77


def one_line(error: BaseException) -> str:
    """A foreign error as one line, without its full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
