"""What a reader has to know of a comparison: of its runs, its estimators and its differences."""

from collections.abc import Mapping, Sequence

from vdp.cards import progress
from vdp.comparison import measures
from vdp.comparison.entries import Entry
from vdp.comparison.runs import Arm, Evaluated
from vdp.evaluation import report
from vdp.record import RESULT
from vdp.runtime.metric_log import METRICS_FILE, read_metrics

CHANCE = 10  # differences, from which on it is said how many lie beyond two errors by chance


def notes(
    compared: Sequence[Arm],
    estimates: Mapping[str, Mapping[str, Entry]],
    num_differences: int,
) -> list[str]:
    """What a reader has to know of a whole comparison, a sentence each.

    Args:
      compared: its arms.
      estimates: {estimator: {label of an arm: entry}}.
      num_differences: of all pairs and estimators.
    """
    notes = [note for arm in compared for note in _of_arm(arm)]
    for name, by_arm in estimates.items():
        tags = {label: entry.model for label, entry in by_arm.items() if entry.model}
        if len(set(tags.values())) > 1:
            told = ", ".join(f"{tag} of {label}" for label, tag in tags.items())
            notes.append(f"{name} bounds another model in each of these: {told}")
    for name, by_arm in estimates.items():
        notes += [
            f"{name} of {label} is not a bound, for {entry.not_a_bound}"
            for label, entry in by_arm.items()
            if entry.not_a_bound
        ]
    if any(entry.noisy for by_arm in estimates.values() for entry in by_arm.values()):
        notes.append(
            "noisy: too few of the weights count, so that a difference may be one of how loose the "
            "bounds are, and none is called better; raise eval.iwae_samples, or compare iwae_ode"
        )
    if alone := [arm.label for arm in compared if len(arm.runs) == 1]:
        other = "; beside a model with several it is assumed to vary as those do"
        notes.append(
            f"{', '.join(alone)}: one seed, so that its error leaves out the variation between "
            f"seeds{other if len(alone) < len(compared) else ''}"
        )
    if any(run.result["checkpoint"] != "best" for arm in compared for run in arm.runs):
        steps = {f"{arm.label}: {run.result['checkpoint']}" for arm in compared for run in arm.runs}
        notes.append(f"checkpoints: {', '.join(sorted(steps))}")
    counts = {run.result["num_examples"] for arm in compared for run in arm.runs}
    if len(counts) > 1:
        notes.append(f"only the first {min(counts):,} images, which all runs have in common")
    if num_differences > CHANCE:
        notes.append(
            f"of {num_differences} differences between equal models one in twenty would lie "
            "beyond two errors by chance"
        )
    if differ := measures.different_fid(compared):
        notes.append(f"FID is not comparable, for its {differ} differ")
    return notes


def _of_arm(arm: Arm) -> list[str]:
    """What holds of the runs of an arm."""
    notes = [
        f"{arm.label}: {said}"
        for run in arm.runs
        for said in (*report.doubts(run.result), *_unfinished(run))
    ]
    firsts = {run.record.settings.train.init_from for run in arm.runs} - {None}
    if firsts and len(firsts) < len(arm.runs):
        count = "one run" if len(firsts) == 1 else f"{len(firsts)} runs"
        notes.append(
            f"the {len(arm.runs)} seeds of {arm.label} begin from {count} (train.init_from), so "
            "that their errors leave out how first runs vary"
        )
    return notes


def _unfinished(run: Evaluated) -> list[str]:
    """What is missing of a run whose eval.json is compared: it may be of a shorter schedule."""
    path = run.path.parent / METRICS_FILE
    if run.path.name != RESULT or not path.exists():
        return []
    state = progress.state(run.record, run.result, read_metrics(path))
    return [] if state == "finished" else [f"{run.path.parent.name} is {state}"]
