"""What mkdocs adds to the pages: configs, notebooks, the changelog, equations without scripts.

A page says where by a comment: `<!-- configs -->`, `<!-- fields -->`, `<!-- notebook NAME -->`,
`<!-- changelog -->`.
"""

import ast
import html
import json
import pathlib
import re

from latex2mathml.converter import convert

from vdp import config_help, variants
from vdp.settings import compare
from vdp.variants import grammar

ROOT = pathlib.Path(__file__).resolve().parent.parent
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)
INLINE = re.compile(r"<code>([^<]*)</code>")
FLAG = re.compile(r"(?<!\S)--\S{1,50}(?!\S)")  # short enough to stand in one line
LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")


def _values(values):
    """The values of a key as a cell of a table."""
    texts = [f"`{value}`" for value in values if value not in grammar.CHOSEN_BY_CONFIG]
    if values[0] in grammar.CHOSEN_BY_CONFIG:
        return f"{', '.join(texts)}; without it the config chooses"
    return ", ".join([f"**{texts[0]}**", *texts[1:]])


def variants_of(name):
    """A Markdown table of what may follow the colon of a config's name."""
    choices = config_help.choices(name)
    rows = [f"| `{word}` | |" for word in choices.words]
    rows += [f"| `{key}=` | {_values(values)} |" for key, values in choices.keys.items()]
    return "\n".join(["| variant | values, the default in bold |", "| --- | --- |", *rows])


def fields():
    """Every field that all configs have, with its default and what the source says of it."""
    said = config_help.comments()
    flat = compare.flatten(variants.defaults().to_dict())
    rows = [f"| `{field}` | `{value!r}` | {said.get(field, '')} |" for field, value in flat.items()]
    return "\n".join(["| field | default | |", "| --- | --- | --- |", *rows])


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
    whole = {
        "<!-- configs -->": configs,
        "<!-- fields -->": fields,
        "<!-- changelog -->": changelog,
    }
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
