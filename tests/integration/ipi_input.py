"""An input of i-PI: nine atoms in wells, with the driver as one more force field."""

from __future__ import annotations

__all__ = ["ipi_input"]

_TEXT = """
<simulation verbosity='low' floatformat='{number_format}'>
 <output prefix='o'>
{outputs}
 </output>
 <total_steps>{steps}</total_steps>
 <prng><seed>31415</seed></prng>
 <ffdirect name='well'><pes>harmonic</pes>
  <parameters>{{k1: 0.5}}</parameters>
 </ffdirect>
 <ffsocket name='driver' mode='{mode}' pbc='{pbc}'>
  <address>{address}</address>{port}
  <latency>{latency}</latency>
  <consolidate_messages>{consolidate}</consolidate_messages>
  <parameters>{{dt_fs: {dt_fs}}}</parameters>
 </ffsocket>
 <system>
  <initialize nbeads='{nbeads}'>
   <file mode='xyz'> init.xyz </file>
   <velocities mode='thermal' units='kelvin'> 300 </velocities>
  </initialize>
  <forces>
   <force forcefield='well'>{well_level}</force>
   <force forcefield='driver'{driver_beads}>{driver_level}</force>
  </forces>
  <motion mode='dynamics'>{fixcom}
   <dynamics mode='{ensemble}'{splitting}>{bath}
    <timestep units='femtosecond'> {dt} </timestep>{levels}
   </dynamics>
  </motion>
  <ensemble><temperature units='kelvin'> 300 </temperature>{pressure}</ensemble>
 </system>
</simulation>
"""


def ipi_input(outputs: str, **changes: object) -> str:
    """The text of input.xml.

    Args:
        outputs: what stands in <output>.
        changes: of what is here.
    """
    values: dict[str, object] = {
        "number_format": "%24.16e",
        "steps": 100,
        "mode": "unix",
        "address": "driver",
        "port": "",
        "pbc": "False",
        "latency": 1e-4,
        "consolidate": "True",
        "dt": 0.5,
        "dt_fs": 0.5,
        "nbeads": 1,
        "fixcom": "",
        "ensemble": "nve",
        "splitting": "",
        "bath": "",
        "levels": "",
        "pressure": "",
        "well_level": "",
        "driver_beads": "",
        "driver_level": "",
        **changes,
    }
    return _TEXT.format(outputs=outputs, **values)
