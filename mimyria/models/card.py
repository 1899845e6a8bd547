"""Model cards: what a model is, written for people, from its metadata alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ase.data import chemical_symbols

from mimyria.models.markdown import table
from mimyria.models.metadata import ModelMetadata
from mimyria.models.settings import NetworkSettings
from mimyria.models.uncertaintycard import uncertainty_section
from mimyria.targets import Target

__all__ = ["model_card"]

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
        uncertainty_section(metadata),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _facts(metadata: ModelMetadata) -> str:
    settings = metadata.settings
    symbols = ", ".join(chemical_symbols[z] for z in metadata.species)
    return table(
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


def _error_table(errors: Mapping[str, Any]) -> str:
    rows = [_row("all", "all", errors)]
    for symbol, element in errors["elements"].items():
        rows.append(_row(symbol, "all", element))
        rows += [_row(symbol, name, irrep) for name, irrep in element["irreps"].items()]
    return table(("element", "irrep", "RMSE", "relative"), rows)


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
