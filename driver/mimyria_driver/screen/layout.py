"""Layout: a scene as lines of exactly the width of a terminal.

title, engine, networks, progress, pace
spectra, as many as there is room for
bands │ checks and notes       beside each other where it is wide
keys
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from mimyria.timetext import duration
from mimyria_driver.screen.findings import KINDS
from mimyria_driver.screen.header import footer_line, header_lines, joined
from mimyria_driver.screen.plot import COLOURS, plot_lines, title_of
from mimyria_driver.screen.scene import Scene
from mimyria_driver.screen.sections import band_lines, check_lines, note_lines
from mimyria_driver.views import describe_status

__all__ = ["compose"]

Section = tuple[str, list[Text]]

_LEAST: Final = (44, 12)
"""Columns and lines; in less there is one text."""
_WIDE: Final = 110
_PLOTS_BESIDE: Final = 150
_LEAST_PLOT: Final = 8
_USUAL_PLOT: Final = 14
_DIM: Final = "bright_black"


def compose(scene: Scene, width: int, height: int | None = None) -> list[Text]:
    """The whole picture.

    Args:
        scene: what to show.
        width: columns.
        height: lines, all of which are filled; None: as many as it takes.
    """
    if height is not None and (width < _LEAST[0] or height < _LEAST[1]):
        return _fitted([Text(describe_status(scene.status))], width, height)
    head = header_lines(scene, width)
    below = _sections(scene, width)
    if height is None:
        lower = _columns(below, width, None)
        plots = _plots(scene, width, _USUAL_PLOT * _stacked(scene, width))
        return _fitted([*head, *plots, *lower], width, None)
    room = height - len(head) - 1
    lower = _columns(below, width, max(4, min(room - _LEAST_PLOT, room * 2 // 5)))
    plots = _plots(scene, width, room - len(lower))
    lines = _fitted([*head, *plots, *lower], width, height - 1)
    return [*lines, *_fitted([footer_line(scene, width)], width, 1)]


def _fitted(lines: Sequence[Text], width: int, height: int | None) -> list[Text]:
    """Cut or filled to a size."""
    fitted = []
    for line in lines if height is None else lines[:height]:
        copy = line.copy()
        copy.truncate(width, overflow="ellipsis", pad=True)
        fitted.append(copy)
    missing = 0 if height is None else height - len(fitted)
    return [*fitted, *[Text(" " * width) for _ in range(missing)]]


def _rule(title: str, width: int, colour: str = _DIM) -> Text:
    """A line that begins a part."""
    line = Text().append("─ ", _DIM).append(f"{title} ", colour)
    line.truncate(width - 1, overflow="ellipsis")
    return line.append("─" * (width - line.cell_len), _DIM)


def _sections(scene: Scene, width: int) -> list[list[Section]]:
    """The columns of the lower part, each with its sections that have something."""
    wide = width // 2 - 1 if width >= _WIDE else width
    bands = ("bands, on the way to the wanted error", band_lines(scene, wide))
    checks = ("checks", check_lines(scene, wide))
    notes = ("notes", note_lines(scene, wide))
    columns = [[bands], [notes, checks]] if width >= _WIDE else [[notes, bands, checks]]
    return [[section for section in column if section[1]] for column in columns]


def _columns(columns: list[list[Section]], width: int, room: int | None) -> list[Text]:
    """The lower part; in no more lines than there is room for."""
    if len(columns) == 1:
        return _column(columns[0], width, room)
    wide = width // 2 - 1
    left, right = (_column(column, wide, room) for column in columns)
    n = max(len(left), len(right))
    gap = Text("  ")
    return [
        Text.assemble(one, gap, other)
        for one, other in zip(
            _fitted(left, wide, n), _fitted(right, wide, n), strict=True
        )
    ]


def _column(sections: list[Section], width: int, room: int | None) -> list[Text]:
    sizes = [len(lines) for _, lines in sections]
    if room is not None:
        sizes = _shared(room - len(sections), sizes)
    lines: list[Text] = []
    for (title, content), size in zip(sections, sizes, strict=True):
        n = len(content)
        shown = title if size == n else f"{title} · {size} of {n}"
        if size:
            lines += [_rule(shown, width), *content[:size]]
    return lines


def _shared(room: int, wanted: Sequence[int]) -> list[int]:
    """Lines for each, one after the other in turn, until there is no room."""
    given = [0] * len(wanted)
    while room > 0 and given != list(wanted):
        for index, want in enumerate(wanted):
            if given[index] < want and room > 0:
                given[index] += 1
                room -= 1
    return given


def _stacked(scene: Scene, width: int) -> int:
    """How many spectra stand above each other."""
    n = len(_chosen(scene))
    return 1 if width >= _PLOTS_BESIDE else max(1, n)


def _chosen(scene: Scene) -> list[str]:
    """The spectra that are drawn; without a choice all that have room."""
    there = [] if scene.findings is None else list(scene.findings.spectra)
    if scene.choice.kind in there:
        return [scene.choice.kind]
    return there


def _plots(scene: Scene, width: int, room: int) -> list[Text]:
    names = _chosen(scene)
    if room < 4:
        return []
    if not names or scene.findings is None:
        return _nothing(scene, width, room)
    if width >= _PLOTS_BESIDE and len(names) > 1:
        wide = width // 2 - 1
        drawn = [_plot(scene, name, wide, room) for name in names[:2]]
        return [
            Text.assemble(*_fitted([one], wide, 1), "  ", *_fitted([other], wide, 1))
            for one, other in zip(*drawn, strict=True)
        ]
    names = names[: max(1, room // _LEAST_PLOT)]
    heights = [room // len(names)] * len(names)
    heights[0] += room - sum(heights)
    return [
        line
        for name, high in zip(names, heights, strict=True)
        for line in _plot(scene, name, width, high)
    ]


def _plot(scene: Scene, name: str, width: int, height: int) -> list[Text]:
    assert scene.findings is not None
    spectrum, root = scene.findings.spectra[name], scene.choice.root
    age = max(0.0, scene.now - scene.findings.written)
    frames = f"{scene.findings.n_samples} frames, {duration(age)} ago"
    if scene.gone:
        frames = f"last result: {frames}"
    fine = f"resolution {spectrum.resolution:.0f} cm⁻¹"
    error = f"error: {spectrum.error_source}"
    title = joined([title_of(spectrum, root=root), frames, fine, error])
    bands = scene.findings.bands[name]
    picture = plot_lines(
        spectrum,
        bands,
        width,
        height - 1,
        root=root,
        errors=scene.coloured,
        doubtful=name in scene.findings.doubtful,
    )
    return [_rule(title, width, f"bold {COLOURS[name]}"), *picture]


def _nothing(scene: Scene, width: int, room: int) -> list[Text]:
    """Where the spectra will be."""
    kinds = " and ".join(KINDS.values())
    why = scene.trouble or f"no spectrum yet; {kinds} come with the first result"
    text = Text(why, _DIM)
    text.truncate(width)
    lines = [_rule("spectrum", width), *[Text() for _ in range(room - 1)]]
    lines[room // 2] = Text(" " * ((width - text.cell_len) // 2)).append_text(text)
    return lines
