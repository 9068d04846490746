"""Diffusion in pixel space: known entropies, masses that sum to one, and the latent code path."""

import dataclasses
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from starting import moved, started

from vdp import build, draws
from vdp.diffusion import process
from vdp.dists import Normal
from vdp.nets import MLPDenoiser, UNetDenoiser
from vdp.types import Batch

IMAGES = np.array([[0, 3, 1, 2], [3, 3, 0, 0], [1, 1, 1, 1], [0, 0, 3, 2]], np.uint8)
MASSES = np.array([0.5, 0.25, 0.15, 0.1])
ENTROPY = -np.sum(MASSES * np.log(MASSES))
SHAPE, LEVELS = (2, 2, 1), 4
ENDS = {
    "vdm": dict(likelihood=dict(name="categorical"), location="noisy"),
    "ddpm": dict(likelihood=dict(name="discretized_normal"), location="denoised"),
}


class Oracle(nn.Module):
    """E[eps | y] for data that is one of a few known images: no network can do better."""

    codes: tuple
    ends: tuple[float, float]

    def __call__(self, y, time, *, train=False):
        gamma = self.ends[0] + time / 1000 * (self.ends[1] - self.ends[0])
        codes = jnp.asarray(self.codes).reshape(-1, *y.shape[1:])
        wide = process.expand(gamma, y)
        mean, log_var = process.alpha(wide), -jax.nn.softplus(-wide)
        of_code = jax.vmap(lambda c: Normal(mean * c[None], log_var + 0 * y).log_prob(y))(codes)
        weights = jax.nn.softmax(of_code + jnp.log(MASSES)[:, None], axis=0)
        z_hat = jnp.tensordot(weights, codes, axes=(0, 0))
        return (y - mean * z_hat) / process.sigma(wide)


class Bent(nn.Module):
    """A denoiser of N(0, 0.6^2) that is wrong in a smooth way; it has nothing to learn."""

    ends: tuple[float, float]

    def __call__(self, y, time, *, train=False):
        gamma = self.ends[0] + time / 1000 * (self.ends[1] - self.ends[0])
        gamma = process.expand(gamma, y)
        alpha, sigma = process.alpha(gamma), process.sigma(gamma)
        return sigma * y / (0.36 * alpha**2 + sigma**2) + 0.1 * jnp.sin(3 * y + 0.5)


def model(kind, denoiser=None, *, levels=LEVELS, end=None, **prior):
    table = {"betas": "linear"} if kind == "ddpm" else {"schedule": {"name": "linear"}}
    spec = dict(name=kind, form="merged", parameterization="eps", denoiser=dict(name="MLPDenoiser"))
    spec = dict(name="pixel", prior=spec | table | prior, **ENDS[kind] | (end or {}))
    built = build.build("model", spec, levels=levels, input_levels=levels)
    if denoiser is None:
        return built
    return dataclasses.replace(built, prior=dataclasses.replace(built.prior, denoiser=denoiser))


def batch_of(images, shape=SHAPE):
    images = jnp.asarray(images, jnp.uint8).reshape(-1, *shape)
    return Batch(target=images, input=images, label=jnp.zeros(len(images), jnp.int32))


def oracle_model(kind, **prior):
    blind = model(kind, **prior)
    codes = blind.likelihood.position(jnp.asarray(IMAGES))
    ends = blind.prior.schedule.initial_range
    codes = tuple(map(tuple, np.asarray(codes).tolist()))
    return dataclasses.replace(
        blind, prior=dataclasses.replace(blind.prior, denoiser=Oracle(codes, ends))
    )


@pytest.mark.parametrize(
    ("kind", "repeats", "gap", "prior"),
    [
        ("vdm", 2000, 0.0, {"schedule": {"name": "linear", "gamma_0": -9.0, "gamma_1": 9.0}}),
        ("ddpm", 200, 0.05, {"num_steps": 1000}),
        ("ddpm", 4000, 0.05, {"num_steps": 1000, "num_strata": 50}),
        ("ddpm", 1000, None, {"num_steps": 10}),
    ],
)
def test_the_bound_of_the_best_denoiser_is_the_entropy(kind, repeats, gap, prior):
    """In continuous time up to its ends, in many steps closely from above, in few from above."""
    best = oracle_model(kind, sequential=True, **prior)
    params, stats = started(best, jax.random.key(0), SHAPE)
    elbo = jax.jit(lambda b, rng: best.elbo(params, stats, b, rng))
    terms = elbo(batch_of(np.repeat(IMAGES, repeats, axis=0)), jax.random.key(1))
    np.testing.assert_allclose(sum(terms.parts.values()), terms.value, rtol=1e-5)
    each = -terms.value.reshape(len(IMAGES), repeats)
    found = np.sum(MASSES * each.mean(1))
    error = np.sqrt(np.sum(MASSES**2 * each.var(1) / repeats))
    if gap is None:
        assert found > ENTROPY + max(0.1, 5 * error)
    else:
        assert error < 0.05
        assert ENTROPY - 4 * error < found < ENTROPY + gap + 4 * error


@pytest.mark.parametrize("kind", ["vdm", "ddpm", "ode"])
def test_the_masses_of_all_images_sum_to_one(kind):
    """E[sum_x w(x)] = sum_x p(x): any factor, sign or missing term shows."""
    schedule = {"schedule": {"name": "linear", "gamma_0": -2.0, "gamma_1": 3.0}}
    end = ENDS["ddpm" if kind == "ddpm" else "vdm"]
    wrong = model("vdm", Bent((-2.0, 3.0)), levels=3, end=end, num_steps=5, **schedule)
    wrong = wrong.as_ode() if kind == "ode" else wrong
    params, stats = started(wrong, jax.random.key(0), (1, 2, 1))
    images = np.array(list(itertools.product(range(3), repeat=2)), np.uint8)
    repeats = 2000 if kind == "ode" else 20_000
    weigh = jax.jit(lambda b, rng: wrong.log_weight(params, stats, b, rng))
    images = np.repeat(images, repeats, axis=0)
    weights = np.exp(weigh(batch_of(images, (1, 2, 1)), jax.random.key(2)), dtype=np.float64)
    weights = weights.reshape(9, repeats)
    error = np.sqrt(np.sum(weights.var(1) / repeats))
    assert error < 0.03
    np.testing.assert_allclose(weights.mean(1).sum(), 1.0, atol=4 * error)


class Same(nn.Module):
    """An encoder that returns its input, a decoder that returns its latent."""

    @nn.compact
    def __call__(self, x, out_shape, *, train=False):
        return x.reshape(len(x), *out_shape)


def test_pixels_and_latents_share_one_code_path():
    """A VAE whose latent is the image itself has the same bound, weight and gradient."""
    prior = {"num_steps": 5, "schedule": {"name": "linear", "gamma_0": -4.0, "gamma_1": 4.0}}
    pixel = model("vdm", end=dict(likelihood=dict(name="discretized_normal")), **prior)
    spec = dict(
        name="vae",
        encoder=dict(name="MLP"),
        decoder=dict(name="MLP"),
        latent_shape=SHAPE,
        likelihood=dict(name="discretized_normal", scale=float(np.exp(-2.0))),
        prior=dict(name="normal"),
    )
    vae = build.build("model", spec, levels=LEVELS, input_levels=LEVELS)
    vae = dataclasses.replace(vae, encoder=Same(), decoder=Same(), prior=pixel.prior)
    params, stats = started(pixel, jax.random.key(0), SHAPE)
    params = jax.tree.map(lambda x: x + 0.1, params)
    theirs, their_stats = started(vae, jax.random.key(0), SHAPE)
    theirs |= params
    batch = batch_of(IMAGES)
    rng = jax.random.key(6)
    for purpose in ("elbo", "weight", "loss"):
        noise = pixel.draw(jax.random.key(5), batch, purpose=purpose)
        if purpose == "weight":
            found = pixel.log_weight(params, stats, batch, rng, noise=noise)
            expected = vae.log_weight(theirs, their_stats, batch, rng, noise=noise)
            np.testing.assert_allclose(found, expected, rtol=1e-5)
            continue
        options = dict(step=0, train=purpose == "loss", noise=noise)
        of = lambda m, s, p, o=options: m.loss(p, s, batch, rng, **o)[0].sum()
        ours = jax.value_and_grad(lambda p, of=of: of(pixel, stats, p))
        other = jax.value_and_grad(lambda p, of=of: of(vae, their_stats, theirs | p))
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-4)
        jax.tree.map(close, jax.jit(ours)(params), jax.jit(other)(params))


@pytest.mark.slow
def test_equal_weights_train_the_denoiser_alone_and_report_the_bound():
    net = MLPDenoiser(width=8, depth=1)
    simple = model("ddpm", net, num_steps=10, weights="simple")
    params, stats = started(simple, jax.random.key(0), SHAPE)
    params = jax.tree.map(lambda x: x + 0.1, params)
    batch = batch_of(IMAGES)
    noise = simple.draw(jax.random.key(1), batch, purpose="loss")

    def error(params):
        gamma = simple.prior.schedule.gamma({}, (1 + jnp.floor(10 * noise.diffusion.t[:, 0])) / 10)
        code = simple.likelihood.position(batch.target)
        eps = noise.diffusion.eps[:, 0]
        y = process.diffuse(code, gamma, eps)
        return jnp.square(eps - simple.prior.eps_fn(params["prior"])(y, gamma)).sum()

    given = dict(step=0, train=True, noise=noise)

    def loss(params):
        value, aux = simple.loss(params, stats, batch, jax.random.key(2), **given)
        return value.sum(), aux.terms.value

    found, value = jax.grad(loss, has_aux=True)(params)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    jax.tree.map(close, found, jax.grad(error)(params))
    full = model("ddpm", net, num_steps=10, weights="bound")
    bound = -full.loss(params, stats, batch, jax.random.key(2), **given)[0]
    np.testing.assert_allclose(value, bound, rtol=1e-5)


def test_equal_weights_leave_a_learned_schedule_the_gradient_of_the_bound():
    of = {"schedule": {"name": "learned_scalar", "gamma_0": -4.0, "gamma_1": 4.0}}
    net, batch = MLPDenoiser(width=8, depth=1), batch_of(IMAGES)
    bound, simple = (model("vdm", net, weights=w, **of) for w in ("bound", "simple"))
    params, stats = started(bound, jax.random.key(0), SHAPE)
    given = dict(step=0, train=True, noise=bound.draw(jax.random.key(1), batch))
    loss = lambda p, m: m.loss(p, stats, batch, jax.random.key(2), **given)[0].sum()
    true, found = (jax.grad(loss)(moved(params), m)["prior"] for m in (bound, simple))
    for name, by in true["schedule"].items():
        np.testing.assert_allclose(found["schedule"][name], by, rtol=1e-4)
    assert abs(optax.tree.norm(found["denoiser"]) / optax.tree.norm(true["denoiser"]) - 1) > 0.1


def test_the_categorical_end_is_the_softmax_of_the_noise_it_was_made_with():
    vdm = model("vdm", schedule={"name": "linear", "gamma_0": -3.0, "gamma_1": 5.0})
    params, _ = started(vdm, jax.random.key(0), SHAPE)
    z = draws.normal(jax.random.key(1), (4, *SHAPE))
    values = 2 * (np.arange(LEVELS) + 0.5) / LEVELS - 1
    logits = -((np.asarray(z)[..., None] - values) ** 2) / (2 * np.exp(-3.0))
    log_masses = np.asarray(jax.nn.log_softmax(logits))
    target = IMAGES.reshape(-1, *SHAPE)
    expected = np.take_along_axis(log_masses, target[..., None].astype(int), -1).reshape(4, -1)
    found = vdm.likelihood.log_prob(vdm.outputs(params, z), jnp.asarray(target))
    np.testing.assert_allclose(found, expected.sum(1), rtol=1e-5)


@pytest.mark.parametrize("kind", ["vdm", "ddpm"])
def test_samples_and_pictures_of_latents(kind):
    best = oracle_model(kind, num_steps=100)
    params, stats = started(best, jax.random.key(0), SHAPE)
    draw = jax.jit(lambda rng: best.sample(params, stats, rng, 400, x_shape=SHAPE, mean=False))
    levels = np.rint(draw(jax.random.key(1)) * (LEVELS - 1)).astype(int).reshape(400, 4)
    shares = [(levels == image).all(1).mean() for image in IMAGES]
    np.testing.assert_allclose(shares, MASSES, atol=0.12)
    codes = best.likelihood.position(jnp.asarray(IMAGES).reshape(-1, *SHAPE))
    shown = best.prior_images(params, stats, codes, SHAPE)
    np.testing.assert_allclose(shown, IMAGES.reshape(-1, *SHAPE) / (LEVELS - 1), atol=1e-6)


@pytest.mark.parametrize(
    ("end", "prior", "says"),
    [
        ({}, {"form": "separate"}, "merged"),
        ({"likelihood": dict(name="normal")}, {}, "categorical"),
        ({"likelihood": dict(name="logistic_mixture")}, {}, "categorical"),
        ({"location": "clean"}, {}, "accepted: denoised, noisy"),
        ({"dequantization": "none"}, {}, "accepted: uniform, variational"),
    ],
)
def test_what_cannot_be_is_refused(end, prior, says):
    with pytest.raises(build.UserError, match=says):
        model("vdm", end=end, **prior)


@pytest.mark.slow
def test_the_unet_of_several_resolutions_and_of_fourier_features():
    y, time = draws.normal(jax.random.key(0), (2, 8, 8, 1)), jnp.array([10.0, 900.0])
    fields = dict(
        width=8, depth=1, multipliers=(1, 2), attention=(4,), fourier=(1,), add_input=True
    )
    net = UNetDenoiser(**fields)
    params = jax.jit(net.init)(jax.random.key(1), y, time)
    assert params["params"]["Conv_0"]["kernel"].shape == (3, 3, 3, 8)  # y, its sine, its cosine
    np.testing.assert_array_equal(jax.jit(net.apply)(params, y, time), y)
    with pytest.raises(ValueError, match="divisible by 2"):
        started(net, jax.random.key(1), jnp.zeros((1, 7, 7, 1)), time[:1])


@pytest.mark.slow
def test_the_unet_computed_again_has_the_same_parameters_and_gradient():
    y, time = draws.normal(jax.random.key(0), (2, 8, 8, 1)), jnp.array([10.0, 900.0])
    plain, again = (UNetDenoiser(width=8, depth=1, remat=remat) for remat in (False, True))
    params = jax.tree.map(lambda x: x + 0.05, jax.jit(plain.init)(jax.random.key(1), y, time))
    total = lambda net: lambda p: jnp.square(net.apply(p, y, time)).sum()
    gradient = lambda net: jax.jit(jax.grad(total(net)))(params)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    jax.tree.map(close, gradient(plain), gradient(again))
