"""Electronic-structure codes behind one protocol: forces in a homogeneous field."""

from mimyria.reference.codes.protocol import Code, SinglePoint

__all__ = ["Code", "SinglePoint"]
