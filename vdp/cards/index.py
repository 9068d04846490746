"""All runs below a folder in one table, index.html and index.md, with links to their cards."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence

from vdp.cards import facts, html, markdown, numbers, pictures, progress, words
from vdp.cards.write import CARD, card, is_stale
from vdp.errors import UserError
from vdp.evaluation import report
from vdp.record import DAMAGED, RESULT, read_run, runs_below, wrong_with
from vdp.runtime import files, metric_log
from vdp.runtime.markdown import table
from vdp.runtime.progress import duration

INDEX, INDEX_MARKDOWN = "index.html", "index.md"
THUMBNAIL = 160  # pixels of the larger side
COLUMNS = (  # (head, whether it is a number)
    ("name", False), ("model", False), ("prior", False), ("data", False), ("steps", True),
    ("estimate", True), ("FID", True), ("training", True), ("date", False),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """What stands in one column of a run.

    Attributes:
      text: that is read; "" for nothing.
      value: that it is sorted by; "" comes last.
      note: below the text, small.
      is_number: whether the column is one of numbers.
    """

    text: str
    value: str
    note: str
    is_number: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One run of the table.

    Attributes:
      state: "finished", or what is missing or damaged.
      href: of its card, relative to the index; "" where it has none.
      thumbnail: a data URI; "" where it has no pictures.
      cells: as COLUMNS.
    """

    state: str
    href: str
    thumbnail: str
    cells: Sequence[Cell]


def write(root: pathlib.Path) -> list[pathlib.Path]:
    """Writes index.html and index.md of the runs below a folder, and cards that are missing or old.

    A run that is damaged or unfinished is listed as what it is.

    Args:
      root: the folder, which is no run itself.

    Returns:
      The files that were written.

    Raises:
      UserError: there is no run below it.
    """
    found = sorted(runs_below(root))
    if not found:
        raise UserError(f"there is no run below {root}: name a folder that holds runs")
    written: list[pathlib.Path] = []
    entries: list[Entry] = []
    for path in found:
        entry, made = _entry(root, path)
        entries.append(entry)
        written += made
    name = root.absolute().name
    texts = {
        INDEX: html.index(
            title=f"Runs in {name}",
            said=_said(entries),
            columns=COLUMNS,
            runs=entries,
        ),
        INDEX_MARKDOWN: _markdown(name, entries),
    }
    for file, text in texts.items():
        files.write_text(root / file, text)
    return [*written, *(root / file for file in texts)]


def _entry(root: pathlib.Path, workdir: pathlib.Path) -> tuple[Entry, list[pathlib.Path]]:
    """(the line of a run, the files of its card where that was made anew)."""
    name = workdir.relative_to(root).as_posix()
    written: list[pathlib.Path] = []
    try:
        cells, state = _cells(name, workdir)
        if (workdir / RESULT).exists() and is_stale(workdir):
            with contextlib.suppress(OSError):  # of a run that cannot be written the old card stays
                written = card(workdir)
    except (*DAMAGED, OSError) as error:
        state = f"damaged: {wrong_with(error)}"
        cells = _row(name, *[("", "")] * (len(COLUMNS) - 1), note=state)
    has_card = (workdir / CARD).is_file() and not state.startswith("damaged")
    entry = Entry(
        state=state,
        href=markdown.link(f"{name}/{CARD}") if has_card else "",
        thumbnail=_thumbnail(workdir),
        cells=cells,
    )
    return entry, written


def _cells(name: str, workdir: pathlib.Path) -> tuple[list[Cell], str]:
    """(the cells of a run, its state); an error of whatever kind where it is damaged."""
    record, result = read_run(workdir), facts.read_result(workdir)
    metrics = metric_log.read_metrics(workdir / metric_log.METRICS_FILE)
    state = progress.state(record, result, metrics)
    steps = progress.steps(record, result, metrics)
    prior = (record.settings.model.get("prior") or {}).get("name") or ""
    shown = result or {}
    fid, spent = shown.get("fid"), report.training_seconds(shown)
    date = progress.date(workdir, result)
    data = words.data_name(record)
    cells = _row(
        name,
        (record.settings.model["name"],) * 2,
        (prior,) * 2,
        (data,) * 2,
        (f"{steps:,}", str(steps)),
        _estimate(numbers.headline(shown)) if result else ("", ""),
        (f"{fid['value']:.2f}", str(fid["value"])) if fid else ("", ""),
        (duration(spent), str(spent)) if spent is not None else ("", ""),
        (date,) * 2,
        note="" if state == "finished" else state,
    )
    return cells, state


def _estimate(headline: numbers.Headline | None) -> tuple[str, ...]:
    """(text, value, note) of the number that stands for a run."""
    if headline is None:
        return "", ""
    unit = f"{headline.unit}, " if headline.unit else ""
    said = headline.said.removesuffix(": lower bound")
    return headline.text, str(headline.value.mean), f"{unit}{said}"


def _row(name: str, *others: Sequence[str], note: str) -> list[Cell]:
    """The cells of a run: its name, then (text, value) or (text, value, note) of the others."""
    every = [(name, name, note), *((*other, "")[:3] for other in others)]
    return [
        Cell(text=text, value=value, note=small, is_number=is_number)
        for (text, value, small), (_, is_number) in zip(every, COLUMNS, strict=True)
    ]


def _thumbnail(workdir: pathlib.Path) -> str:
    picture = pictures.first(workdir, html.HERO)
    return pictures.small_uri(workdir / picture.path, side=THUMBNAIL) if picture else ""


def _said(entries: Sequence[Entry]) -> str:
    finished = sum(entry.state == "finished" for entry in entries)
    others = len(entries) - finished
    rest = f", {others} unfinished or damaged" if others else ""
    plural = "" if finished == 1 else "s"
    return f"{finished} finished run{plural}{rest}. ± is the standard error over test images."


def _markdown(name: str, entries: Sequence[Entry]) -> str:
    rows = []
    for entry in entries:
        texts = []
        for cell in entry.cells:
            note = f" ({cell.note})" if cell.note and cell.text else cell.note
            texts.append(markdown.cell(f"{cell.text}{note}"))
        if entry.href:
            texts[0] = f"[{texts[0]}]({entry.href.removesuffix('.html')}.md)"
        rows.append(texts)
    heads = [head for head, _ in COLUMNS]
    lines = [
        f"# Runs in {markdown.cell(name)}",
        "",
        _said(entries),
        "",
        *table(heads, rows),
    ]
    return "\n".join([*lines, ""])
