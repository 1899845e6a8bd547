"""Loading: from the settings to the sources of tensors, in the evaluator's process.

A source is a model of ours, by file or name, or what a function of the user's gives
(`python:module:function`). Both are known by the same few values, their digest among
them; no code of the user's runs in any other process of the service.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mimyria.errors import ModelError
from mimyria.targets import TARGETS
from mimyria.tensorsources import (
    ConvertedSource,
    Predictor,
    require_digest,
    source_document,
)
from mimyria.userfunctions import UserFunction
from mimyria_driver.evaluator.determinism import prepare_torch
from mimyria_driver.evaluator.firstload import require_harmless
from mimyria_driver.evaluator.hardware import describe_hardware
from mimyria_driver.evaluator.pinning import require_pinned
from mimyria_driver.settings import PYTHON

__all__ = ["load_sources"]


def load_sources(
    settings: dict[str, Any], say: Callable[[str], None] = lambda text: None
) -> tuple[dict[str, Predictor], dict[str, Any]]:
    """Load what the settings name.

    Args:
        settings: those of `[models]`, as the handle sends them.
        say: takes a note for people.

    Returns:
        The sources by target, and what the service has to know of them.

    Raises:
        ModelError: a model cannot be used, or is one of the other target.
        SettingsError: a function cannot be called.
        DeviceError: there is no such device.
    """
    names = {target: settings[target] for target in TARGETS if settings[target]}
    _require_pinned(names, settings)
    foreign = all(name.startswith(PYTHON) for name in names.values())
    if foreign and settings["device"] == "cpu":
        device = "cpu"  # torch may never be needed, and takes seconds
    else:
        device = prepare_torch(settings["device"], settings["threads"])
    sources: dict[str, Predictor] = {}
    ready: dict[str, Any] = {"device": device, "models": {}}
    for target, name in names.items():
        # A model of both is loaded once, and asked once.
        known = [sources[other] for other in sources if names[other] == name]
        source = next(
            (each for each in known if target in _given(each)), None
        ) or _load(target, name, device, settings, say)
        if target not in _given(source):
            raise ModelError(
                f"{name}: is a model of '{' and '.join(_given(source))}', but "
                f"models.{target} wants one of '{target}'. Exchange the two."
            )
        sources[target] = source
        ready["models"][target] = source_document(source.metadata, TARGETS[target])
    _require_pinned(names, settings)  # nobody has exchanged them meanwhile
    if foreign and "torch" in sys.modules:
        prepare_torch(device, settings["threads"])
    ready["hardware"] = describe_hardware(device)
    return sources, ready


def _require_pinned(names: dict[str, str], settings: dict[str, Any]) -> None:
    for target, name in names.items():
        wanted = settings.get(f"{target}_sha256")
        if wanted is not None:
            from mimyria.models import resolve_model

            require_pinned(resolve_model(name), wanted, f"models.{target}_sha256")


def _given(source: Predictor) -> list[str]:
    """Names of the targets of a source."""
    return [target.name for target in source.metadata.targets]


def _load(
    target: str,
    name: str,
    device: str,
    settings: dict[str, Any],
    say: Callable[[str], None],
) -> Predictor:
    if not name.startswith(PYTHON):
        from mimyria.models import load_model, resolve_model

        require_harmless(resolve_model(name), settings.get("first_load", 0.0), say)
        model = load_model(name, device=device)
        model.charge = settings["charge"]
        return model
    search = Path(settings["search"])
    function = UserFunction(
        name.removeprefix(PYTHON), search, f"models.{target}", "models.search"
    )
    source = function.call(
        target, device, given=f"the target '{target}' and the device '{device}'"
    )
    label = f"models.{target} = '{name}'"
    converted = ConvertedSource(source, label, _digest(function))
    require_digest(converted.metadata, label)
    return converted


def _digest(function: UserFunction) -> str | None:
    """Of a function and the text it stands in; None where there is no text."""
    text = function.sha256()
    if text is None:
        return None
    return hashlib.sha256(f"{function.text} {text}".encode()).hexdigest()
