"""The convergence reports that are made by doubling: weights, steps of a chain, steps of a solver.

Rows are compared by differences of one image's numbers: those share the image, the posterior's
draw and, of the solver, all of the noise, so that they are known far better than the numbers are.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from vdp.data import datasets
from vdp.errors import UserError
from vdp.evaluation.estimators import enough_weights
from vdp.evaluation.resume import Unfinished
from vdp.metrics import convergence, fid, likelihood, score
from vdp.metrics.convergence import difference
from vdp.metrics.likelihood import mean_and_error
from vdp.priors.diffusion import DiffusionPrior
from vdp.run import Run
from vdp.runtime import parallel
from vdp.runtime.numbers import with_error
from vdp.runtime.progress import Progress
from vdp.types import Arrays, OverPrior, Reinterpretable

TOLERANCE = 0.05  # nats; converged where what is left plus twice its standard error is within it
MOST_STEPS = 256  # T at which doubling ends, where the run's own is not larger
STRATA = 64  # steps an image that are looked at, of more than that and than the run's own T
CHEAP_STEPS, CHEAP_SAMPLES = 32, 8  # the T up to which there is an IWAE too, and its K
COARSEST = 16  # the finest solver's steps over those of the coarsest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Material:
    """What a report is made of.

    Attributes:
      run: the checkpoint.
      arrays: (target, input, labels) of the report's images.
      dataset: of `run.settings.data`.
      kept: results to go on from.
      features: of FID, where they are there.
      samples: gives features of samples [N, D], drawn when they are first asked for.
    """

    run: Run[Any]
    arrays: Arrays
    dataset: datasets.Dataset
    kept: Unfinished
    features: fid.Features | None = None
    samples: Callable[[], Float[np.ndarray, "n d"]] | None = None

    def map(self, name: str, function: Callable, model: Any, **options: Any) -> dict[str, Any]:
        """What function(model, ...) of vdp.metrics gives for the images, {name: [N, ...]}.

        Args:
          name: of these numbers, which no others of these reports have.
          function: as of `Run.map`, like its options.
          model: with the run's parameters.
          options: static.

        Raises:
          UserError: a value is not finite.
        """
        total = len(self.arrays[0])
        how: Any = dict(kept=self.kept.rows(f"convergence-{name}"), **options)
        with Progress(f"convergence {name}", total, enabled=parallel.is_writer()) as progress:
            how["progress"] = progress.update
            found = self.run.map(function, self.arrays, model=model, **how)
        if not all(np.all(np.isfinite(values)) for values in found.values()):
            raise UserError(
                f"the numbers {name} of a convergence report are not finite: leave that report out "
                f"of eval.convergence, unless the checkpoint {self.run.step} diverged"
            )
        return found


def judged(left: likelihood.Estimate) -> tuple[bool | None, str]:
    """Whether what is left is within TOLERANCE, and that in words; None: it cannot be told."""
    size, error = abs(left["mean"]), left["se"]
    if error is not None and size + 2 * error <= TOLERANCE:
        return True, f"converged, to within {TOLERANCE} nats"
    if error is not None and size - 2 * error > 0 and size > TOLERANCE:
        return False, "not converged"
    return None, f"the images are too few to tell whether it is within {TOLERANCE} nats"


def in_nats(value: likelihood.Estimate, digits: int = 2) -> str:
    """An estimate in words, "0.12 ± 0.01", with more digits where two would hide the error."""
    error = value["se"]
    while error and error < 0.6 * 10**-digits and digits < 4:
        digits += 1
    return with_error(value["mean"], error, f".{digits}f")


def _away(difference: likelihood.Estimate, what: str) -> str:
    """How far something lies from `what`: "2.06 ± 0.54 nats below T=inf"."""
    side = "below" if difference["mean"] < 0 else "above"
    size: likelihood.Estimate = {**difference, "mean": abs(difference["mean"])}
    return f"{in_nats(size)} nats {side} {what}"


def iwae(material: Material) -> dict[str, Any]:
    """The IWAE over K = eval.iwae_samples and its halves, of one set of weights for each image."""
    chosen, model = material.run.settings.eval, material.run.model
    num = chosen.iwae_samples
    how = dict(num_samples=num, chunk=min(chosen.iwae_chunk, num))
    terms = material.map("iwae", convergence.iwae_terms, model, **how)
    counts, rows = convergence.counts(num), []
    before: np.ndarray | None = None
    rise: likelihood.Estimate | None = None
    for k, values, sizes in zip(counts, terms["value"].T, terms["ess"].T, strict=True):
        rise = None if before is None else difference(values, before)
        row = {"k": k, "nats": mean_and_error(values), "rise": rise}
        rows.append(row | {"ess": float(sizes.mean(dtype=np.float64))})
        before = values
    converged, words = None, "K=1 alone says nothing: raise eval.iwae_samples"
    if rise is not None:
        converged, verdict = judged(rise)
        words = f"from K={counts[-2]} to K={num} it rises by {in_nats(rise)} nats: {verdict}"
    doubt = enough_weights(terms["ess"][:, -1], num)
    if doubt["noisy"]:
        words += f"; noisy, too few weights count for {100 * doubt['ess_low']:.0f} % of the images"
    about = {"model": model.weight_model, **doubt}
    return {**about, "converged": converged, "words": words, "rows": rows}


def has_steps(model: Any) -> bool:
    """Whether a model has a diffusion prior, and stands for other numbers of its steps too."""
    return (
        isinstance(model, Reinterpretable)
        and isinstance(model, OverPrior)
        and isinstance(model.prior, DiffusionPrior)
    )


def _with_prior(model: Any, prior: DiffusionPrior) -> Any:
    return dataclasses.replace(model, prior=prior)


def steps(material: Material) -> dict[str, Any]:
    """The bound of T = 2, 4, 8, ... steps, of the run's own T, and of T=inf, which they approach.

    They are bounds on different models with the same parameters. Few steps have an IWAE too.
    """
    model, chosen = material.run.model, material.run.settings.eval
    own, samples = model.prior.num_steps, min(CHEAP_SAMPLES, chosen.iwae_samples)
    how = dict(num_samples=samples, chunk=min(chosen.iwae_chunk, samples))
    limit_model = _with_prior(model, dataclasses.replace(model.prior, bound="continuous"))
    limit = material.map("T=inf", score.flat_terms, limit_model)["value"]
    doubled = {2**i for i in range(1, MOST_STEPS.bit_length())}
    rows: list[dict[str, Any]] = []
    for num in sorted(doubled | {own}):
        chain = model.prior.discretized(num)
        if num > max(own, STRATA) and not chain.num_strata:
            chain = dataclasses.replace(chain, num_strata=STRATA)
        of_chain = _with_prior(model, chain)
        values = material.map(f"T={num}", score.flat_terms, of_chain)["value"]
        row = {"steps": num, "model": chain.weight_model, "nats": mean_and_error(values)}
        row |= {"above_limit": difference(values, limit), "iwae": None}
        if num <= CHEAP_STEPS:
            name = f"T={num}-K={samples}"
            weighted = material.map(name, likelihood.iwae_terms, of_chain, **how)
            doubt = enough_weights(weighted["ess"], samples)
            row["iwae"] = {**mean_and_error(weighted["value"]), **doubt}
        rows.append(row)
    of_own, last = (next(r for r in rows if r["steps"] == num) for num in (own, rows[-1]["steps"]))
    converged, verdict = judged(of_own["above_limit"])
    name = model.prior.discretized().weight_model
    words = f"{name}, the run's own, lies {_away(of_own['above_limit'], 'T=inf')}: {verdict}"
    if last is not of_own:
        words += f"; T={last['steps']} lies {_away(last['above_limit'], 'it')}"
    of_limit = dict(steps=None, model="T=inf", nats=mean_and_error(limit))
    rows.append({**of_limit, "above_limit": None, "iwae": None})
    about = {"own": own, "iwae_samples": samples, "note": limit_model.prior.note}
    return {**about, "converged": converged, "words": words, "rows": rows}


def ode(material: Material) -> dict[str, Any]:
    """The bound with the probability flow's density over the steps of its solver.

    The last row has twice the run's own steps, and all have the same noise.
    """
    model = material.run.model
    own = model.prior.ode_steps
    finer = _with_prior(model, dataclasses.replace(model.prior, ode_steps=2 * own))
    models = []
    coarser = 1
    while coarser <= min(COARSEST, 2 * own):
        models.append(finer.as_ode(coarser=coarser))
        coarser *= 2
    rows: list[dict[str, Any]] = []
    finest = None
    for of_flow in models:
        num = of_flow.prior.ode_steps
        values = material.map(f"ode-{num}", score.flat_terms, of_flow)["value"]
        row: dict[str, Any] = {"steps": num, "nats": mean_and_error(values)}
        finest = values if finest is None else finest
        if finest is not values:
            largest = float(np.max(np.abs(values - finest)))
            row |= {"above_finest": difference(values, finest), "largest": largest}
        rows.insert(0, {"above_finest": None, "largest": None} | row)
    of_own = next(row for row in rows if row["steps"] == own)
    converged, verdict = judged(of_own["above_finest"])
    words = (
        f"{own} steps, the run's own, lie {_away(of_own['above_finest'], f'{2 * own} steps')}, and "
        f"for no image further away than {of_own['largest']:.2g} nats: {verdict}"
    )
    return {"own": own, "converged": converged, "words": words, "rows": rows}
