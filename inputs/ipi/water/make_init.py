"""Write init.xyz from the equilibrated LAMMPS data file: python make_init.py."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "lammps" / "water" / "water64.data"
SYMBOLS = {"1": "O", "2": "H"}


def xyz(data: str) -> str:
    """The atoms of a data file in the order of their ids, as i-PI reads them."""
    lines = data.splitlines()
    length = next(line.split()[1] for line in lines if line.endswith("xlo xhi"))
    begin = next(n for n, line in enumerate(lines) if line.startswith("Atoms")) + 2
    atoms = []
    while lines[begin + len(atoms)].strip():
        atoms.append(lines[begin + len(atoms)].split())
    atoms.sort(key=lambda atom: int(atom[0]))
    rows = [f"{SYMBOLS[atom[2]]:2s} {' '.join(atom[4:7])}" for atom in atoms]
    cell = f"{length} {length} {length} 90.0 90.0 90.0"
    title = f"# CELL(abcABC): {cell} positions{{angstrom}} cell{{angstrom}}"
    return "\n".join([str(len(atoms)), title, *rows]) + "\n"


if __name__ == "__main__":
    (HERE / "init.xyz").write_text(xyz(DATA.read_text()))
