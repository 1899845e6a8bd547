"""Inputs of i-PI for dynamics that an APT drives, and an APT that is known exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = [
    "ELEMENTS",
    "SOURCE",
    "cavity_input",
    "driven_input",
    "exact_apt",
    "exact_dipole",
    "init_xyz",
    "write_run",
]

ELEMENTS = ("O", "H", "H") * 3
CHARGES = {"O": -0.8, "H": 0.45}
BEND = 0.1  # 1/Å

SOURCE = f'''
"""M_a = Σ_i q_i (u_ia + {BEND} u_ia u_i(a+1)), u_i = r_i − Σ_j r_j / N; no sum rule."""
import numpy as np
from mimyria.targets import APT
from mimyria.tensorsources import SourceMetadata
CHARGES = {{8: {CHARGES["O"]}, 1: {CHARGES["H"]}}}

class Bent:
    metadata = SourceMetadata("bent", APT, APT.order, APT.unit, (1, 8), "b" * 64)
    n_asked = 0
    fault = ""

    def predict(self, frames):
        self.n_asked += len(frames)
        if self.n_asked > 7 and self.fault == "raises":
            raise RuntimeError("planted")
        value = np.nan if self.n_asked > 7 and self.fault == "nan" else 1.0
        return [value * tensor(each.numbers, each.positions) for each in frames]

def tensor(numbers, positions):
    u = positions - positions.mean(axis=0)
    apt = np.zeros((len(u), 3, 3))
    for a in range(3):
        b = (a + 1) % 3
        apt[:, a, a] = 1 + {BEND} * u[:, b]
        apt[:, a, b] = {BEND} * u[:, a]
    return np.array([CHARGES[n] for n in numbers.tolist()])[:, None, None] * apt

def make(target, device):
    return Bent()

def raises(target, device):
    source = Bent()
    source.fault = "raises"
    return source

def nan(target, device):
    source = Bent()
    source.fault = "nan"
    return source
'''

WELL = f'''
"""Wells for the atoms, and none for the photons behind them."""
from ipi.pes.harmonic import Harmonic_driver
__DRIVER_NAME__ = "well"
__DRIVER_CLASS__ = "Well_driver"

class Well_driver(Harmonic_driver):
    def compute_structure(self, cell, pos):
        inside = pos.copy()
        inside.reshape(-1, 3)[{len(ELEMENTS)}:] = 0.0
        return super().compute_structure(cell, inside)
'''

_HEAD = """
<simulation verbosity='low' floatformat='%24.16e'>
 <output prefix='o'>
{outputs}
 </output>
 <total_steps>{steps}</total_steps>
 <prng><seed>31415</seed></prng>
 <ffdirect name='well'>
  <pes>custom</pes><pes_path>well.py</pes_path><parameters>{{k1: {k}}}</parameters>
 </ffdirect>
{forcefield}
 <system>
  <initialize nbeads='{nbeads}'>
   <file mode='xyz'> init.xyz </file>
   <velocities mode='thermal' units='kelvin'> 300 </velocities>
  </initialize>
  <forces>
   <force forcefield='well'/>
   <force forcefield='apt'/>{forces}
  </forces>
  <motion mode='{motion}'>
   <fixcom>False</fixcom>
{dynamics}
  </motion>
  <ensemble><temperature units='kelvin'> 300 </temperature></ensemble>
 </system>
</simulation>
"""

_SOCKET = """ <ffsocket name='apt' mode='unix' pbc='False'>
  <address>{address}</address><latency>{latency}</latency>
  <consolidate_messages>{consolidate}</consolidate_messages>
 </ffsocket>"""

_FIELD = """   <driven_dynamics mode='{mode}'>
    <timestep units='femtosecond'> {dt} </timestep>{thermostat}
    <efield>
     <amp> {amplitude} </amp><freq> {frequency} </freq><phase> 0.3 </phase>
     <peak units='femtosecond'> {peak} </peak>
     <sigma units='femtosecond'> {sigma} </sigma>
    </efield>
    <bec mode='driver'/>
   </driven_dynamics>"""

_CAVITY = """ <ffcavphsocket name='apt' mode='unix' pbc='False'>
  <address>{address}</address><latency>{latency}</latency>
  <apply_photon> True </apply_photon><dipole_surface> True </dipole_surface>
  <E0> {coupling} </E0><omega_c> {photon} </omega_c><ph_rep> loose </ph_rep>
 </ffcavphsocket>"""

_PLAIN = """   <dynamics mode='nve'>
    <timestep units='femtosecond'> {dt} </timestep>
   </dynamics>"""


def driven_input(outputs: str, **changes: object) -> str:
    """The text of input.xml for driven dynamics."""
    values: dict[str, object] = {
        "outputs": outputs,
        "steps": 40,
        "nbeads": 1,
        "address": "bec",
        "latency": 1e-4,
        "consolidate": "True",
        "mode": "eda-nve",
        "dt": 0.5,
        "k": 0.5,
        "thermostat": "",
        "amplitude": "[0.02, -0.01, 0.015]",
        "frequency": 0.016,
        "peak": 10.0,
        "sigma": 5.0,
        "forces": "",
        "more": "",
        **changes,
    }
    forcefield = _SOCKET.format(**values) + str(values["more"])
    return _HEAD.format(
        **values,
        forcefield=forcefield,
        motion="driven_dynamics",
        dynamics=_FIELD.format(**values),
    )


def cavity_input(outputs: str, **changes: object) -> str:
    """The text of input.xml for molecules in a cavity."""
    values: dict[str, object] = {
        "outputs": outputs,
        "steps": 40,
        "nbeads": 1,
        "address": "bec",
        "dt": 0.5,
        "k": 0.5,
        "latency": 1e-4,
        "coupling": 5e-3,
        "photon": 0.0155,
        "forces": "",
        **changes,
    }
    return _HEAD.format(
        **values,
        forcefield=_CAVITY.format(**values),
        motion="dynamics",
        dynamics=_PLAIN.format(**values),
    )


def init_xyz(photons: int = 0) -> str:
    """Nine atoms in wells, and photons if wanted."""
    rng = np.random.default_rng(3)
    rows = [
        f"{element} {x:.6f} {y:.6f} {z:.6f}"
        for element, (x, y, z) in zip(
            (*ELEMENTS, *("L",) * photons),
            rng.normal(scale=0.1, size=(len(ELEMENTS) + photons, 3)),
            strict=True,
        )
    ]
    head = "# CELL(abcABC): 20 22 24 80 75 70 positions{angstrom} cell{angstrom}"
    return "\n".join([str(len(rows)), head, *rows]) + "\n"


def write_run(folder: Path, text: str, photons: int = 0) -> None:
    """Input, atoms and the source of tensors."""
    (folder / "input.xml").write_text(text)
    (folder / "init.xyz").write_text(init_xyz(photons))
    (folder / "bent_apt.py").write_text(SOURCE)
    (folder / "well.py").write_text(WELL)


def exact_apt(positions: np.ndarray) -> np.ndarray:
    """∂M_a/∂r_ib of `exact_dipole`, (n, 3, 3) e, by central differences."""
    h = 1e-4
    apt = np.zeros((len(positions), 3, 3))
    for i, b in np.ndindex(len(positions), 3):
        shift = np.zeros_like(positions)
        shift[i, b] = h
        apt[i, :, b] = (
            exact_dipole(positions + shift) - exact_dipole(positions - shift)
        ) / (2 * h)
    return apt


def exact_dipole(positions: np.ndarray) -> np.ndarray:
    """The dipole moment that SOURCE differentiates, (3,) e Å."""
    q = np.array([CHARGES[each] for each in ELEMENTS])
    u = positions - positions.mean(axis=0)
    dipole: np.ndarray = q @ (u + BEND * u * np.roll(u, -1, axis=1))
    return dipole
