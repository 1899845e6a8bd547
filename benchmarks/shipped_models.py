"""The shipped models of water: training, learning curves, and what a spectrum feels.

    python benchmarks/shipped_models.py FOLDER [--jobs N]

Trains the compact networks for the APT, the PGT and both (`joint`) on 4 to 20 of the 24
configurations of tests/data/water16-rpbe, in equally many steps, judges each on the
same four that are held out, and joins four joint networks to a committee. Then replays
one trajectory, 10 ps of 64 waters from inputs/lammps/water (Debian's `lmp` runs it),
with all of them, and compares spectra with those of the same networks trained on 20.
What lies in FOLDER already is not made again. The models that ship are
FOLDER/water-compact-{apt,pgt,joint,committee}.mimyria.
"""

import argparse
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from os import environ
from pathlib import Path

from mimyria.comparison import compare
from mimyria.models import read_metadata
from mimyria.storage import read_result

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data" / "water16-rpbe" / "water16-rpbe.extxyz"
INPUTS = ROOT / "inputs" / "lammps" / "water"
TARGETS = ("apt", "pgt", "joint")
SIZES = (20, 16, 12, 8, 4)
SEEDS = (1, 2, 3, 4)
STEPS = 6000
TIME_STEP, STRIDE, MD_STEPS = 0.5, 4, 20_000
SPECTRA = ("ir", "raman_vv", "raman_vh")
RANGE = (100.0, 4000.0)

DESCRIPTION = (
    "Compact network for liquid water at ambient density, made to show the whole way "
    "from finite-field DFT to spectra at low cost on a CPU. Labels: RPBE, "
    "DZVP-MOLOPT-SR-GTH, GTH pseudopotentials, 16 water molecules in a cubic box of "
    "7.82 Å, classical geometries at 300 and 400 K (data set water16-rpbe). "
    "Architecture and radial basis were chosen with seven of the configurations, the "
    "weight decay by errors on four, some of which are held out here, too: the errors "
    "below may be somewhat optimistic."
)
NOT_FOR = (
    "Ice, vapour, surfaces, ions, solutions, and temperatures or pressures far from "
    "those of the liquid.",
    "Geometries of path-integral simulations, whose OH bonds are stretched further "
    "than any in the training data.",
    "Absolute Raman intensities: the double-zeta basis of the labels makes the "
    "polarizability about 15 % too small.",
    "Collective effects beyond its 4 Å and beyond a box of 16 molecules.",
    "Elements other than H and O; these are refused.",
)


def model_name(target, size):
    return f"water-compact-{target}" + ("" if size == max(SIZES) else f"-{size}")


def run(command, log, folder=None):
    """One program on one core; its output is in `log`."""
    with log.open("w") as output:
        subprocess.run(
            command,
            cwd=folder,
            env=environ | {"OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
        )


def texts():
    limits = [word for sentence in NOT_FOR for word in ("--not-for", sentence)]
    return ["--description", DESCRIPTION, *limits]


def train(folder, target, size, seed=1):
    name = model_name(target, size) + ("" if seed == 1 else f"-seed-{seed}")
    model = folder / f"{name}.mimyria"
    if model.exists():
        return model
    command = [
        *(sys.executable, "-m", "mimyria", "train", DATA, "--target", target),
        *("--output", model, "--seed", str(seed), "--split-seed", "1"),
        *("--test-frames", "4"),
        *("--train-frames", str(size), "--epochs", str(STEPS // size)),
        *("--weight-decay", "0.03", "--resume", "auto"),
        *texts(),
    ]
    run(command, model.with_suffix(".log"))
    print(f"trained {model.name}", flush=True)
    return model


def join(folder, members):
    model = folder / "water-compact-committee.mimyria"
    if not model.exists():
        command = [
            *(sys.executable, "-m", "mimyria", "committee", *members),
            *("--data", DATA, "--output", model, *texts()),
        ]
        run(command, model.with_suffix(".log"))


def trajectory(folder):
    """The input as it is, with a dump in the place of the driver."""
    dump = folder / "md" / "water.dump"
    if dump.exists():
        return dump
    work = folder / "md.part"
    shutil.copytree(INPUTS, work, dirs_exist_ok=True)
    text = (work / "in.lammps").read_text()
    before, _ = text.split("python          mimyria_start input", 1)
    lines = (
        f"dump all_of_it all custom {STRIDE} water.dump id type x y z vx vy vz",
        'dump_modify all_of_it sort id units yes format float "%.10g"',
        f"run {MD_STEPS}",
    )
    (work / "in.lammps").write_text(before + "\n".join(lines) + "\n")
    run(["lmp", "-in", "in.lammps", "-screen", "none"], folder / "md.log", work)
    work.rename(dump.parent)
    return dump


def spectra(folder, dump, kind, size):
    """Spectra of the trajectory by the joint network, or by two."""
    name = f"{kind}-{size}"
    result = folder / name / "spectrum.h5"
    if not result.exists():
        pair = ("apt", "pgt") if kind == "two" else (kind, kind)
        apt, pgt = (folder / f"{model_name(each, size)}.mimyria" for each in pair)
        command = [
            *(sys.executable, "-m", "mimyria_driver", "replay", dump),
            *("--types", "1=O", "2=H", "--apt", apt, "--pgt", pgt),
            *("--time-step", str(TIME_STEP), "--stride", str(STRIDE)),
            *("--temperature", "300", "--resolution", "30", "--batch", "4"),
            *("--directory", result.parent),
        ]
        run(command, folder / f"{name}.log")
    return read_result(result).spectra


def errors_table(folder):
    print(
        "\n| network | configurations | target | relative RMSE | ε, held-out frames |"
    )
    print("|---|---|---|---|---|")
    rows = [(target, size) for target in TARGETS for size in sorted(SIZES)]
    for target, size in [*rows, ("committee", max(SIZES))]:
        path = folder / f"{model_name(target, size)}.mimyria"
        for name, found in read_metadata(path).errors["test"].items():
            parts = ", ".join(
                f"{part} {100 * each['epsilon']:.1f} %"
                for part, each in found["spectral"].items()
            )
            relative = f"{100 * found['relative']:.1f} %"
            print(f"| {target} | {size} | {name} | {relative} | {parts} |")


def distance(one, other, name):
    low, high = RANGE
    return (
        f"{100 * compare(one[name], other[name], low=low, high=high).bray_curtis:.2f}"
    )


def spectra_table(folder, dump):
    best = {kind: spectra(folder, dump, kind, max(SIZES)) for kind in ("two", "joint")}
    print(f"\nBray–Curtis distance, %, {RANGE[0]:g}-{RANGE[1]:g} cm⁻¹\n")
    print("| networks | configurations | " + " | ".join(SPECTRA) + " | against |")
    print("|---|---|" + "---|" * len(SPECTRA) + "---|")
    rows = [(kind, size, kind) for kind in best for size in sorted(SIZES)[:-1]] + [
        ("joint", max(SIZES), "two"),
        ("committee", max(SIZES), "joint"),
    ]
    for kind, size, other in rows:
        found = spectra(folder, dump, kind, size)
        scores = " | ".join(distance(found, best[other], name) for name in SPECTRA)
        print(f"| {kind} | {size} | {scores} | {other}, {max(SIZES)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    curve = [(target, size) for size in SIZES for target in TARGETS]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        trained = [pool.submit(train, folder, *each) for each in curve]
        members = [
            pool.submit(train, folder, "joint", max(SIZES), seed) for seed in SEEDS
        ]
        for each in trained:
            each.result()
        join(folder, [each.result() for each in members])
    errors_table(folder)
    spectra_table(folder, trajectory(folder))


if __name__ == "__main__":
    main()
