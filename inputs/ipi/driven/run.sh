#!/bin/sh
# i-PI integrates, LAMMPS gives the forces, mimyria-driver bec what the field acts on.
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
until [ -S /tmp/ipi_mimyria-driven-lammps ]; do
    tries=$((tries + 1))
    if [ $tries -gt 120 ] || ! kill -0 $ipi_pid 2>/dev/null; then
        echo "i-PI did not start; see ipi.log. If it speaks of an old socket, remove" >&2
        echo "/tmp/ipi_mimyria-driven-lammps and /tmp/ipi_mimyria-driven-bec." >&2
        exit 75
    fi
    sleep 0.5
done
"$lmp" -in ../water/in.lammps -var address mimyria-driven-lammps \
    -log lammps.log -screen none >/dev/null 2>&1 &
lmp_pid=$!

mimyria-driver bec water-compact-apt --address unix:mimyria-driven-bec \
    --structure ../water/init.xyz
# LAMMPS takes the end of i-PI for an error; that is its way.
wait $ipi_pid
