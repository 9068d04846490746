"""Equations of the pages as MathML, which browsers draw without scripts: a hook of mkdocs."""

import html
import re

from latex2mathml.converter import convert

EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)


def on_page_content(content, **_):
    """Replaces what pymdownx.arithmatex marked."""

    def mathml(match):
        display = "block" if match[2] == "[" else "inline"
        equation = convert(html.unescape(match[3]), display=display)
        return equation.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.17em"/>')

    return EQUATION.sub(mathml, content)
