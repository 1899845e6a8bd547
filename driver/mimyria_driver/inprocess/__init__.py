"""i-PI with a hook inside: frames with exact velocities, steps and times.

    python -m mimyria_driver.inprocess input.xml --endpoint spectrum/endpoint.json

runs i-PI as `i-pi input.xml` does, and sends a frame after every --stride steps over
the wire that the hook of LAMMPS has, with its acknowledgements and its policies.
Momenta are those of the full step, whatever the thermostat or barostat; of several
beads the centroid is sent, or with --beads all every one. To i-PI it is one more thing
to do where outputs are written.

Source: i-PI 3.3, `ipi/engine/simulation.py`.
"""
