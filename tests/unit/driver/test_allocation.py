"""Large blocks live outside the heap, also after larger ones were given back."""

import ctypes
import subprocess
import sys

import pytest

# The C library changes its border when a block with pages of its own is freed.
PROGRAM = """
import ctypes
import sys
from mimyria_driver.allocation import return_large_blocks

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd",
        "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

c = ctypes.CDLL(None)
c.mallinfo2.restype = Info
c.malloc.restype, c.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
c.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "fixed":
    assert return_large_blocks()
c.free(c.malloc(24 << 20))
before = c.mallinfo2().hblks
block = c.malloc(1 << 20)
print(c.mallinfo2().hblks - before)
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33 or later"
)
@pytest.mark.parametrize(("border", "outside"), [("fixed", "1"), ("moving", "0")])
def test_large_blocks_get_pages_of_their_own(border, outside):
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, border], capture_output=True, check=True
    )
    assert found.stdout.decode().strip() == outside
