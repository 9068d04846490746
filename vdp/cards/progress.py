"""How far a run has come, and when it was evaluated: told from the files in its folder."""

import datetime
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from vdp.record import RESULT, Record
from vdp.runtime import metric_log


def state(
    record: Record, result: Mapping[str, Any] | None, metrics: Sequence[Mapping[str, Any]]
) -> str:
    """How far a run has come: "finished", or what is missing.

    Args:
      record: of the run.
      result: eval.json, where there is one.
      metrics: the lines of metrics.jsonl.
    """
    train, trained_for = record.settings.train, metric_log.last_step(metrics)
    if result is not None:
        ends = train.steps if record.weights is not None else trained_for  # of version 0.1
        if "validations" in result and record.weights is None:  # there were none
            ends = result["step"]
        last = (result.get("validations") or {}).get("last_step", ends)
        if last >= train.steps or _stopped_early(record, result, metrics):
            return "finished"
        return f"unfinished: evaluated at step {last:,} of {train.steps:,}"
    if record.weights is not None:
        return "exported without an evaluation"
    if trained_for >= train.steps:
        return "unfinished: not evaluated"
    return f"unfinished: trained for {trained_for:,} of {train.steps:,} steps"


def steps(
    record: Record, result: Mapping[str, Any] | None, metrics: Sequence[Mapping[str, Any]]
) -> int:
    """Steps that a run has come to, as far as its folder tells: an exported one has no metrics.

    Args:
      record: of the run.
      result: eval.json, where there is one.
      metrics: the lines of metrics.jsonl.
    """
    shown = result or {}
    validated = (shown.get("validations") or {}).get("last_step", 0)
    exported = record.weights.step if record.weights is not None else 0
    return max(metric_log.last_step(metrics), validated, shown.get("step", 0), exported)


def _stopped_early(
    record: Record, result: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]
) -> bool:
    """Whether a run was evaluated after the seconds or the patience of its training were spent."""
    train = record.settings.train
    if record.weights is not None:  # of whose training no lines are kept
        return bool(train.patience or train.seconds)
    spent = sum(line.get("train/seconds") or 0.0 for line in metrics)
    validated = {line["step"] for line in metrics if any(k.startswith("eval/") for k in line)}
    seen = (result.get("validations") or {}).get("last_step")
    if seen is not None and seen < max(validated, default=0):
        return False  # it was evaluated while it trained
    after = max(result.get("step", 0), record.settings.kl_warmup)  # inside it no validation counts
    since = sum(step > after for step in validated)
    return 0 < train.seconds <= spent or 0 < train.patience <= since


def date(workdir: pathlib.Path, result: Mapping[str, Any] | None) -> str:
    """When the best checkpoint was evaluated, as YYYY-MM-DD in UTC; "" where it was not.

    Results of older versions do not say it: the date of their file, or of its copy.
    """
    path = workdir / RESULT
    if result is None or not path.exists():
        return ""
    if result.get("date"):
        return str(result["date"])
    when = datetime.datetime.fromtimestamp(path.stat().st_mtime, tz=datetime.UTC)
    return when.strftime("%Y-%m-%d")
