#!/bin/sh
# i-PI integrates and sends all beads, LAMMPS gives the forces, mimyria-driver takes the
# spectra. LMP and PYTHON may name other programs.
set -eu
cd "$(dirname "$0")"
lmp=${LMP:-lmp}
python=${PYTHON:-python}
socket=/tmp/ipi_mimyria-beads-lammps
pids=
trap 'kill $pids 2>/dev/null || true' EXIT INT TERM

mimyria-driver run run.toml &
driver_pid=$!
pids=$driver_pid
"$python" -m mimyria_driver.inprocess input.xml --endpoint spectrum/endpoint.json \
    --stride 8 --beads all >ipi.log 2>&1 &
ipi_pid=$!
pids="$pids $ipi_pid"

# LAMMPS does not wait for i-PI, so wait for its socket.
tries=0
until [ -S "$socket" ]; do
    tries=$((tries + 1))
    if [ $tries -gt 120 ] || ! kill -0 $ipi_pid 2>/dev/null; then
        echo "i-PI did not start; see ipi.log. If it speaks of an old socket, remove $socket." >&2
        exit 75
    fi
    sleep 0.5
done
"$lmp" -in ../water-trpmd/in.lammps -var address mimyria-beads-lammps -log none \
    -screen none >/dev/null 2>&1 &
pids="$pids $!"
wait $ipi_pid
wait $driver_pid
