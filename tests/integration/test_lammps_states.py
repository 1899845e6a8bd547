"""What the hook reads of the real LAMMPS: velocities, steps, units, order, box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mimyria.frame import Frame
from mimyria_driver.lammps.receiver import LammpsReceiver
from tests.integration.hookruns import (
    STRIDE,
    Collected,
    Engine,
    collect,
    collect_each,
    output,
    read_dump,
    script,
    start,
)

pytestmark = pytest.mark.engine


def frames_of(
    engine: Engine,
    folder: Path,
    text: str,
    *,
    triclinic: bool = False,
    ranks: int = 1,
) -> Collected:
    """What a driver hears of a run that goes well."""
    receiver = LammpsReceiver(f"ipc://{folder}/s")
    process = start(
        engine,
        folder,
        text.replace("ENDPOINT", receiver.endpoint),
        triclinic=triclinic,
        ranks=ranks,
    )
    collected = Collected()
    collect(receiver, process, collected)
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    return collected


def nearest(change: np.ndarray, cell: np.ndarray) -> np.ndarray:
    change = change @ np.linalg.inv(cell)
    return (change - np.rint(change)) @ cell


@pytest.mark.parametrize(
    "bath", ["", "fix bath all langevin 300.0 300.0 100.0 4711"], ids=["nve", "bath"]
)
def test_velocities_are_those_of_full_steps(
    engine: Engine, short_directory: Path, bath: str
) -> None:
    """v(t) = (x(t + dt) − x(t − dt)) / 2 dt, exact for velocity Verlet."""
    text = script("ENDPOINT", stride=1, steps=60, extra=bath)
    frames = [
        each.frame
        for each in frames_of(engine, short_directory, text, triclinic=True).frames
    ]
    assert [each.step for each in frames] == list(range(1, 61))
    for before, frame, after in zip(frames, frames[1:], frames[2:], strict=False):
        moved = nearest(after.positions - before.positions, frame.cell)
        np.testing.assert_allclose(frame.velocities, moved / 4.0, rtol=0, atol=1e-12)
        assert np.abs(frame.velocities - before.velocities).max() > 1e-6


@pytest.mark.parametrize("stride", [1, 4])
def test_each_step_is_sent_once_whatever_runs_there_are(
    engine: Engine, short_directory: Path, stride: int
) -> None:
    """`run` behind `run`, `run 0`, `every`, `upto`, without set-up, hook fixed anew."""
    runs = f"""run 6
run 6
run 0
run 8 every 3 "variable nothing equal 1"
run 40 upto
run 6 pre no post no
unfix mimyria
fix mimyria all python/invoke {stride} end_of_step mimyria_frame
run 10
"""
    text = script("ENDPOINT", stride=stride, steps=1).replace("run 1\n", runs)
    collected = frames_of(engine, short_directory, text)
    assert len(collected.started) == 1
    assert collected.steps == list(range(stride, 57, stride))
    previous = [each.previous_step for each in collected.frames]
    assert previous == [-1, *collected.steps[:-1]]
    dump = read_dump(short_directory / "check.dump")
    for each in collected.frames:
        np.testing.assert_array_equal(
            each.frame.positions, dump[each.frame.step][1], err_msg=str(each.frame.step)
        )


# One Å and one fs, and the mass of argon and neon, as the manual of LAMMPS has them.
STYLES = {
    "real": (1.0, 1.0, 1.0),
    "metal": (1.0, 1e-3, 1.0),
    "electron": (1.8897261, 1.0, 1.0),
    "si": (1e-10, 1e-15, 1.66053907e-27),
    "cgs": (1e-8, 1e-15, 1.66053907e-24),
    "micro": (1e-4, 1e-9, 1.66053907e-12),
    "nano": (0.1, 1e-6, 1.66053907e-6),
}
BALLISTIC = """
clear
units {style}
atom_style atomic
atom_modify map array
lattice none 1.0
region box prism 0 {l} 0 {l} 0 {l} {t} 0 -{t} units box
create_box 2 box
create_atoms 1 single {a} {a} {b} units box
create_atoms 2 single {b} {a} {b} units box
mass 1 {argon}
mass 2 {neon}
pair_style zero {b}
pair_coeff * *
neighbor {skin} bin
timestep {dt}
fix integrate all move wiggle {a} -{b} {skin} {period} units box
{begin}
fix mimyria all python/invoke 4 end_of_step mimyria_frame
run 8
{end}
"""


def test_every_unit_system_gives_the_same_frames(
    engine: Engine, short_directory: Path
) -> None:
    """The same motion in seven styles, masses too; one LAMMPS that is cleared."""
    begin = 'python mimyria_start input 3 ENDPOINT "Ar Ne" 4 format ssi {} {}\n'
    begin += "python mimyria_start invoke"
    end = "python mimyria_finish exists\npython mimyria_finish invoke"
    text = ""
    for style, (angstrom, femtosecond, mass) in STYLES.items():
        hook = "exists ''" if text else "file mimyria_hook.py"
        text += BALLISTIC.format(
            style=style,
            l=16 * angstrom,
            t=2 * angstrom,
            a=3 * angstrom,
            b=5 * angstrom,
            skin=angstrom,
            dt=2.0 * femtosecond,
            period=100.0 * femtosecond,
            argon=39.948 * mass,
            neon=20.1797 * mass,
            begin=begin.format(*hook.split()).replace(" ''", ""),
            end=end,
        )
    receiver = LammpsReceiver(f"ipc://{short_directory}/s")
    process = start(
        engine, short_directory, text.replace("ENDPOINT", receiver.endpoint)
    )
    heard = collect_each(receiver, process, len(STYLES))
    log = output(process)
    receiver.close()
    assert process.returncode == 0, log
    first = heard[0].frames
    for style, collected in zip(STYLES, heard, strict=True):
        (started,) = collected.started
        description = started.description
        np.testing.assert_allclose(description.masses, [39.948, 20.1797], rtol=1e-6)
        assert description.time_step == pytest.approx(2.0, rel=1e-6)
        assert collected.steps == [4, 8]
        for ours, theirs in zip(collected.frames, first, strict=True):
            for name in ("positions", "velocities", "cell"):
                np.testing.assert_allclose(
                    getattr(ours.frame, name),
                    getattr(theirs.frame, name),
                    rtol=1e-6,
                    atol=1e-12,
                    err_msg=f"{style} {name}",
                )
    omega = 2 * np.pi / 100.0  # rad/fs
    velocity = omega * np.cos(8.0 * omega) * np.array([3.0, -5.0, 1.0])
    np.testing.assert_allclose(first[0].frame.velocities[0], velocity, rtol=1e-12)


def test_sorting_and_migration_leave_every_atom_in_its_place(
    engine: Engine, short_directory: Path
) -> None:
    """1600 steps on two ranks, with LAMMPS' own interval of sorting (1000 steps)."""
    order = (
        "dump order all custom 400 order.dump id proc\n"
        'dump_modify order format line "%d %d"\n'
    )
    text = script("ENDPOINT", steps=1600, extra=order)
    text = text.replace("atom_modify sort 20 4.0", "atom_modify sort 1000 4.0")
    text = text.replace("velocity all create 300.0", "velocity all create 900.0")
    collected = frames_of(engine, short_directory, text, ranks=2)
    sections = (short_directory / "order.dump").read_text().split("ITEM: TIMESTEP\n")
    orders = [
        np.array([line.split() for line in each.splitlines()[8:]], dtype=int)
        for each in sections[1:]
    ]
    rank = [dict(each.tolist()) for each in orders]
    assert sum(rank[0][each] != rank[-1][each] for each in rank[0]) > 5  # migrated
    assert orders[0][:, 0].tolist() != orders[-1][:, 0].tolist()  # sorted anew
    dump = read_dump(short_directory / "check.dump")
    assert collected.steps == list(range(STRIDE, 1601, STRIDE))
    for each in collected.frames:
        types, positions, velocities = dump[each.frame.step]
        np.testing.assert_array_equal(each.frame.numbers, np.where(types == 1, 18, 10))
        np.testing.assert_array_equal(each.frame.positions, positions)
        np.testing.assert_array_equal(each.frame.velocities, velocities)


TWO_ATOMS = """
units real
atom_style atomic
boundary p p p
processors 2 1 1
region box block 0 40 0 20 0 20
create_box 1 box
create_atoms 1 single 8 5 5
create_atoms 1 single 12 8 5
mass 1 39.948
pair_style lj/cut 6.0
pair_coeff * * 0.24 3.2
timestep 2.0
neigh_modify every 1 delay 0 check yes
velocity all set 0.05 0 0.001 units box
fix integrate all nve
python mimyria_start input 3 ENDPOINT "Ar" 4 format ssi file mimyria_hook.py
python mimyria_start invoke
fix mimyria all python/invoke 4 end_of_step mimyria_frame
dump check all custom 4 check.dump id type x y z vx vy vz
dump_modify check sort id format float %.17g
dump order all custom 4 order.dump id proc
run 240
python mimyria_finish exists
python mimyria_finish invoke
"""


def test_a_rank_without_atoms_says_so_and_gets_some_later(
    engine: Engine, short_directory: Path
) -> None:
    """Both atoms begin on the first rank, and both go over to the second one."""
    collected = frames_of(engine, short_directory, TWO_ATOMS, ranks=2)
    sections = (short_directory / "order.dump").read_text().split("ITEM: TIMESTEP\n")
    ranks = [
        tuple(sorted(line.split()[1] for line in each.splitlines()[8:]))
        for each in sections[1:]
    ]
    assert ranks[0] == ("0", "0")
    assert {("0", "1"), ("1", "1")} <= set(ranks)
    dump = read_dump(short_directory / "check.dump")
    assert collected.steps == list(range(4, 241, 4))
    for each in collected.frames:
        np.testing.assert_array_equal(each.frame.positions, dump[each.frame.step][1])


def cells_of(path: Path) -> dict[int, np.ndarray]:
    """The cell of each step of a dump of a triclinic box."""
    cells = {}
    for section in path.read_text().split("ITEM: TIMESTEP\n")[1:]:
        lines = section.splitlines()
        rows = np.array([line.split() for line in lines[4:7]], dtype=float)
        (xlo, xhi, xy), (ylo, yhi, xz), (zlo, zhi, yz) = rows
        # A dump gives the box around the tilted cell.
        xlo, xhi = xlo - min(0, xy, xz, xy + xz), xhi - max(0, xy, xz, xy + xz)
        ylo, yhi = ylo - min(0, yz), yhi - max(0, yz)
        cells[int(lines[0])] = np.array(
            [[xhi - xlo, 0, 0], [xy, yhi - ylo, 0], [xz, yz, zhi - zlo]]
        )
    return cells


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_barostat_that_changes_the_whole_cell_is_followed_frame_by_frame(
    engine: Engine, short_directory: Path, ranks: int
) -> None:
    text = script("ENDPOINT", steps=160).replace(
        "fix integrate all nve",
        "fix integrate all npt temp 300 300 100 tri 500 500 200",
    )
    collected = frames_of(engine, short_directory, text, triclinic=True, ranks=ranks)
    dump = read_dump(short_directory / "check.dump")
    cells = cells_of(short_directory / "check.dump")
    assert collected.steps == list(range(STRIDE, 161, STRIDE))
    for each in collected.frames:
        frame: Frame = each.frame
        np.testing.assert_allclose(frame.cell, cells[frame.step], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(frame.positions, dump[frame.step][1])
        np.testing.assert_array_equal(frame.velocities, dump[frame.step][2])
    moved = np.abs(collected.frames[-1].frame.cell - collected.frames[0].frame.cell)
    assert (moved[np.tril_indices(3)] > 1e-4).all()


def test_only_the_last_fix_sees_what_the_others_do_to_velocities(
    engine: Engine, short_directory: Path
) -> None:
    """docs/operation.md: a hook before `fix temp/rescale` has the old velocities."""
    rescale = "fix cool all temp/rescale 4 150.0 150.0 0.0 1.0"
    last = script("ENDPOINT", extra=rescale)
    hook = f"fix mimyria all python/invoke {STRIDE} end_of_step mimyria_frame"
    first = script("ENDPOINT").replace(hook, f"{hook}\n{rescale}")
    for text, is_last in ((last, True), (first, False)):
        collected = frames_of(engine, short_directory, text)
        dump = read_dump(short_directory / "check.dump")
        same = [
            np.array_equal(each.frame.velocities, dump[each.frame.step][2])
            for each in collected.frames
        ]
        assert len(same) == 20
        assert all(same) if is_last else not any(same)
