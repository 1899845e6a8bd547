"""An input script of LAMMPS, read as text.

lines      physical lines to logical ones
formulas   arithmetic of equal-style variables
variables  variables and their places in a line
script     a file and what it includes, as commands
datafile   atoms, masses and box of read_data
species    elements of the types
fixes      what the fixes of a run do to its velocities
meaning    commands to what is known of the run
patch      the copy with our lines
programs   which LAMMPS there are on this machine
attaching  all of it together
"""
