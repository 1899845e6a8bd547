"""The data sheet of a reference set: what it is, how it was made, how good it is.

Everything in it is counted or computed from the set itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from ase.formula import Formula
from ase.symbols import Symbols

from mimyria.reference.quality import FieldQuality
from mimyria.reference.referenceset import ReferenceFrame
from mimyria.targets import APT, PGT
from mimyria.units import BOHR_PER_ANGSTROM

__all__ = ["data_sheet"]

_COLUMNS = (
    ("σ_F", "force_noise", "Eh/a0"),
    ("fit residual", "residual", "Eh/a0"),
    ("net force", "net_force", "Eh/a0"),
    ("Σ P", "apt_sum", "e"),
    ("Σ Q", "pgt_sum", "a.u./Å"),
    ("error of P", "apt_error", "e"),
    ("error of Q", "pgt_error", "a.u./Å"),
)


def data_sheet(frames: Sequence[ReferenceFrame], title: str) -> str:
    """The sheet, as Markdown.

    Args:
        frames: the set; not empty.
        title: one line about it.
    """
    qualities = [frame.quality() for frame in frames]
    return "\n".join(
        [
            f"# {title}",
            "",
            "Written by `mimyria reference collect`, from the set alone.",
            "",
            *_facts(frames),
            "",
            *_columns(frames),
            "",
            "## Residuals of every frame",
            "",
            "Formulas, and what is normal: docs/reference-quality.md.",
            "",
            *_residuals(frames, qualities),
            "",
            *_response(frames),
            *_checks(frames),
        ]
    )


def _facts(frames: Sequence[ReferenceFrame]) -> Iterator[str]:
    formulas = Counter(
        Formula(str(Symbols(frame.frame.numbers))).format("hill") for frame in frames
    )
    yield "| what | how |"
    yield "|---|---|"
    yield f"| configurations | {len(frames)}: {_counted(formulas)} |"
    yield f"| from | {_counted(Counter(str(f.info.get('source')) for f in frames))} |"
    yield f"| cells | {_counted(Counter(_cell(frame) for frame in frames))} |"
    yield f"| code | {_counted(Counter(str(f.info.get('code')) for f in frames))} |"
    settings = Counter(
        str(f.info.get("settings_sha256", "not recorded"))[:16] for f in frames
    )
    yield f"| settings, SHA-256 | {_counted(settings)} |"
    yield f"| fields | {_counted(Counter(_fields(frame) for frame in frames))} |"
    yield (
        "| tensors | least squares F = F0 + P E + Q EE/2 on the fields that were "
        "applied |"
    )


def _columns(frames: Sequence[ReferenceFrame]) -> Iterator[str]:
    fits = [frame.fit() for frame in frames]
    yield "| column | meaning | unit | root mean square |"
    yield "|---|---|---|---|"
    for target in (APT, PGT):
        tensors = [getattr(fit, target.name) for fit in fits]
        if any(tensor is None for tensor in tensors):
            continue
        rms = math.sqrt(np.mean(np.concatenate([t.ravel() for t in tensors]) ** 2))
        yield (
            f"| `REF_{target.name}:R:{target.n_components}` | {target.order}, "
            f"row-major | {target.unit} | {rms:.4g} |"
        )


def _response(frames: Sequence[ReferenceFrame]) -> Iterator[str]:
    """Polarizabilities, where dipole moments were printed."""
    responses = [(frame, frame.response()) for frame in frames]
    known = [(frame, each) for frame, each in responses if each.alpha is not None]
    if not known:
        return
    yield "## Response of the whole frame"
    yield ""
    yield (
        "From dipole moments in the same fields; ε∞ = 1 + 4π Tr α/3V. The difference "
        "is that to α from the energies, relative to its mean."
    )
    yield ""
    yield "| id | mean α, a0³ | ε∞ | difference |"
    yield "|---|---|---|---|"
    for frame, each in known:
        assert each.alpha is not None
        mean = float(np.trace(each.alpha)) / 3
        volume = frame.frame.volume * BOHR_PER_ANGSTROM**3
        epsilon = 1 + 4 * math.pi * mean / volume if all(frame.frame.pbc) else math.nan
        shown = "–" if math.isnan(epsilon) else f"{epsilon:.4f}"
        yield f"| {frame.name} | {mean:.4g} | {shown} | {_number(each.difference)} |"
    yield ""


def _checks(frames: Sequence[ReferenceFrame]) -> Iterator[str]:
    """Both routes held against each other."""
    checks = [check for check in (frame.check() for frame in frames) if check]
    if not checks:
        return
    yield "## Displaced atoms"
    yield ""
    yield (
        "Tensors of atoms once more, from dipole moments and polarizabilities of "
        "displaced atoms (`mimyria reference check`)."
    )
    yield ""
    yield "| id | atoms | tensor | largest difference | of the largest element | |"
    yield "|---|---|---|---|---|---|"
    for check in checks:
        atoms = ", ".join(map(str, check.atoms))
        for each in check.agreements:
            yield (
                f"| {check.name} | {atoms} | {each.name} | {each.largest:.2g} | "
                f"{100 * each.relative:.2g} % | {each.verdict} |"
            )
    yield ""


def _residuals(
    frames: Sequence[ReferenceFrame], qualities: Sequence[FieldQuality]
) -> Iterator[str]:
    yield (
        "| id | "
        + " | ".join(f"{n}, {unit}" for n, _, unit in _COLUMNS)
        + " | verdict |"
    )
    yield "|---" * (len(_COLUMNS) + 2) + "|"
    for frame, quality in zip(frames, qualities, strict=True):
        numbers = " | ".join(_number(getattr(quality, name)) for _, name, _ in _COLUMNS)
        yield f"| {frame.name} | {numbers} | {quality.verdict} |"


def _counted(counter: Counter[str]) -> str:
    """`12 of this, 3 of that`, or the one thing alone."""
    if len(counter) == 1:
        return next(iter(counter))
    return "; ".join(f"{n} × {what}" for what, n in sorted(counter.items()))


def _cell(frame: ReferenceFrame) -> str:
    if not any(frame.frame.pbc):
        return "none (molecule)"
    lengths = np.linalg.norm(frame.frame.cell, axis=1)
    return " × ".join(f"{length:.4f}" for length in lengths) + " Å"


def _fields(frame: ReferenceFrame) -> str:
    lengths = np.linalg.norm(frame.fields, axis=1)
    return (
        f"{len(frame.fields)} vectors, components up to {np.abs(frame.fields).max():g} "
        f"a.u., lengths up to {lengths.max():.3g} a.u."
    )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2g}"
