"""Fields of settings: a default and a sentence each, and checks of their values."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from mimyria.errors import SettingsError
from mimyria.settings.reader import suggestion

__all__ = ["about", "choice", "require", "setting"]


def about(sentence: str) -> dict[str, str]:
    """Metadata of a field of settings."""
    return {"sentence": sentence}


def setting(default: Any, sentence: str) -> Any:  # noqa: ANN401 (as dataclasses.field)
    """A field of settings with its default and its sentence."""
    return field(default=default, metadata=about(sentence))


def choice(name: str, value: str, options: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the options."""
    if value not in options:
        raise SettingsError(
            f"{name} must be one of {', '.join(options)}, but is '{value}'."
            f"{suggestion(value, options)}"
        )


def require(ok: bool, name: str, wanted: str, value: object) -> None:
    """Refuse a value outside its limits."""
    if not ok:
        raise SettingsError(f"{name} must be {wanted}, but is {value}.")
