"""Fast inference: trained networks as a few matrices and one fused operator."""

from mimyria.models.fused.network import FusedCommittee, FusedNetwork
from mimyria.models.fused.operator import KERNEL_VARIABLE, OPERATOR, backend_name

__all__ = [
    "KERNEL_VARIABLE",
    "OPERATOR",
    "FusedCommittee",
    "FusedNetwork",
    "backend_name",
]
