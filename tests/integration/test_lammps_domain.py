"""Ranks of the real LAMMPS that ask the networks add up to the gathered evaluation."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import zmq

from mimyria.currents import currents
from mimyria.domainsums import PARTS, SumRule, domain_sums
from mimyria.frame import Frame
from mimyria.models import TensorModel, export_model, load_model, preset, resolve_model
from mimyria.models.settings import NetworkSettings
from mimyria.targets import APT, PGT
from mimyria.tensors import Tensors
from mimyria_driver.enginemodels import sample_of
from mimyria_driver.journal import read_journal
from mimyria_driver.lammps.receiver import LammpsReceiver
from mimyria_driver.sources import Arrived, Ended, RunDescription, Started
from tests.random_models import save_random_model

pytestmark = [pytest.mark.engine, pytest.mark.slow]

WATER = Path(__file__).resolve().parents[2] / "inputs" / "lammps" / "water"
TIMEOUT = 400.0
TOLERANCE = 1e-6
STRIDE = 20
STEPS = 80
SKIN = 0.5
# The compact networks look 3 x 4 A far.
GHOSTS = 12.0 + SKIN

BOX = {
    "orthogonal": "",
    "triclinic": "change_box all triclinic\n"
    "change_box all xy final 2.5 xz final -3.0 yz final 1.5 remap units box",
    # Half of the ranks have no atom. Molecules at the border are torn: springs.
    "half empty": "delete_bonds all multi remove special\n"
    "change_box all x final 0.0 40.0 units box\n"
    "fix tether all spring/self 5.0",
}
FORCES = """
pair_style lj/cut/coul/dsf 0.2 6.0
bond_style class2
angle_style harmonic
"""
COEFFICIENTS = """
pair_coeff 1 1 0.1852 3.1589
pair_coeff 1 2 0.0 1.0
pair_coeff 2 2 0.0 1.0
bond_coeff 1 0.9419 607.193537 -1388.651620 1852.576982
angle_coeff 1 43.925 107.4
"""
NO_FORCES = "pair_style zero 6.0\nbond_style zero\nangle_style zero\n"
NO_COEFFICIENTS = "pair_coeff * *\nbond_coeff *\nangle_coeff *\n"


def script(
    endpoint,
    models,
    *,
    box="orthogonal",
    ghosts=GHOSTS,
    neighbor=SKIN,
    steps=STEPS,
    fixes="",
    more="",
):
    """Water that drifts, so that it changes ranks; its forces matter little."""
    forces, coefficients = FORCES, COEFFICIENTS
    if box == "half empty":
        forces, coefficients = NO_FORCES, NO_COEFFICIENTS
    return f"""
units real
atom_style full
boundary p p p
{"processors * 1 1" if box == "half empty" else ""}
{forces}
read_data {WATER}/water64.data
{coefficients}
{BOX[box]}
neighbor {neighbor} bin
neigh_modify every 1 delay 0 check yes
comm_modify cutoff {ghosts}
timestep 0.5
velocity all set 0.02 0.015 -0.01 sum yes
fix integrate all nve
{fixes}
dump owners all custom {STRIDE} owners.dump id proc
dump_modify owners sort id
python mimyria_start input 3 {endpoint} "O H" {STRIDE} format ssi here \"\"\"
from mimyria_driver.domain.hook import *
\"\"\"
python mimyria_start invoke
python mimyria_domain input 3 SELF "{models}" {SKIN} format psf exists
python mimyria_domain invoke
fix mimyria all python/invoke {STRIDE} end_of_step mimyria_frame
{more}
run {steps}
python mimyria_finish exists
python mimyria_finish invoke
"""


@dataclass
class Run:
    """What came out of one run of LAMMPS."""

    description: RunDescription | None = None
    arrived: list[Arrived] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)


@dataclass
class Engine:
    """LAMMPS whose Python has mimyria and torch."""

    program: str
    environment: dict[str, str]
    mpirun: str
    folder: Path

    def start(self, text: str, ranks: int) -> subprocess.Popen[str]:
        (self.folder / "in.lammps").write_text(text)
        flags = ["--oversubscribe"]
        if os.geteuid() == 0:
            flags.append("--allow-run-as-root")
        command = [self.mpirun, *flags, "-np", str(ranks)]
        command += [self.program, "-in", "in.lammps", "-log", "log.lammps"]
        with (self.folder / "output").open("w") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()


@pytest.fixture
def engine(
    lammps_program, engine_environment, mpirun_program, embedded_site, short_directory
):
    environment = {**engine_environment, "PYTHONPATH": embedded_site}
    return Engine(lammps_program, environment, mpirun_program, short_directory)


def collect(receiver, process, *, until=10**9, durable_step=-1) -> Run:
    """Play the service until the engine ends, or so many frames are there."""
    run = Run()
    poller = zmq.Poller()
    poller.register(receiver.pollable, zmq.POLLIN)
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        poller.poll(100)
        for event in receiver.receive():
            if isinstance(event, Started):
                run.description = event.description
                receiver.accept(durable_step)
            elif isinstance(event, Ended):
                run.ended.append(event)
            elif event.frame.step > durable_step:
                run.arrived.append(event)
                receiver.acknowledge(event.frame.step)
        if run.ended or len(run.arrived) >= until:
            return run
        if process.poll() is not None and not poller.poll(50):
            return run
    process.kill()
    pytest.fail(f"no end within {TIMEOUT} s; {len(run.arrived)} frames so far")


def streamed(engine: Engine, text: str, ranks: int) -> Run:
    receiver = LammpsReceiver(f"ipc://{engine.folder}/s")
    process = engine.start(text, ranks)
    try:
        run = collect(receiver, process)
        assert process.wait(timeout=60) == 0, engine.output
    finally:
        process.kill()
        process.wait()
        receiver.close()
    return run


def endpoint(engine: Engine) -> str:
    return f"ipc://{engine.folder}/s"


def deployed(engine: Engine, model, name="model.pt", dtype=None) -> Path:
    """A TorchScript file, which loads without e3nn."""
    export_model(resolve_model(model), engine.folder / name, dtype)
    return engine.folder / name


def require_equal(run: Run, models: list[TensorModel], charge=0.0) -> None:
    """Currents, and all the sums that groups and checks are made of."""
    assert [each.frame.step for each in run.arrived] == list(
        range(STRIDE, STEPS + 1, STRIDE)
    )
    description = run.description
    kinds = np.where(description.numbers == 8, 0, 1)
    shares = description.models.shares
    rule = SumRule(shares.get("apt"), shares.get("pgt"), charge)
    for arrived in run.arrived:
        frame, named = arrived.frame, {}
        for model in models:
            (tensors,) = model.predict([frame], [charge])
            named |= {t.name: getattr(tensors, t.name) for t in model.targets}
        tensors = Tensors(**named)
        sample = sample_of(arrived, description.models, None, charge)
        expected = currents(frame, tensors)
        for name in ("dipole", "polarizability"):
            close(getattr(sample.currents, name), getattr(expected, name))
        found = arrived.summed.sums.with_sum_rule(rule)
        wanted = domain_sums(frame.velocities, kinds, 2, tensors)
        for part in PARTS:
            if np.isnan(wanted.part(part)).all():
                assert np.isnan(found.part(part)).all()
            else:
                close(found.part(part), wanted.part(part))


def close(found, wanted) -> None:
    if wanted is None:
        assert found is None
        return
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


def owners(engine: Engine) -> np.ndarray:
    """(n_frames, n_atoms) — rank of each atom."""
    lines = (engine.folder / "owners.dump").read_text().split("ITEM: ATOMS id proc\n")
    tables = [each.split("ITEM:")[0].split() for each in lines[1:]]
    return np.array(tables, dtype=int).reshape(len(tables), -1, 2)[:, :, 1]


@pytest.mark.parametrize("box", ["orthogonal", "triclinic"])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_sums_of_ranks_are_the_gathered_evaluation(engine, ranks, box):
    """The compact model that ships, in its single precision."""
    path = deployed(engine, "water-compact-joint")
    run = streamed(engine, script(endpoint(engine), path, box=box), ranks)
    require_equal(run, [load_model(path)])
    found = owners(engine)
    assert set(found.ravel().tolist()) == set(range(ranks))
    if ranks > 1:
        assert (found[0] != found[-1]).sum() > 5  # atoms have changed ranks


def test_ranks_without_atoms_add_nothing(engine):
    path = deployed(engine, "water-compact-joint")
    text = script(endpoint(engine), path, box="half empty")
    run = streamed(engine, text, 4)
    require_equal(run, [load_model(path)])
    found = owners(engine)
    assert set(range(4)) - set(found[-1].tolist())


def test_a_network_of_the_reference_size_looks_far_enough(engine, water_frame):
    """Random weights, 3 layers of 6 A, in a box of 12.4 A."""
    reference = preset("reference", "apt")
    path = save_random_model(
        engine.folder / "m.mimyria", water_frame, (APT,), reference, neighbours=60.0
    )
    path = deployed(engine, path)
    text = script(endpoint(engine), path, box="triclinic", ghosts=18.0 + SKIN)
    require_equal(streamed(engine, text, 2), [load_model(path)])


@pytest.fixture(scope="module")
def water_frame():
    import ase.io

    atoms = ase.io.read(WATER.parents[1] / "ipi" / "water" / "init.xyz")
    cell = 12.417 * np.eye(3)
    return Frame(atoms.numbers.astype(np.int64), atoms.positions, cell, None, step=0)


KEEPING = NetworkSettings((4, 3, 2), 2, "natural", 2, 3.5, 4, 8, sum_rule="project")


@pytest.mark.parametrize("charge", [0.0, 2.0])
def test_networks_that_keep_the_sum_rule_and_one_for_each_target(
    engine, water_frame, charge
):
    """The water drifts: what the rule takes away is large in the current."""
    paths = []
    for target, changes in ((APT, {}), (PGT, {"cutoff": 4.5})):
        model = save_random_model(
            engine.folder / f"{target.name}.mimyria",
            water_frame,
            (target,),
            replace(KEEPING, **changes),
        )
        paths.append(deployed(engine, model, f"{target.name}.pt", "float64"))
    text = script(endpoint(engine), f"{paths[0]} {paths[1]}", ghosts=9.0 + SKIN)
    run = streamed(engine, text, 2)
    require_equal(run, [load_model(path) for path in paths], charge)


FRAME_AT_ONCE = """python mimyria_frame input 1 SELF format p exists
python mimyria_frame invoke
"""
DEFORM = "fix shear all deform 1 x erate -1e-4 remap x"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"ghosts": 12.0},
            "atoms may move by the skin of 0.5: ghosts must reach 12.5 Angstrom, but "
            "reach 12. Put `comm_modify cutoff` with 12.5 Angstrom into the input.",
        ),
        ({"models": "no-such-model"}, "ERROR: There is no model file no-such-model."),
        (
            {"fixes": DEFORM},
            "fix deform changes the box at the end of a step and leaves ghosts where "
            "they were, so that ranks cannot ask networks.",
        ),
    ],
)
def test_an_input_that_cannot_work_ends_all_ranks_with_one_clear_line(
    engine, changes, line
):
    text = script(endpoint(engine), **{"models": "water-compact-joint", **changes})
    process = engine.start(text, 2)
    try:
        assert process.wait(timeout=TIMEOUT) not in (0, None)
    finally:
        process.kill()
        process.wait()
    said = [each for each in engine.output.splitlines() if "mimyria: ERROR" in each]
    assert said
    assert all(line in each for each in said)
    assert "Traceback" not in engine.output


@pytest.mark.parametrize(
    ("changes", "line", "at_once"),
    [
        (
            {"neighbor": 2.0},
            "but with the skin of 0.5 Angstrom that mimyria_domain was given only 0.25 "
            "are allowed. Give it the skin of `neighbor`",
            False,
        ),
        (
            {"more": FRAME_AT_ONCE},
            "LAMMPS has made no ghosts yet, so that ranks cannot ask networks. Put "
            "`run 0 post no` before this call of mimyria_frame.",
            True,
        ),
        (
            {"more": DEFORM},
            "The box changes, but by none of the fixes that were there at "
            "mimyria_domain",
            True,
        ),
    ],
)
def test_ghosts_that_are_too_old_end_the_spectrum(engine, changes, line, at_once):
    """What only the frames show; in the first two of a run it ends LAMMPS, too."""
    text = script(endpoint(engine), "water-compact-joint", **changes)
    receiver = LammpsReceiver(endpoint(engine))
    process = engine.start(text, 2)
    try:
        run = collect(receiver, process)
        code = process.wait(timeout=TIMEOUT)
    finally:
        process.kill()
        process.wait()
        receiver.close()
    assert len(run.arrived) < STEPS // STRIDE
    assert line in engine.output
    assert "Traceback" not in engine.output
    if at_once:
        assert code != 0
        assert run.arrived == []
    elif len(run.arrived) > 1:
        assert line in run.ended[0].reason


def test_a_box_that_fix_npt_changes_is_evaluated_rightly(engine):
    path = deployed(engine, "water-compact-joint")
    text = script(endpoint(engine), path).replace(
        "fix integrate all nve",
        "fix integrate all npt temp 300 300 100 iso 5000 5000 200",
    )
    run = streamed(engine, text, 2)
    require_equal(run, [load_model(path)])
    volumes = [each.frame.volume for each in run.arrived]
    assert np.ptp(volumes) > 1e-3 * volumes[0]


def test_no_sums_are_lost_when_the_driver_dies_and_comes_back(engine):
    path = deployed(engine, "water-compact-joint")
    receiver = LammpsReceiver(endpoint(engine))
    process = engine.start(script(endpoint(engine), path), 2)
    try:
        before = collect(receiver, process, until=2)
        receiver._session = None  # close() then has no one to say goodbye to
        receiver.close()
        durable = before.arrived[-1].frame.step
        receiver = LammpsReceiver(endpoint(engine))
        after = collect(receiver, process, durable_step=durable)
        assert process.wait(timeout=60) == 0, engine.output
    finally:
        process.kill()
        process.wait()
        receiver.close()
    after.arrived = before.arrived + after.arrived
    require_equal(after, [load_model(path)])


SETTINGS = """
[run]
directory = "{directory}"
[source]
kind = "lammps"
endpoint = "{endpoint}"
[models]
joint = "{model}"
where = "{where}"
[spectrum]
resolution = 400.0
plots = false
max_wavenumber = 400.0
"""


def test_the_driver_keeps_the_same_journal_whoever_asks_the_networks(engine):
    """The same run twice, with the command that users type."""
    path = deployed(engine, "water-compact-joint")
    journals = {}
    for where in ("engine", "driver"):
        directory = engine.folder / where
        settings = engine.folder / f"{where}.toml"
        text = SETTINGS.format(
            directory=directory, endpoint=endpoint(engine), model=path, where=where
        )
        settings.write_text(text)
        lines = script(endpoint(engine), path).splitlines()
        if where == "driver":
            lines = [line for line in lines if "python mimyria_domain" not in line]
        process = engine.start("\n".join(lines) + "\n", 2)
        try:
            driver = subprocess.run(
                [sys.executable, "-m", "mimyria_driver", "run", str(settings)],
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
            assert driver.returncode == 0, driver.stderr
            assert process.wait(timeout=60) == 0, engine.output
        finally:
            process.kill()
            process.wait()
        journals[where] = list(read_journal(directory / "journal"))
    steps = list(range(STRIDE, STEPS + 1, STRIDE))
    for one, other, step in zip(*journals.values(), steps, strict=True):
        assert one.step == other.step == step
        assert one.digest == other.digest  # the same trajectory, to the bit
        close(one.currents.dipole, other.currents.dipole)
        close(one.currents.polarizability, other.currents.polarizability)
        close(one.contributions, other.contributions)
