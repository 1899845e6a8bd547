"""How the pages are built: `make docs`. They also read as plain Markdown.

Warnings are errors. Nothing is loaded from elsewhere when a page is read: fonts are the
reader's own, and formulas are set by the copy of MathJax that lies beside the pages.
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

from pygments.lexer import RegexLexer
from pygments.token import Comment, Keyword, Name, Number, String, Text
from sphinx.application import Sphinx

import mimyria

project = "mimyria"
author = "The mimyria developers"
copyright = author
version = release = mimyria.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "pictures/*.py"]
nitpicky = True
# Types of other packages have no page here, and their inventories are not fetched.
nitpick_ignore_regex = [("py:.*", r".*")]

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4
# A dollar before a digit is money or a shell variable, not a formula.
myst_dmath_allow_digits = False

autodoc_member_order = "bysource"
# Docstrings give shapes and units, which says more than the types of arrays.
autodoc_typehints = "none"
napoleon_attr_annotations = False
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"mimyria {release}"
html_copy_source = False
html_show_sourcelink = False
templates_path: list[str] = []
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = "$ "


def _mathjax() -> str:
    """The one file of MathJax that draws formulas as SVG, without fonts."""
    found = importlib.util.find_spec("sphinx-mathjax-offline")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("sphinx-mathjax-offline: make install-docs")
    return str(Path(found.origin).parent / "static" / "mathjax" / "tex-svg.js")


html_static_path = [_mathjax(), "manual.css"]
html_css_files = ["manual.css"]
mathjax_path = "tex-svg.js"


# Complete inputs: a page for each folder of `inputs`, made of its README and its files.

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent
INPUTS = REPOSITORY / "inputs"
PAGES = DOCS / "inputs"
LANGUAGES = {
    ".inc": "text",
    ".inp": "text",
    ".lammps": "lammps",
    ".py": "python",
    ".sbatch": "bash",
    ".service": "ini",
    ".sh": "bash",
    ".toml": "toml",
    ".xml": "xml",
}
LINK = re.compile(r"\[([^\[\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]+)?\)")


def _input_page(target: Path) -> Path | None:
    """Where the page of an input folder, or of a file in it, is; None: nowhere."""
    if not target.is_relative_to(INPUTS) or not target.exists():
        return None
    folder = target if target.is_dir() else target.parent
    if not (folder / "README.md").exists():
        return PAGES / "index.md"
    return PAGES / ("-".join(folder.relative_to(INPUTS).parts) + ".md")


def _relinked(text: str, source: Path, page: Path) -> str:
    """Links of a file in the repository, as they are on a page of the built manual.

    What has no page there (data of tests, say) becomes its path in words.
    """

    def link(found: re.Match[str]) -> str:
        words, name, anchor = found.groups()
        target = (source.parent / name).resolve()
        to = target if target.is_relative_to(DOCS) else _input_page(target)
        if to is None:
            return f"{words} (`{target.relative_to(REPOSITORY)}`)"
        relative = Path(os.path.relpath(to, page.parent)).as_posix()
        return f"[{words}]({relative}{anchor or ''})"

    return LINK.sub(link, text)


def _input_text(folder: Path, page: Path) -> str:
    readme = folder / "README.md"
    parts = [_relinked(readme.read_text(), readme, page)]
    others = []
    for path in sorted(folder.iterdir()):
        language = LANGUAGES.get(path.suffix)
        if language is None or path.is_dir():
            others += [f"`{path.name}`"] if path != readme else []
            continue
        code = path.read_text().rstrip("\n")
        parts.append(f"## {path.name}\n\n````{language}\n{code}\n````\n")
    where = folder.relative_to(REPOSITORY)
    beside = f" Beside them: {', '.join(others)}." if others else ""
    parts.insert(1, f"The files, from `{where}`, are below.{beside}\n")
    return "\n".join(parts)


def _write_input_pages(app: Sphinx, config: object) -> None:
    """Make docs/inputs anew; a page that is the same keeps its time."""
    PAGES.mkdir(exist_ok=True)
    texts = {}
    for readme in sorted(INPUTS.rglob("README.md")):
        page = _input_page(readme.parent)
        assert page is not None
        texts[page] = _input_text(readme.parent, page)
    names = "\n".join(sorted(page.stem for page in texts))
    texts[PAGES / "index.md"] = (
        "# Complete inputs\n\nEach folder of `inputs` can be run as it is.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{names}\n```\n"
    )
    for old in set(PAGES.glob("*.md")) - set(texts):
        old.unlink()
    for page, text in texts.items():
        if not page.exists() or page.read_text() != text:
            page.write_text(text)


def _without_empty_kinds(text: str) -> str:
    """Lines like `attach-*` name pages of a kind, of which there may be none yet."""
    lines = text.splitlines(keepends=True)
    return "".join(
        line
        for line in lines
        if not re.fullmatch(r"[a-z-]+\*\n", line) or any(DOCS.glob(f"{line[:-1]}.md"))
    )


def _prepare(app: Sphinx, docname: str, content: list[str]) -> None:
    page = DOCS / f"{docname}.md"
    if page.parent == DOCS:
        content[0] = _relinked(content[0], page, page)
    if docname == "index":
        content[0] = _without_empty_kinds(content[0])


class LammpsLexer(RegexLexer):
    """Colours for inputs of LAMMPS: comments, commands, variables, strings, numbers."""

    name = "LAMMPS"
    tokens = {  # noqa: RUF012 - as Pygments has it
        "root": [
            (r"#.*$", Comment),
            (r"^\s*[a-z_]+(?=\s)", Keyword),
            (r'"""(.|\n)*?"""|"[^"\n]*"', String),
            (r"\$\{[^}]*\}|\$\w", Name.Variable),
            (r"(?<![\w.])-?\d+(\.\d+)?(e-?\d+)?(?![\w.])", Number),
            (r"\s+", Text),
            (r"\S", Text),
        ]
    }


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_lexer("lammps", LammpsLexer)
    app.connect("config-inited", _write_input_pages)
    app.connect("source-read", _prepare)
