"""Components with one fault each: the law that says so, and no other line of a right one."""

import jax
import jax.numpy as jnp
import pytest

from vdp.checks import check_likelihood, check_network, check_prior
from vdp.dists import Normal, sum_nonbatch
from vdp.errors import UserError
from vdp.likelihoods.categorical import Categorical
from vdp.nets import MLP
from vdp.priors import DensityPrior
from vdp.types import Terms

pytestmark = pytest.mark.usefixtures("broadcasting")

Z_SHAPE = (6,)


class Right(DensityPrior):
    """A Gaussian with a learned mean and scale."""

    def init(self, rng, z_shape, *, x_shape=None, data=None):
        return {"mean": jnp.zeros(z_shape), "log_var": jnp.full(z_shape, 0.4)}, {}

    def log_prob(self, params, stats, z, encode=None):
        mean, log_var = (jnp.broadcast_to(params[k], z.shape) for k in ("mean", "log_var"))
        return Normal(mean, log_var).log_prob(z)

    def sample(self, params, stats, rng, num, *, z_shape, encode=None, **kwargs):
        noise = jax.random.normal(rng, (num, *z_shape))
        return params["mean"] + jnp.exp(0.5 * params["log_var"]) * noise


class NoNormaliser(Right):
    def log_prob(self, *args, **kwargs):
        return super().log_prob(*args, **kwargs) + 0.3


class WideSampler(Right):
    def sample(self, params, *args, **kwargs):
        return super().sample(params | {"log_var": params["log_var"] + 0.3}, *args, **kwargs)


class OneColumn(Right):
    def log_prob(self, *args, **kwargs):
        return super().log_prob(*args, **kwargs)[:, None]


class WholeBatch(Right):
    def log_prob(self, params, stats, z, encode=None):
        value = super().log_prob(params, stats, z)
        return value + z.mean() - z.mean(axis=tuple(range(1, z.ndim)))


class SilentScale(Right):
    def log_prob(self, params, *args, **kwargs):
        log_var = jax.lax.stop_gradient(params["log_var"])
        return super().log_prob(params | {"log_var": log_var}, *args, **kwargs)


class NoGradient(Right):
    def log_prob(self, params, stats, z, encode=None):
        return super().log_prob(params, stats, z) + 0 * jnp.sqrt(0 * sum_nonbatch(z))


class LostPart(Right):
    def rate(self, *args, **kwargs):
        z, terms = super().rate(*args, **kwargs)
        return z, Terms(value=terms.value - 1, parts=terms.parts)


class OtherSign(Right):
    def rate(self, *args, **kwargs):
        z, terms = super().rate(*args, **kwargs)
        return z, Terms.of(**{name: -part for name, part in terms.parts.items()})


class OtherNoise(Right):
    def rate(self, *args, noise=None, **kwargs):
        return super().rate(*args, noise=noise and noise.replace(z=-noise.z), **kwargs)


PRIORS = {
    NoNormaliser: {"the density integrates to one"},
    WideSampler: {"samples have the density's moments", "samples follow the slopes of the density"},
    OneColumn: {"shapes and types"},
    WholeBatch: {"no example of a batch influences another"},
    SilentScale: {"gradients are finite and reach every parameter"},
    NoGradient: {"gradients are finite and reach every parameter"},
    LostPart: {
        "the value is the sum of its parts, finite",
        "the mean weight is minus the mean rate",
    },
    OtherSign: {"the mean weight is minus the mean rate"},
    OtherNoise: {"noise given is the noise drawn"},
}


def test_a_right_prior_breaks_no_law():
    report = check_prior(Right(), Z_SHAPE, name="right")
    assert not report.broken, report
    assert all(law.held for law in report.laws), report
    report.require()


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: prior.__name__)
def test_a_wrong_prior_breaks_its_law(prior):
    report = check_prior(prior(), Z_SHAPE, name="mine.make")
    broken = {law.name for law in report.broken}
    assert PRIORS[prior] <= broken, report
    with pytest.raises(UserError, match=r"mine\.make breaks"):
        report.require()


class Doubled(Categorical):
    def log_prob(self, outputs, target):
        return super().log_prob(outputs, target) * 0.5


class Shifted(Categorical):
    def sample(self, outputs, rng):
        drawn = super().sample(outputs, rng)
        return jnp.minimum(drawn + 1, self.levels - 1).astype(drawn.dtype)


class TopLevel(Categorical):
    def sample(self, outputs, rng):
        return super().sample(outputs, rng) + jnp.uint8(1)


LIKELIHOODS = {
    Categorical: set(),
    Doubled: {"masses over all levels sum to one"},
    Shifted: {"samples have these masses", "the mean is that of the samples"},
    TopLevel: {"samples are levels"},
}


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=lambda cls: cls.__name__)
def test_likelihoods_break_their_laws(likelihood):
    report = check_likelihood(likelihood(levels=5, scale="predicted"), (2, 2, 1), levels=5)
    broken = {law.name for law in report.broken}
    assert LIKELIHOODS[likelihood] <= broken, report
    assert bool(broken) == bool(LIKELIHOODS[likelihood]), report


@pytest.mark.parametrize("likelihood", [Categorical, Shifted], ids=lambda cls: cls.__name__)
def test_values_of_three_channels_are_all_rare_and_still_told_apart(likelihood):
    """20^3 values, of which most are drawn too rarely to be counted by themselves."""
    made = likelihood(levels=20, scale="predicted")
    report = check_likelihood(made, (1, 1, 3), levels=20)
    verdict = {law.name: law.held for law in report.laws}["samples have these masses"]
    assert verdict == (likelihood is Categorical), report


class OverTheBatch(MLP):
    def __call__(self, x, out_shape, *, train=False):
        return super().__call__(x - x.mean(0), out_shape, train=train)


class Half(MLP):
    def __call__(self, x, out_shape, *, train=False):
        return super().__call__(x, out_shape, train=train).astype(jnp.bfloat16)


NETWORKS = {
    MLP: set(),
    OverTheBatch: {"no example of a batch influences another"},
    Half: {"shapes and types"},
}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda cls: cls.__name__)
def test_networks_break_their_laws(network):
    report = check_network(network(width=8), (4, 4, 1), (2, 3))
    assert {law.name for law in report.broken} == NETWORKS[network], report
