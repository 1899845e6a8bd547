#!/bin/sh
# LAMMPS as force client of i-PI. It takes the end of i-PI for an error, which is its way:
# told to end it has done its work, without a word it is started again.
set -eu
socket=/tmp/ipi_mimyria-container
log=/work/lammps.log
until [ -S "$socket" ]; do sleep 0.5; done
cd /inputs/ipi/water
lmp -in in.lammps -var address mimyria-container -log "$log" -screen none && exit 0
grep ERROR "$log" || true
grep -q 'Got EXIT message from i-PI' "$log"
