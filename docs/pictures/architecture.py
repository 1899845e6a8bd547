"""The diagram of docs/architecture.md: the way of the data, as SVG.

python docs/pictures/architecture.py

Boxes are light with dark text and the rest is a middle grey, so that it can be read on
a light and on a dark page.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 960, 530
GREY = "#7f8790"
PATH = Path(__file__).with_name("architecture.svg")
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Helvetica, sans-serif"


@dataclass(frozen=True)
class Box:
    """A step: where it stands, what it is called, and what it does."""

    x: int
    y: int
    width: int
    title: str
    lines: tuple[str, ...]
    colour: str = "#e8f1fa"

    @property
    def height(self) -> int:
        """As high as its lines need."""
        return 32 + 17 * len(self.lines)


ENGINE = "#fbeee0"
NETWORK = "#e9f6ec"
DISK = "#f3ecf8"

BOXES = {
    "engine": Box(
        20, 70, 190, "MD engine", ("LAMMPS, i-PI, ASE, …", "moves the atoms"), ENGINE
    ),
    "source": Box(270, 70, 170, "source", ("bytes → Frame", "checks, units")),
    "place": Box(
        480, 70, 170, "place", ("each step once:", "repeats, gaps, rollbacks")
    ),
    "networks": Box(
        725, 70, 200, "networks", ("Frame → Tensors", "P = ∂M/∂r, Q = ∂α/∂r"), NETWORK
    ),
    "currents": Box(
        725,
        175,
        200,
        "currents",
        ("Tensors, v → dM/dt, dα/dt", "in all, and of groups"),
        NETWORK,
    ),
    "journal": Box(480, 212, 170, "journal", ("a record, fsync:", "the truth"), DISK),
    "acknowledge": Box(
        270, 212, 170, "acknowledge", ("durable: the engine", "may forget the frame")
    ),
    "correlators": Box(
        480, 320, 170, "correlators", ("Correlation: a fold", "over the journal")
    ),
    "spectra": Box(480, 428, 170, "spectra", ("Spectrum, errors,", "parts, checks")),
    "result": Box(725, 428, 200, "spectrum.h5", ("complete at any moment",), DISK),
    "monitor": Box(270, 320, 170, "monitor", ("Snapshot of the run",)),
    "status": Box(
        20, 320, 190, "status.json, events,", ("metrics, alerts, the view",), DISK
    ),
    "later": Box(
        725,
        320,
        200,
        "mimyria spectrum",
        ("other windows, quantities,", "geometries, afterwards"),
    ),
}

PROCESSES = (
    (8, 40, 214, 112, "engine's process, engine's Python"),
    (252, 40, 416, 480, "front process: sockets, files; no torch"),
    (708, 40, 234, 206, "evaluator: a child; GPU or CPU"),
)
"""Frames around boxes: x, y, width, height, what they are."""

ARROWS = (
    ("M210 103 H264", "bytes", 237, 94),
    ("M440 103 H474", "", 0, 0),
    ("M650 103 H719", "pipe", 686, 94),
    ("M825 136 V169", "", 0, 0),
    ("M725 208 H690 V245 H656", "", 0, 0),
    ("M480 245 H446", "", 0, 0),
    ("M270 245 H115 V142", "acknowledgement", 190, 236),
    ("M565 278 V314", "", 0, 0),
    ("M565 386 V422", "", 0, 0),
    ("M650 453 H719", "", 0, 0),
    ("M480 346 H446", "", 0, 0),
    ("M270 346 H216", "", 0, 0),
    ("M825 428 V392", "", 0, 0),
)
"""Ways from box to box, with a word and where it stands."""


def box(each: Box) -> str:
    """A rounded box, its title and its lines."""
    x, middle = each.x, each.x + each.width / 2
    parts = [
        f'<rect x="{x}" y="{each.y}" width="{each.width}" height="{each.height}" '
        f'rx="7" fill="{each.colour}" stroke="{GREY}"/>',
        f'<text x="{middle:g}" y="{each.y + 21}" class="title">'
        f"{escape(each.title)}</text>",
    ]
    for number, line in enumerate(each.lines):
        y = each.y + 40 + 17 * number
        parts.append(f'<text x="{middle:g}" y="{y}" class="line">{escape(line)}</text>')
    return "\n".join(parts)


def process(x: int, y: int, width: int, height: int, words: str) -> str:
    """A dashed frame around what runs in one process."""
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="none" '
        f'stroke="{GREY}" stroke-dasharray="6 5"/>\n'
        f'<text x="{x + 4}" y="{y - 9}" class="process">{escape(words)}</text>'
    )


def arrow(way: str, word: str, x: int, y: int) -> str:
    """A line with a head, and a word at it."""
    line = (
        f'<path d="{way}" fill="none" stroke="{GREY}" stroke-width="2" '
        'marker-end="url(#head)"/>'
    )
    return line + (
        f'\n<text x="{x}" y="{y}" class="word">{word}</text>' if word else ""
    )


def diagram() -> str:
    """The whole picture."""
    style = (
        f"text {{ font-family: {FONT}; }} "
        "text.title { font-size: 15px; font-weight: 600; fill: #17202a; } "
        "text.line { font-size: 13px; fill: #2c3a47; } "
        ".title, .line, .word { text-anchor: middle; } "
        f".process {{ font-size: 13px; fill: {GREY}; }} "
        f".word {{ font-size: 12px; fill: {GREY}; }}"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            'aria-label="The way of the data">',
            f"<style>{style}</style>",
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" '
            'markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0 L10 5 L0 10 z" fill="{GREY}"/></marker></defs>',
            *(process(*each) for each in PROCESSES),
            *(arrow(*each) for each in ARROWS),
            *(box(each) for each in BOXES.values()),
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PATH.write_text(diagram())
