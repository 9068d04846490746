"""Autoregressive flows: inverses and determinants, dependences of outputs on inputs, starts."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from starting import started

from vdp import build, draws
from vdp.checks.report import moved
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.nets import MADE, CausalTransformer
from vdp.priors.flow import FlowPrior
from vdp.priors.spline import Spline, num_raw

BOUND, BINS = 3.0, 5
TRANSFORMER = {"name": "CausalTransformer", "width": 8, "depth": 1, "heads": 2}
TARFLOW = {"name": "tarflow", "net": TRANSFORMER, "num_flows": 2}
SPLINE = {"name": "flow", "net": {"name": "MADE", "width": 8}, "num_flows": 2, "num_bins": BINS}
SPLINE |= {"transform": "spline", "tail_bound": BOUND}
AFFINE = {"name": "flow", "net": {"name": "MADE", "width": 8, "bounds": "narrow"}, "num_flows": 2}


@pytest.mark.parametrize(
    ("spec", "z_shape"), [(SPLINE, (3,)), (AFFINE, (3,)), (TARFLOW | {"patch_size": 2}, (2, 4, 1))]
)
def test_inverse_and_determinant(spec, z_shape):
    prior = build.build("prior", spec)
    z = 2 * draws.normal(jax.random.key(4), (6, *z_shape))  # some beyond the tails

    @jax.jit
    def everything(params):
        def flat(one):
            e, log_det = prior.forward(params, one[None])
            return e[0], (e[0], log_det[0])

        jacobians, (e, log_det) = jax.vmap(jax.jacfwd(flat, has_aux=True))(z)
        return e, log_det, prior.inverse(params, e), jacobians.reshape(6, z[0].size, -1)

    start = jax.jit(lambda rng: prior.init(rng, z_shape)[0])(jax.random.key(3))
    np.testing.assert_allclose(everything(start)[0], z, atol=2e-6)  # two reversals
    e, log_det, back, jacobians = everything(moved(start, jax.random.key(5)))
    assert np.abs(e - z).max() > 0.01
    np.testing.assert_allclose(back, z, atol=1e-5)
    exact = np.linalg.slogdet(np.asarray(jacobians, np.float64))[1]
    np.testing.assert_allclose(log_det, exact, atol=1e-5)
    assert np.abs(jacobians[:, 0, -1]).max() > 1e-5  # reversing lets every z reach every e


@pytest.mark.parametrize(
    ("bounds", "least", "most", "scale"), [("narrow", 0.9, 1.1, 2.0), ("wide", 0.9e4, 1.1e4, 5.0)]
)
def test_what_follows_from_large_latents_is_bounded(bounds, least, most, scale):
    net = MADE(width=8, bounds=bounds)
    params = moved(started(net, jax.random.key(0), jnp.zeros((1, 4))), jax.random.key(2))
    z = draws.normal(jax.random.key(1), (64, 4))
    shift = jax.jit(lambda z: jnp.abs(net.apply(params, z)[0]).mean())
    assert least < shift(1e8 * z) / shift(1e4 * z) < most
    steep = jax.tree.map(lambda leaf: 1e3 * leaf, params)
    assert jnp.abs(net.apply(steep, z)[1]).max() == pytest.approx(scale)


def test_what_a_transformer_says_of_a_token_follows_from_those_before_it():
    z = draws.normal(jax.random.key(1), (4, 3))
    seen = dependence(CausalTransformer(width=8, depth=1, heads=2), z)
    seen = seen.reshape(2, 4, 3, 4, 3).max((0, 2, 4))  # of tokens
    assert np.all(np.triu(seen) == 0)
    assert np.all(seen[np.tril_indices(4, -1)] > 0)


def test_the_numbers_of_a_spline_follow_from_what_is_before_them():
    z = draws.normal(jax.random.key(1), (4,))
    seen = dependence(MADE(width=8), z, 5)
    seen = seen.reshape(4, 5, 4).swapaxes(0, 1)
    assert np.all(np.triu(seen) == 0)
    assert np.all(seen[:, *np.tril_indices(4, -1)] > 0)


def dependence(net, z, *arguments):
    """Absolute derivatives of a network's outputs at z, with parameters away from their start."""

    start = started(net, jax.random.key(0), z[None], *arguments)

    @jax.jit
    def of():
        params = moved(start, jax.random.key(2))
        out = lambda z: jnp.stack(net.apply(params, z[None], *arguments))
        return jnp.abs(jax.jacfwd(out)(z))

    return of()


def spline(scale, shape=()):
    raw = scale * draws.normal(jax.random.key(0), (*shape, num_raw(BINS)))
    return Spline.of(raw, BOUND)


def test_a_spline_goes_through_its_knots_at_its_slopes():
    """And through the middle of a bin where the rational quadratic does."""
    one = spline(1.0)
    across = Spline(*(jnp.tile(leaf[None], (BINS + 1, 1)) for leaf in one))
    e, log_stretch = jax.jit(across.forward)(one.x)
    np.testing.assert_allclose(e, one.y, atol=1e-6)
    np.testing.assert_allclose(jnp.exp(-log_stretch), one.slope, rtol=1e-5)
    for knots in (one.x, one.y):
        assert np.all(np.diff(knots) > 0)
        np.testing.assert_array_equal(knots[jnp.array([0, -1])], [-BOUND, BOUND])
    (left, right), mean = (one.slope[:-1], one.slope[1:]), np.diff(one.y) / np.diff(one.x)
    middle = one.y[:-1] + np.diff(one.y) * (mean + left) / (2 * mean + left + right)
    within = Spline(*(leaf[:-1] for leaf in across))
    np.testing.assert_allclose(within.forward((one.x[1:] + one.x[:-1]) / 2)[0], middle, atol=5e-6)


def test_a_flat_bin_that_ends_steep_is_inverted_to_rounding():
    """Of the two forms of the quadratic's root the usual one loses four digits here."""
    knots = [0.0, 1.0, 2.0], [0.0, 1e-3, 2.0], [1.0, 5.0, 1.0]
    z = jnp.linspace(0.98, 0.99999, 50)
    one = Spline(*(jnp.tile(jnp.float32(knot), (50, 1)) for knot in knots))
    np.testing.assert_allclose(one.inverse(one.forward(z)[0]), z, atol=3e-6)
    slope = jax.grad(lambda e: one.inverse(e).sum())(one.forward(z)[0])
    np.testing.assert_allclose(jnp.log(slope), one.forward(z)[1], atol=1e-3)


def test_what_is_not_settled_yet_cannot_overflow():
    """Of z_d = e_d - e_{d-1} the passes would have binomial coefficients above what is settled."""
    size = 200

    class Sums(FlowPrior):
        def _map(self, params, index, sequence):
            before = sequence @ jnp.triu(jnp.ones((size, size)), 1)
            return types.SimpleNamespace(inverse=lambda e: e - before)

    flow = Sums(net=MADE(width=4), num_flows=1)
    e = draws.normal(jax.random.key(0), (3, size))
    expected = e - jnp.pad(e, ((0, 0), (1, 0)))[:, :-1]
    np.testing.assert_allclose(flow._invert({}, 0, e), expected, atol=1e-5)


def test_a_spline_is_the_identity_outside_and_joins_it_smoothly():
    near = np.float32([-BOUND - 1e-3, -BOUND, -BOUND + 1e-5, BOUND - 1e-5, BOUND, BOUND + 1e-3])
    z = jnp.concatenate([jnp.array([-100.0, -4.0, 7.0, 1e30]), near])
    one = spline(2.0, z.shape)
    e, log_stretch = jax.jit(one.forward)(z)
    outside = np.abs(z) >= BOUND
    np.testing.assert_array_equal(e[outside], z[outside])
    np.testing.assert_array_equal(one.inverse(z)[outside], z[outside])
    np.testing.assert_array_equal(log_stretch[outside], 0.0)
    np.testing.assert_allclose(e[~outside], z[~outside], atol=1e-6)
    np.testing.assert_allclose(log_stretch[~outside], 0.0, atol=2e-3)
    zero = Spline.of(jnp.zeros((*z.shape, num_raw(BINS))), BOUND)
    np.testing.assert_allclose(zero.forward(z)[0], z, rtol=1e-6)
    np.testing.assert_allclose(zero.forward(z)[1], 0.0, atol=1e-6)


def test_a_spline_of_any_numbers_has_finite_values_and_gradients():
    z = jnp.linspace(-2 * BOUND, 2 * BOUND, 41)
    raw = 200.0 * draws.normal(jax.random.key(0), (41, num_raw(BINS)))

    @jax.jit
    def everything(raw, z):
        total = lambda raw, z: sum(jnp.sum(leaf) for leaf in Spline.of(raw, BOUND).forward(z))
        e = Spline.of(raw, BOUND).forward(z)
        return e, Spline.of(raw, BOUND).inverse(e[0]), jax.grad(total, argnums=(0, 1))(raw, z)

    for leaf in jax.tree.leaves(everything(raw, z)):
        assert np.isfinite(leaf).all()
    slope = jax.vmap(jax.grad(lambda z, raw: Spline.of(raw, BOUND).forward(z)[0]))(z, raw / 200)
    log_stretch = Spline.of(raw / 200, BOUND).forward(z)[1]
    np.testing.assert_allclose(jnp.log(slope), -log_stretch, atol=1e-5)


def test_one_token_alone_attends_to_nothing():
    prior = build.build("prior", TARFLOW | {"token_size": 3})
    params, _ = jax.eval_shape(lambda: prior.init(jax.random.key(0), (1, 1, 3)))
    assert "Dense_0" in params["step_0"]["CausalBlock_0"]
    assert not [name for name in params["step_0"]["CausalBlock_0"] if "Attention" in name]


def test_what_does_not_divide_a_latent_is_refused():
    for fields, z_shape in (({"token_size": 3}, (4,)), ({"patch_size": 2}, (2, 3, 1))):
        prior = build.build("prior", TARFLOW | fields)
        with pytest.raises(UserError, match=r"does not divide .*choose one that does, such as 1"):
            started(prior, jax.random.key(0), z_shape)
    with pytest.raises(UserError, match="MADE has no field `decode`"):
        build.build("prior", TARFLOW | {"net": {"name": "MADE"}})
    thirds = build.build("prior", TARFLOW | {"net": TRANSFORMER | {"heads": 3}})
    with pytest.raises(UserError, match="width 8 is no multiple of heads 3"):
        thirds.init(jax.random.key(0), (4,))
    for wrong in ({"transform": "cubic"}, {"num_bins": 1}, {"tail_bound": 0.0}):
        with pytest.raises(UserError):
            build.build("prior", SPLINE | wrong)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "left"), [(SPLINE, 0.1), (TARFLOW, 0.6)], ids=["spline", "tarflow"]
)
def test_trained_on_a_mixture_it_beats_a_gaussian(spec, left):
    """Four Gaussians at the corners of a square; the best single one is 1.9 nats below them.

    `left` is the share of the 1.9 nats that may remain: three affine maps of two numbers separate
    the modes only in part, one spline does wholly.
    """
    corners = jnp.array([[1.5, 1.5], [1.5, -1.5], [-1.5, 1.5], [-1.5, -1.5]])
    wider = {"net": spec["net"] | {"width": 32}, "num_flows": 3}
    prior = build.build("prior", spec | wider)

    def draw(rng, num):
        choice, noise = jax.random.split(rng)
        index = jax.random.randint(choice, (num,), 0, 4)
        return corners[index] + 0.3 * draws.normal(noise, (num, 2))

    def exact(z):
        log_var = jnp.full((1, 2), 2 * np.log(0.3))
        each = jnp.stack([Normal(c[None], log_var).log_prob(z) for c in corners])
        return jax.nn.logsumexp(each, axis=0) - np.log(4)

    params, _ = started(prior, jax.random.key(0), (2,))
    optimizer = optax.adam(5e-3)
    total = lambda params, z: -prior.log_prob(params, {}, z).mean()

    @jax.jit
    def step(carry, rng):
        params, state = carry
        updates, state = optimizer.update(jax.grad(total)(params, draw(rng, 256)), state)
        return (optax.apply_updates(params, updates), state), None

    carry = params, optimizer.init(params)
    for rng in jax.random.split(jax.random.key(1), 800):
        carry, _ = step(carry, rng)
    z = draw(jax.random.key(2), 5000)
    gap = float((exact(z) - prior.log_prob(carry[0], {}, z)).mean())
    std = np.sqrt(1.5**2 + 0.3**2)
    gaussian = float((exact(z) - Normal(0 * z, 0 * z + 2 * np.log(std)).log_prob(z)).mean())
    assert gaussian > 1.5
    assert -0.01 < gap < left * gaussian
