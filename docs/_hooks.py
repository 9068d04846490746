"""What mkdocs adds to the pages: configs, notebooks, the changelog, equations without scripts.

A page says where by a comment: `<!-- configs -->`, `<!-- notebook NAME -->`, `<!-- changelog -->`.
"""

import ast
import contextlib
import html
import json
import pathlib
import re
import sys
from unittest import mock

from latex2mathml.converter import convert

from vdp import config
from vdp.errors import Fault, UserError
from vdp.variants import grammar

ROOT = pathlib.Path(__file__).resolve().parent.parent
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)
INLINE = re.compile(r"<code>([^<]*)</code>")
FLAG = re.compile(r"(?<!\S)--\S{1,50}(?!\S)")  # short enough to stand in one line
LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")


def choices_of(name):
    """(words, {key: values, the default first}) of a config's variant, from running its file."""
    seen = []

    def parse(arg, *, words=("smoke",), choices=None):
        seen.append((tuple(words), dict(choices or {})))
        return grammar.parse(arg, words=words, choices=choices)

    with contextlib.ExitStack() as stack:
        for module in list(sys.modules.values()):
            if getattr(module, "parse", None) is grammar.parse and module is not grammar:
                stack.enter_context(mock.patch.object(module, "parse", parse))
        with contextlib.suppress(UserError, Fault):  # one for images of the user's own
            config.load(name)
    return seen[0] if seen else ((), {})


def _values(values):
    """The values of a key as a cell of a table."""
    texts = [f"`{value}`" for value in values if value not in grammar.CHOSEN_BY_CONFIG]
    if values[0] in grammar.CHOSEN_BY_CONFIG:
        return f"{', '.join(texts)}; without it the config chooses"
    return ", ".join([f"**{texts[0]}**", *texts[1:]])


def variants_of(name):
    """A Markdown table of what may follow the colon of a config's name."""
    words, choices = choices_of(name)
    rows = [f"| `{word}` | |" for word in words]
    rows += [f"| `{key}=` | {_values(values)} |" for key, values in choices.items()]
    return "\n".join(["| variant | values, the default in bold |", "| --- | --- |", *rows])


def configs():
    """Every config: its own description, and a table of its variants."""

    def entry(path):
        text = ast.get_docstring(ast.parse(path.read_text()))
        return f"### {path.stem}\n\n{text}\n\n{variants_of(path.stem)}\n"

    return "\n".join(entry(path) for path in sorted((ROOT / "configs").glob("*.py")))


def notebook(name):
    """A notebook's cells as Markdown; it stores no output."""
    cells = json.loads((ROOT / "colabs" / f"{name}.ipynb").read_text())["cells"]
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts)


def changelog():
    """CHANGELOG.md without its title, its links as seen from the pages."""
    text = (ROOT / "CHANGELOG.md").read_text().partition("\n")[2]
    return LINK.sub(lambda match: f"]({match[1].removeprefix('docs/')})", text)


def on_page_markdown(markdown, **_):
    """Puts what is generated in the place of the comments."""
    whole = {"<!-- configs -->": configs, "<!-- changelog -->": changelog}
    for comment, make in whole.items():
        if comment in markdown:
            markdown = markdown.replace(comment, make())
    return re.sub(r"<!-- notebook (\w+) -->", lambda match: notebook(match[1]), markdown)


def on_page_content(content, **_):
    """Replaces the equations that pymdownx.arithmatex marked, and keeps flags in one piece."""

    def mathml(match):
        display = "block" if match[2] == "[" else "inline"
        equation = convert(html.unescape(match[3]), display=display)
        return equation.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.17em"/>')

    def whole_flags(match):
        flags = FLAG.sub('<span class="flag">\\g<0></span>', match[1])
        return f"<code>{flags}</code>"

    return INLINE.sub(whole_flags, EQUATION.sub(mathml, content))
