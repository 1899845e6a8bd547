#!/bin/sh
# i-PI integrates, LAMMPS gives the forces, mimyria-driver takes the spectra.
# LMP and IPI may name other programs.
set -eu
cd "$(dirname "$0")"
lmp=${LMP:-lmp}
ipi=${IPI:-i-pi}

"$ipi" input.xml >ipi.log 2>&1 &
ipi_pid=$!
lmp_pid=
trap 'kill $ipi_pid $lmp_pid 2>/dev/null || true' EXIT INT TERM

# LAMMPS does not wait for i-PI, so wait for its socket.
tries=0
until [ -S /tmp/ipi_mimyria-water-lammps ]; do
    tries=$((tries + 1))
    if [ $tries -gt 120 ] || ! kill -0 $ipi_pid 2>/dev/null; then
        echo "i-PI did not start; see ipi.log. If it speaks of an old socket, remove" >&2
        echo "/tmp/ipi_mimyria-water-lammps and /tmp/ipi_mimyria-water-driver." >&2
        exit 75
    fi
    sleep 0.5
done
"$lmp" -in in.lammps -log lammps.log -screen none >/dev/null 2>&1 &
lmp_pid=$!

mimyria-driver run run.toml
# LAMMPS takes the end of i-PI for an error; that is its way.
wait $ipi_pid
