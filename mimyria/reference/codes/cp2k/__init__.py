"""CP2K: inputs as trees, templates, strict reading of outputs, and the code."""

from mimyria.reference.codes.cp2k.code import Cp2k, Cp2kSettings

__all__ = ["Cp2k", "Cp2kSettings"]
