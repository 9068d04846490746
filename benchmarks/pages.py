"""Tables in pages of the documentation, between two comments."""

import pathlib
import re

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"


def marks(name: str) -> tuple[str, str]:
    """The two comments of the table of a name."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def write_table(text: str, page: pathlib.Path, marks: tuple[str, str]) -> None:
    """Puts a table between the two comments of a page."""
    start, end = map(re.escape, marks)
    made = f"{marks[0]}\n{text}\n{marks[1]}"
    whole, found = re.subn(f"{start}.*{end}", lambda _: made, page.read_text(), flags=re.S)
    assert found == 1, f"{page} has not the two comments once"
    page.write_text(whole)


def read_table(page: pathlib.Path, marks: tuple[str, str]) -> list[list[str]]:
    """The cells of the table between the two comments of a page, head first; [] without one."""
    return _cells(_between(page, marks))


def read_tables(page: pathlib.Path, marks: tuple[str, str]) -> dict[str, list[list[str]]]:
    """As `read_table`, of several between the two comments, by the headings above them."""
    _, *sections = re.split("^## ", _between(page, marks), flags=re.M)
    parts = (section.partition("\n") for section in sections)
    return {title: _cells(text) for title, _, text in parts}


def _between(page: pathlib.Path, marks: tuple[str, str]) -> str:
    start, end = map(re.escape, marks)
    found = re.search(f"{start}\n(.*)\n{end}", page.read_text(), re.S)
    return found[1] if found else ""


def _cells(text: str) -> list[list[str]]:
    lines = [line.strip("|").split("|") for line in text.splitlines() if line]
    return [[cell.strip() for cell in line] for line in lines[:1] + lines[2:]]
