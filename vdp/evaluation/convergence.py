"""Convergence reports: one quantity while the accuracy of its estimate grows, as eval.json has it.

What can be asked for by eval.convergence is a line of CONVERGENCE.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from vdp.data import core, datasets
from vdp.errors import UserError
from vdp.evaluation import doublings, fid_convergence
from vdp.evaluation.doublings import Material
from vdp.evaluation.resume import Unfinished
from vdp.metrics import fid
from vdp.run import Run
from vdp.types import Arrays, Generative, Model, Weighted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convergence:
    """What is done under one name of eval.convergence.

    Attributes:
      title: of table and picture.
      has: whether a model has it.
      measure: what is computed: {"rows": a list of {column: a number, an Estimate or None}, the
        most accurate last; "words": the result in a sentence; "converged": True, False, or None
        where it cannot be told}, and what else eval.json should hold. A row whose first column is
        None is the limit that the others approach; a number "extrapolated" is another one.
      columns: {key of a row: what it is called}: first what grows, then the quantity itself.
      num_examples: how many images, spread over the split, where eval.max_examples is 0.
      of: what is counted, "images" of the split or "samples" of the model.
    """

    title: str
    has: Callable[[Any], bool]
    measure: Callable[[Material], dict[str, Any]]
    columns: Mapping[str, str]
    num_examples: int
    of: str = "images"


CONVERGENCE: Mapping[str, Convergence] = {
    "iwae": Convergence(
        title="IWAE over the number of weights",
        has=lambda model: isinstance(model, Weighted),
        measure=doublings.iwae,
        columns={
            "k": "weights an image, K",
            "nats": "IWAE, nats",
            "rise": "rise from the K before, nats",
            "ess": "effective sample size",
        },
        num_examples=1000,
    ),
    "steps": Convergence(
        title="The bound over the diffusion's steps",
        has=doublings.has_steps,
        measure=doublings.steps,
        columns={
            "steps": "steps, T",
            "nats": "bound, nats",
            "above_limit": "above T=inf, nats",
            "iwae": f"IWAE of K={doublings.CHEAP_SAMPLES} at most, nats",
        },
        num_examples=256,
    ),
    "ode": Convergence(
        title="The probability flow over its solver's steps",
        has=doublings.has_steps,
        measure=doublings.ode,
        columns={
            "steps": "steps of the solver",
            "nats": "bound with the flow's density, nats",
            "above_finest": "above the finest, nats",
            "largest": "largest difference of one image, nats",
        },
        num_examples=256,
    ),
    "fid": Convergence(
        title="FID over the number of samples",
        has=lambda model: isinstance(model, Generative),
        measure=fid_convergence.report,
        columns={"num": "samples", "fid": "FID, mean of disjoint subsets"},
        num_examples=1,
        of="samples",
    ),
}


def check(names: Collection[str], model: Model) -> None:
    """Refuses names of eval.convergence that a model does not have.

    Raises:
      UserError: the message lists those that the model has.
    """
    there = [name for name, entry in CONVERGENCE.items() if entry.has(model)]
    if missing := [name for name in names if name not in there]:
        raise UserError(
            f"config.eval.convergence names {', '.join(missing)}, which is not there for this "
            f"model: there is {', '.join(there) or 'none'}"
        )


def measure(
    name: str,
    run: Run[Any],
    arrays: Arrays,
    dataset: datasets.Dataset,
    kept: Unfinished,
    features: fid.Features | None = None,
    samples: Callable[[], Float[np.ndarray, "n d"]] | None = None,
) -> dict[str, Any]:
    """The entry of eval.json's "convergence" under `name`: its measure, and "num_examples".

    Args:
      name: one of CONVERGENCE, which the run's model has.
      run: the checkpoint.
      arrays: (target, input, labels), of at most eval.max_examples images.
      dataset: of `run.settings.data`.
      kept: results to go on from.
      features: of FID, where they are there.
      samples: as of `Material`.

    Raises:
      UserError: a value is not finite.
    """
    chosen, num = CONVERGENCE[name], len(arrays[0])
    if not run.settings.eval.max_examples:
        num = min(num, chosen.num_examples)
    some = core.spread(len(arrays[0]), num)
    target, inputs, labels = (array[some] for array in arrays)
    seen = target, inputs, labels
    material = Material(
        run=run, arrays=seen, dataset=dataset, kept=kept, features=features, samples=samples
    )
    return {"num_examples": num, **chosen.measure(material)}
