"""Result files: whole, checked, with units, and still readable years later."""

from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from mimyria.correlation import Blocks, Correlation, Trajectories, all_pairs
from mimyria.diagnostics import Diagnostic
from mimyria.elementvelocities import ElementVelocities
from mimyria.errors import FormatError, OutputError
from mimyria.groups import group_atoms
from mimyria.parts import Parts
from mimyria.probes import Probes
from mimyria.shells import Shells
from mimyria.spectra import Spectrum
from mimyria.storage import (
    SCHEMA_VERSION,
    Result,
    is_result,
    read_result,
    write_result,
)
from mimyria.storage.layout import content_digest
from mimyria.units import DIPOLE_CORRELATION_UNIT, POLARIZABILITY_CORRELATION_UNIT

GOLDEN = Path(__file__).parents[1] / "golden" / "result-v1.h5"
GOLDEN_2 = GOLDEN.with_name("result-v2.h5")
GOLDEN_3 = GOLDEN.with_name("result-v3.h5")
GOLDEN_3_WHOLE = GOLDEN.with_name("result-v3-whole.h5")


def correlation(n_channels, unit):
    """Numbers by formula, so that the golden file can be held to them for ever."""
    pairs = all_pairs(n_channels)
    lags = 0.5 * np.arange(4)
    values = np.arange(4.0 * len(pairs)).reshape(4, -1) / 3 - 1
    return Correlation(lags, values, np.array([9, 8, 7, 6]), pairs, unit, 9)


BLOCK_COUNTS = np.array([[5, 4, 4, 3], [4, 4, 3, 3]])


def example():
    grid = 1.25 * np.arange(5)
    ratio = np.array([0.5, np.nan, 0.25, 0.75, np.nan])
    spectra = {
        "ir": Spectrum(
            grid, grid / 7, "cm^-1", "ir", grid / 70, 10.0, error_kind="theory"
        ),
        "depolarisation_ratio": Spectrum(
            grid, ratio, "1", "depolarisation_ratio", None, 12.5
        ),
    }
    return Result(
        correlation(3, DIPOLE_CORRELATION_UNIT),
        correlation(6, POLARIZABILITY_CORRELATION_UNIT),
        spectra,
        478.25,
        300.5,
        0.5,
        {"window": "gaussian", "frames": 9, "cutoff": 6.1, "model": "Wasser µ"},
    )


def full_example():
    """All that version 2 can hold."""
    old = example()
    dipole = old.dipole
    blocks = Blocks(np.stack([dipole.values, dipole.values / 3]), BLOCK_COUNTS)
    of_groups = Correlation(
        dipole.lags, dipole.values[:, :3], dipole.counts, all_pairs(2), dipole.unit, 9
    )
    return replace(
        old,
        dipole=replace(dipole, blocks=blocks),
        spectra={
            "ir": replace(
                old.spectra["ir"], dof=41.5, error_dof=17, error_kind="blocks"
            )
        },
        parts=Parts(("water", "ion é"), of_groups, None, of_groups),
        diagnostics=(
            Diagnostic("f-sum", 0.99, 1.0, 0.02, "ok", "as it should be"),
            Diagnostic("T(H)", 350.0, 300.0, 9.5, "look", "hydrogen is warm"),
        ),
    )


def complete_example():
    """What version 3 held first: shares, self terms and kinds of errors."""
    old = full_example()
    of_groups = old.parts.dipole
    blocks = Blocks(np.stack([of_groups.values, of_groups.values / 5]), BLOCK_COUNTS)
    pairs = ((0, 0), (1, 1), (0, 2))
    shares = Parts(
        ("water", "ion é", "whole"),
        replace(of_groups, pairs=pairs, blocks=blocks),
        None,
        None,
        50.0,
    )
    ratio = replace(
        example().spectra["depolarisation_ratio"],
        error=np.arange(5.0),
        error_dof=63,
        error_kind="bootstrap",
    )
    return replace(
        old,
        spectra=old.spectra | {"depolarisation_ratio": ratio},
        parts=replace(old.parts, reliable_from=50.0, n_self=4, shares=shares),
    )


def whole_example():
    """All that version 3 can hold; the last three came without a new version."""
    old = complete_example()
    of_groups = old.parts.dipole
    trajectories = Trajectories(old.dipole.values / 7, 3, 5, 2, 9)
    molecule = np.array([0, 1, 1])
    grouping = replace(
        group_atoms(
            ["ion é", "water", "water"],
            ["Na", "O", "H"],
            np.array([22.99, 15.999, 1.008]),
        ),
        names=("ion é", "shell 1", "shell 2"),
        probes=Probes(molecule, 4, 100),
        shells=Shells(np.array([0]), (3.5,), 0.5, molecule, np.array([0, 1, 1])),
        velocity_probes=Probes(np.array([0, 0, 0]), 2, 1600),
    )
    moving = replace(of_groups, values=of_groups.values[:, :2], pairs=((0, 0), (1, 1)))
    return replace(
        old,
        dipole=replace(old.dipole, trajectories=trajectories),
        parts=replace(old.parts, grouping=grouping),
        velocities=ElementVelocities(
            ("H", "O"), (1, 1), 2, replace(moving, unit="amu Angstrom^2 fs^-2")
        ),
    )


def assert_same(one, other):
    """Every field of every part, arrays to the bit, NaN equal to NaN."""
    if hasattr(one, "__dataclass_fields__"):
        assert type(one) is type(other)
        for part in fields(one):
            assert_same(getattr(one, part.name), getattr(other, part.name))
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    else:
        assert type(one) is type(other)
        assert one == other


def test_a_result_comes_back_to_the_bit(tmp_path):
    path = tmp_path / "result.h5"
    write_result(path, example())
    assert_same(read_result(path), example())


def test_trajectories_come_back(tmp_path):
    whole = full_example()
    trajectories = Trajectories(whole.dipole.values / 7, 3, 5, 2, 9)
    whole = replace(whole, dipole=replace(whole.dipole, trajectories=trajectories))
    write_result(tmp_path / "result.h5", whole)
    assert_same(read_result(tmp_path / "result.h5"), whole)
    with h5py.File(tmp_path / "result.h5") as file:
        values = file["correlations/dipole/trajectories/values"]
        assert values.attrs["unit"] == DIPOLE_CORRELATION_UNIT


def test_the_definition_of_groups_comes_back(tmp_path):
    path = tmp_path / "result.h5"
    labels, masses = ["ion é", "water", "water"], np.array([22.99, 16.0, 1.008])
    grouping = group_atoms(labels, ["Na", "O", "H"], masses)
    shells = Shells(
        np.array([0]), (3.5, 5.5), 0.5, np.array([0, 1, 1]), np.array([0, 1, 1])
    )
    probes = Probes(np.array([0, 1, 1]), 4, 100)
    whole = full_example()
    for given in (
        grouping,
        replace(grouping, shells=shells),
        replace(grouping, probes=probes),
    ):
        write_result(path, replace(whole, parts=replace(whole.parts, grouping=given)))
        assert read_result(path).parts.grouping.as_dict() == given.as_dict()
    with h5py.File(path, "r+") as file:
        file["grouping"][3] ^= 1
    with pytest.raises(FormatError, match="SHA-256"):
        read_result(path)


def test_velocities_of_elements_come_back(tmp_path):
    moving = full_example().parts.dipole
    autos = replace(moving, values=moving.values[:, :2], pairs=((0, 0), (1, 1)))
    whole = replace(
        full_example(), velocities=ElementVelocities(("H", "O"), (4, 2), 3, autos)
    )
    write_result(tmp_path / "result.h5", whole)
    assert_same(read_result(tmp_path / "result.h5"), whole)


def test_a_result_is_told_from_a_trajectory_and_from_text(tmp_path):
    write_result(tmp_path / "result.h5", example())
    assert is_result(tmp_path / "result.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_group("particles")
    (tmp_path / "text.dump").write_text("ITEM: TIMESTEP")
    for name in ("other.h5", "text.dump", "absent"):
        assert not is_result(tmp_path / name)


def test_limit_of_parts_that_change_comes_back(tmp_path):
    changing = full_example()
    changing = replace(changing, parts=replace(changing.parts, reliable_from=50.0))
    write_result(tmp_path / "result.h5", changing)
    assert_same(read_result(tmp_path / "result.h5"), changing)


def test_the_same_result_gives_the_same_bytes(tmp_path):
    write_result(tmp_path / "one.h5", example())
    write_result(tmp_path / "two.h5", example())
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


@pytest.mark.parametrize("missing", ["dipole", "polarizability"])
def test_a_result_of_one_tensor_comes_back(tmp_path, missing):
    whole = example()
    parts = {part.name: getattr(whole, part.name) for part in fields(whole)}
    half = Result(**(parts | {missing: None, "spectra": {}, "provenance": {}}))
    write_result(tmp_path / "result.h5", half)
    assert_same(read_result(tmp_path / "result.h5"), half)


def test_a_file_of_version_one_gives_its_numbers():
    assert_same(read_result(GOLDEN), example())


def test_a_result_with_blocks_parts_and_diagnostics_comes_back(tmp_path):
    write_result(tmp_path / "result.h5", full_example())
    assert_same(read_result(tmp_path / "result.h5"), full_example())


def test_a_file_of_version_two_gives_its_numbers():
    assert_same(read_result(GOLDEN_2), full_example())


def test_a_file_of_version_three_gives_its_numbers(tmp_path):
    assert_same(read_result(GOLDEN_3), complete_example())
    write_result(tmp_path / "again.h5", complete_example())
    assert_same(read_result(tmp_path / "again.h5"), complete_example())


def test_a_file_of_version_three_with_all_it_can_hold_gives_its_numbers(tmp_path):
    whole = whole_example()
    assert_same(read_result(GOLDEN_3_WHOLE), whole)
    write_result(tmp_path / "again.h5", whole)
    assert_same(read_result(tmp_path / "again.h5"), whole)
    # An example that leaves out a field says nothing about it.
    assert all(getattr(whole, part.name) is not None for part in fields(whole))
    assert None not in (
        whole.dipole.blocks,
        whole.dipole.trajectories,
        whole.parts.shares,
        whole.parts.grouping,
    )


def test_self_terms_of_version_two_are_taken_as_one_process(tmp_path):
    old = full_example()
    parts = replace(old.parts, names=("intramolecular", "intermolecular"))
    path = tmp_path / "old.h5"
    write_result(path, replace(old, parts=parts))
    with h5py.File(path, "r+") as file:
        del file["parts"].attrs["n_self"]
        file.attrs["schema_version"] = 2
        file.attrs["sha256"] = content_digest(file)
    assert read_result(path).parts.n_self == 1


def test_every_dataset_says_its_unit(tmp_path):
    path = tmp_path / "result.h5"
    write_result(path, example())
    units = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            units[name] = item.attrs["unit"]

    with h5py.File(path) as file:
        file.visititems(collect)
        assert file.attrs["schema_version"] == SCHEMA_VERSION
    assert units["volume"] == "Angstrom^3"
    assert units["correlations/dipole/values"] == DIPOLE_CORRELATION_UNIT
    assert units["correlations/dipole/lags"] == "fs"
    assert units["spectra/ir/error"] == "cm^-1"
    assert len(units) == 3 + 2 * 5 + 4 + 3


def altered(tmp_path, change):
    path = tmp_path / "result.h5"
    write_result(path, example())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda f: f.attrs.__setitem__("schema_version", 4),
            "schema_version must be one of",
        ),
        (lambda f: f.attrs.__setitem__("format", "other"), "not a result of mimyria"),
        (lambda f: f.attrs.__delitem__("format"), "not a result of mimyria"),
        (lambda f: f["volume"].__setitem__((), 1.0), "does not match its SHA-256"),
        (
            lambda f: f["spectra/ir/intensity"].attrs.__setitem__("unit", "m^-1"),
            "does not match its SHA-256",
        ),
        (
            lambda f: f["provenance"].attrs.__setitem__("model", "another"),
            "does not match its SHA-256",
        ),
        (lambda f: f.__delitem__("temperature"), "does not match its SHA-256"),
        (
            lambda f: f.__setitem__("x", h5py.ExternalLink("/etc/hostname", "/")),
            "'x' is a link",
        ),
        (lambda f: f.__setitem__("x", h5py.SoftLink("/volume")), "'x' is a link"),
        (
            lambda f: f.create_dataset(
                "x", (3,), "u1", external=[("/etc/hostname", 0, 3)]
            ),
            "must lie in the file itself",
        ),
        (
            lambda f: f.create_dataset("x", (2**40,), "f8", chunks=(1024,)),
            "must have at most 2147483648 bytes",
        ),
    ],
)
def test_an_altered_file_is_refused(tmp_path, change, text):
    path = altered(tmp_path, change)
    with pytest.raises(FormatError, match=text) as error:
        read_result(path)
    assert str(path) in str(error.value)


def test_every_flipped_byte_of_the_numbers_is_noticed(tmp_path):
    path = tmp_path / "result.h5"
    write_result(path, example())
    whole = path.read_bytes()
    needle = example().spectra["ir"].intensity.tobytes()
    begin = whole.index(needle)
    for offset in range(0, len(needle), 5):
        damaged = bytearray(whole)
        damaged[begin + offset] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match="SHA-256"):
            read_result(path)


@pytest.mark.parametrize("keep", [0, 5, 1000, 10_000])
def test_a_cut_file_is_refused(tmp_path, keep):
    path = tmp_path / "result.h5"
    write_result(path, example())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FormatError, match="is not a readable HDF5 result file"):
        read_result(path)


@pytest.mark.parametrize("read", [read_result, is_result])
def test_who_gives_the_folder_of_a_run_is_told_of_the_file(tmp_path, read):
    with pytest.raises(FormatError, match=r"is a folder\. There is no spectrum\.h5 in"):
        read(tmp_path)
    inner = tmp_path / "spectrum"
    inner.mkdir()
    write_result(inner / "spectrum.h5", example())
    for folder in (tmp_path, inner):
        with pytest.raises(FormatError, match="Give the result file in it: ") as error:
            read(folder)
        assert str(error.value).endswith(f"{inner / 'spectrum.h5'}.")


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_result(tmp_path / "nowhere.h5")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "result.h5"
    write_result(path, example())
    before = path.read_bytes()

    def no_space(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(OutputError, match="No space left on device"):
        write_result(path, example())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="Does the folder exist"):
        write_result(tmp_path / "no" / "result.h5", example())


def test_storage_uses_no_pickle_and_no_object_types(tmp_path):
    path = tmp_path / "result.h5"
    write_result(path, example())
    kinds = set()

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            kinds.add(item.dtype.kind)

    with h5py.File(path) as file:
        file.visititems(collect)
    assert kinds == {"f", "i"}
