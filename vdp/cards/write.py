"""Writes the card of a run into its folder, and knows when that is to be done again."""

import pathlib

from vdp.cards import facts, html, markdown
from vdp.record import RUN_FILE
from vdp.runtime import files

CARD, CARD_MARKDOWN = "card.html", "card.md"
SOURCES = (RUN_FILE, "eval*.json", "samples/*.png", "plots/*.png")  # what a card is made of


def card(workdir: pathlib.Path) -> list[pathlib.Path]:
    """Writes card.html and card.md of what the run's folder holds now; returns their paths.

    Raises:
      UserError: its config.json is missing or damaged.
    """
    said = facts.gather(workdir)
    texts = {CARD: html.card(said), CARD_MARKDOWN: markdown.card(said)}
    for name, text in texts.items():
        files.write_text(workdir / name, text)
    return [workdir / name for name in texts]


def is_stale(workdir: pathlib.Path) -> bool:
    """Whether there is no card, or what it is made of is newer."""
    written = [workdir / name for name in (CARD, CARD_MARKDOWN)]
    if not all(path.is_file() for path in written):
        return True
    made = min(path.stat().st_mtime_ns for path in written)
    found = (path for pattern in SOURCES for path in workdir.glob(pattern))
    sources = (path for path in found if path.name[0] != ".")  # which another process begins now
    return any(path.stat().st_mtime_ns > made for path in sources)
