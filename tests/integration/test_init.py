"""What `mimyria-driver init` writes, run by the real engines.

The shipped inputs without the driver's lines are given to it; what it makes of them
must send the same frames, to the bit, as the inputs that were written by hand.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mimyria.errors import FormatError
from mimyria_driver.assembly import build_source
from mimyria_driver.attach.lammps.attaching import attach_lammps
from mimyria_driver.attach.runfile import run_file
from mimyria_driver.cli import main
from mimyria_driver.lammps.bundle import bundle_hook
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.settings import load_settings
from mimyria_driver.sources import Arrived, Source
from tests.integration.test_water_inputs import (
    INPUTS,
    TIMEOUT,
    check_water,
    collect,
    with_forces,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.engine

SHORT = {"warmup": "5", "steps": "20"}


def plain_lammps(folder: Path) -> Path:
    """The shipped water without what belongs to the driver."""
    folder.mkdir()
    for name in ("settings.lammps", "water64.data"):
        shutil.copy(INPUTS / "lammps" / "water" / name, folder)
    text = (INPUTS / "lammps" / "water" / "in.lammps").read_text()
    kept = [
        line
        for line in text.splitlines(keepends=True)
        if "mimyria" not in line and "endpoint" not in line and "hook" not in line
    ]
    assert "".join(kept).count("run ") == 2
    (folder / "in.lammps").write_text("".join(kept))
    return folder / "in.lammps"


def frames_of(process: subprocess.Popen[bytes], source: Source) -> list[Arrived]:
    """All that a LAMMPS sends until it ends well; both are closed."""
    try:
        frames = collect(source, lambda: process.poll() is None)
        assert process.wait(timeout=TIMEOUT) == 0
    finally:
        source.close()
        process.kill()
        process.wait(timeout=TIMEOUT)
    return frames


def lammps_frames(
    lmp: str, environment: dict[str, str], script: Path, endpoint: str
) -> list[Arrived]:
    folder = script.parent
    receiver = LammpsReceiver(f"ipc://{folder}/spectrum/engine")
    values = {**SHORT, endpoint: receiver.endpoint}
    words = [word for pair in values.items() for word in ("-var", *pair)]
    process = subprocess.Popen(
        [lmp, "-in", script.name, "-screen", "none", *words],
        cwd=folder,
        env=environment,
    )
    return frames_of(process, receiver)


def check_same(found: list[Arrived], expected: list[Arrived]) -> None:
    """Frames that are equal to the bit."""
    assert [e.frame.step for e in found] == [e.frame.step for e in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.frame.numbers, other.frame.numbers)
        np.testing.assert_array_equal(one.frame.positions, other.frame.positions)
        np.testing.assert_array_equal(one.frame.velocities, other.frame.velocities)
        np.testing.assert_array_equal(one.frame.cell, other.frame.cell)


@pytest.fixture(scope="module")
def by_hand(
    lammps_program: str,
    engine_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Arrived]:
    """Frames of the input that was written by hand."""
    folder = tmp_path_factory.mktemp("h") / "water"
    shutil.copytree(INPUTS / "lammps" / "water", folder)
    (folder / "mimyria_hook.py").write_text(bundle_hook())
    frames = lammps_frames(
        lammps_program, engine_environment, folder / "in.lammps", "endpoint"
    )
    assert [each.frame.step for each in frames] == list(range(4, 21, 4))
    check_water(frames)
    return frames


def test_the_hook_of_init_sends_the_frames_of_the_shipped_input(
    lammps_program: str,
    engine_environment: dict[str, str],
    short_directory: Path,
    by_hand: list[Arrived],
) -> None:
    plain = plain_lammps(short_directory / "water")
    before = plain.read_bytes()
    assert main(["init", str(plain), "--through", "hook", "--lmp", lammps_program]) == 0
    assert plain.read_bytes() == before
    settings = load_settings(plain.parent / "run.toml")
    assert settings.source.kind == "lammps"
    assert settings.models.apt == "water-compact-apt"
    assert settings.spectrum.temperature == 300.0
    script = plain.with_name("in.mimyria.lammps")
    found = lammps_frames(
        lammps_program, engine_environment, script, "mimyria_endpoint"
    )
    check_same(found, by_hand)


def test_the_pipe_of_init_carries_the_same_frames_with_any_lammps(
    lammps_program: str,
    engine_environment: dict[str, str],
    short_directory: Path,
    by_hand: list[Arrived],
) -> None:
    plain = plain_lammps(short_directory / "water")
    assert main(["init", str(plain), "--through", "pipe"]) == 0
    (plain.parent / "spectrum").mkdir()
    source = build_source(load_settings(plain.parent / "run.toml"))
    words = [word for pair in SHORT.items() for word in ("-var", *pair)]
    process = subprocess.Popen(
        [lammps_program, "-in", "in.mimyria.lammps", "-screen", "none", *words],
        cwd=plain.parent,
        env=engine_environment,
    )
    frames = frames_of(process, source)
    assert frames[0].frame.step == 0  # a dump has the frame that the run begins with
    check_same(frames[1:], by_hand)


@pytest.mark.slow
def test_a_run_in_a_loop_is_streamed_through_all_of_it(
    lammps_program: str, engine_environment: dict[str, str], short_directory: Path
) -> None:
    plain = plain_lammps(short_directory / "water")
    text = plain.read_text()
    assert "run             ${steps}\n" in text
    loop = "variable k loop 3\nlabel again\nrun ${steps}\nnext k\njump SELF again\n"
    plain.write_text(text.replace("run             ${steps}\n", loop))
    assert main(["init", str(plain), "--through", "hook", "--lmp", lammps_program]) == 0
    script = plain.with_name("in.mimyria.lammps")
    found = lammps_frames(
        lammps_program, engine_environment, script, "mimyria_endpoint"
    )
    assert [each.frame.step for each in found] == list(range(4, 61, 4))
    check_water(found)


@pytest.mark.slow
def test_every_example_of_lammps_gives_a_plan_or_one_line(tmp_path: Path) -> None:
    """Debian's package lammps-examples, where it is installed."""
    folder = Path("/usr/share/lammps/examples")
    if not folder.is_dir():
        pytest.skip("Debian's lammps-examples is not installed")
    scripts = [path for path in folder.rglob("in.*") if path.is_file()]
    n_plans = 0
    for path in scripts:
        if path.suffix == ".gz":
            continue
        with contextlib.suppress(FormatError):
            attached = attach_lammps(path, path.parent, {}, hook=True)
            tomllib.loads(run_file(attached.plan))
            n_plans += 1
    assert n_plans > len(scripts) / 3


@pytest.mark.slow
def test_a_run_in_an_included_file_is_streamed(
    lammps_program: str,
    engine_environment: dict[str, str],
    short_directory: Path,
    by_hand: list[Arrived],
) -> None:
    plain = plain_lammps(short_directory / "water")
    text = plain.read_text()
    place = text.index("# Production")
    (plain.parent / "production.lammps").write_text(text[place:])
    plain.write_text(text[:place] + "include production.lammps\nprint done\n")
    assert main(["init", str(plain), "--through", "hook", "--lmp", lammps_program]) == 0
    script = plain.with_name("in.mimyria.lammps")
    found = lammps_frames(
        lammps_program, engine_environment, script, "mimyria_endpoint"
    )
    check_same(found, by_hand)


@pytest.mark.slow
def test_a_type_without_an_element_is_asked_for_and_refused_until_it_is_given(
    lammps_program: str, engine_environment: dict[str, str], short_directory: Path
) -> None:
    plain = plain_lammps(short_directory / "water")
    data = plain.with_name("water64.data")
    data.write_text(data.read_text().replace("2 1.00794", "2 3.02394"))
    assert main(["init", str(plain), "--through", "hook", "--lmp", lammps_program]) == 0
    script = plain.with_name("in.mimyria.lammps")
    assert '"O ?"' in script.read_text()
    receiver = LammpsReceiver(f"ipc://{script.parent}/spectrum/engine")
    process = subprocess.Popen(
        [
            *(lammps_program, "-in", script.name, "-screen", "none"),
            *("-var", "mimyria_endpoint", receiver.endpoint),
            *("-var", "warmup", "5", "-var", "steps", "20"),
        ],
        cwd=script.parent,
        env=engine_environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        assert not list(receiver.receive())
        time.sleep(0.02)
    receiver.close()
    _, said = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 76
    (line,) = [each for each in said.splitlines() if "mimyria" in each]
    assert "'?' is no chemical element. Give one symbol for each atom type" in line


def ipi_frames(
    programs: tuple[str, str],
    environment: dict[str, str],
    folder: Path,
    script: str,
    force_socket: str,
    make_source: Callable[[], Source],
) -> list[Arrived]:
    """i-PI with LAMMPS as its force client, and the driver's side of the socket."""
    ipi, lmp = programs
    forces = [lmp, "-in", "in.lammps", "-var", "address", force_socket]
    source = make_source()
    try:
        with with_forces(
            [ipi, script],
            [*forces, "-screen", "none", "-log", "none"],
            force_socket,
            folder,
            environment,
        ) as (process, _):
            frames = collect(source, lambda: process.poll() is None)
            assert process.wait(timeout=TIMEOUT) == 0
    finally:
        source.close()
    return frames


@pytest.mark.slow
def test_the_copy_of_an_ipi_input_sends_the_frames_of_the_shipped_one(
    ipi_program: str,
    lammps_program: str,
    engine_environment: dict[str, str],
    short_directory: Path,
) -> None:
    shutil.copytree(INPUTS, short_directory / "inputs")
    folder = short_directory / "inputs" / "ipi" / "water"
    name = f"mim-{uuid.uuid4().hex[:12]}"
    text = (folder / "input.xml").read_text()
    text = text.replace("mimyria-water", name).replace(">20000<", ">40<")
    (folder / "input.xml").write_text(text)
    settings = (folder / "run.toml").read_text()
    (folder / "run.toml").write_text(settings.replace("mimyria-water", name))
    programs = ipi_program, lammps_program

    def frames(script: str, run_file: str) -> list[Arrived]:
        return ipi_frames(
            programs, engine_environment, folder, script, f"{name}-lammps",
            lambda: build_source(load_settings(folder / run_file)),
        )  # fmt: skip

    expected = frames("input.xml", "run.toml")
    own = re.search(r"  <!-- dt_fs.*?</ffsocket>\n", text, re.S)
    force = re.search(r" *<!-- Weight.*?weight='1.0'/>\n", text, re.S)
    assert own is not None
    assert force is not None
    plain = text.replace(own.group(), "").replace(force.group(), "")
    assert "driver'" not in plain
    (folder / "plain.xml").write_text(plain)
    (folder / "run.toml").unlink()
    shutil.rmtree(folder / "spectrum")
    assert main(["init", str(folder / "plain.xml")]) == 0
    found = frames("plain.mimyria.xml", "run.toml")
    assert [each.frame.step for each in found] == list(range(4, 40, 4))
    check_same(found, expected)
    check_water(found)
