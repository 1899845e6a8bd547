"""The manual is built, and whoever reads it asks nobody else."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY

MAKEFILE = (REPOSITORY / "Makefile").read_text()


class Loads(HTMLParser):
    """What a browser fetches for a page, without a click."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") not in ("author", "canonical"):
            self.found.append(values.get("href") or "")
        if tag in ("script", "img", "iframe", "source", "video", "object"):
            self.found.append(values.get("src") or values.get("data") or "")


def test_a_page_that_loads_from_elsewhere_would_be_found() -> None:
    loads = Loads()
    loads.feed(
        '<script src="https://x.org/m.js"></script><a href="https://y.org">y</a>'
    )
    assert loads.found == ["https://x.org/m.js"]


@pytest.mark.slow
def test_pages_are_built_without_a_warning_and_load_nothing_from_elsewhere(
    tmp_path: Path,
) -> None:
    """By the command of `make docs`."""
    pytest.importorskip("sphinx")
    (line,) = re.findall(r"^\t\$\(BIN\)/python (-m sphinx .*)$", MAKEFILE, re.M)
    words = line.split()
    assert "--fail-on-warning" in words
    done = subprocess.run(
        [sys.executable, *words[:-1], str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    names = {path.name for path in pages}
    assert names >= {f"{path.stem}.html" for path in (REPOSITORY / "docs").glob("*.md")}
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text())
        for target in loads.found:
            assert not re.match(r"(\w+:)?//", target), f"{page.name}: {target}"
            place = page.parent / target.split("?")[0].split("#")[0]
            assert not target or target.startswith("#") or place.exists(), target
    assert "\\[" in (tmp_path / "theory.html").read_text()
    assert (tmp_path / "_static" / "tex-svg.js").stat().st_size > 1_000_000
