"""MD in Python as a source: ASE, TorchSim, and any other loop over steps.

A `Stream` takes frames and has all the promises of LAMMPS' hook, since it is the same
sender: a frame is kept until the driver has it on disk, the run waits for a driver that
is behind or away, and what was not confirmed is sent again to one that comes back.

    with Stream("spectrum/endpoint.json", masses, time_step=0.5, stride=4) as stream:
        for step in range(0, 20001, 4):
            stream.send(Frame(numbers, positions, cell, velocities, step))
            ...

`mimyria_driver.observers.ase` and `mimyria_driver.observers.torchsim` make frames of
what these two have. None of it imports torch.
"""

from mimyria_driver.observers.stream import Stream

__all__ = ["Stream"]
