"""Reference tensors from electronic structure: by fields, checked by displacements."""

from mimyria.reference.agreement import Agreement, agreement
from mimyria.reference.displacement import (
    apt_from_dipoles,
    displaced_positions,
    pgt_from_polarizabilities,
    polarizability_from_dipoles,
    unwrapped_change,
)
from mimyria.reference.finite_field import (
    FieldFit,
    FieldNoise,
    Normalisation,
    apt_stencil,
    detect_normalisation,
    fit_tensors,
    pgt_stencil,
    recommended_step,
    stencil_noise,
)

__all__ = [
    "Agreement",
    "FieldFit",
    "FieldNoise",
    "Normalisation",
    "agreement",
    "apt_from_dipoles",
    "apt_stencil",
    "detect_normalisation",
    "displaced_positions",
    "fit_tensors",
    "pgt_from_polarizabilities",
    "pgt_stencil",
    "polarizability_from_dipoles",
    "recommended_step",
    "stencil_noise",
    "unwrapped_change",
]
