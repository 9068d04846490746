"""What mkdocs adds to the pages: the list of configs, and equations as MathML without scripts."""

import ast
import html
import pathlib
import re

from latex2mathml.converter import convert

CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)


def on_page_markdown(markdown, **_):
    """Puts every config's own description where a page says `<!-- configs -->`."""

    def entry(path):
        text = ast.get_docstring(ast.parse(path.read_text()))
        return f"### {path.stem}\n\n{text}\n"

    listed = "\n".join(entry(path) for path in sorted(CONFIGS.glob("*.py")))
    return markdown.replace("<!-- configs -->", listed)


def on_page_content(content, **_):
    """Replaces the equations that pymdownx.arithmatex marked."""

    def mathml(match):
        display = "block" if match[2] == "[" else "inline"
        equation = convert(html.unescape(match[3]), display=display)
        return equation.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.17em"/>')

    return EQUATION.sub(mathml, content)
