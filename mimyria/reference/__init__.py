"""Reference tensors from electronic-structure forces; arrays only, no such program."""

from mimyria.reference.clusters import Cluster, cut_cluster, sample_clusters
from mimyria.reference.clustersettings import ClusterSettings
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
from mimyria.reference.localfield import field_inside, tensors_of_the_liquid

__all__ = [
    "Cluster",
    "ClusterSettings",
    "FieldFit",
    "FieldNoise",
    "Normalisation",
    "apt_stencil",
    "cut_cluster",
    "detect_normalisation",
    "field_inside",
    "fit_tensors",
    "pgt_stencil",
    "recommended_step",
    "sample_clusters",
    "stencil_noise",
    "tensors_of_the_liquid",
]
