"""What finished runs say, side by side: a Markdown table and a CSV file."""

import contextlib
import csv
import dataclasses
import io
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vdp.errors import STOPPED, UserError
from vdp.evaluation import noisy, report
from vdp.metrics import divergence
from vdp.record import RESULT, RUN_FILE
from vdp.runtime import files
from vdp.runtime.markdown import table as table_lines
from vdp.runtime.numbers import mean_and_error, with_error

RECORD = "sweep.json"  # in a run's folder: its arguments and how it ended
DASH = "–"  # noqa: RUF001


@dataclasses.dataclass(frozen=True)
class Result:
    """One run as its folder shows it."""

    point: dict[str, str]  # {"prior": "vdm"}
    seed: int
    folder: pathlib.Path
    status: str  # finished | failed | unfinished
    record: dict  # sweep.json, empty where there is none
    values: dict  # eval.json with "parameters" and "hashes" of config.json, empty unless finished

    @property
    def name(self) -> str:
        """The folder inside the sweep's."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    def get(self, path: str) -> Any:
        """The entry at a dotted path, or None where one of its parts is missing or null."""
        node: Any = self.values
        for key in path.split("."):
            node = node.get(key) if isinstance(node, Mapping) else None
        return node


def read(folder: pathlib.Path, point: dict[str, str], seed: int) -> Result:
    """Reads one run."""
    record, values, status = {}, {}, "unfinished"
    if (folder / RECORD).exists():
        record = _read(folder / RECORD)
    code = record.get("exit_code", None if record else 0)  # a run by hand has no record
    if code == 0 and (folder / RESULT).exists():
        values = _read(folder / RESULT)
        status = "finished" if values else "unfinished"
        if values:
            about = _read(folder / RUN_FILE)
            values |= {name: about.get(name) for name in ("parameters", "hashes")}
    elif record and code not in (None, 0, STOPPED):
        status = "failed"
    return Result(point, seed, folder, status, record, values)


def _read(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object; empty where there is none, as of a file that is damaged or missing.

    Such a run is unfinished: starting it again mends it.
    """
    with contextlib.suppress(UserError):
        found = files.read_json(path, path.name)
        return found if isinstance(found, dict) else {}
    return {}


def read_all(workdir: pathlib.Path) -> list[Result]:
    """Reads every run of a sweep's folder, sorted by name."""
    results = []
    for path in sorted(workdir.glob(f"*/seed-*/{RECORD}")):
        record = _read(path)
        if {"point", "seed"} <= record.keys():
            results.append(read(path.parent, record["point"], record["seed"]))
    if not results:
        raise UserError(f"{workdir} holds no runs of a sweep: give --config and --grid to run some")
    return results


def write(workdir: pathlib.Path, results: Sequence[Result]) -> str:
    """Writes results.md and results.csv.

    Returns:
      The text of results.md.
    """
    text = markdown(results)
    files.write_text(workdir / "results.md", text + "\n")
    _write_csv(workdir / "results.csv", results)
    return text


def nats(estimator: str) -> Callable[[Result], float | None]:
    """Reads the mean of an estimator."""
    return lambda result: result.get(f"estimators.{estimator}.nats.mean")


def between_codes(measure: str) -> Callable[[Result], float | None]:
    """Reads the mean of a measure of decoded lines between two codes."""
    return lambda result: result.get(f"interpolation.{measure}.mean")


def sampling_seconds(result: Result) -> float | None:
    """Seconds for 1,000 samples."""
    return report.sampling_seconds(result.values)


def _sampler(result: Result) -> str | None:
    """What was chosen in place of the prior's own sampler."""
    chosen = result.get("fid.sampler")
    if not isinstance(chosen, Mapping):
        return None
    return ", ".join(v if k == "sampler" else f"{k}={v}" for k, v in chosen.items())


def qualified(entry: Mapping[str, Any]) -> str:
    """What an entry of eval.json's "estimators" is of, and what is to be said against it."""
    parts = [entry["model"]]
    parts += [f"K={entry['k']}"] if "k" in entry else []
    parts += ["noisy"] if noisy.is_noisy(entry) else []
    parts += ["density"] if entry.get("bits_per_dim", 0) is None else []
    parts += ["not a bound"] if entry.get(divergence.NOT_A_BOUND) else []
    return ", ".join(parts)


def _tag(estimator: str) -> Callable[[Result], str | None]:
    def tag(result: Result) -> str | None:
        entry = result.get(f"estimators.{estimator}")
        return qualified(entry) if entry else None

    return tag


def _unbounded(result: Result) -> str | None:
    return "not a bound" if result.get(f"estimators.elbo.{divergence.NOT_A_BOUND}") else None


@dataclasses.dataclass(frozen=True)
class Column:
    """A number of every run, and how it is written."""

    title: str
    value: Callable[[Result], float | None]
    digits: int | None = None  # None: three significant ones
    tag: Callable[[Result], str | None] = lambda result: None

    def cell(self, results: Sequence[Result]) -> str:
        """The mean and standard error over seeds with what they belong to."""
        found = [value for value in map(self.value, results) if value is not None]
        values = [value for value in found if math.isfinite(value)]
        if not values:
            return DASH
        mean, error = mean_and_error(values)
        digits = self.digits
        if digits is None:
            digits = max(0, 2 - math.floor(math.log10(abs(mean)))) if mean else 0
        text = with_error(mean, error if self.digits != 0 else None, f",.{digits}f")
        tags = distinct(map(self.tag, results))
        missing = f" (from {len(values)})" if len(values) < len(results) else ""
        return text + (f" ({tags})" if tags else "") + missing


COLUMNS = (
    Column("ELBO, nats", nats("elbo"), 2, _tag("elbo")),
    Column("ELBO of the T-step model, nats", nats("elbo_discrete"), 2, _tag("elbo_discrete")),
    Column("IWAE, nats", nats("iwae"), 2, _tag("iwae")),
    Column("bits/dim", lambda r: r.get("estimators.elbo.bits_per_dim.mean"), 3, _unbounded),
    Column("FID", lambda result: result.get("fid.value"), 2, _sampler),
    Column("mse of reconstructions", lambda result: result.get("mse")),
    Column("path ratio", between_codes("path_ratio"), 3),
    Column("unevenness", between_codes("unevenness"), 3),
    Column("nonlinearity", between_codes("nonlinearity"), 3),
    Column("parameters", lambda result: result.get("parameters.total"), 0),
    Column("prior parameters", lambda result: result.get("parameters.prior"), 0),
    Column("training, s", report.training_seconds),
    Column("sampling, s per 1,000 images", sampling_seconds, tag=_sampler),
)


def grouped(results: Sequence[Result]) -> list[tuple[dict[str, str], list[Result]]]:
    """Results by grid point, in the order of first appearance."""
    groups: dict[tuple, list[Result]] = {}
    for result in results:
        groups.setdefault(tuple(result.point.items()), []).append(result)
    return [(dict(point), group) for point, group in groups.items()]


def markdown(results: Sequence[Result]) -> str:
    """One row per grid point; columns that no run has a number for are left out."""
    finished = [result for result in results if result.status == "finished"]
    columns = [c for c in COLUMNS if any(c.value(result) is not None for result in finished)]
    keys = list(dict.fromkeys(key for result in results for key in result.point))
    incomplete = len(finished) < len(results)
    header = [*keys, "seeds", *(c.title for c in columns), *["not finished"] * incomplete]
    lines = []
    for point, group in grouped(results):
        done = [result for result in group if result.status == "finished"]
        counts = [
            f"{num} {status}"
            for status in ("failed", "unfinished")
            if (num := sum(result.status == status for result in group))
        ]
        cells = [point.get(key, DASH) for key in keys] + [str(len(done))]
        cells += [column.cell(done) for column in columns]
        lines.append(cells + [", ".join(counts) or "0"] * incomplete)
    table = "\n".join(table_lines(header, lines))
    return f"{table}\n\n{_facts(finished)}" if finished else table


def _facts(finished: Sequence[Result]) -> str:
    of = lambda path: distinct(result.get(path) for result in finished)
    facts = f"{of('split')} split, {of('num_examples')} images"
    if len(finished) > len(grouped(finished)):
        facts += "; ± is the standard error over seeds"
        if any(len(group) == 2 for _, group in grouped(finished)):
            facts += " (with two seeds less than half of the true one in two cases of five)"
    if any(result.get("fid") for result in finished):
        facts += (
            f"; FID of {of('fid.num_samples')} samples against {of('fid.num_reference')} "
            f"{of('fid.reference')} images, features {of('fid.features')}"
        )
    if any(result.get("interpolation.pairs") for result in finished):
        facts += (
            "; path ratio, unevenness and nonlinearity of the lines between "
            f"{of('interpolation.pairs')} pairs of codes, decoded in "
            f"{of('interpolation.steps')} steps"
        )
    of_data = any(key.startswith("data.") for result in finished for key in result.point)
    known = [hashes for result in finished if (hashes := result.get("hashes"))]
    if not of_data and any(hashes != known[0] for hashes in known):
        facts += ".\n\nThese runs have not seen the same images (hashes in config.json)"
    if any(nats(name)(result) is not None for result in finished for name in ("elbo", "iwae")):
        facts += (
            ".\n\nELBO and IWAE with different model tags (in brackets) are bounds on different "
            "models"
        )
    if any(noisy.is_noisy(result.get("estimators.iwae")) for result in finished):
        facts += (
            "; noisy: too few of the weights count, so that an IWAE is a loose lower bound (raise "
            "eval.iwae_samples)"
        )
    why = {
        r.name: distinct(
            r.get(f"estimators.{name}.{divergence.NOT_A_BOUND}") for name in ("elbo", "iwae")
        )
        for r in finished
    }
    facts += "".join(f".\n\n{name}: not a bound, for {said}" for name, said in why.items() if said)
    return f"{facts}."


def distinct(values: Iterable) -> str:
    """The different values among these, in words."""
    different = dict.fromkeys(value for value in values if value is not None)
    return " / ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in different)


def _write_csv(path: pathlib.Path, results: Sequence[Result]) -> None:
    rows = []
    for result in results:
        row = {**result.point, "seed": result.seed, "status": result.status}
        row["exit_code"] = result.record.get("exit_code")
        row |= {key.removeprefix("estimators."): v for key, v in _flat(result.values)}
        rows.append(row | {"folder": str(result.folder)})
    names = list(dict.fromkeys(name for row in rows for name in row if name != "folder"))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, [*names, "folder"])
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, table.getvalue())


def _flat(content, prefix: str = ""):
    for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
        if isinstance(value, Mapping | list):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value
