"""The pages "attach it to my run": few commands, and all of them known.

That they lead to a spectrum is shown by tests/integration/test_attach_runs.py.
"""

from __future__ import annotations

import re

import pytest

from mimyria_driver.cli import build_parser
from tests.docs.pages import REPOSITORY, anchors, blocks

PAGES = ["attach-lammps", "attach-ipi"]
MOST = 10


def text_of(page):
    return (REPOSITORY / "docs" / f"{page}.md").read_text()


def commands_of(page):
    """What a newcomer types, line by line."""
    (block,) = (each for each in blocks(f"docs/{page}.md") if each.run_by)
    return block.text.splitlines()


@pytest.mark.parametrize("page", PAGES)
def test_a_newcomer_needs_at_most_ten_commands(page):
    commands = commands_of(page)
    assert len(commands) <= MOST
    assert commands[0].startswith("git clone")
    assert commands[-1] == "mimyria spectrum spectrum/spectrum.h5"
    assert not any(";" in each or "&&" in each for each in commands)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_and_options_of_the_page_are_known(page, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["init", "--help"])
    help_text = capsys.readouterr().out
    for option in re.findall(r"`(--[a-z-]+)", text_of(page)):
        if option != "--schema":
            assert option in help_text, option
    for line in commands_of(page):
        if line.startswith("mimyria-driver"):
            build_parser().parse_args(line.removesuffix(" &").split()[1:])


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_the_page_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)(.*?)\)", text_of(page)):
        name, _, anchor = target.partition("#")
        path = REPOSITORY / "docs" / name
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text()), target
