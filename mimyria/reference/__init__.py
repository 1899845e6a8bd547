"""Reference tensors from electronic-structure forces; arrays only, no such program."""

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
    "FieldFit",
    "FieldNoise",
    "Normalisation",
    "apt_stencil",
    "detect_normalisation",
    "fit_tensors",
    "pgt_stencil",
    "recommended_step",
    "stencil_noise",
]
