"""Both modes of differentiation through every network, and through the convolution of our own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import nets
from vdp.nets import same_conv

IMAGES, SCALES = (2, 8, 8, 3), ((4, 1, 2), (2, 1, 2))


def normal(seed, shape):
    return jax.random.normal(jax.random.key(seed), shape)


def ladder_arguments():
    """Those of a LadderDecoder that draws every latent from q."""

    def latent(p, q, noise, top):
        z = q[0] + noise * jnp.exp(0.5 * q[1])
        return z, {"p": p, "q": q}

    scales = SCALES[::-1]
    features = [normal(i, (2, height, height, 4)) for i, (height, _, _) in enumerate(scales)]
    noise = [normal(i, (num, 2, height, height, c)) for i, (height, num, c) in enumerate(scales)]
    return latent, features, [None, None], noise, scales, (8, 8, 3)


BODY = dict(width=4, hidden=4)
CASES = {  # network, arguments
    "MADE": (nets.MADE(width=8), (normal(0, (2, 5)),)),
    "CausalTransformer": (
        nets.CausalTransformer(width=8, depth=1, heads=2),
        (normal(0, (2, 3, 2)),),
    ),
    "ConditionalMADE": (
        nets.ConditionalMADE(width=8),
        (normal(0, (2, 5)), normal(1, (2, 5)), jnp.array([9.0, 900.0])),
    ),
    "MLP": (nets.MLP(width=8), (normal(0, (2, 5)), (3,))),
    "FeedForward": (nets.FeedForward(widths=(8,)), (normal(0, (2, 5)), (3,))),
    "ConvEncoder": (nets.ConvEncoder(channels=(4, 4), hidden=8), (normal(0, IMAGES), (2, 3))),
    "ConvDecoder": (nets.ConvDecoder(channels=(4, 4), hidden=8), (normal(0, (2, 5)), IMAGES[1:])),
    "DCGANEncoder": (nets.DCGANEncoder(channels=(4, 4)), (normal(0, IMAGES), (2, 3))),
    "DCGANDecoder": (nets.DCGANDecoder(channels=(4, 4)), (normal(0, (2, 5)), IMAGES[1:])),
    "LadderEncoder": (nets.LadderEncoder(blocks=1, **BODY), (normal(0, IMAGES), SCALES)),
    "LadderDecoder": (nets.LadderDecoder(zero="none", **BODY), ladder_arguments()),
    "MLPDenoiser": (nets.MLPDenoiser(width=8), (normal(0, (2, 5)), jnp.array([9.0, 900.0]))),
    "UNetDenoiser": (
        nets.UNetDenoiser(width=4, depth=1),
        (normal(0, (2, 4, 4, 1)), jnp.array([9.0, 900.0])),
    ),
}
OURS = ["LadderEncoder", "LadderDecoder", "UNetDenoiser"]  # those with convolutions of our own


def moved(tree, seed):
    """Normal numbers for every leaf: networks start at zero, where most derivatives vanish."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: 0.3 * rng.standard_normal(x.shape, np.float32), tree)


def bound(name):
    """(function of the parameters and of the arguments that are arrays, these)."""
    net, arguments = CASES[name]
    first = 1 if callable(arguments[0]) else 0
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), *arguments))
    params = moved(variables.pop("params"), 10)
    stats = jax.tree.map(lambda x: jnp.ones(x.shape), variables)

    def function(params, x):
        given = (*arguments[:first], x, *arguments[first + 1 :])
        return net.apply({"params": params, **stats}, *given)

    return function, (params, arguments[first])


def dot(a, b):
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def assert_close(found, expected, rtol=1e-5):
    """Up to rounding, which is relative to the largest number of each leaf."""
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max(initial=1e-3))


DEAR = {"LadderDecoder", "UNetDenoiser"}  # the encoder has the same convolutions
slow = lambda name: pytest.param(name, marks=pytest.mark.slow) if name in DEAR else name


@pytest.mark.parametrize("name", [slow(name) for name in nets.__all__])
def test_forward_mode_is_the_adjoint_of_reverse_mode(name):
    """<v, J w> = <J^T v, w>, by the parameters and by the input."""
    function, primals = bound(name)
    w, v = moved(primals, 100), moved(jax.eval_shape(function, *primals), 200)

    @jax.jit
    def both(*primals):
        output, along = jax.jvp(function, primals, w)
        return dot(v, along), dot(jax.vjp(function, *primals)[1](v), w), dot(v, output)

    forward, reverse, size = both(*primals)
    assert abs(forward) > 1e-3 * abs(size), "a derivative that does not vanish"
    np.testing.assert_allclose(forward, reverse, rtol=1e-3)


@pytest.mark.parametrize("name", [slow(name) for name in OURS])
def test_gradients_are_those_of_plain_convolutions(name, monkeypatch):
    def gradient():
        function, primals = bound(name)
        v = moved(jax.eval_shape(function, *primals), 200)
        of = lambda *primals: dot(v, function(*primals))
        return jax.jit(jax.grad(of, argnums=(0, 1)))(*primals)

    ours = gradient()
    monkeypatch.setattr(same_conv, "conv3x3", same_conv._convolution)
    assert_close(ours, gradient(), rtol=1e-4)


def convolved(conv, x, kernel, g):
    """A number that is not linear in what is convolved."""
    out = conv(x, kernel)
    return jnp.sum(jnp.sin(0.3 * out) * g.reshape(out.shape))


def stack(x):
    return jnp.stack([x, 2 * x])


def in_scan(conv, x, kernel, g):
    wide = x @ jnp.ones((x.shape[-1], kernel.shape[-1]))
    square = jnp.concatenate([kernel] * kernel.shape[3], axis=2)[:, :, : kernel.shape[3]]
    body = lambda h, scale: (jnp.tanh(conv(h, scale * square)), None)
    return jnp.sum(jax.lax.scan(body, wide, jnp.array([0.1, 0.2]))[0] * g)


def image_by_image(conv, x, kernel, g):
    one = lambda pair: convolved(conv, pair[0][None], kernel, pair[1])
    return jnp.sum(jax.lax.map(one, (x, g)))


def gradients(function):
    return lambda *args: jax.grad(function, argnums=(0, 1))(*args)


def along(function):
    return lambda x, kernel, *rest: jax.jvp(
        lambda x, kernel: function(x, kernel, *rest), (x, kernel), (x[::-1], kernel[::-1])
    )[1]


def total(function):
    return lambda *args: sum(jnp.sum(jnp.sin(leaf)) for leaf in function(*args))


USES = {  # of a function of (x, kernel, g)
    "reverse": gradients,
    "forward": along,
    "forward over forward": lambda f: along(along(f)),
    "forward over reverse": lambda f: along(gradients(f)),
    "reverse over forward": lambda f: gradients(along(f)),
    "reverse over reverse": lambda f: gradients(total(gradients(f))),
    "by x alone": lambda f: jax.grad(f),
    "by the kernel alone": lambda f: jax.grad(f, argnums=1),
    "remat": lambda f: gradients(jax.checkpoint(f)),
    "of every x": lambda f: lambda x, k, g: jax.vmap(gradients(f), (0, None, None))(stack(x), k, g),
    "of every kernel": lambda f: (
        lambda x, k, g: jax.vmap(along(f), (None, 0, None))(x, stack(k), g)
    ),
    "through vmap": lambda f: gradients(lambda x, k, g: jax.vmap(f)(*map(stack, (x, k, g))).sum()),
}
CONTEXTS = {"plain": convolved, "scan": in_scan, "map": image_by_image}
INSIDE_LOOPS = ("reverse", "forward", "reverse over forward")
BOTH = [("plain", use) for use in USES]
BOTH += [(context, use) for context in ("scan", "map") for use in INSIDE_LOOPS]


@pytest.mark.parametrize(("context", "use"), BOTH)
def test_conv3x3_is_the_convolution_under_every_transformation(context, use):
    x, kernel, g = normal(0, (6, 5, 7, 3)), normal(1, (3, 3, 3, 4)), normal(2, (6, 5, 7, 4))
    of = lambda conv: USES[use](functools.partial(CONTEXTS[context], conv))
    found = jax.jit(of(same_conv.conv3x3))(x, kernel, g)
    assert_close(found, jax.jit(of(same_conv._convolution))(x, kernel, g))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_both_modes_are_the_convolutions_in_chunks_too(dtype):
    x, g = normal(0, (40, 14, 14, 40)), normal(1, (40, 14, 14, 2))
    kernel = normal(2, (3, 3, 40, 2))
    assert len(x) / 4 < same_conv.CACHED // x[0].size < len(x), "chunks, and not too small ones"
    x, kernel, g = (a.astype(dtype) for a in (x, kernel, g))

    @functools.partial(jax.jit, static_argnums=0)
    def both(conv, *primals):
        return jax.jvp(conv, primals, (x[::-1], kernel[::-1])), jax.vjp(conv, *primals)[1](g)

    ours, plain = (both(conv, x, kernel) for conv in (same_conv.conv3x3, same_conv._convolution))
    as_float = functools.partial(jax.tree.map, lambda a: a.astype(jnp.float32))
    assert_close(as_float(ours), as_float(plain), rtol=1e-4 if dtype == "float32" else 0.05)


def test_only_cpu_makes_products_and_only_of_what_is_asked_for():
    x, kernel, g = normal(0, (6, 4, 4, 3)), normal(1, (3, 3, 3, 4)), normal(2, (6, 4, 4, 4))
    loss = functools.partial(convolved, same_conv.conv3x3)

    def operations(by, platform):
        traced = jax.jit(jax.grad(loss, argnums=by)).trace(x, kernel, g)
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        return [text.count(f"stablehlo.{name}(") for name in ("convolution", "dot_general")]

    assert operations((0, 1), "tpu") == operations((0, 1), "cuda") == [3, 0]
    assert operations(0, "cpu") == operations(0, "cuda") == [2, 0]
    assert operations(1, "cuda") == [2, 0]
    found = jax.jit(jax.grad(loss, argnums=1)).trace(x, kernel, g).lower().as_text()
    assert (found.count("stablehlo.convolution("), found.count("stablehlo.dot_general ")) == (1, 3)


def test_gradients_through_convolutions_and_silu_are_those_of_float64():
    """A compiler that fuses the two wrongly would show here, whatever its forward pass gives."""
    x, first, second = normal(0, (4, 6, 6, 8)), normal(1, (3, 3, 8, 8)), normal(2, (3, 3, 8, 8))

    def loss(convolution, x, *kernels):
        for kernel in kernels:
            x = jax.nn.silu(convolution(x, 0.1 * kernel))
        return (x * jnp.sin(jnp.arange(x.size, dtype=x.dtype).reshape(x.shape))).sum()

    def by_sums(x, kernel):
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = [(i, j, padded[:, i : i + 6, j : j + 6]) for i in range(3) for j in range(3)]
        return sum(jnp.einsum("bhwc,cd->bhwd", part, kernel[i, j]) for i, j, part in windows)

    arguments = (x, first, second)
    gradients = jax.grad(functools.partial(loss, same_conv.conv3x3), argnums=(0, 1, 2))
    found = jax.jit(gradients)(*arguments)
    with jax.enable_x64(True):
        exact = jax.grad(functools.partial(loss, by_sums), argnums=(0, 1, 2))(
            *(jnp.asarray(np.asarray(each), jnp.float64) for each in arguments)
        )
        exact = jax.tree.map(np.asarray, exact)
    for single, double in zip(found, exact, strict=True):
        assert double.dtype == np.float64
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4 * abs(double).max())
