"""The commands of a block for the shell, one by one.

Understood is what the manual needs: comments, lines that go on, `&`, `&&`, `|`,
redirections, assignments before a command, and programs that start another one.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

ENDS = {"&", "&&", "|", ";", "||"}
STARTERS = {"nohup": 0, "env": 0, "exec": 0, "sudo": 0, "setsid": 0, "time": 0}
"""Programs that start another one, and how many words of theirs come first."""
LAUNCHERS = {"mpirun", "srun", "mpiexec", "torchrun"}


@dataclass(frozen=True)
class Command:
    """One program with its arguments, and where its output goes."""

    words: tuple[str, ...]
    output: str | None = None

    def __str__(self) -> str:
        return " ".join(self.words)


def commands(text: str) -> list[Command]:
    """The commands of a block, in their order.

    Raises:
        ValueError: a quotation mark is not closed.
    """
    found = []
    lines = text.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line for line in lines if line.startswith("$ ")]  # the rest is output
    for line in lines:
        lexer = shlex.shlex(
            line.removeprefix("$ "), posix=True, punctuation_chars="&|;<>"
        )
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in ENDS:
                words.append(word)
                continue
            if words:
                found.append(_command(words))
            words = []
    return found


def _command(words: list[str]) -> Command:
    output = None
    for sign in (">", ">>"):
        if sign in words:
            at = words.index(sign)
            output = words[at + 1]
            words = words[:at] + words[at + 2 :]
    return Command(tuple(_started(words)), output)


def _started(words: list[str]) -> list[str]:
    """What is started in the end, without assignments and starters before it."""
    while words and ("=" in words[0].split("/")[0] or words[0] in STARTERS):
        words = words[1:]
    if words and words[0] in LAUNCHERS:
        rest = words[1:]
        while rest and rest[0].startswith("-"):
            taken = 1 if "=" in rest[0] or rest[0] in ("-m", "--overlap") else 2
            rest = rest[taken:]
        if "-m" in words:
            return ["python", *words[words.index("-m") :]]
        return rest
    return words
