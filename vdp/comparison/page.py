"""A comparison as one page of HTML, in the frame of the cards, with its picture inside."""

import pathlib

from markupsafe import Markup

from vdp.cards import html, pictures
from vdp.comparison import tables
from vdp.comparison.side_by_side import Comparison


def html_page(comparison: Comparison, caption: str, picture: pathlib.Path) -> str:
    """The whole page.

    Args:
      comparison: of two arms or more.
      caption: what all its numbers are of.
      picture: a PNG of it.
    """
    labels = [arm.label for arm in comparison.arms]
    body = Markup("<header><h1>{}</h1><p>{}</p></header>").format(" | ".join(labels), caption)
    body += _section("What each got", _table(tables.arms(comparison)))
    seen = Markup('<figure><div class="scroll"><img src="{}" alt="{}"></div></figure>')
    body += _section("Differences", _table(tables.differences(comparison)) + seen.format(
        pictures.uri(picture), "estimates of every model, and their differences from the best"
    ))  # fmt: skip
    if comparison.notes:
        notes = Markup().join(Markup("<li>{}</li>").format(note) for note in comparison.notes)
        body += _section("Notes", Markup("<ul>{}</ul>").format(notes))
    if comparison.differs:
        body += _section("What was set differently", _table(tables.settings(comparison)))
    return html.page(f"Comparison of {', '.join(labels)}", body)


def _section(title: str, content: Markup) -> Markup:
    return Markup("<section><h2>{}</h2>{}</section>").format(title, content)


def _table(table: tables.Table) -> Markup:
    heads, rows = table
    return html.table(heads, rows, numbers=range(1, len(heads)))
