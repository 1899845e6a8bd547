"""F3: files that were made to do harm are refused before they can."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from mimyria.errors import (
    FormatError,
    JournalError,
    MimyriaError,
    ModelError,
    SettingsError,
)
from mimyria.hdf5 import check_contained
from mimyria.io.extxyz import read_extxyz
from mimyria.io.h5md import H5mdSource
from mimyria.models.archive import read_members
from mimyria.storage import is_result, read_result
from mimyria.storage.layout import FORMAT, SCHEMA_VERSION
from mimyria_driver.journal import Journal
from mimyria_driver.replay import ReplaySource
from mimyria_driver.settings import load_settings

GOLDEN = Path(__file__).parents[2] / "golden"


def external(file: h5py.File) -> None:
    file.create_dataset("x", (9,), "u1", external=[("/etc/hostname", 0, 9)])


def external_link(file: h5py.File) -> None:
    file["x"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: h5py.File) -> None:
    file["x"] = h5py.SoftLink("/elsewhere")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "y", (4,))
    file.create_virtual_dataset("x", layout)


def reference(file: h5py.File) -> None:
    file.create_dataset("x", (1,), h5py.ref_dtype)[0] = file.ref


def region_reference(file: h5py.File) -> None:
    file.create_dataset("x", (1,), h5py.regionref_dtype)


def attribute_reference(file: h5py.File) -> None:
    file.create_group("x").attrs["to"] = file.ref


def foreign_filter(file: h5py.File) -> None:
    file.create_dataset("x", data=np.zeros(100), compression="lzf")


def scale_offset(file: h5py.File) -> None:
    file.create_dataset("x", data=np.zeros(100, int), scaleoffset=0)


def terabytes(file: h5py.File) -> None:
    file.create_dataset("x", (1 << 40,), "f8", chunks=(1 << 17,))


def bomb(file: h5py.File) -> None:
    file.create_dataset("x", (1 << 27,), "f8", chunks=(1 << 17,), compression="gzip")


def named_type(file: h5py.File) -> None:
    file["x"] = np.dtype("f8")


def many_attributes(file: h5py.File) -> None:
    for number in range(1001):
        file.attrs[str(number)] = 0


HOSTILE = [
    (external, "must lie in the file itself"),
    (external_link, "'x' is a link"),
    (soft_link, "'x' is a link"),
    (virtual, "must lie in the file itself"),
    (reference, "holds references"),
    (region_reference, "holds references"),
    (attribute_reference, "holds references"),
    (foreign_filter, "has the filter 32000"),
    (scale_offset, "has the filter 6"),
    (terabytes, "at most|claims 8796093022208 bytes"),
    (bomb, "claims 1073741824 bytes"),
    (named_type, "neither a group nor a dataset"),
    (many_attributes, "more than 1000 attributes"),
]
IDS = [make.__name__ for make, _ in HOSTILE]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(("make", "text"), HOSTILE, ids=IDS)
def test_hostile_results_are_refused(tmp_path, make, text, deep) -> None:
    path = tmp_path / "spectrum.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["schema_version"] = FORMAT, SCHEMA_VERSION
        make(file.create_group("a/b") if deep else file)
    with pytest.raises(FormatError, match=text):
        read_result(path)


def h5md(path: Path) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("particles/all")
        for name, unit in (("position", "Angstrom"), ("velocity", "Angstrom fs-1")):
            group.create_dataset(f"{name}/value", data=np.ones((2, 1, 3)))
            group[f"{name}/value"].attrs["unit"] = unit
        group["box/edges"] = np.eye(3)
        group["species"] = np.array([1])


@pytest.mark.parametrize(("make", "text"), HOSTILE, ids=IDS)
def test_hostile_trajectories_are_refused(tmp_path, make, text) -> None:
    path = tmp_path / "run.h5"
    h5md(path)
    H5mdSource(path).close()
    with h5py.File(path, "r+") as file:
        make(file["particles/all"])
    with pytest.raises(FormatError, match=text):
        H5mdSource(path)


def test_particles_that_are_a_link_are_refused(tmp_path) -> None:
    other, path = tmp_path / "other.h5", tmp_path / "run.h5"
    h5md(other)
    with h5py.File(path, "w") as file:
        file["particles"] = h5py.ExternalLink(str(other), "/particles")
    with pytest.raises(FormatError, match="'particles' is a link"):
        H5mdSource(path)


def test_references_beside_the_particles_are_left_alone(tmp_path) -> None:
    """H5MD has some in /connectivity; nobody follows them."""
    path = tmp_path / "run.h5"
    h5md(path)
    with h5py.File(path, "r+") as file:
        file.create_group("connectivity").attrs["particles_group"] = file.ref
    H5mdSource(path).close()


def test_groups_that_go_round_in_circles_end() -> None:
    with h5py.File(io.BytesIO(), "w") as file:
        inner = file.create_group("a")
        inner["round"] = file["a"]
        inner["back"] = file["/"]
        check_contained(file)


def test_very_deep_groups_end() -> None:
    with h5py.File(io.BytesIO(), "w") as file:
        group = file
        for _ in range(1500):
            group = group.create_group("a")
        check_contained(file)


@pytest.mark.parametrize("name", ["result-v1.h5", "result-v3-whole.h5"])
def test_our_own_results_pass(name) -> None:
    assert read_result(GOLDEN / name).spectra


@pytest.fixture(params=["/dev/zero", "fifo", "sparse", "folder", "up"])
def no_file(request, tmp_path) -> Path:
    """What is not a file of a sensible size."""
    path = tmp_path / "x"
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "sparse":
        with path.open("wb") as file:
            file.truncate(1 << 43)
    elif request.param == "folder":
        path.mkdir()
    elif request.param == "up":
        path = tmp_path / ".." / ".." / ".." / ".." / ".." / ".." / "dev" / "zero"
    else:
        path = Path(request.param)
    return path


@pytest.mark.timeout(20)
def test_what_is_no_file_is_no_result(no_file) -> None:
    with pytest.raises(FormatError):
        read_result(no_file)
    if not no_file.is_dir():
        assert not is_result(no_file)


@pytest.mark.timeout(20)
def test_what_is_no_file_is_no_settings(no_file) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(no_file)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["extxyz", "lammps", "h5md"])
def test_what_is_no_file_is_no_trajectory(no_file, kind) -> None:
    if no_file.is_fifo():
        return  # a pipe is a trajectory that somebody writes meanwhile
    elements = {"1": "H"} if kind == "lammps" else {}
    with pytest.raises((MimyriaError, OSError)):
        read_first(no_file, kind, elements)


def read_first(path, kind, elements) -> None:
    source = ReplaySource([path], 0.5, 1, None, kind=kind, elements=elements)
    source.receive()
    source.accept(-1)
    source.receive()


def test_what_is_no_file_is_no_labelled_set() -> None:
    with pytest.raises(FileNotFoundError):
        list(read_extxyz("/dev/zero"))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xff\xfe", "is not valid TOML"),
        (b"a = " + b"[" * 100_000, "is not valid TOML"),
        (b"[run]\ncredit = " + b"9" * 5000, "limit|credit"),
        (b"[run]\ncredit = true", "credit"),
        (b"[run]\npatience = nan", "patience"),
        (b"[run]\nreport = inf", "report"),
        (b"[run]\ncredit = 1\ncredit = 2", "is not valid TOML"),
        (b"[run]\n__class__ = 1", "__class__"),
        (b"[__proto__]\nx = 1", "__proto__"),
        (b"x = '" + b"y" * (1 << 20) + b"'", "has more than"),
        (b"[run]\ndirectory = 5", "directory"),
    ],
)
def test_hostile_settings_are_refused(tmp_path, content, text) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=text):
        load_settings(path)


def test_an_archive_that_becomes_too_large_is_refused(tmp_path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("digests.json", bytes(1 << 27))
    with pytest.raises(ModelError, match="bytes that would become 134217728"):
        read_members(packed.getvalue(), tmp_path / "model")


def test_plugins_of_hdf5_are_not_looked_for(tmp_path) -> None:
    """A library in HDF5_PLUGIN_PATH would be loaded into the driver."""
    code = (
        "import os, sys, mimyria_driver.cli as cli\n"
        "try: cli.main(['settings'])\n"
        "finally: print('HDF5_PLUGIN_PATH' in os.environ, 'h5py' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HDF5_PLUGIN_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("False False\n")


GOOD_HEADER = {
    "numbers": [8, 1, 1],
    "time_step": 0.5,
    "stride": 4,
    "models": {"apt": "a"},
    "notes": {},
}


def journal(path: Path, text: bytes) -> Path:
    """A journal with this identity, whose checksum is right."""
    head = struct.pack("<8sII", b"MIMYRJNL", 3, len(text)) + text
    path.write_bytes(head + zlib.crc32(head).to_bytes(4, "little"))
    return path


def test_the_header_that_the_others_are_made_of_is_good(tmp_path) -> None:
    path = journal(tmp_path / "journal", json.dumps(GOOD_HEADER).encode())
    Journal.open(path).close()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff",
        b"[" * 100_000,
        *(
            json.dumps({**GOOD_HEADER, **change}).encode()
            for change in (
                {"numbers": 5},
                {"numbers": [0]},
                {"numbers": [True]},
                {"numbers": [1e300]},
                {"numbers": ["H"]},
                {"time_step": 0},
                {"time_step": "x"},
                {"time_step": float("nan")},
                {"time_step": float("inf")},
                {"stride": 0},
                {"stride": True},
                {"stride": 0.5},
                {"models": []},
                {"models": {"apt": 5}},
                {"notes": 5},
                {"charge": float("inf")},
                {"charge": "x"},
                {"groups": 5},
                {"groups": {}},
                {"groups": {"names": ["a"], "group": ["x"]}},
                {
                    "groups": {
                        "names": ["a"],
                        "group": [0, 0, 0],
                        "species_names": ["H"] * 400_000,
                        "species": [0, 0, 0],
                        "masses": [1.0, 1.0, 1.0],
                    }
                },
            )
        ),
    ],
)
def test_a_journal_whose_header_makes_no_sense_is_refused(tmp_path, text) -> None:
    path = journal(tmp_path / "journal", text)
    with pytest.raises(JournalError, match="makes no sense"):
        Journal.open(path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is not a mimyria journal"),
        (b"MIMYRJNL", "is not a mimyria journal"),
        (struct.pack("<8sII", b"MIMYRJNL", 3, 2**32 - 1), "the header is damaged"),
        (struct.pack("<8sII", b"MIMYRJNL", 3, 0), "the header is damaged"),
    ],
)
def test_what_is_no_journal_is_refused(tmp_path, content, text) -> None:
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=text):
        Journal.open(path)
