"""The copy of an input of i-PI with one more force field; all other bytes stay."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from mimyria_driver.attach.ipi.reading import IpiInput

__all__ = ["patched"]

_SOCKET = """\
<!-- mimyria: the driver is asked for forces at each step, and answers zeros. -->
<ffsocket name={name} mode='unix' pbc='False'>
  <address>{address}</address>
  <latency>1e-4</latency>
  <parameters>{{dt_fs: {dt}}}</parameters>
</ffsocket>
"""
_FORCE = """\
  <!-- mimyria: {why} -->
  <force forcefield={name}{beads}>{levels}</force>
"""


def patched(document: IpiInput, name: str, address: str) -> bytes:
    """The new input.

    Args:
        document: the input.
        name: of the force field.
        address: name of the unix socket.
    """
    step = document.time_step
    socket = _SOCKET.format(name=quoteattr(name), address=address, dt=step)
    if step is None:
        socket = "\n".join(x for x in socket.split("\n") if "dt_fs" not in x)
    many, levels = document.beads != 1, document.levels
    outer = ", ".join(["1", *["0"] * (levels - 1)])
    force = _FORCE.format(
        why=(
            "the centroid of the beads, whose velocity is exact."
            if many
            else "weight 1, so that it is asked at every step; it adds nothing."
        ),
        name=quoteattr(name),
        beads=" nbeads='1'" if many else "",
        levels=f"<mts_weights> [{outer}] </mts_weights>" if levels > 1 else "",
    )
    content = document.content
    places = ((document.system.begin, socket), (document.forces.close, force))
    for place, text in sorted(places, reverse=True):
        content = _inserted(content, place, text)
    return content


def _inserted(content: bytes, place: int, text: str) -> bytes:
    """Lines before a place, as far from the left as what stands there."""
    line = content.rfind(b"\n", 0, place) + 1
    margin = content[line:place]
    if margin.strip():  # something else stands before it on its line
        return content[:place] + b"\n" + text.encode() + content[place:]
    lines = [margin + each.encode() for each in text.rstrip("\n").split("\n")]
    return content[:line] + b"\n".join(lines) + b"\n" + content[line:]
