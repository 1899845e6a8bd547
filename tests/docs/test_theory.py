"""docs/theory.md and the code point at each other, and both ends are there."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
THEORY = (REPOSITORY / "docs" / "theory.md").read_text()


def test_every_equation_that_the_code_names_is_in_the_document():
    tags = re.findall(r"\\tag\{(\d+)\}", THEORY)
    assert len(tags) == len(set(tags))
    numbered = set(tags)
    assert numbered >= {str(number) for number in range(1, 11)}
    named = set()
    for folder in ("mimyria", "driver"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            text = path.read_text()
            for numbers in re.findall(r"theory\.md,\s+eqs?\. \((\d+)\)", text):
                named.add(numbers)
    assert named <= numbered
    assert {"1", "2", "3", "4", "5", "6", "7", "8", "9"} <= named


TABLE = THEORY.split("## Currents")[0]
ROWS = re.findall(r"^\| \(\d+\).*\| (`.*`) \|$", TABLE, re.MULTILINE)
CODE = [name for row in ROWS for name in re.findall(r"`([\w.]+)`", row)]


@pytest.mark.parametrize("name", CODE)
def test_the_code_that_the_document_names_exists(name):
    parts = name.split(".")
    if parts[0] != "mimyria_driver":
        parts = ["mimyria", *parts]
    try:
        importlib.import_module(".".join(parts))
        return
    except ImportError:
        pass
    for split in range(len(parts) - 1, 1, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ImportError:
            continue
        for part in parts[split:]:
            found = getattr(found, part)
        return
    pytest.fail(f"nothing of {name} can be imported")


def test_the_table_has_a_row_for_every_equation():
    listed = set()
    for row in re.findall(r"^\| (\(\d+\).*?) \|", TABLE, re.MULTILINE):
        for first, last in re.findall(r"\((\d+)\)(?:–\((\d+)\))?", row):
            listed |= set(range(int(first), int(last or first) + 1))
    assert listed == {int(number) for number in re.findall(r"\\tag\{(\d+)\}", THEORY)}


def test_the_tests_that_the_document_names_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)`", THEORY)
    assert named
    assert all((REPOSITORY / name).is_file() for name in named)


def test_physics_loads_nothing_heavy():
    """The front process of the service computes spectra and stays small."""
    program = (
        "import sys, mimyria.spectra, mimyria.correlators; "
        "print([m for m in ('torch', 'e3nn', 'h5py', 'matplotlib', 'ase', 'zmq', "
        "'scipy.signal', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"
