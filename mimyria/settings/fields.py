"""Fields of settings: a default and a sentence each, and what values they may have.

Limits stand beside the field, once: `check_limits` refuses by them, and the JSON schema
is made from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mimyria.errors import SettingsError
from mimyria.settings.reader import suggestion

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Limits", "about", "check_limits", "choice", "require", "setting"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a value may be.

    Attributes:
        options: all strings there are; none: any.
        least: the least number.
        above: what a number must be above.
        most: the largest number.
        below: what a number must be below.
        or_zero: 0 is allowed, too.
        pattern: regular expression of a string. For the schema alone: the check of such
            a value is its section's.
        needs: other settings of the section that a value of this one asks for.
        wanted: the limits of a number in words, where these are better than ours.
    """

    options: tuple[str, ...] = ()
    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None
    or_zero: bool = False
    pattern: str = ""
    needs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    wanted: str = ""

    def allow(self, number: float) -> bool:
        """Whether a number is within them."""
        inside = (
            (self.least is None or number >= self.least)
            and (self.above is None or number > self.above)
            and (self.most is None or number <= self.most)
            and (self.below is None or number < self.below)
        )
        return inside or (self.or_zero and number == 0)

    @property
    def words(self) -> str:
        """The limits of a number."""
        if self.wanted:
            return self.wanted
        if self.least is not None:
            if self.most is not None:
                return f"from {self.least} to {self.most}"
            if self.below is not None:
                return f"from {self.least} to below {self.below}"
            return f"{self.least} or more"
        return f"above {self.above}" + (", or 0" if self.or_zero else "")


def about(sentence: str, **limits: Any) -> dict[str, Any]:  # noqa: ANN401 (as Limits)
    """Metadata of a field of settings: a sentence, and the attributes of `Limits`."""
    return {"sentence": sentence, "limits": Limits(**limits)}


def setting(default: Any, sentence: str, **limits: Any) -> Any:  # noqa: ANN401 (as field)
    """A field of settings with its default, its sentence and its limits."""
    return field(default=default, metadata=about(sentence, **limits))


def check_limits(section: str, settings: DataclassInstance) -> None:
    """Refuse the first value that is outside the limits of its field.

    Raises:
        SettingsError: names the setting.
    """
    for entry in dataclasses.fields(settings):
        limits = entry.metadata["limits"]
        value = getattr(settings, entry.name)
        if value is None:
            continue
        if limits.options:
            choice(f"{section}.{entry.name}", value, limits.options)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            name = f"{section}.{entry.name}"
            require(limits.allow(value), name, limits.words, value)


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
