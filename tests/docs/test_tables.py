"""Tables and figures of the manual say what the code has."""

from __future__ import annotations

import importlib.util
import re
import sys

import h5py
import numpy as np
import pytest

from mimyria.io.layouts import TENSOR_LAYOUTS, velocity_factor
from mimyria.spectra import QUANTITIES
from mimyria_driver.identity import MAGIC
from mimyria_driver.records import RECORD
from tests.docs.pages import REPOSITORY, script

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DOCS = REPOSITORY / "docs"


def rows(page: str, head: str) -> list[list[str]]:
    """Cells of the table whose head begins so."""
    text = (DOCS / page).read_text()
    (table,) = re.findall(
        rf"^\| {re.escape(head)}.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M
    )
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
    ]


def test_the_record_of_the_journal_is_that_of_the_page() -> None:
    told = [name for row in rows("formats.md", "field") for name in codes(row[0])]
    told.remove("contributions")
    assert told == list(RECORD.names or ())
    assert f'"{MAGIC.decode()}"' in (DOCS / "formats.md").read_text()


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_paths_of_a_result_are_in_a_result() -> None:
    """The one of an earlier version, whole."""
    with h5py.File(REPOSITORY / "tests" / "golden" / "result-v3-whole.h5") as file:
        for row in rows("formats.md", "path"):
            for path in codes(row[0]):
                place = re.sub(r"/(…|NAME|NN)$", "", path)
                assert place in file, path
        correlation = file["correlations/dipole"]
        told = codes(rows("formats.md", "path")[2][1])
        assert {name.rstrip("/") for name in told} <= set(correlation)


def test_units_and_orders_are_those_that_are_read() -> None:
    table = {codes(row[0])[0]: codes(row[1]) for row in rows("units.md", "key in")}
    for layout in TENSOR_LAYOUTS:
        name = layout.target.name
        assert table[f"{name}_order"] == list(layout.orders)
        assert set(table[f"{name}_unit"]) == set(layout.factors)
        assert table[f"{name}_unit"][0] == layout.target.unit
    for unit in table["velocities_unit"]:
        assert velocity_factor(unit) > 0


def test_every_contract_stands_on_the_page() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    assert {row[0] for row in rows("architecture.md", "contract")} == {
        contract["name"] for contract in contracts
    }


def test_the_modules_of_the_map_are_there() -> None:
    for head, package in (("layer", "mimyria"), ("part", "mimyria_driver")):
        for row in rows("architecture.md", head):
            for name in codes(row[1]):
                found = importlib.util.find_spec(f"{package}.{name}")
                assert found is not None, name


def test_the_curves_of_the_page_on_raman_are_quantities() -> None:
    for row in rows("which-raman.md", "your experiment | our curve"):
        for name in codes(row[1]):
            assert name in QUANTITIES


def test_the_weights_of_the_page_on_raman_are_those_of_the_code() -> None:
    """A polarised molecule in all orientations: what each experiment sees of it."""
    rng = np.random.default_rng(5)
    alpha = rng.normal(size=(3, 3))
    alpha = alpha + alpha.T
    vectors = rng.normal(size=(200_000, 3, 3))
    frames = np.linalg.qr(vectors)[0]
    turned = np.einsum("nia,ij,njb->nab", frames, alpha, frames)
    square = {
        f"{a}{b}": float((turned[:, "xyz".index(a), "xyz".index(b)] ** 2).mean())
        for a in "xyz"
        for b in "xyz"
    }
    iso = (np.trace(alpha) / 3) ** 2
    beta = alpha - np.eye(3) * np.trace(alpha) / 3
    gamma = 1.5 * float(np.trace(beta @ beta))
    seen = {
        "raman_vv": square["zz"],
        "raman_vh": square["xz"],
        "raman_unpolarised": square["zz"] + square["xz"],
        # Natural light along x, scattered along y: from y and z into x and z.
        "raman_natural_90": sum(square[k] for k in ("xy", "zy", "xz", "zz")) / 2,
    }
    weights = {"raman_vv": (1, 4 / 45), "raman_vh": (0, 1 / 15)}
    weights |= {"raman_unpolarised": (1, 7 / 45), "raman_natural_90": (1 / 2, 13 / 90)}
    told: dict[str, str] = {}
    for row in rows("which-raman.md", "your experiment | our"):
        name = codes(row[1])[0]
        told[name] = f"{told.get(name, '')} {row[2]}"
    fractions = {4 / 45: "4/45", 1 / 15: "1/15", 7 / 45: "7/45", 13 / 90: "13/90"}
    for name, (a, b) in weights.items():
        assert seen[name] == pytest.approx(a * iso + b * gamma, rel=2e-2)
        assert fractions[b] in told[name].split(), name
    # Polarised within the scattering plane, along y, and scattered along y.
    within = square["yx"] + square["yz"]
    assert within == pytest.approx(2 / 15 * gamma, rel=2e-2)
    assert "2/15" in told["raman_vh"].split()


def test_the_diagram_is_that_of_its_script() -> None:
    architecture = script("architecture")
    assert architecture.PATH.read_text() == architecture.diagram()
