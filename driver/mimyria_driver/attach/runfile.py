"""A plan as run.toml: values, and above each its sentence and where it comes from.

The sentences are those of the settings (`mimyria-driver settings`), not a second set.
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterable
from typing import Final

from mimyria_driver.attach.plan import Plan, Written
from mimyria_driver.settings import SCHEMA_FILE, SECTIONS

__all__ = ["run_file"]

_WIDTH: Final = 88


def run_file(plan: Plan) -> str:
    """The text of a commented run.toml."""
    lines = [
        f"#:schema {SCHEMA_FILE.as_uri()}",
        *_comment("mimyria-driver run run.toml"),
        *_comment(
            f"Written by `mimyria-driver init` for {plan.engine} from "
            f"{plan.input.name}; yours to change. `mimyria-driver settings` prints all "
            "settings there are."
        ),
    ]
    for title, sentences in (
        ("Fill in before the driver is started:", plan.asked),
        ("Found in the input:", plan.said),
        ("To be thought of:", map(str, plan.warnings)),
        ("Not understood in the input, and passed over:", map(str, plan.unread)),
    ):
        lines += _list(title, sentences)
    for name, cls in SECTIONS.items():
        if name in plan.settings:
            lines += ["", *_section(name, cls, plan.settings[name])]
    return "\n".join(lines) + "\n"


def _section(name: str, cls: type, values: dict[str, Written]) -> list[str]:
    sentences = {
        entry.name: entry.metadata["sentence"] for entry in dataclasses.fields(cls)
    }
    lines = [*_comment((cls.__doc__ or "").strip()), f"[{name}]"]
    for key, written in values.items():
        lines += _comment(sentences[key])
        if written.why:
            lines += _comment(f"Here: {written.why.rstrip('.')}.")
        if written.value is None:
            lines.append(f"# {key} =")
        else:
            lines.append(f"{key} = {_toml(written.value)}")
    return lines


def _list(title: str, sentences: Iterable[str]) -> list[str]:
    points = list(sentences)
    if not points:
        return []
    lines = ["#", *_comment(title)]
    for each in points:
        lines += _wrapped(each, "# - ", "#   ")
    return lines


def _comment(text: str) -> list[str]:
    return _wrapped(text, "# ", "# ")


def _wrapped(text: str, first: str, others: str) -> list[str]:
    """Lines of a comment, of what may stand in TOML."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.wrap(
        plain,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]


def _toml(value: object) -> str:
    """A value as TOML; strings of JSON are strings of TOML."""
    if isinstance(value, (list, tuple)):
        one = f"[{', '.join(map(_toml, value))}]"
        if len(one) <= _WIDTH:
            return one
        inner = textwrap.fill(
            ", ".join(map(_toml, value)), _WIDTH, initial_indent="    ",
            subsequent_indent="    ", break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
        return f"[\n{inner},\n]"
    if isinstance(value, str):
        plain = "".join(c if c.isprintable() else "?" for c in value)
        return json.dumps(plain, ensure_ascii=False)
    return json.dumps(value)
