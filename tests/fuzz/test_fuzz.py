"""F2: a short run of `make fuzz`, and that it finds what it should."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZING = Path(__file__).parent / "fuzzing.py"
LEAST = 0.02  # part of the inputs that has to get through, or behind the checksum
PEAK = 200  # MiB


def fuzzed(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = ["-c", code] if code else [str(FUZZING), *arguments]
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("target", "inputs"), [("wire", 50_000), ("ipi", 25_000), ("dump", 8_000)]
)
def test_mutated_messages_are_decoded_or_refused(target: str, inputs: int) -> None:
    done = fuzzed("--inputs", str(inputs), "--seed", "1", "--target", target)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(
        r"(\d+) inputs, (\d+) refused, (\d+) decoded, .* peak (\d+) MiB", done.stdout
    )
    assert found is not None
    n_inputs, refused, decoded, peak = map(int, found.groups())
    assert n_inputs == refused + decoded == inputs
    assert min(refused, decoded) > LEAST * inputs  # else it would test nothing
    assert peak < PEAK


@pytest.mark.parametrize(
    "fault",
    [
        "fuzzing.unpack_box = lambda raw: 1 / 0",
        "fuzzing.unpack_box = lambda raw: bytearray(64 << 20)",
    ],
)
def test_an_exception_and_an_allocation_are_found(fault: str) -> None:
    """The fuzzer itself: a planted fault ends it with what reproduces it."""
    done = fuzzed(
        code=f"import sys; sys.path.insert(0, {str(FUZZING.parent)!r})\n"
        f"import fuzzing; {fault}\n"
        "sys.argv = ['fuzz', '--inputs', '2000', '--seed', '1', '--target', 'wire']\n"
        "fuzzing.main()\n"
    )
    assert done.returncode == 1
    assert re.search(r"gave (ZeroDivision|Memory)Error", done.stderr)
    assert "Again with TARGETS['wire']" in done.stderr
