"""Real spherical harmonics, in the order and normalisation of e3nn ("component").

With the polar axis y and the azimuth α counted from z to x,

    Y_l^m = N_l^|m| Π_l^|m|(y) · Re (z + ix)^m for m ≥ 0, Im (z + ix)^|m| for m < 0,
    N_l^m = √((2l + 1)(2 − δ_m0)(l − m)!/(l + m)!), so that Σ_m |Y_l^m|² = 2l + 1.

Π_l^m = P_l^m(y)/(1 − y²)^{m/2} follows the recurrence of Legendre functions in l.
TorchScript accepts all of it.

Source: DLMF, https://dlmf.nist.gov/14.10, eq. 14.10.3, without the sign (−1)^m.
"""

import math

import torch
from torch import Tensor

__all__ = ["spherical_harmonics"]


def spherical_harmonics(vectors: Tensor, lengths: Tensor, lmax: int) -> Tensor:
    """Spherical harmonics l = 0 … lmax of the directions of vectors.

    Args:
        vectors: (n_edges, 3) Å.
        lengths: (n_edges,) Å — of the vectors, positive.
        lmax: highest l.

    Returns:
        (n_edges, (lmax + 1)²), l = 0 first, m = −l … l within each l.
    """
    x, y, z = (vectors / lengths.unsqueeze(-1)).unbind(-1)
    harmonics = vectors.new_empty([vectors.size(0), (lmax + 1) * (lmax + 1)])
    # Re and Im of (z + ix)^m, and Π_m^m = (2m − 1)!!.
    cosine, sine = torch.ones_like(y), torch.zeros_like(y)
    diagonal = 1.0
    for m in range(lmax + 1):
        if m > 0:
            cosine, sine = z * cosine - x * sine, z * sine + x * cosine
            diagonal *= 2.0 * m - 1.0
        before, legendre = torch.zeros_like(y), torch.full_like(y, diagonal)
        for degree in range(m, lmax + 1):
            if degree > m:
                following = (
                    (2 * degree - 1) * y * legendre - (degree + m - 1) * before
                ) / (degree - m)
                before, legendre = legendre, following
            scaled = legendre * _norm(degree, m)
            centre = degree * (degree + 1)
            harmonics[:, centre + m] = scaled * cosine
            if m > 0:
                harmonics[:, centre - m] = scaled * sine
    return harmonics


def _norm(degree: int, m: int) -> float:
    """N_l^m."""
    factor = 2.0 * degree + 1.0
    for k in range(degree - m + 1, degree + m + 1):
        factor /= k
    return math.sqrt(factor if m == 0 else 2.0 * factor)
