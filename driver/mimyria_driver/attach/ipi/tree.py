"""XML as a tree whose nodes know where they stand, so that a copy keeps every byte.

Nothing outside of the document is ever read: a DOCTYPE, which could ask for that, is
refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from mimyria.errors import FormatError

__all__ = ["Node", "parse"]

_MOST_NODES: Final = 100_000
_DEEPEST: Final = 100


@dataclass(slots=True)
class Node:
    """An element.

    Attributes:
        tag: its name.
        attributes: by name.
        line: of its first byte, from 1.
        begin: place of its first byte.
        close: place of the first byte of its closing tag.
        text: all text directly in it.
        children: elements directly in it.
    """

    tag: str
    attributes: Mapping[str, str]
    line: int
    begin: int
    close: int = 0
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[Node]:
        """Children of this name."""
        return (child for child in self.children if child.tag == tag)

    def first(self, *tags: str) -> Node | None:
        """The first child of the first name, its first child of the second, ..."""
        node: Node | None = self
        for tag in tags:
            node = None if node is None else next(node.all(tag), None)
        return node

    def within(self, tag: str) -> Iterator[Node]:
        """All elements of this name at any depth, in the order of the document."""
        waiting = list(reversed(self.children))
        while waiting:
            node = waiting.pop()
            if node.tag == tag:
                yield node
            waiting.extend(reversed(node.children))

    def attribute(self, name: str, default: str = "") -> str:
        """An attribute without blanks around it."""
        return self.attributes.get(name, default).strip()


def parse(content: bytes, name: str) -> Node:
    """The root of a document.

    Raises:
        FormatError: it is no XML, or not of the plain kind that i-PI writes.
    """
    builder = _Builder(name)
    try:
        builder.parser.Parse(content, True)
    except FormatError:
        raise
    except expat.ExpatError as error:
        raise FormatError(
            f"{name}:{error.lineno}: is not valid XML: {error}."
        ) from error
    except (LookupError, ValueError) as error:
        raise FormatError(f"{name}: is not valid XML: {error}.") from error
    assert builder.root is not None
    return builder.root


class _Builder:
    """Takes what the parser says."""

    def __init__(self, name: str) -> None:
        self.root: Node | None = None
        self._name = name
        self._open: list[Node] = []
        self._n_nodes = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._n_nodes += 1
        line = self.parser.CurrentLineNumber
        if self._n_nodes > _MOST_NODES or len(self._open) > _DEEPEST:
            raise FormatError(
                f"{self._name}:{line}: has too many elements for an input."
            )
        node = Node(tag, attributes, line, self.parser.CurrentByteIndex)
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def _end(self, _: str) -> None:
        self._open.pop().close = self.parser.CurrentByteIndex

    def _characters(self, text: str) -> None:
        self._open[-1].text += text

    def _doctype(self, *_: object) -> None:
        line = self.parser.CurrentLineNumber
        raise FormatError(
            f"{self._name}:{line}: has a DOCTYPE, which no input of i-PI needs. Remove "
            "it."
        )
