#!/bin/sh
# i-PI with the hook: begins with input.xml, or goes on from its last whole checkpoint.
set -eu
socket=/tmp/ipi_mimyria-container
begin=/input/input.xml
# One that was killed while it wrote leaves a checkpoint without its last line.
for checkpoint in $(ls -t water.chk_* 2>/dev/null); do
    if tail -n 1 "$checkpoint" | grep -q '</simulation>'; then
        begin=$checkpoint
        break
    fi
done
echo "i-PI begins with $begin"
# What a killed i-PI has left; the next one would stumble over it.
rm -f "$socket"
# barrier: the stride of <checkpoint>, so that none is ahead of the driver.
exec python -m mimyria_driver.inprocess "$begin" \
    --endpoint spectrum/endpoint.json --stride 4 --options barrier=1000
