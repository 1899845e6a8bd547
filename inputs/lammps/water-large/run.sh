#!/bin/sh
# LAMMPS whose ranks ask the networks, and the driver.
# Arguments go to LAMMPS, as in ./run.sh -var copies 3. RANKS: how many (2). LMP and MPIRUN
# may name other programs. SITE: where the Python in LAMMPS finds mimyria and torch; by
# default where the `python3` of the shell has its packages.
set -eu
cd "$(dirname "$0")"
lmp=${LMP:-lmp}
mpirun=${MPIRUN:-mpirun}
site=${SITE:-$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')}

mimyria-driver run run.toml &
driver=$!
trap 'kill $driver 2>/dev/null || true' EXIT INT TERM
# One thread for each rank: they share the cores.
OMP_NUM_THREADS=1 PYTHONPATH=$site \
    $mpirun -np "${RANKS:-2}" "$lmp" -in in.lammps -screen none "$@"
wait $driver
trap - EXIT
