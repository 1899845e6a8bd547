#!/bin/sh
# Equilibration and production with i-PI; LAMMPS gives the forces, mimyria-driver takes
# the spectra of the second. BEADS=1 is the classical liquid. LMP and IPI may name other
# programs.
set -eu
cd "$(dirname "$0")"
lmp=${LMP:-lmp}
ipi=${IPI:-i-pi}
socket=/tmp/ipi_mimyria-trpmd-lammps
pids=
trap 'kill $pids 2>/dev/null || true' EXIT INT TERM

start() {
    sed "s/nbeads='8'/nbeads='${BEADS:-8}'/" "$1.xml" >"$1-now.xml"
    "$ipi" "$1-now.xml" >"$1.log" 2>&1 &
    ipi_pid=$!
    pids=$ipi_pid
    # LAMMPS does not wait for i-PI, so wait for its socket.
    tries=0
    until [ -S "$socket" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 120 ] || ! kill -0 $ipi_pid 2>/dev/null; then
            echo "i-PI did not start; see $1.log. If it speaks of an old socket, remove $socket." >&2
            exit 75
        fi
        sleep 0.5
    done
    "$lmp" -in in.lammps -log none -screen none >/dev/null 2>&1 &
    pids="$ipi_pid $!"
}

start equilibrate
wait $ipi_pid
# LAMMPS takes the end of i-PI for an error; that is its way.
wait || true
cp RESTART equilibrated.chk
start input
mimyria-driver run run.toml
wait $ipi_pid
