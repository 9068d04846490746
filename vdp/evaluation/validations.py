"""Among which validations a checkpoint is the best: what the log of a training knows of it."""

import math
import pathlib

from vdp.metrics import score
from vdp.run import Run
from vdp.runtime.metric_log import METRICS_FILE, read_metrics, series
from vdp.types import Model


def among(run: Run[Model], workdir: pathlib.Path) -> dict[str, int] | None:
    """How many validations there were, {"num"}, and the step of the last, {"last_step"}.

    Where another one was better, as of a checkpoint that came later or is gone, its step stands
    under "better". None: unknown, or the best was not chosen.
    """
    shown, metrics = score.score_of(run.model), read_metrics(workdir / METRICS_FILE)
    if not shown.chooses:
        return None
    name = score.series_name(shown, metrics)
    scores = {step: shown.sign * value for step, value in series(metrics, f"eval/{name}")}
    if not scores:
        return None
    best = max(scores, key=scores.__getitem__)
    is_best = scores.get(run.step, -math.inf) >= scores[best]
    found = {"num": len(scores), "last_step": max(scores)}
    return found if is_best else found | {"better": best}
