"""Whether a model and its data have what `eval` and `sample` ask for: said before anything runs."""

from collections.abc import Collection

from vdp import build
from vdp.data import datasets
from vdp.errors import UserError
from vdp.evaluation import convergence, estimators, features, ood, representation
from vdp.settings import Settings
from vdp.types import Arrays, Classifying, Fittable, Generative, Model


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
    fitted: Model = model
    if isinstance(model, Fittable):
        fitted = model.fitted(chosen.reverse, chosen.num_steps)
    if chosen.num_steps and fitted is model:
        raise UserError(
            f"eval.num_steps={chosen.num_steps} is of chains, and this model has none: leave it out"
        )
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
    others = ood.load(settings, dataset.facts, model)
    if others:
        split = dataset.splits[chosen.split].take(slice(chosen.max_examples or None))
        target, _ = datasets.fixed_images(split, dataset.facts, settings.data)
        ood.check_others(target, others)
    return others
