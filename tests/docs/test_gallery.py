"""docs/gallery.md: each example has a picture, commands, inputs and a measured time."""

import re

import pytest
from PIL import Image

from mimyria.cli import build_parser
from mimyria_driver.cli import build_parser as build_driver_parser
from tests.docs import shell
from tests.docs.pages import REPOSITORY, anchors

DOCS = REPOSITORY / "docs"
TEXT = (DOCS / "gallery.md").read_text(encoding="utf-8")
SECTIONS = dict(
    part.split("\n", 1) for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
)
PARSERS = {"mimyria": build_parser(), "mimyria-driver": build_driver_parser()}
LARGEST = 80_000  # bytes of a picture


def commands(text):
    lines = re.findall(r"^    (.*)$", text, re.MULTILINE)
    return [each.words for each in shell.commands("\n".join(lines))]


@pytest.mark.parametrize("title", SECTIONS)
def test_each_example_has_commands_inputs_and_a_picture(title):
    text = SECTIONS[title]
    assert commands(text), "no command"
    assert re.search(r"!\[.+?\]\(pictures/[\w-]+\.png\)", text), "no picture"
    folders = re.findall(r"\]\(\.\./(inputs/[\w/-]+)\)", text)
    assert folders, "no inputs"
    for folder in folders:
        assert (REPOSITORY / folder / "README.md").is_file()


@pytest.mark.parametrize("title", SECTIONS)
def test_its_commands_exist(title):
    folder = REPOSITORY
    for program, *words in commands(SECTIONS[title]):
        if program == "cd":
            folder = REPOSITORY / words[0]
            assert folder.is_dir()
        elif program == "make":
            makefile = (REPOSITORY / "Makefile").read_text()
            assert re.search(rf"^{words[0]}:", makefile, re.MULTILINE)
        elif program == "python":
            assert (folder / words[0]).is_file()
        else:
            PARSERS[program].parse_args(words)


def test_the_table_has_every_example_with_a_time():
    rows = re.findall(
        r"^\| \[.+?\]\(#([\w-]+)\) \|.*\| ([^|]+) \|$", TEXT, re.MULTILINE
    )
    sections = [anchor for title in SECTIONS for anchor in anchors(f"# {title}")]
    assert [anchor for anchor, _ in rows] == sections
    for anchor, time in rows:
        assert re.search(r"\d+ (min|s)\b", time), f"{anchor}: no time"


def test_every_picture_is_small_and_belongs_to_a_page():
    shown = {
        name
        for page in DOCS.glob("*.md")
        for name in re.findall(r"\]\((pictures/[\w-]+\.png)\)", page.read_text())
    }
    there = {f"pictures/{path.name}" for path in (DOCS / "pictures").glob("*.png")}
    assert shown == there
    for name in shown:
        path = DOCS / name
        assert path.stat().st_size < LARGEST, f"{name}: run docs/pictures/shrink.py"
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) >= 300
