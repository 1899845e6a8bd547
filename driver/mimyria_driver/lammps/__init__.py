"""LAMMPS as a source: the hook inside the engine and the receiver outside it."""
