"""A latent costs what its prior says: -log2 of the density, in bins; and comes back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from starting import moved, started

from vdp import build
from vdp.codec import priors
from vdp.codec.stack import Stack
from vdp.errors import UserError

pytest.importorskip("constriction")  # of the extra `codec`

SHAPE, NUM, LANES = (4,), 256, 64
MADE = {"name": "MADE", "width": 8, "depth": 1}
SPECS = {
    "flow": {"name": "flow", "net": MADE},
    "spline": {"name": "flow", "net": MADE, "transform": "spline", "num_bins": 4},
    "tarflow": {
        "name": "tarflow", "num_flows": 2, "token_size": 2,
        "net": {"name": "CausalTransformer", "width": 8, "depth": 1, "heads": 2},
    },
    "vdm": {
        "name": "vdm", "denoiser": {"name": "MLPDenoiser", "width": 8, "depth": 1},
        "schedule": {"name": "linear", "gamma_0": -4.0, "gamma_1": 4.0},
        "bound": "discrete", "num_steps": 3, "reverse": "learned",
    },
    "trajectory": {
        "name": "trajectory", "num_steps": 3,
        "net": {"name": "ConditionalMADE", "width": 8, "depth": 1},
        "schedule": {"name": "learned_scalar", "gamma_0": -2.0, "gamma_1": 4.0},
    },
}  # fmt: skip


FAST = ("flow", "vdm")


def value(prior, params, stats, z):
    """log p(z), or its bound as the mean of 200 paths."""
    if hasattr(prior, "log_prob"):
        return prior.log_prob(params, stats, z)
    one = lambda key: prior.log_prob_bound(params, stats, z, key).value
    return jax.vmap(one)(jax.random.split(jax.random.key(5), 200)).mean(0)


@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in SPECS if n not in FAST)]
)
def test_a_latent_costs_what_its_density_says(name):
    prior = build.build("prior", SPECS[name])
    params, stats = started(prior, jax.random.key(0), SHAPE)
    params = moved(params, scale=0.1 if name == "flow" else 0.05)
    z = prior.sample(params, stats, jax.random.key(2), NUM, z_shape=SHAPE)
    latent = priors.over(prior, params, stats, SHAPE, encode=None, finest=0.2, lanes=LANES, bins=4)
    k = np.rint(np.asarray(z) / latent.width).astype(np.int64)
    batches = k.reshape(-1, LANES, *SHAPE)
    stack = Stack()
    for batch in batches:
        latent.prior(LANES).push(stack, batch)
    on_grid = jnp.asarray(latent.values(k))
    density = jax.jit(lambda params: value(prior, params, stats, on_grid))(params)
    nats = -np.asarray(density, np.float64).sum() - k.size * np.log(latent.width)
    np.testing.assert_allclose(stack.bits, nats / np.log(2), rtol=5e-3)
    for batch in batches[::-1]:
        np.testing.assert_array_equal(latent.prior(LANES).pop(stack), batch)
    assert abs(stack.bits) < 1e-6


def test_a_prior_that_is_not_coded_is_refused():
    with pytest.raises(UserError, match="object cannot be coded: normal, mixture, vamp, flow"):
        priors.over(object(), {}, {}, SHAPE, encode=None, finest=0.2, lanes=2, bins=4)
