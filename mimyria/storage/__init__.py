"""Result files: everything a run has found, in one HDF5 file (`layout`)."""

from mimyria.storage.layout import RESULT_NAME, SCHEMA_VERSION, Result
from mimyria.storage.resultfile import is_result, read_result, write_result

__all__ = [
    "RESULT_NAME",
    "SCHEMA_VERSION",
    "Result",
    "is_result",
    "read_result",
    "write_result",
]
