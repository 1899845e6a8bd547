"""The hook as one file, for an engine's Python in which mimyria is not installed."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

__all__ = ["bundle_hook"]

# In the order of their imports.
_MODULES: Final = (
    "wire",
    "strictjson",
    "runcard",
    "ownfile",
    "lammps/engine",
    "lammps/anyengine",
    "lammps/access",
    "lammps/options",
    "lammps/agreement",
    "lammps/spill",
    "lammps/stillness",
    "lammps/window",
    "lammps/backlog",
    "lammps/messages",
    "lammps/sender",
    "lammps/hook",
)
_OWN_IMPORT: Final = re.compile(
    r"^from mimyria_driver[\w.]* import (?:\([^)]*\)|[^\n]*)\n", re.MULTILINE
)
_FUTURE: Final = "from __future__ import annotations\n"
# The one package that it needs, and what to do where LAMMPS' Python has none.
_PYZMQ: Final = """\
try:
    import zmq
except ImportError as error:
    import sys
    sys.stderr.write(
        "mimyria: ERROR: The Python of LAMMPS (%s, in %s) cannot import pyzmq: %s. "
        "Deactivate a virtual environment of another Python, or install pyzmq for this "
        "version, as `pip install --target DIR pyzmq`, and set PYTHONPATH=DIR.\\n"
        % (sys.version.split()[0], sys.prefix, error)
    )
    sys.stderr.flush()
    sys.exit(76)
"""
_TITLE: Final = '"""mimyria\'s hook for LAMMPS, written by `mimyria-driver hook`."""\n'


def bundle_hook() -> str:
    """Source text of one self-contained Python file: standard library and pyzmq only.

    The modules stand one after the other; imports between them are cut out.
    """
    package = resources.files("mimyria_driver")
    texts = [_TITLE, _FUTURE, _PYZMQ]
    for name in _MODULES:
        source = package.joinpath(f"{name}.py").read_text(encoding="utf-8")
        source = _OWN_IMPORT.sub("", source).replace(_FUTURE, "")
        texts.append(f"# {'=' * 20} {name}\n{source}")
    return "\n".join(texts)
