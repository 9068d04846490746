"""The UNet written out once more in NumPy, and its embeddings of times and inputs by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from by_hand import convolve, halve, silu
from starting import moved, started

from vdp import draws, nets
from vdp.nets import embed

WIDTH, GROUPS, EPSILON = 4, 2, 1e-5
PUBLISHED = dict(published=True)
OURS = dict(fourier=(1, 2), add_input=True, time_as="shift", time_width=6, attention=(4,))
FINER = dict(multipliers=(1, 2))
TIME = np.array([10.0, 900.0])


def test_fourier_features_are_of_whole_periods():
    """VDM's appendix C: sin and cos of 2^n 2 pi x."""
    x = np.array([[0.1, -0.3]])
    found = embed.fourier(jnp.asarray(x), (2, 0))
    angles = np.concatenate([8 * np.pi * x, 2 * np.pi * x], -1)
    expected = np.concatenate([x, np.sin(angles), np.cos(angles)], -1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("spacing", "width", "frequencies"),
    [("closed", 6, [1, 1e-2, 1e-4]), ("open", 4, [1, 1e-2]), ("closed", 2, [1])],
)
def test_frequencies_of_a_time_fall_by_equal_factors(spacing, width, frequencies):
    found = embed.sinusoidal(jnp.asarray(TIME), width, spacing=spacing)
    angles = TIME[:, None] * np.array(frequencies)
    np.testing.assert_allclose(
        found, np.concatenate([np.sin(angles), np.cos(angles)], 1), atol=1e-4
    )


def normed(p, x):
    groups = math.gcd(GROUPS, x.shape[-1])
    parts = x.reshape(len(x), -1, groups, x.shape[-1] // groups)
    parts = parts - parts.mean((1, 3), keepdims=True)
    parts = parts / np.sqrt((parts**2).mean((1, 3), keepdims=True) + EPSILON)
    return parts.reshape(x.shape) * p["scale"] + p["bias"]


def dense(p, x):
    return x @ np.float64(p["kernel"]) + p.get("bias", 0.0)


def block(p, x, condition, time_as):
    h = convolve(p["Conv_0"], silu(normed(p["GroupNorm_0"], x)))
    told = dense(p["Dense_0"], silu(condition))[:, None, None]
    if time_as == "shift":
        h = normed(p["GroupNorm_1"], h + told)
    else:
        scale, shift = np.split(told, 2, -1)
        h = normed(p["GroupNorm_1"], h) * (1 + scale) + shift
    h = convolve(p["Conv_1"], silu(h))
    return h + (convolve(p["Conv_2"], x) if "Conv_2" in p else x)


def attention(p, x):
    h = normed(p["GroupNorm_0"], x).reshape(len(x), -1, x.shape[-1])
    query, key, value = np.split(dense(p["Dense_0"], h), 3, -1)
    scores = np.exp(query @ key.swapaxes(1, 2) / np.sqrt(x.shape[-1]))
    seen = scores / scores.sum(-1, keepdims=True) @ value
    return x + dense(p["Dense_1"], seen).reshape(x.shape)


def unet(p, y, fields):
    """Of depth 1: a block at every resolution down, two in the middle, two at each on the way up.

    Layers of a kind are numbered in the order in which they are met.
    """
    one_of = {kind: iter(range(20)) for kind in ("Conv", "TimeResBlock", "Attention")}
    take = lambda kind: p[f"{kind}_{next(one_of[kind])}"]
    low = np.array([1, 1e-2]) if fields.get("published") else np.array([1, 1e-4])
    angles = (TIME / 1000 if fields.get("published") else TIME)[:, None] * low
    embedded = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    condition = dense(p["Dense_1"], silu(dense(p["Dense_0"], embedded)))
    resolutions = len(fields.get("multipliers", (1,)))

    def step(h):
        h = block(take("TimeResBlock"), h, condition, fields.get("time_as"))
        return attention(take("Attention"), h) if h.shape[1] in fields.get("attention", ()) else h

    angles = [2.0**n * 2 * np.pi * y for n in fields.get("fourier", ())]
    seen = np.concatenate([y, *map(np.sin, angles), *map(np.cos, angles)], -1)
    skips = [h := convolve(take("Conv"), seen)]
    for level in range(resolutions):
        if level:
            skips.append(h := convolve(take("Conv"), halve(h)))
        skips.append(h := step(h))
    h = block(take("TimeResBlock"), h, condition, fields.get("time_as"))
    h = attention(take("Attention"), h)
    h = block(take("TimeResBlock"), h, condition, fields.get("time_as"))
    for level in reversed(range(resolutions)):
        for _ in range(2):
            h = step(np.concatenate([h, skips.pop()], -1))
        if level:
            h = convolve(take("Conv"), np.kron(h, np.ones((1, 2, 2, 1))))
    assert not skips
    h = convolve(take("Conv"), silu(normed(p["GroupNorm_0"], h)))
    return h + y if fields.get("add_input") else h


@pytest.mark.parametrize("fields", [PUBLISHED, OURS, FINER], ids=["published", "vdm", "ddpm"])
def test_a_unet_is_what_its_equations_say(fields):
    net = nets.UNetDenoiser(width=WIDTH, depth=1, groups=GROUPS, epsilon=EPSILON, **fields)
    y = draws.normal(jax.random.key(0), (2, 4, 4, 3))
    time = jnp.asarray(TIME, jnp.float32)
    params = moved(started(net, jax.random.key(1), y, time)["params"], scale=0.3)
    found = jax.jit(net.apply)({"params": params}, y, time)
    expected = unet(jax.tree.map(np.float64, params), np.float64(y), fields)
    assert np.abs(expected - (y if fields.get("add_input") else 0)).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-3, rtol=2e-3)
