"""Reference tensors from electronic structure: by fields, checked by displacements."""

from mimyria.reference.agreement import Agreement, agreement
from mimyria.reference.clusters import Cluster, cut_cluster, sample_clusters
from mimyria.reference.clustersettings import ClusterSettings
from mimyria.reference.descriptors import RadialDescriptor
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
    detect_normalisation,
    fit_tensors,
    stencil_noise,
)
from mimyria.reference.localfield import field_inside, tensors_of_the_liquid
from mimyria.reference.outliers import Outlier, find_outliers
from mimyria.reference.picking import (
    Reservoir,
    farthest_points,
    least_distance,
    most_uncertain,
    random_frames,
)
from mimyria.reference.quality import FieldQuality, field_quality
from mimyria.reference.scan import ErrorModel, FieldScan
from mimyria.reference.scanning import scan_fields
from mimyria.reference.selection import (
    SelectionSettings,
    committee_score,
    select_frames,
)
from mimyria.reference.stencils import (
    apt_stencil,
    fourth_order_stencil,
    pgt_stencil,
    recommended_step,
)
from mimyria.reference.verdicts import BOUNDS, Verdict

__all__ = [
    "BOUNDS",
    "Agreement",
    "Cluster",
    "ClusterSettings",
    "ErrorModel",
    "FieldFit",
    "FieldNoise",
    "FieldQuality",
    "FieldScan",
    "Normalisation",
    "Outlier",
    "RadialDescriptor",
    "Reservoir",
    "SelectionSettings",
    "Verdict",
    "agreement",
    "apt_from_dipoles",
    "apt_stencil",
    "committee_score",
    "cut_cluster",
    "detect_normalisation",
    "displaced_positions",
    "farthest_points",
    "field_inside",
    "field_quality",
    "find_outliers",
    "fit_tensors",
    "fourth_order_stencil",
    "least_distance",
    "most_uncertain",
    "pgt_from_polarizabilities",
    "pgt_stencil",
    "polarizability_from_dipoles",
    "random_frames",
    "recommended_step",
    "sample_clusters",
    "scan_fields",
    "select_frames",
    "stencil_noise",
    "tensors_of_the_liquid",
    "unwrapped_change",
]
