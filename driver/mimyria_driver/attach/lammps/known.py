"""Commands of LAMMPS that say nothing about what the driver needs."""

from __future__ import annotations

from typing import Final

__all__ = ["HARMLESS_COMMANDS"]

_TEXT: Final = """
    angle_coeff angle_style angle_write atom_modify balance bond_coeff
    bond_style bond_write box change_box comm_modify comm_style compute
    compute_modify create_bonds delete_bonds dielectric dihedral_coeff
    dihedral_style dihedral_write dimension displace_atoms dump dynamical_matrix
    echo fitpod fix_modify geturl group group2ndx hyper improper_coeff
    improper_style include info kim kim_init kim_interactions kim_param
    kim_property kspace_modify kspace_style lattice log min_modify min_style
    minimize molecule ndx2group neb neb/spin neigh_modify neighbor newton next
    package pair_modify pair_style pair_write partition plugin prd print
    processors python region reset_atom_ids reset_atoms reset_mol_ids
    reset_timestep set shell special_bonds suffix tad temper temper/grem
    temper/npt thermo thermo_modify thermo_style third_order timer uncompute
    undump variable write_coeff write_data write_dump write_restart
"""
HARMLESS_COMMANDS: Final = frozenset(_TEXT.split())
