"""PySCF: molecules and clusters by Hartree–Fock or density functionals.

The field enters as E·r in the core Hamiltonian and as −Σ Z_i E·R_i for the nuclei, so
that the energy is the electric enthalpy F(R, E) = E0 − M·E − … and its derivatives at
fixed E are the forces. The dipole moment and the field have the same origin, that of
the positions; the dipole moment of a charged molecule depends on it.
"""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mimyria.errors import CalculationError, SettingsError, one_line
from mimyria.files import replacing
from mimyria.frame import Array, Frame
from mimyria.reference.codes.common import (
    WithSettings,
    identity_text,
    imported,
    require_electrons,
    require_molecule,
)
from mimyria.reference.codes.protocol import SinglePoint
from mimyria.settings.fields import require, setting
from mimyria.units import ANGSTROM_PER_BOHR, BOHR_PER_ANGSTROM

__all__ = ["PyscfCode", "PyscfSettings"]

_DENSITY: Final = "density.npz"
_LOG: Final = "pyscf.log"
_HARTREE_FOCK: Final = "hf"
_FINEST_GRID: Final = 9
_DIIS_SCALE: Final = 1e4
_DISPERSION: Final = re.compile(r"-d[34]")


@dataclass(frozen=True, slots=True)
class PyscfSettings:
    """Hartree–Fock and density functionals of molecules, by PySCF."""

    method: str = setting(
        MISSING, '"hf" for Hartree–Fock, or a functional as PySCF names it: "pbe0".'
    )
    basis: str = setting(MISSING, 'Basis set as PySCF names it: "def2-svpd".')
    ecp: str | None = setting(
        None, "Effective core potential as PySCF names it; without it all electrons."
    )
    charge: int = setting(0, "Charge of every frame, e.")
    spin: int = setting(0, "Unpaired electrons of every frame; above 0: unrestricted.")
    density_fitting: bool = setting(
        False, "Coulomb and exchange by density fitting: faster for clusters."
    )
    conv_tol: float = setting(1e-11, "Convergence of the energy, Eh.")
    conv_tol_grad: float = setting(
        1e-8, "Convergence of the orbital gradient, Eh; the noise of the forces."
    )
    max_cycle: int = setting(100, "Cycles after which a calculation has failed.")
    grid_level: int = setting(4, "Integration grid of functionals, 0 to 9.")
    grid_response: bool = setting(
        True,
        "Forces with the movement of the grid; without it translation is violated.",
    )
    max_memory: int = setting(4000, "Memory of one calculation, MB.")
    threads: int = setting(1, "Threads of one calculation.")

    def __post_init__(self) -> None:
        """Check what needs no frame."""
        require(bool(self.method), "code.method", "a method", repr(self.method))
        require(bool(self.basis), "code.basis", "a basis set", repr(self.basis))
        require(self.spin >= 0, "code.spin", "0 or more", self.spin)
        require(self.conv_tol > 0, "code.conv_tol", "above 0", self.conv_tol)
        require(
            self.conv_tol_grad > 0, "code.conv_tol_grad", "above 0", self.conv_tol_grad
        )
        require(self.max_cycle > 0, "code.max_cycle", "above 0", self.max_cycle)
        require(
            0 <= self.grid_level <= _FINEST_GRID,
            "code.grid_level",
            f"0 to {_FINEST_GRID}",
            self.grid_level,
        )
        require(self.max_memory > 0, "code.max_memory", "above 0", self.max_memory)
        require(self.threads > 0, "code.threads", "above 0", self.threads)


class PyscfCode(WithSettings[PyscfSettings]):
    """`Code` by PySCF, in this process."""

    name = "PySCF"

    @property
    def identity(self) -> str:
        """See `Code.identity`."""
        return identity_text("pyscf", self._settings, "max_memory", "threads")

    def version(self) -> str:
        """See `Code.version`."""
        return str(_pyscf("pyscf").__version__)

    def check(self, frame: Frame) -> None:
        """See `Code.check`."""
        settings = self._settings
        require_molecule(frame, self.name)
        require_electrons(frame.numbers, settings.charge, settings.spin)
        if settings.method.lower() != _HARTREE_FOCK:
            _check_functional(settings.method)
        try:
            with warnings.catch_warnings():  # PySCF advertises a package here
                warnings.simplefilter("ignore")
                self._molecule(frame, io.StringIO())
        except (KeyError, RuntimeError, ValueError) as error:
            raise SettingsError(
                f"code.basis = '{settings.basis}', code.ecp = '{settings.ecp}': PySCF "
                f"cannot set up this molecule ({one_line(error)})."
            ) from error

    def single_point(
        self, frame: Frame, field: Array, folder: Path, guess: Path | None
    ) -> SinglePoint:
        """See `Code.single_point`."""
        with (
            (folder / _LOG).open("w", encoding="utf-8") as log,
            _pyscf("pyscf.lib").with_omp_threads(self._settings.threads),
        ):
            molecule = self._molecule(frame, log)
            density = None
            if guess is not None:
                density = _read_density(guess / _DENSITY, frame)
            try:
                point, density = self._solve(molecule, field, density)
            except (
                ArithmeticError,
                MemoryError,
                NotImplementedError,
                RuntimeError,
                ValueError,
                np.linalg.LinAlgError,
            ) as error:
                if isinstance(error, CalculationError):
                    raise
                raise CalculationError(f"PySCF stopped: {one_line(error)}.") from error
        with replacing(folder / _DENSITY) as file:
            np.savez(file, density=density, numbers=frame.numbers)
        return point

    def _molecule(self, frame: Frame, log: io.TextIOBase) -> Any:  # noqa: ANN401
        settings = self._settings
        positions = BOHR_PER_ANGSTROM * frame.positions
        molecule = _pyscf("pyscf.gto").M(
            atom=list(zip(frame.numbers.tolist(), positions.tolist(), strict=True)),
            unit="Bohr",
            basis=settings.basis,
            ecp=settings.ecp or {},
            charge=settings.charge,
            spin=settings.spin,
            max_memory=settings.max_memory,
            verbose=0,
        )
        molecule.stdout, molecule.verbose = log, 4
        return molecule

    def _mean_field(self, molecule: Any) -> Any:  # noqa: ANN401
        settings = self._settings
        restricted = settings.spin == 0
        if settings.method.lower() == _HARTREE_FOCK:
            scf = _pyscf("pyscf.scf")
            solver = (scf.RHF if restricted else scf.UHF)(molecule)
        else:
            dft = _pyscf("pyscf.dft")
            solver = (dft.RKS if restricted else dft.UKS)(molecule)
            solver.xc = settings.method
            solver.grids.level = settings.grid_level
        if settings.density_fitting:
            solver = solver.density_fit()
        solver.conv_tol = settings.conv_tol
        solver.conv_tol_grad = settings.conv_tol_grad
        solver.max_cycle = settings.max_cycle
        # Screening must stay below what is wanted of the forces.
        solver.direct_scf_tol = min(1e-14, 1e-3 * settings.conv_tol)
        scratch = getattr(solver, "_chkfile", None)
        if scratch is not None:  # an open temporary file, which nothing here reads
            scratch.close()
        solver.chkfile = None
        return solver

    def _solve(
        self,
        molecule: Any,  # noqa: ANN401
        field: Array,
        density: Array | None,
    ) -> tuple[SinglePoint, Array]:
        solver = self._mean_field(molecule)
        position = molecule.intor_symmetric("int1e_r")  # (3, n, n) about the origin
        core = solver.get_hcore(molecule) + np.einsum("a,aij->ij", field, position)
        # A class of its own, because PySCF warns of methods that an object replaces.
        solver.__class__ = type(
            "InField",
            (type(solver),),
            {"get_hcore": lambda *_: core, "DIIS": _fine_diis()},
        )
        last: dict[str, float] = {}

        def remember(state: dict[str, Any]) -> None:
            last["change"] = float(state["e_tot"] - state["last_hf_e"])
            last["gradient"] = float(state["norm_gorb"])

        solver.callback = remember
        electronic = float(solver.kernel(dm0=_fitting(density, solver, molecule)))
        if not solver.converged:
            raise CalculationError(
                f"the SCF did not converge in {self._settings.max_cycle} cycles: the "
                f"energy still changes by {last['change']:.1e} Eh, the orbital "
                f"gradient is {last['gradient']:.1e} Eh."
            )
        matrix = np.asarray(solver.make_rdm1())
        forces = self._forces(solver, molecule, field, _total(matrix))
        charges = np.asarray(molecule.atom_charges(), dtype=np.float64)
        nuclear = charges @ np.asarray(molecule.atom_coords())
        dipole = nuclear - np.einsum("aij,ji->a", position, _total(matrix))
        point = SinglePoint(
            field=np.array(field, dtype=np.float64),
            forces=forces,
            energy=electronic - float(field @ nuclear),
            dipole=ANGSTROM_PER_BOHR * dipole,
        )
        return point, matrix

    def _forces(
        self,
        solver: Any,  # noqa: ANN401
        molecule: Any,  # noqa: ANN401
        field: Array,
        density: Array,
    ) -> Array:
        """(n_atoms, 3) Eh/a0: without the field, on nuclei, on moving basis functions.

        The basis functions μ of atom i move with it: d/dR_i Tr D (E·r) is
        −2 Σ_μν D_μν ⟨ν| E·r |∂μ⟩, because ∂/∂R_i μ = −∂μ.
        """
        gradients = solver.nuc_grad_method()
        if self._settings.method.lower() != _HARTREE_FOCK:
            gradients.grid_response = self._settings.grid_response
        forces = -np.asarray(gradients.kernel(), dtype=np.float64)
        forces += np.outer(molecule.atom_charges(), field)
        n = molecule.nao
        moving = np.einsum(
            "a,abij->bij", field, molecule.intor("int1e_irp").reshape(3, 3, n, n)
        )
        pull = 2.0 * np.einsum("bij,ij->bj", moving, density)
        for atom, (*_, first, last) in enumerate(molecule.aoslice_by_atom()):
            forces[atom] += pull[:, first:last].sum(axis=1)
        return forces


def _pyscf(module: str) -> Any:  # noqa: ANN401
    return imported(module, "pyscf")


def _fine_diis() -> type[Any]:
    """DIIS that goes on below 1e-7 Eh.

    PySCF drops directions whose squared error is below 1e-14 as linearly dependent, and
    then makes no progress; larger errors, all by one factor, change nothing else.
    """
    standard = _pyscf("pyscf.scf.diis").CDIIS

    def get_err_vec(self: Any, index: int) -> Any:  # noqa: ANN401
        return _DIIS_SCALE * standard.get_err_vec(self, index)

    return type("FineDiis", (standard,), {"get_err_vec": get_err_vec})


def _check_functional(name: str) -> None:
    if _DISPERSION.search(name.lower()):
        raise SettingsError(
            f"code.method = '{name}' asks for a dispersion correction. It depends on "
            "no field and changes no tensor: leave it off."
        )
    try:
        _pyscf("pyscf.dft.libxc").parse_xc(name)
    except (KeyError, ValueError) as error:
        raise SettingsError(
            f"code.method = '{name}' is neither \"hf\" nor a functional that PySCF "
            f"knows ({one_line(error)})."
        ) from error


def _total(density: Array) -> Array:
    """(n, n) of a density that may be given for each spin."""
    return density.sum(axis=0) if density.ndim == 3 else density


def _read_density(path: Path, frame: Frame) -> Array:
    """The density at zero field, if it is one of these atoms."""
    try:
        with np.load(path, allow_pickle=False) as data:
            numbers = np.asarray(data["numbers"])
            density = np.asarray(data["density"], dtype=np.float64)
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise CalculationError(
            f"{path}: the density at zero field cannot be read ({one_line(error)}). "
            "Compute the point at zero field again."
        ) from error
    if not np.array_equal(numbers, frame.numbers):
        raise CalculationError(
            f"{path}: the density at zero field is of {len(numbers)} other atoms: it "
            "belongs to another frame."
        )
    return density


def _fitting(density: Array | None, solver: Any, molecule: Any) -> Array | None:  # noqa: ANN401
    """The density, if it has the shape that this calculation needs."""
    if density is None:
        return None
    n = molecule.nao
    wanted = (n, n) if solver.istype("RHF") else (2, n, n)
    if density.shape != wanted:
        raise CalculationError(
            f"the density at zero field has the shape {density.shape}, but this "
            f"molecule needs {wanted}: it belongs to another basis or spin."
        )
    return density
