"""A run's card as Markdown, for people and places that show no HTML; and parts of it for others."""

import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence

from vdp.cards import numbers
from vdp.cards.facts import Facts
from vdp.runtime import markdown as md
from vdp.runtime.markdown import table

MARKUP = re.compile(r"[\\`*\[\]]|(?<!\w)_|_(?!\w)")  # underscores inside a name are none


def cell(text: str) -> str:
    """A text as it stands in a table, and in any line: nothing in it is read as markup."""
    plain = MARKUP.sub(r"\\\g<0>", html.escape(text, quote=False))
    return md.cell(" ".join(plain.split()))


def pairs(rows: Mapping[str, str]) -> list[str]:
    """The lines of a table of names and texts."""
    return table(["", ""], [(name, cell(text)) for name, text in rows.items()])


def estimates(rows: Sequence[numbers.Row], unit: str) -> list[str]:
    """The lines of the table of estimates, whose column of values has this unit."""
    cells = []
    for row in rows:
        kind = row.kind if row.is_bound else f"**{row.kind}**"
        note = f"; {cell(row.note)}" if row.note else ""
        cells.append((cell(row.label), cell(row.model), row.value, row.bits, f"{kind}{note}"))
    return table(["estimate", "model", unit, "bits/dim", ""], cells)


def code(lines: Iterable[str], language: str) -> list[str]:
    """A block of code."""
    return [f"```{language}", *lines, "```"]


def link(path: str) -> str:
    """A relative path as the target of a link."""
    return urllib.parse.quote(path, errors="surrogateescape")


def card(facts: Facts) -> str:
    """The whole card."""
    lines = [
        f"# {cell(facts.name)}",
        "",
        f"{cell(facts.phrase)}. {cell(' '.join(facts.sentences))}",
        "",
    ]
    if facts.headline:
        head = facts.headline
        bits = f", {head.bits.text(4)} bits/dim" if head.bits else ""
        lines += [f"**{head.text}** {cell(head.unit)}, {cell(head.said)}{bits}", ""]
    if facts.state != "finished":
        lines += [f"**{cell(facts.state)}**", ""]
    for title, part in _sections(facts).items():
        if part:
            lines += [f"## {title}", "", *part, ""]
    return "\n".join(lines).rstrip() + "\n"


def _sections(facts: Facts) -> dict[str, list[str]]:
    estimated = (
        [cell(facts.estimated), "", *estimates(facts.rows, facts.unit)] if facts.rows else []
    )
    beside = [f"- {cell(line)}" for line in facts.beside]
    latents = table(
        ["latent, top first", "rate, nats", "used units", "active units", "units"],
        [
            (
                cell(row.name),
                f"{row.rate:.2f}",
                *(_number(n) for n in (row.used, row.active, row.units)),
            )
            for row in facts.latents
        ],
    )
    shown = []
    for picture in facts.pictures:
        alt = cell(picture.title).replace("[", "\\[").replace("]", "\\]")
        shown += [f"![{alt}]({link(str(picture.path))})", ""]
        shown += [cell(picture.caption), ""] if picture.caption else []
    others = [
        (link_to(entry["file"]), cell(str(entry.get("settings", ""))), cell(first_number(entry)))
        for entry in facts.evaluations
    ]
    return {
        "Estimates": estimated,
        "Beside the estimates": beside,
        "What each latent carries": latents if facts.latents else [],
        "Pictures": shown[:-1],
        "What was trained": pairs(facts.trained),
        "Hardware and seconds": pairs(facts.machine) if facts.machine else [],
        "All evaluations": table(["file", "other settings", "first number"], others)
        if len(others) > 1
        else [],
        "To make it again": [*again(facts), "", *pairs(facts.made_by)],
        "To open it in Python": code(facts.opening, "python"),
    }


def again(facts: Facts) -> list[str]:
    """How the run is made again: by its command, or of its settings where that was not kept."""
    if facts.command:
        return code([facts.command], "")
    said, program = no_command(facts)
    return [said, "", *code([program], "python")]


def no_command(facts: Facts) -> tuple[str, str]:
    """(a sentence, lines of Python) for a run whose command was not kept."""
    quoted = json.dumps(facts.name, ensure_ascii=False), json.dumps(f"{facts.name}-again")
    program = (
        "from vdp.modes import train\nfrom vdp.record import read_run\n\n"
        f"train.main(read_run({quoted[0]}).settings, {quoted[1]})"
    )
    return "The command was not kept; this trains the run's settings again:", program


def link_to(name: str) -> str:
    """A link to a file in the run's folder, under its name."""
    return f"[{cell(name)}]({link(name)})"


def first_number(entry: Mapping[str, object]) -> str:
    """What an entry of evals.json says first."""
    return "cannot be read" if entry.get("damaged") else str(entry.get("headline", ""))


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
