"""Model cards: what a model is, written for people, from its metadata alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ase.data import chemical_symbols

from mimyria.models.metadata import ModelMetadata
from mimyria.models.settings import NetworkSettings
from mimyria.targets import Target

__all__ = ["model_card"]

_ENOUGH_FRAMES: Final = 5
"""Held-out frames from which a factor is more than an order of magnitude."""

_PARTS = (
    ("test", "Held-out frames"),
    ("cross_validation", "Leave-one-out over all frames"),
    ("train", "Training frames (how closely they were fitted, not how good it is)"),
)


def model_card(metadata: ModelMetadata) -> str:
    """The model card as Markdown."""
    sections = [
        f"# {metadata.name}",
        metadata.description,
        _facts(metadata),
        _limitations(metadata),
        _training(metadata),
        _errors(metadata),
        _uncertainty(metadata),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _facts(metadata: ModelMetadata) -> str:
    settings = metadata.settings
    symbols = ", ".join(chemical_symbols[z] for z in metadata.species)
    return _table(
        ("what", "value"),
        [
            *(
                (
                    f"predicts `{target.name}`",
                    f"{target.title} of every atom, `{target.order}`, in {target.unit}",
                )
                for target in metadata.targets
            ),
            ("elements", symbols),
            ("cutoff", f"{metadata.cutoff:g} Å"),
            (
                "network",
                f"{_members(metadata)}{settings.n_layers} convolutions, channels "
                f"{list(settings.channels)}, "
                f"spherical harmonics to l = {settings.lmax_sphere}, {settings.parity} "
                f"parity{_unusual(settings)}",
            ),
            ("arithmetic", metadata.dtype),
            ("made with", ", ".join(f"{k} {v}" for k, v in metadata.versions.items())),
            ("digest", f"`{metadata.sha256}`"),
        ],
    )


def _members(metadata: ModelMetadata) -> str:
    return f"{metadata.members} networks of " if metadata.members > 1 else ""


def _unusual(settings: NetworkSettings) -> str:
    """What networks that we train do not have."""
    bumps = ", bumps as radial functions" if settings.radial_basis == "bumps" else ""
    return bumps + (", weighed messages" if settings.weighed_messages else "")


def _limitations(metadata: ModelMetadata) -> str:
    if not metadata.limitations:
        return ""
    lines = [f"- {sentence}" for sentence in metadata.limitations]
    return "\n".join(["## What it is not for", "", *lines])


def _training(metadata: ModelMetadata) -> str:
    training = metadata.training
    if not training:
        return ""
    settings = training["settings"]
    return "\n".join(
        [
            "## Training",
            "",
            f"Data: `{training['data']}` (SHA-256 `{training['data_sha256']}`); "
            f"trained on frames {training['train_frames']} "
            f"({_atoms(training)}), frames {training['test_frames']} held out "
            "of this training (counted from 0 in the file)." + _validation(training),
            "",
            "Settings: " + ", ".join(f"{k} = {v}" for k, v in settings.items()) + ".",
            *_seeds(training),
        ]
    )


def _seeds(training: Mapping[str, Any]) -> tuple[str, ...]:
    members = training.get("members")  # of committees
    if not members:
        return ()
    seeds = ", ".join(str(each["seed"]) for each in members)
    return ("", f"The networks differ in the seed alone: {seeds}.")


def _validation(training: Mapping[str, Any]) -> str:
    frames = training.get("validation_frames")  # older models: none
    if not frames:
        return ""
    return (
        f" Frames {frames} said which epoch was the best: number "
        f"{training['best_epoch']}."
    )


def _atoms(training: Mapping[str, Any]) -> str:
    atoms = training["atoms"]
    labelled = training.get("labelled_atoms", atoms)  # older models: all of them
    return f"{atoms} atoms" + (
        "" if labelled == atoms else f", {labelled} of them with labels"
    )


def _errors(metadata: ModelMetadata) -> str:
    units = ", ".join(f"{target.unit} ({target.name})" for target in metadata.targets)
    lines = [
        "## Errors",
        "",
        f"RMSE is that of one component, in {units}. Relative is the RMSE divided by "
        "that of the best constant: the mean tensor of the element, which is zero for "
        "all but scalars. ε is what a spectrum feels: the relative error of all atoms, "
        "each weighted by 1/m (docs/theory.md, eq. (93)).",
    ]
    for key, title in _PARTS:
        for target in metadata.targets:
            errors = metadata.errors.get(key, {}).get(target.name)
            if errors is not None:
                lines += ["", f"### {title}: {target.name}", "", _error_table(errors)]
                lines += ["", _spectral(errors), _sum_rule(target, errors)]
    return "\n".join(lines) if metadata.errors else ""


def _spectral(errors: Mapping[str, Any]) -> str:
    found = errors.get("spectral")  # older models: none
    if not found:
        return ""
    values = ", ".join(
        f"{name} {100 * each['epsilon']:.1f} % (integrated intensity "
        f"{100 * (2 * each['bias'] + each['epsilon'] ** 2):+.1f} %)"
        for name, each in found.items()
    )
    return f"ε: {values}.\n"


def _uncertainty(metadata: ModelMetadata) -> str:
    if not metadata.uncertainty:
        return ""
    lines = [
        "## Uncertainty",
        "",
        "What is expected of the error is the disagreement of the networks times a "
        "factor from the held-out frames (docs/theory.md, eq. (96)).",
        "",
        _table(
            (
                "target",
                "held-out frames",
                "factor",
                "by element",
                "within twice that",
                "rank correlation",
            ),
            [
                (name, str(found["frames"]), *_factors(found))
                for name, found in metadata.uncertainty.items()
            ],
        ),
    ]
    frames = min(found["frames"] for found in metadata.uncertainty.values())
    if frames < _ENOUGH_FRAMES:
        lines += [
            "",
            f"**{frames} held-out frame(s) are too few**: errors of atoms of one frame "
            "are not independent, and the factor is no more than an order of "
            f"magnitude. Hold out {_ENOUGH_FRAMES} or more (`--test-frames`).",
        ]
    return "\n".join([*lines, *_scores(metadata)])


def _scores(metadata: ModelMetadata) -> list[str]:
    rows = [
        (name, title, *(f"{scores[key]:.2f}" for key in ("median", "p90", "largest")))
        for name, found in metadata.uncertainty.items()
        for part, title in (("train", "training"), ("test", "held out"))
        for scores in [found.get("scores", {}).get(part)]
        if scores
    ]
    if not rows:
        return []
    return [
        "",
        "How strange a known frame is: its largest disagreement about an atom, in "
        "units of the largest for that element (eq. (97)).",
        "",
        _table(("target", "frames", "median", "90 %", "largest"), rows),
    ]


def _factors(found: Mapping[str, Any]) -> tuple[str, ...]:
    if found["factor"] is None:
        return ("1, not calibrated", "", "", "")
    elements = ", ".join(
        f"{name} {each:.2f}" for name, each in found["elements"].items()
    )
    correlation = found.get("correlation")
    return (
        f"{found['factor']:.2f}",
        elements,
        f"{100 * found['within']:.0f} % of atoms",
        "" if correlation is None else f"{correlation:.2f}",
    )


def _error_table(errors: Mapping[str, Any]) -> str:
    rows = [_row("all", "all", errors)]
    for symbol, element in errors["elements"].items():
        rows.append(_row(symbol, "all", element))
        rows += [_row(symbol, name, irrep) for name, irrep in element["irreps"].items()]
    return _table(("element", "irrep", "RMSE", "relative"), rows)


def _row(element: str, irrep: str, values: Mapping[str, float]) -> tuple[str, ...]:
    return element, irrep, f"{values['rmse']:.4f}", f"{100 * values['relative']:.1f} %"


def _sum_rule(target: Target, errors: Mapping[str, Any]) -> str:
    residual = errors["sum_rule"]
    frames = residual.get("frames", errors["frames"])  # older models: all of them
    if not frames:
        return (
            "Sum rule: left out, since no frame has labels of all its atoms, and a sum "
            "over some of them obeys no rule."
        )
    left_out = errors["frames"] - frames
    remark = f" ({left_out} with labels of some atoms left out)" if left_out else ""
    return (
        f"Sum rule over {frames} frame(s){remark}: the largest component of the sum "
        f"over all atoms is {residual['predicted']:.3f} {target.unit} (in the labels "
        f"{residual['labels']:.3f}); exact tensors of a neutral cell give zero."
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
