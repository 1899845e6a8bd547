"""Attaching the driver to an input that exists: `mimyria-driver init`.

An input of LAMMPS or i-PI is read as text and never run. What was read becomes a run
file, every line of it explained, and a copy of the input with the few lines that the
driver needs. What was not understood is said, with its line number, where the user will
see it; nothing is guessed in silence, and no file of the user's is changed.

    lammps/  ipi/    from an input to a Plan, and to its copy with our lines
    plan             what both of them find out
    runfile          a Plan as run.toml
    writing          all files at once, none that is there already
"""
