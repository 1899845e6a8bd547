"""The report: one page of HTML that holds everything, for people.

What the run came to and why it ended, what to do next, learning curves, parity, the
spectra of every cycle with the three errors told apart, bands beside those of an
experiment, and where everything comes from.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mimyria import __version__
from mimyria.autotrain.advice import advice
from mimyria.autotrain.context import Context, cycle_name
from mimyria.autotrain.cyclespectra import SPECTRUM
from mimyria.autotrain.judging import CycleEvidence, Judgement
from mimyria.autotrain.labelling import LABELS
from mimyria.autotrain.labelquality import label_error
from mimyria.autotrain.reportfigures import (
    TITLES,
    draw_learning_curve,
    draw_parts,
    draw_spectra,
)
from mimyria.autotrain.sections import OBSERVABLES
from mimyria.autotrain.verdict import evidence, judged
from mimyria.files import make_folder, replace_file
from mimyria.spectra import Spectrum
from mimyria.storage import read_result

if TYPE_CHECKING:
    from mimyria.autotrain.loop import Ending

__all__ = ["REPORT", "Bands", "write_report"]

REPORT: Final = "report.html"
_PICTURES: Final = "report"
_STYLE: Final = (
    "body{font:16px sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "img{max-width:100%}pre{white-space:pre-wrap;font-size:13px}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em;"
    "text-align:left}"
)

Bands = Callable[[Mapping[str, Spectrum], str], Sequence[str]]
"""Gives the table of bands beside an experiment of a name."""


def write_report(
    context: Context, number: int, ending: Ending | None, bands: Bands | None
) -> Path:
    """Write the report after a cycle; gives its path.

    Args:
        context: of the run.
        number: of the cycle.
        ending: why the run is over; None: it goes on.
        bands: makes the table of bands.
    """
    names = context.settings.autotrain.observables
    history = {name: evidence(context, number, name) for name in names}
    verdicts = judged(context, number)
    pictures = _draw(context, number, history, verdicts)
    title = context.settings.autotrain.title or context.settings.path.stem
    sections = [
        ("What it came to", _outcome(context, verdicts, ending)),
        ("What to do next", _list(advice(context, number, verdicts, ending))),
        ("Cycles", _cycles(context, number)),
        *((heading, _image(path, note)) for heading, path, note in pictures),
        ("Errors", _claims(verdicts)),
    ]
    experiment = context.settings.spectra.experiment
    if experiment and bands is not None:
        result = read_result(context.path(number, "spectra", SPECTRUM))
        table = "\n".join(bands(result.spectra, experiment))
        sections.append(("Bands beside the experiment", f"<pre>{_text(table)}</pre>"))
    sections.append(("Provenance", _provenance(context, number)))
    page = context.path(REPORT)
    replace_file(page, _page(title, sections).encode())
    return page


def _draw(
    context: Context,
    number: int,
    history: Mapping[str, Sequence[CycleEvidence]],
    verdicts: Mapping[str, Judgement],
) -> list[tuple[str, Path, str]]:
    """Heading, picture and explanation of each."""
    folder = context.path(_PICTURES)
    make_folder(folder)
    tolerances = context.settings.targets.targets().tolerance
    drawn = [
        (
            "Learning curves",
            folder / "learning-curve.png",
            "Error of the tensors on the test configurations, weighed as the spectrum "
            "weighs them. Dashed: what is wanted.",
        )
    ]
    draw_learning_curve(drawn[0][1], history, verdicts, tolerances)
    for name, cycles in history.items():
        drawn.append(
            (
                f"{name}: elements and irreps",
                folder / f"parts-{name}.png",
                "Error of each irreducible part of the tensors of each element.",
            )
        )
        draw_parts(drawn[-1][1], cycles)
        error = label_error(context.path("test", LABELS), OBSERVABLES[name])
        for kind in verdicts[name].claims:
            drawn.append(
                (
                    f"{TITLES[kind]}: spectra of all cycles",
                    folder / f"{kind}.png",
                    "Blue: statistical error of the trajectories. Red: what is claimed "
                    "of the model. Green: the most that noise of the finite fields can "
                    "do; the error of the electronic-structure method is not in it.",
                )
            )
            draw_spectra(drawn[-1][1], kind, cycles, verdicts[name], error)
    return drawn + _parity(context, number)


def _parity(context: Context, number: int) -> list[tuple[str, Path, str]]:
    found = []
    for learned in context.settings.autotrain.learned:
        folder = context.path(number, "train", learned)
        for path in sorted(folder.glob("parity-*.png")):
            note = "Predictions of the committee against labels."
            found.append((path.stem.replace("-", " "), path, note))
    return found


def _outcome(
    context: Context, verdicts: Mapping[str, Judgement], ending: Ending | None
) -> str:
    if ending is None:
        head = "The run goes on."
    else:
        word = "Converged" if ending.converged else "Ended before it was good enough"
        head = f"{word}: {ending.reason}."
    lines = [f"{name}: {text}" for name, v in verdicts.items() for text in v.reasons]
    return f"<p>{_text(head)}</p>{_list([context.survey['line'], *lines])}"


def _cycles(context: Context, number: int) -> str:
    rows = [["cycle", "reference", "training", "judgement"]]
    for k in range(1, number + 1):
        marks = [
            context.run.mark(f"{cycle_name(k)}/{step}")
            for step in ("reference", "train", "judge")
        ]
        rows.append([str(k), *(mark.line if mark else "-" for mark in marks)])
    return _table(rows)


def _claims(verdicts: Mapping[str, Judgement]) -> str:
    rows = [
        ["spectrum", "range / cm⁻¹", "ε of the tensors", "claimed score", "bound",
         "statistical error", "coherence"],
    ]  # fmt: skip
    for verdict in verdicts.values():
        for kind, claim in verdict.claims.items():
            rows.append(
                [
                    TITLES[kind],
                    "all",
                    f"{claim.epsilon:.2%}",
                    f"{claim.score:.2%}",
                    f"{claim.bound:.2%}",
                    f"{claim.statistical:.2%}",
                    "",
                ]
            )
            for band in claim.bands:
                rows.append(
                    [
                        TITLES[kind],
                        f"{band.low:.0f}-{band.high:.0f}",
                        "",
                        f"{band.score:.2%}",
                        f"{band.bound:.2%}",
                        f"{band.statistical:.2%}",
                        f"{band.coherence:.3f}",
                    ]
                )
    return _table(rows)


def _provenance(context: Context, number: int) -> str:
    state = context.run.state() or {}
    marks = context.run.marks()
    rows = [["step", "what", "SHA-256 of its mark"]]
    rows += [[name, mark.line, mark.digest[:16]] for name, mark in marks.items()]
    files = [["trajectory", "frames", "temperature / K", "digest"]]
    files += [
        [each.name, str(each.n_frames), f"{each.temperature:.1f}", each.digest[:16]]
        for each in context.facts
    ]
    code = context.settings.code()
    settings = json.dumps(state.get("settings", {}), indent=1, ensure_ascii=False)
    targets = json.dumps(context.settings.section("targets"), ensure_ascii=False)
    return (
        f"<p>mimyria {_text(__version__)}; labels by {_text(code.name)}, settings "
        f"{_text(str(context.survey['code'])[:16])}.</p>{_table(files)}{_table(rows)}"
        f"<pre>targets: {_text(targets)}\n{_text(settings)}</pre>"
    )


def _image(path: Path, note: str) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    return (
        f'<img alt="{_text(path.stem)}" src="data:image/png;base64,{content}">'
        f"<p>{_text(note)}</p>"
    )


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line)}</li>" for line in lines) + "</ul>"


def _table(rows: Sequence[Sequence[str]]) -> str:
    def cells(row: Sequence[str], tag: str) -> Iterator[str]:
        return (f"<{tag}>{_text(cell)}</{tag}>" for cell in row)

    head = f"<tr>{''.join(cells(rows[0], 'th'))}</tr>"
    body = "".join(f"<tr>{''.join(cells(row, 'td'))}</tr>" for row in rows[1:])
    return f"<table>{head}{body}</table>"


def _text(text: str) -> str:
    return html.escape(text)


def _page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    body = "\n".join(f"<h2>{_text(head)}</h2>\n{content}" for head, content in sections)
    return (
        f"<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n"
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n"
        f"<h1>{_text(title)}</h1>\n{body}\n"
    )
