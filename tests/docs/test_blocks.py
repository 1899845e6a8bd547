"""Every block of every page is run or checked; one that no rule knows is an error.

`sh`, `synopsis` and `python` are the affair of test_commands.py. Here `toml` goes
through the loader of its sections; `xml` consists of what i-PI's inputs consist of;
`lammps` calls functions of the hook with as many arguments as it says; directives are
MyST's, which `make docs` runs; `text` is neither code nor command. A comment before a
block names a test of its own (tests/docs/pages.py).
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from mimyria.autotrain.settings import load_settings as load_autotrain
from mimyria.reference.campaign.settings import load_campaign_settings, load_code
from mimyria_driver.lammps.bundle import bundle_hook
from mimyria_driver.settings import load_settings
from tests.docs.pages import (
    NAMES,
    REPOSITORY,
    Block,
    all_blocks,
    blocks,
    kind_of,
    missing_test,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RULES = {"sh", "python", "toml", "xml", "lammps", "json", "text", "synopsis"}
DIRECTIVES = {"{toctree}", "{eval-rst}"}


@pytest.mark.parametrize("page", NAMES)
def test_every_block_of_a_page_has_a_rule(page: str) -> None:
    for block in blocks(page):
        assert block.kind in RULES | DIRECTIVES, (
            f"{block}: nothing tests a block of kind {block.kind!r}; "
            f"give it one of {sorted(RULES)} as its language"
        )


def test_a_block_names_a_test_that_is_there_and_reads_its_page() -> None:
    named = [block for page in NAMES for block in blocks(page) if block.run_by]
    assert len(named) > 5
    for block in named:
        assert block.run_by is not None
        assert missing_test(*block.run_by) is None, str(block)
        text = (REPOSITORY / block.run_by[0]).read_text()
        assert Path(block.page).name in text, f"{block}: not read by {block.run_by[0]}"


def test_a_comment_that_names_a_test_stands_before_a_block() -> None:
    for page in NAMES:
        if page == "README.md":
            continue
        comments = sum(
            token.type == "html_block" and "<!-- run by " in token.content
            for token in MarkdownIt().parse((REPOSITORY / page).read_text())
        )
        named = [block for block in blocks(page) if block.run_by]
        assert comments == len(named), page


def test_what_no_rule_knows_is_found() -> None:
    assert kind_of("frobnicate --all\nmimyria info x") == "unknown"
    assert kind_of("mimyria info x\nfrobnicate --all") == "unknown"
    assert kind_of("# first\nmimyria info x \\\n  --y z") == "sh"
    assert missing_test("tests/docs/test_blocks.py", "test_absent") is not None
    assert missing_test("tests/docs/absent.py", "test_absent") is not None


@pytest.mark.parametrize("block", all_blocks("text"), ids=str)
def test_a_text_is_no_command(block: Block) -> None:
    assert kind_of(block.text) in ("unknown", "lammps"), f"{block}: give its language"
    assert not re.search(r"^\s*(mimyria|pip |make |python )", block.text, re.M)


RUN = {
    "source": {"kind": "lammps"},
    "models": {"apt": "water-compact-apt"},
    "spectrum": {"temperature": 300.0},
}
IPI = {"elements": ["O", "H", "H"], "address": "unix:a", "time_step": 0.5, "stride": 4}
CAMPAIGN = {
    "campaign": {"frames": ["frames.extxyz"]},
    "code": {"kind": "tblite", "method": "GFN2-xTB"},
}
AUTOTRAIN = {
    "autotrain": {"trajectories": ["water.extxyz"]},
    "dynamics": {"timestep": 0.5},
    "code": {"kind": "tblite", "method": "GFN2-xTB"},
}
PREPARED = REPOSITORY / "inputs" / "cp2k" / "water"


def completed(base: dict, part: dict) -> dict:
    """A part of a file of settings, with what it leaves to the reader."""
    whole = {name: dict(values) for name, values in base.items()}
    for name, values in part.items():
        if name == "models" and {"joint", "pgt"} & set(values):
            whole.pop("models", None)
        if name == "source" and values.get("kind") == "ipi":
            whole["source"] = dict(IPI)
        if name == "code":
            whole.pop("code", None)
        whole.setdefault(name, {}).update(values)
    return whole


def as_toml(document: dict) -> str:
    """A document of sections of plain values as TOML, which has JSON's for these."""
    import json

    lines = []
    for name, values in document.items():
        lines.append(f"[{name}]")
        lines += [
            f"{key} = {json.dumps(value, ensure_ascii=False)}"
            for key, value in values.items()
        ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("block", all_blocks("toml"), ids=str)
def test_settings_are_those_of_the_program(block: Block, tmp_path: Path) -> None:
    document = tomllib.loads(block.text)
    path = tmp_path / "settings.toml"
    for name in ("water.inp", "rpbe.inc"):
        (tmp_path / name).write_bytes((PREPARED / name).read_bytes())
    if "autotrain" in document:
        path.write_text(as_toml(completed(AUTOTRAIN, document)))
        load_autotrain(path)
        load_code(path)
    elif {"campaign", "code", "selection", "clusters", "execution"} & set(document):
        path.write_text(as_toml(completed(CAMPAIGN, document)))
        load_campaign_settings(path).code()
    else:
        path.write_text(as_toml(completed(RUN, document)))
        load_settings(path)


def known_words() -> tuple[set[str], set[str]]:
    """All tags, and all names of attributes, of i-PI's inputs."""
    from ipi.inputs.simulation import InputSimulation

    tags, names, seen = {"simulation"}, set(), set()
    waiting = [InputSimulation]
    while waiting:
        cls = waiting.pop()
        if cls in seen:
            continue
        seen.add(cls)
        names |= set(getattr(cls, "attribs", {}))
        for part in ("fields", "dynamic"):
            for tag, (inner, _) in getattr(cls, part, {}).items():
                tags.add(tag)
                waiting.append(inner)
    return tags, names


@pytest.mark.parametrize("block", all_blocks("xml"), ids=str)
def test_xml_is_made_of_what_ipi_knows(block: Block) -> None:
    pytest.importorskip("ipi")
    tags, names = known_words()
    root = ElementTree.fromstring(f"<page>{block.text}</page>")
    for element in root.iter():
        if element is not root:
            assert element.tag in tags, f"{block}: <{element.tag}>"
            assert set(element.attrib) <= names, f"{block}: <{element.tag}>"
    between = "".join([root.text or "", *(each.tail or "" for each in root)])
    assert not between.replace("...", "").strip(), f"{block}: {between}"


COMMANDS_OF_LAMMPS = """
fix dump dump_modify variable restart neighbor neigh_modify comm_modify python run
read_restart read_data units include timestep thermo velocity write_restart undump
unfix pair_style rerun if
"""
LAMMPS = set(COMMANDS_OF_LAMMPS.split())


def lammps_lines(text: str) -> list[str]:
    """Commands of an input of LAMMPS, without comments and texts in triple quotes."""
    text = re.sub(r'""".*?"""', "HERE", text.replace("&\n", " "), flags=re.S)
    return [line for line in re.sub(r"#.*", "", text).splitlines() if line.strip()]


@pytest.mark.parametrize("block", all_blocks("lammps"), ids=str)
def test_lammps_is_told_what_the_hook_has(block: Block) -> None:
    hook = bundle_hook() + (
        REPOSITORY / "driver" / "mimyria_driver" / "domain" / "hook.py"
    ).read_text()  # fmt: skip
    for line in lammps_lines(block.text):
        words = re.findall(r'"[^"]*"|\S+', line)
        assert words[0] in LAMMPS, f"{block}: {words[0]}"
        if "python/invoke" in words:
            assert re.search(rf"^def {words[-1]}\b", hook, re.M), line
        if words[0] != "python":
            continue
        assert re.search(rf"^def {words[1]}\b", hook, re.M), line
        if words[2] == "input":
            count = int(words[3])
            # LAMMPS' word for itself is an argument like any other.
            letters = words[words.index("format") + 1]
            assert len(letters) == count == words.index("format") - 4, line


@pytest.mark.parametrize("block", all_blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    import json

    json.loads(block.text)
