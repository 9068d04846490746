"""`:reference` against the published program: sizes, where training starts, its own estimator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dear import slow_but
from starting import started

from vdp import build, config
from vdp.data import datasets
from vdp.errors import UserError
from vdp.metrics import dvp_reference
from vdp.training import state
from vdp.types import Batch, Terms

PUBLISHED = {  # total, encoder, decoder, prior: Kuzina & Tomczak 2024 and its program
    "mnist_dvp:reference": (648_579, 123_712, 477_538, 47_329),
    "omniglot_dvp:reference": (1_298_563, 212_560, 846_866, 239_137),
    "cifar10_dvp:reference": (19_478_162, 3_054_592, 16_183_279, 240_291),
    "mnist_dvp:reference,ladder": (600_673, 123_712, 476_961, 0),
    "omniglot_dvp:reference,ladder": (1_058_425, 212_560, 845_865, 0),
}


def published_model(name):
    settings = config.settings(name)
    facts = datasets.describe(settings.data)
    return build.model(settings.model, facts), facts.shape


@pytest.mark.parametrize("name", slow_but(PUBLISHED, "mnist_dvp:reference"))
def test_parameters_are_the_published_ones_to_the_digit(name):
    model, shape = published_model(name)
    params, _ = jax.eval_shape(lambda: model.init(jax.random.key(0), shape))
    found = state.count_parameters(params)
    counts = tuple(found.get(role, 0) for role in ("total", "encoder", "decoder", "prior"))
    assert counts == PUBLISHED[name]
    if "ladder" not in name:
        noise = {"mnist": 49, "omniglot": 25, "cifar10": 147}[name.split("_")[0]]
        assert params["decoder"]["noise"].size == noise


@pytest.mark.slow
def test_the_reference_starts_where_the_published_program_does():
    """KL(u) = 1/2 (gamma_1 - gamma_0) D = 318.5 nats: the denoiser's output is zero."""
    model, shape = published_model("mnist_dvp:reference")
    images = jax.random.randint(jax.random.key(1), (64, *shape), 0, 256).astype(jnp.uint8)
    params, constants = jax.jit(lambda d: model.init(jax.random.key(0), shape, data=d))(images)
    u = model.code(params, constants, images[:32] / 255.0)
    np.testing.assert_allclose(u.log_var, -6.0)
    noise = model.prior.draw(jax.random.key(2), 32, (7, 7, 1), purpose="elbo")
    rate = jax.vmap(lambda k: model.prior.rate(params["prior"], {}, u, k)[1].value.mean())(
        jax.random.split(jax.random.key(3), 8)
    )
    assert abs(-float(rate.mean()) - 318.5) < 1.5
    assert noise.diffusion.t.shape == (32, 32)
    net = params["decoder"]["net"]
    for part in ("s_to_p", "s_to_q"):
        assert not net["scale_7"][part]["conv_3"]["kernel"].any()
        assert net["scale_7"][part]["skip"]["kernel"].std() > 0.05
    gain = net["scale_14"]["z_up"]["kernel"]
    assert jnp.abs(gain).max() <= 8**-0.5
    assert jnp.abs(net["scale_14"]["z_up"]["bias"]).max() > 0.5  # biases are not scaled


@pytest.mark.slow
def test_the_ladder_of_the_reference_starts_far_from_its_prior():
    """By their random skips: thousands of nats, 2e4 in the published run, the ratio of two
    variances and so heavy-tailed over seeds; a start at p = q would have none."""
    model, shape = published_model("mnist_dvp:reference")
    images = jax.random.randint(jax.random.key(1), (32, *shape), 0, 256).astype(jnp.uint8)
    batch = Batch(target=images // 128, input=images, label=jnp.zeros(32, jnp.int32))

    @jax.jit
    def ladder(seed):
        params, constants = started(model, jax.random.key(seed), shape, data=images)
        terms = model.elbo(params, constants, batch, jax.random.key(5))
        return -sum(terms.parts[f"z_{level}"].mean() for level in range(1, 9))

    found = [float(ladder(seed)) for seed in range(12)]
    assert min(found) > 300
    assert 1e3 < np.median(found) < 2e4
    assert 1e4 < max(found) < 1e5


def test_the_published_estimator_takes_right_ends_and_one_draw_of_each_end():
    """Its value is the bound at t = 1/T..1, plus what a draw adds to the two closed forms."""
    model, shape = published_model("mnist_dvp:reference")
    reference = dvp_reference.ReferenceTerms(model)
    seen = {}

    class Recorder:
        prior, over_code, merged = model.prior, True, False
        draw = staticmethod(model.draw)

        def elbo(self, params, stats, batch, rng, *, noise):
            seen.update(prior=noise.prior)
            return Terms.of(nothing=jnp.zeros(len(batch.target)))

    reference.model = Recorder()
    images = jnp.zeros((4000, *shape), jnp.uint8)
    batch = Batch(target=images, input=images, label=jnp.zeros(4000, jnp.int32))
    added = jax.jit(lambda k: (reference.log_weight({}, {}, batch, k), dict(seen)))
    value, noise = added(jax.random.key(0))
    times, z = noise["prior"].diffusion, noise["prior"].z
    np.testing.assert_allclose(times.t[0], np.arange(1, 26) / 25, rtol=1e-6)
    assert times.eps.shape == (4000, 25, 7, 7, 1)
    code = 0.5 * (np.square(z).reshape(4000, -1) - 1).sum(1)
    rest = np.asarray(value - code)  # -1/2 sum(eps_0^2 - 1): mean 0, variance D/2
    assert abs(rest.mean()) < 5 * rest.std() / np.sqrt(4000)
    np.testing.assert_allclose(rest.var(), 49 / 2, rtol=0.1)
    assert abs(np.corrcoef(rest, code)[0, 1]) < 0.06
    drawn = reference.draw(jax.random.key(0), batch)
    ends = 0.5 * (np.square(drawn.end).reshape(4000, -1) - 1).sum(1)
    np.testing.assert_allclose(rest, -ends, atol=1e-3)
    given = reference.log_weight({}, {}, batch, jax.random.key(1), noise=drawn)
    np.testing.assert_allclose(given, value, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="ReferenceNoise, not of HierarchyNoise"):
        reference.log_weight({}, {}, batch, jax.random.key(1), noise=drawn.model)
