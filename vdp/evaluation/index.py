"""All evaluations of a run in one list: evals.json for programs, evaluations.md for people.

Both are made again of the files eval*.json that are there, so that one which is removed, brought
back or damaged needs no care.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from vdp.evaluation import report
from vdp.record import DAMAGED, RESULT
from vdp.runtime import files, markdown

LIST, TABLE = "evals.json", "evaluations.md"
COLUMNS = ("file", "checkpoint", "step", "split", "images", "other settings", "headline")


def write(workdir: pathlib.Path) -> None:
    """Writes both lists of the evaluations in the folder of a run.

    An entry of evals.json holds "file", "checkpoint", "step", "split", "num_examples", "settings"
    (those that are other than the run's) and "headline"; that of a file which is no result of an
    evaluation holds "file" and "damaged": true.
    """
    paths = [path for path in workdir.glob("eval*.json") if path.name != LIST]
    paths.sort(key=lambda path: (path.name != RESULT, path.name))
    entries = [_entry(path) for path in paths]
    files.write_json(workdir / LIST, entries)
    files.write_text(workdir / TABLE, _table(entries))


def _entry(path: pathlib.Path) -> dict[str, Any]:
    try:
        result = files.read_json(path, path.name)
        settings = dict(result["settings"])
        fields = ("checkpoint", "step", "split", "num_examples")
        about = {field: result[field] for field in fields}
        headline = report.headline(result)
    except DAMAGED:
        return {"file": path.name, "damaged": True}
    return {"file": path.name, **about, "settings": settings, "headline": headline}


def _table(entries: list[dict[str, Any]]) -> str:
    """The entries as a page of Markdown."""
    lines = []
    for entry in entries:
        if entry.get("damaged"):
            lines.append((entry["file"], *[""] * (len(COLUMNS) - 2), "cannot be read"))
            continue
        numbers = [entry[name] for name in ("checkpoint", "step", "split", "num_examples")]
        others = report.assignments(entry["settings"])
        lines.append((entry["file"], *map(str, numbers), others, entry["headline"]))
    escaped = [list(map(markdown.cell, cells)) for cells in lines]
    return "# Evaluations of this run\n\n" + "\n".join(markdown.table(COLUMNS, escaped)) + "\n"


def read(path: pathlib.Path) -> dict[str, Any] | None:
    """The result of an evaluation that a file holds; None where it is absent or damaged."""
    try:
        result = files.read_json(path, path.name)
        report.in_words(result)
    except DAMAGED:
        return None
    return result


def with_earlier(result: dict[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The result with the estimates that it replaces and does not have itself.

    They stand under "earlier", {name: entry}, each with the "step" of the checkpoint it is of, and
    those of log p(x) with their "num_examples": a run that goes on is evaluated by its own
    estimators, and those that were asked for by hand in the meantime stay. Those of components that
    were edited since then, or of parameters that were trained again to the same step, do not.

    Args:
      result: of this evaluation.
      before: what the file held until now; None: nothing.
    """
    if before is None or _is_of_others(before, result):
        return result
    if before.get("convergence") and before["step"] == result["step"]:  # those of the same weights
        result = result | {"convergence": before["convergence"] | (result.get("convergence") or {})}
    estimates = _estimates(before)
    earlier = dict(before.get("earlier") or {})
    of_it = {about: before[about] for about in ("step", "weights") if about in before}
    earlier |= {
        name: {**entry, **of_it}
        | ({"num_examples": before["num_examples"]} if name in before["estimators"] else {})
        for name, entry in estimates.items()
        if entry
    }
    now = _estimates(result)
    kept = {
        name: entry
        for name, entry in earlier.items()
        if not now.get(name) and not _trained_again(entry, result)
    }
    return {**result, "earlier": kept} if kept else result


def _is_of_others(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two results are of other components, or of other parameters of one step."""
    known = now.get("components")  # of a result of version 0.1 they are not
    edited = before.get("edited_sources") != now.get("edited_sources")
    return edited or before.get("components", known) != known or _trained_again(before, now)


def _trained_again(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two estimates are of one step with other parameters, where both are known."""
    weights = before.get("weights"), now.get("weights")
    return before["step"] == now["step"] and None not in weights and weights[0] != weights[1]


def _estimates(result: Mapping[str, Any]) -> dict[str, Any]:
    """What is estimated where it is asked for, by names of one level; older results have less."""
    beside = {name: result.get(name) for name in (*report.OF_SAMPLES, "representation")}
    others = {f"ood {name}": entry for name, entry in (result.get("ood") or {}).items()}
    return {**result["estimators"], **beside, **others}
