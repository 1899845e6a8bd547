#!/bin/sh
# Four partitions of one LAMMPS and one driver, which takes the spectra of all.
# Arguments go to LAMMPS, as in ./run.sh -var steps 2000. LMP and MPIRUN may name other
# programs; MPIRUN="mpirun --oversubscribe" where there are fewer than four cores.
set -eu
cd "$(dirname "$0")"
lmp=${LMP:-lmp}
mpirun=${MPIRUN:-mpirun}

mimyria-driver hook mimyria_hook.py
mimyria-driver run run.toml &
driver=$!
trap 'kill $driver 2>/dev/null || true' EXIT INT TERM
$mpirun -np 4 "$lmp" -partition 4x1 -in in.lammps -screen none "$@"
wait $driver
trap - EXIT
