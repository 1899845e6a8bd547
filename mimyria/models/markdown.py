"""Tables as Markdown, for model cards."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["table"]


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """One line for the head, one for each row."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
