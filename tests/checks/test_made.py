"""What makers from outside make is looked at at once, and named: schedules, networks, models."""

import copy
import sys
import types

import jax.numpy as jnp
import pytest

from vdp import build, config
from vdp.checks import check_likelihood, contracts, outputs
from vdp.data import datasets
from vdp.diffusion.schedules import Schedule, learned_monotone, linear
from vdp.errors import Fault, UserError
from vdp.likelihoods import discretized_logistic
from vdp.nets.mlp import MLP
from vdp.pseudoinputs.dct import make as dct


@pytest.fixture
def built(monkeypatch):
    """Builds a model of digits with what `mine_made.make` makes under one of its fields."""

    def build_with(path, made):
        module = types.ModuleType("mine_made")
        module.make = lambda: made
        monkeypatch.setitem(sys.modules, "mine_made", module)
        settings = config.settings("digits_vae:prior=vdm,smoke", [])
        spec = below = copy.deepcopy(dict(settings.model))
        *parents, last = path.split(".")
        for parent in parents:
            below = below[parent]
        below[last] = {"name": "mine_made.make"}
        return build.model(spec, datasets.describe(settings.data))

    return build_with


def a_schedule(gamma, ends=(-10.0, 6.0), most=-10.0):
    return Schedule(
        init=dict, gamma=lambda params, t: gamma(t), initial_range=ends, gamma_0_max=most
    )


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda t: t, "makes function where vdp.diffusion.schedules.Schedule is needed"),
        (a_schedule(lambda t: 6.0 - 16.0 * t), "gamma falls at t = 0, from 6 to 5.75"),
        (a_schedule(lambda t: -10 + 16 * t + jnp.sin(20 * t)), "gamma falls at t = "),
        (a_schedule(jnp.log), "gamma is not finite at t = 0"),
        (a_schedule(lambda t: jnp.zeros(3)), "the shape [3] for times [65]"),
        (a_schedule(lambda t: -8.0 + 14.0 * t), "from -8 to 6 where initial_range says -10 to 6"),
        (a_schedule(lambda t: -10.0 + 16.0 * t, most=-11.0), "lies above gamma_0_max = -11"),
    ],
)
def test_a_schedule_that_is_none_is_refused(built, made, says):
    with pytest.raises(UserError) as refused:
        built("prior.schedule", made)
    assert "schedule mine_made.make (config.model.prior.schedule): " in str(refused.value)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "made", [linear(), learned_monotone(gamma_0_max=-8.0), a_schedule(lambda t: 16.0 * t - 10.0)]
)
def test_a_schedule_is_taken(built, made):
    assert built("prior.schedule", made).prior.schedule is made


class NoTrain(MLP):
    def __call__(self, x, out_shape):
        return super().__call__(x, out_shape)


@pytest.mark.parametrize(
    ("made", "says"),
    [(NoTrain(), "NoTrain.__call__ has no argument train"), (dict(), "makes dict where a flax")],
)
def test_what_is_no_network_is_refused(built, made, says):
    with pytest.raises(UserError, match=r"encoder mine_made\.make \(config\.model\.encoder\)") as e:
        built("encoder", made)
    assert says in str(e.value)


def test_networks_of_wrong_shapes_are_named_with_their_field(built):
    class Wrong(MLP):
        def __call__(self, x, out_shape, *, train=False):
            return super().__call__(x, out_shape, train=train)[:, :4]

    with pytest.raises(UserError, match=r"network Wrong \(config\.model\.decoder\) gives"):
        built("decoder", Wrong())


class Pixels(discretized_logistic.make):
    """A location for every place, and a scale of it."""

    def init(self):
        return [jnp.zeros(()), jnp.ones((8, 8, 1))]

    def attach(self, params, features):
        return features * params[1][None] + params[0]


def test_parameters_of_a_likelihood_may_differ_by_place():
    made = Pixels(levels=5, scale="predicted")
    assert not check_likelihood(made, (8, 8, 1), levels=5).broken


def test_a_likelihood_without_what_it_says_of_itself_is_refused(built):
    made = types.SimpleNamespace(**{
        name: lambda *_: None
        for name in ("init", "num_features", "attach", "num_outputs", "log_prob", "sample", "mean")
    })  # fmt: skip
    with pytest.raises(UserError, match=r"has no attribute discrete, which vdp\.types\.Likelihood"):
        built("likelihood", made)


def prior_with(params, stats):
    from vdp.priors.normal import make as normal

    made = normal(learned=False)
    return types.SimpleNamespace(**{
        name: getattr(made, name) for name in dir(made) if not name.startswith("__")
    } | {"init": lambda *args, **kwargs: (params, stats)})  # fmt: skip


@pytest.mark.parametrize(
    ("params", "stats", "says"),
    [
        ({"m": jnp.zeros(2), "k": jnp.arange(3)}, {}, "int32 for the parameter k"),
        ({}, None, "init gives NoneType for stats"),
        ([jnp.zeros(2)], {}, "init gives list for params"),
    ],
)
def test_parameters_of_a_prior_are_named_floats(params, stats, says):
    with pytest.raises(UserError, match=says):
        outputs.of_prior(prior_with(params, stats), (4,), (8, 8, 1))


def test_a_pseudo_input_of_another_shape_is_refused():
    class Wrong(dct):
        def apply(self, params, stats, images):
            return images

    outputs.of_pseudoinput(dct(size=4, input_levels=17), (8, 8, 1))
    wrong = Wrong(size=4, input_levels=17)
    with pytest.raises(UserError, match=r"apply gives the shape \(3, 8, 8, 1\)"):
        outputs.of_pseudoinput(wrong, (8, 8, 1))


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (lambda loss, aux: loss, UserError, "loss gives"),
        (lambda loss, aux: (loss, {}), UserError, "loss gives dict where vdp.types.Aux"),
        (lambda loss, aux: (loss.mean(), aux), UserError, "the value of loss gives the shape ()"),
        (lambda loss, aux: (loss[:, None], aux), UserError, "the shape (3, 1)"),
        (lambda loss, aux: loss.nothing, Fault, "AttributeError"),
    ],
)
def test_a_model_whose_loss_is_none_is_named(change, kind, says):
    settings = config.settings("digits_vae:prior=normal,smoke", [])
    right = build.model(settings.model, datasets.describe(settings.data))
    loss = lambda *args, **kwargs: change(*right.loss(*args, **kwargs))
    wrong = types.SimpleNamespace(init=right.init, draw=right.draw, loss=loss)
    with pytest.raises(kind, match=r"^model mine_made\.make \(config\.model\)") as named:
        contracts.check(wrong, {"name": "mine_made.make"}, (8, 8, 1))
    assert says in str(named.value)
    contracts.check(right, {"name": "mine_made.make"}, (8, 8, 1))
