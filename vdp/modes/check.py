"""`--mode=check`: the laws of a config's components, tried without data and without training."""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vdp import build
from vdp.checks import (
    Report,
    check_likelihood,
    check_network,
    check_prior,
    contracts,
    outputs,
)
from vdp.checks.report import Verdict, tried
from vdp.data import datasets
from vdp.data.datasets import Facts
from vdp.errors import UserError
from vdp.runtime import parallel
from vdp.settings import Settings
from vdp.types import Model, OverPrior

NUM_IMAGES = 256  # random ones, for priors that start from data


def main(settings: Settings, workdir: pathlib.Path) -> None:
    """Prints a table of laws for every component of one's own, or where there is none for all.

    Args:
      settings: of a config, or of a run.
      workdir: not looked at.

    Raises:
      UserError: a law is broken, after everything was tried; or the config cannot be built.
    """
    facts = datasets.describe(settings.data)
    model = build.model(settings.model, facts)
    broken = []
    for report in reports(settings.model, model, facts, settings.seed):
        if parallel.is_writer():
            print(report, flush=True)
        broken += [f"{report.component}: {law.name}" for law in report.broken]
    if broken:
        laws = "law is" if len(broken) == 1 else "laws are"
        raise UserError(f"{len(broken)} {laws} broken: {'; '.join(broken)}")


def reports(spec: Mapping[str, Any], model: Model, facts: Facts, seed: int) -> Iterator[Report]:
    """The reports of a model's components, one after the other.

    Args:
      spec: of the model.
      model: built of it.
      facts: of the data.
      seed: of everything random.

    Raises:
      UserError: the model has no component whose laws are known.
    """
    every = list(contracts.parts(spec))
    calls, count = contracts.calls(model, facts.shape), 0
    if of_ones_own := "." in spec["name"]:
        unknown = "no law of a whole model is known: elbo and iwae of an evaluation are compared"
        laws = {"shapes and types": _shapes(outputs.of_model, model, facts.shape)}
        laws["its elbo is a bound"] = lambda: (None, unknown)
        yield tried(f"model {spec['name']} (config.model)", laws)
        count += 1
    for part in _chosen(every) or ([] if of_ones_own else every):
        component = part.of(model)
        how: dict[str, Any] = dict(name=str(part), seed=seed)
        if part.room == "prior" and isinstance(model, OverPrior):
            shape = (NUM_IMAGES, *facts.shape)
            images = np.random.default_rng(seed).integers(0, facts.input_levels, shape)
            how |= dict(x_shape=facts.shape, data=images.astype(np.uint8))
            yield check_prior(component, model.prior_shape(facts.shape), **how)
        elif part.room == "likelihood":
            yield check_likelihood(component, facts.shape, levels=facts.levels, **how)
        elif part.room == "pseudoinput" and part.outside:
            shapes = _shapes(outputs.of_pseudoinput, component, facts.shape)
            yield tried(str(part), {"shapes and types": shapes})
        elif call := calls.get(part.path) or calls.get(component):
            yield check_network(component, call.x_shape, call.out_shape, **how)
        else:
            continue
        count += 1
    if not count:
        raise UserError("this model has no prior, likelihood or network whose laws are known")


def _chosen(every: Sequence[contracts.Part]) -> list[contracts.Part]:
    """The parts from outside; in place of a schedule the prior whose laws it decides."""
    paths = [part.path for part in every if part.outside]
    tried_by = {path.removesuffix(".schedule") for path in paths}
    return [part for part in every if part.path in tried_by]


def _shapes(check: Callable[..., None], *arguments: Any) -> Callable[[], Verdict]:
    def law() -> Verdict:
        check(*arguments)
        return True, "as vdp.types has them"

    return law
