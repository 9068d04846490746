"""Whether a model and its data have what `eval` and `sample` ask for: said before anything runs."""

from collections.abc import Collection

from vdp import build
from vdp.data import datasets
from vdp.errors import UserError
from vdp.evaluation import convergence, estimators, features, ood, representation
from vdp.settings import Settings
from vdp.types import Arrays, Classifying, Generative, Model


def check(
    settings: Settings, model: Model, dataset: datasets.Dataset, *, known: Collection[str] = ()
) -> dict[str, Arrays]:
    """Refuses what cannot be estimated or drawn; returns what `ood.load` does.

    Args:
      settings: whose `eval` and `sample` say what is wanted.
      model: that is asked.
      dataset: of `settings.data`.
      known: estimators that a run of an older version has named, and that are left out.

    Raises:
      UserError: the model lacks an estimator, a report, a sampler's option or a bound, or the data
        labels, images or other data sets.
    """
    chosen = settings.eval
    estimators.check(set(chosen.estimators).difference(known), model)
    convergence.check(chosen.convergence, model)
    build.check_sampler(model, settings.sample.options())
    representation.check(settings, model, dataset)
    if isinstance(model, Classifying):
        for name in ("train", "validation"):
            if (dataset.splits[name].labels < 0).any():
                raise UserError(
                    f"{name} images of {settings.data.name} have no label, and a classifier needs "
                    "one of every image that it is trained or chosen by"
                )
    if chosen.wants_features and isinstance(model, Generative):
        features.check(settings, dataset)
    return ood.load(settings, dataset.facts, model)
