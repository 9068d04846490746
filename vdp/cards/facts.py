"""What the card of a run says, gathered once from the files in its folder.

The card of an exported run (`vdp.export.card`) says part of the same, from the same functions.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from vdp.cards import curves, numbers, pictures, progress, words
from vdp.cards.curves import Curve
from vdp.cards.pictures import Picture
from vdp.errors import UserError
from vdp.evaluation import index, report
from vdp.record import DAMAGED, RESULT, RUN_FILE, SAMPLES, Record, read_run
from vdp.runtime import files, metric_log
from vdp.runtime.progress import duration

ENTRIES = (  # of a result that older versions lack, as are those that `report` reads
    "fid", "sampling", "active_units", "rates", "latents", "information", "mse", "interpolation",
    "accuracy", "score", "train_seconds", "train_seconds_total",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a card says.

    Attributes:
      workdir: of the run.
      name: of its folder.
      title: the model, its prior and the data, by their names in the config.
      phrase: the model and its prior in words.
      sentences: how it was trained, and which checkpoint the numbers are of.
      state: "finished", how far the run has come, or what is damaged.
      date: of the evaluation of the best checkpoint, as YYYY-MM-DD; "" where there is none.
      headline: the one number that stands for it.
      figures: small numbers beside it, {name: text}.
      curves: over training.
      pictures: of samples and of what is particular to the model.
      steps: pictures of samples while it trained.
      estimated: what the table of estimates is of; "" without one.
      unit: of the column of values in it.
      rows: the table of estimates.
      beside: what else was measured, one sentence each.
      latents: top first; empty where they have no rates.
      evaluations: all of the run, as of evals.json.
      trained: model, data and training, {name: text}.
      machine: hardware and seconds, {name: text}.
      made_by: versions, revision and seed, {name: text}.
      command: that makes the run again; None where it was not kept.
      opening: lines of Python that open the run.
    """

    workdir: pathlib.Path
    name: str
    title: str
    phrase: str
    sentences: Sequence[str]
    state: str
    date: str
    headline: numbers.Headline | None
    figures: Mapping[str, str]
    curves: Sequence[Curve]
    pictures: Sequence[Picture]
    steps: Sequence[Picture]
    estimated: str
    unit: str
    rows: Sequence[numbers.Row]
    beside: Sequence[str]
    latents: Sequence[numbers.Latent]
    evaluations: Sequence[Mapping[str, Any]]
    trained: Mapping[str, str]
    machine: Mapping[str, str]
    made_by: Mapping[str, str]
    command: str | None
    opening: Sequence[str]


def gather(workdir: pathlib.Path) -> Facts:
    """Reads the folder of a run; where eval.json is damaged, that is what `state` says.

    Raises:
      UserError: its config.json is missing or damaged.
    """
    record = read_run(workdir)
    try:
        return _facts(record, read_result(workdir))
    except DAMAGED:
        return dataclasses.replace(_facts(record, None), state=f"damaged: {_damaged(workdir)}")


def read_result(workdir: pathlib.Path) -> dict[str, Any] | None:
    """eval.json with null for what an older version lacks; None where there is none.

    Raises:
      UserError: it is no result of an evaluation.
    """
    path = workdir / RESULT
    if not path.exists():
        return None
    content = files.read_json(path, RESULT)
    if not isinstance(content, dict) or not isinstance(content.get("estimators"), dict):
        raise _damaged(workdir)
    result = {**dict.fromkeys(ENTRIES), **content}
    try:
        report.in_words(result)
        numbers.rows(result)
    except DAMAGED as error:
        raise _damaged(workdir) from error
    return result


def _damaged(workdir: pathlib.Path) -> UserError:
    return UserError(
        f"{workdir / RESULT} is no result of an evaluation: remove it, and --mode=eval "
        f"--workdir={workdir} makes it again"
    )


def _facts(record: Record, result: dict[str, Any] | None) -> Facts:
    workdir = record.workdir
    metrics = metric_log.read_metrics(workdir / metric_log.METRICS_FILE)
    trained_for = progress.steps(record, result, metrics)
    step = result["step"] if result else trained_for
    score = (result or {}).get("score") or {}
    drawn = curves.of(metrics, score.get("name"))
    latents = numbers.latents(result) if result else []
    is_drawn = {"loss": bool(drawn), "latents": bool(latents)}
    name, trained = workdir.absolute().name, words.trained(record, step)
    hashes = trained.pop("hashes", "")
    return Facts(
        workdir=workdir,
        name=name,
        title=words.title(record),
        phrase=words.phrase(record),
        sentences=[words.trained_on(record, trained_for), *_checkpoint(result)],
        state=progress.state(record, result, metrics),
        date=progress.date(workdir, result),
        headline=numbers.headline(result) if result else None,
        figures=_figures(record, result, trained_for),
        curves=drawn,
        pictures=pictures.gather(workdir, drawn=[n for n, is_so in is_drawn.items() if is_so]),
        steps=pictures.of_steps(workdir),
        estimated=_estimated(result) if result else "",
        unit=numbers.unit(result) if result else "",
        rows=numbers.rows(result) if result else [],
        beside=[*report.doubts(result), *report.beside_the_estimates(result)] if result else [],
        latents=latents,
        evaluations=_evaluations(workdir),
        trained=trained,
        machine=_machine(record, result, metrics),
        made_by=_made_by(record, hashes),
        command=record.command,
        opening=words.opening(
            name,
            generative=_draws(record),
            classifying=bool(result and result.get("accuracy") is not None),
            said="this folder, where it lies",
        ),
    )


def _draws(record: Record) -> bool:
    """Whether the model has samples: told by the picture of them, for it is not built here."""
    return bool(list((record.workdir / SAMPLES).glob("samples.*")))


def _checkpoint(result: dict[str, Any] | None) -> list[str]:
    if result is None:
        return []
    return [f"Its numbers are of the {report.checkpoint(result)}."]


def _estimated(result: Mapping[str, Any]) -> str:
    """What the table of estimates is of."""
    settings = {k: v for k, v in (result.get("settings") or {}).items() if k.startswith("data.")}
    other = f" (on other data than the run's: {report.assignments(settings)})" if settings else ""
    bounds = f" {words.BOUNDS}" if numbers.estimates(result) else ""
    return (
        f"Of {result['num_examples']:,} images of the {result['split']} split{other}; ± is the "
        f"standard error over images.{bounds}"
    )


def _figures(record: Record, result: Mapping[str, Any] | None, trained_for: int) -> dict[str, str]:
    """The small numbers of the head of a card."""
    total, shown = record.parameters.get("total"), result or {}
    fid, spent = shown.get("fid"), report.training_seconds(shown)
    known = {
        "parameters": f"{total:,}" if total else None,
        "steps": f"{trained_for:,}",
        "training": duration(spent) if spent is not None else None,
        "FID": f"{fid['value']:.2f}" if fid else None,
        "accuracy": f"{shown['accuracy']:.4f}" if shown.get("accuracy") is not None else None,
    }
    return {name: text for name, text in known.items() if text is not None}


def _evaluations(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The entries of evals.json, with `settings` in words; [] where it is missing or damaged."""
    try:
        entries = files.read_json(workdir / index.LIST, index.LIST)
        return [
            {**entry, "settings": report.assignments(entry.get("settings") or {})}
            for entry in entries
        ]
    except DAMAGED:
        return []


def _machine(
    record: Record, result: Mapping[str, Any] | None, metrics: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Hardware, and what took how long; names without a value are left out."""
    shown = result or {}
    speeds = [v for _, v in metric_log.series(metrics, "train/steps_per_second")]
    sampling, spent = report.sampling_seconds(shown), report.training_seconds(shown)
    known = {
        "hardware": words.hardware(record.hardware),
        "training": f"{duration(spent)} in steps" if spent is not None else "",
        "speed": f"{speeds[-1]:.3g} steps per second" if speeds else "",
        "sampling": f"{sampling:.3g} s for 1,000 samples" if sampling is not None else "",
    }
    return {name: text for name, text in known.items() if text}


def _made_by(record: Record, hashes: str) -> dict[str, str]:
    """What has to be the same for the run to come out again."""
    versions = ", ".join(f"{name} {number}" for name, number in record.versions.items())
    known = {
        "config": f"every field is in {RUN_FILE}, beside this card",
        "seed": str(record.settings.seed),
        "images": f"hashes: {hashes}" if hashes else "",
        "versions": versions,
        "revision": record.git_revision or "",
    }
    return {name: text for name, text in known.items() if text}
