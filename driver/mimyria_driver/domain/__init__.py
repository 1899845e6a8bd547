"""Networks inside the engine: each MPI rank asks them about its own atoms.

Opt-in, for systems that one process cannot evaluate: it needs mimyria and torch in the
engine's Python.
"""
