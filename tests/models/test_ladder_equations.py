"""The hierarchy's bound against its equations, written out once more with explicit parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from by_hand import convolve, halve, silu
from starting import started

from vdp import build
from vdp.types import Batch

SPEC = {
    "name": "hvae",
    "scales": ((4, 2, 2), (2, 2, 2)),
    "encoder": {"name": "LadderEncoder", "width": 4, "hidden": 3, "blocks": 2},
    "decoder": {"name": "LadderDecoder", "width": 4, "hidden": 3, "zero": "none"},
    "likelihood": {"name": "bernoulli"},
    "pseudoinput": {"name": "dct", "size": 3},
    "prior": {"name": "mixture", "num_components": 3},
    "input_mean": 0.4,
    "input_std": 0.7,
}


def bottleneck(p, x, preactivate=False):
    h = convolve(p["conv_0"], silu(x) if preactivate else x)
    for name in ("conv_1", "conv_2", "conv_3"):
        h = convolve(p[name], silu(h))
    return h + (convolve(p["skip"], x) if "skip" in p else x)


def bilinear(x, size):
    """Pixel centres at halves, edges repeated."""
    for axis in (1, 2):
        rest = np.moveaxis(x, axis, 0)
        place = np.clip((np.arange(size) + 0.5) * len(rest) / size - 0.5, 0, len(rest) - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, len(rest) - 1)
        share = (place - low).reshape(-1, *[1] * (x.ndim - 1))
        x = np.moveaxis((1 - share) * rest[low] + share * rest[high], 0, axis)
    return x


def at(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def total(x):
    return x.reshape(len(x), -1).sum(1)


@pytest.mark.parametrize("output_from", ["aggregation", "features", "z_1"])
def test_bound_is_what_the_equations_say(output_from):
    spec = SPEC | {"decoder": SPEC["decoder"] | {"output_from": output_from}}
    model = build.build("model", spec, levels=2, input_levels=17)
    grey = jax.random.randint(jax.random.key(3), (2, 8, 8, 1), 0, 17).astype(jnp.uint8)
    target = (grey > 8).astype(jnp.uint8)
    batch = Batch(target=target, input=grey, label=jnp.zeros(2, jnp.int32))
    params, stats = started(model, jax.random.key(0), (8, 8, 1), data=grey)
    params = jax.tree.map(np.asarray, params)
    net = params["decoder"]["net"]
    noise = jax.jit(model.draw)(jax.random.key(1), batch)
    found = jax.jit(model.elbo)(params, stats, batch, jax.random.key(2), noise=noise)

    x = np.float64(grey) / 16
    h, maps = convolve(params["encoder"]["stem"], (x - 0.4) / 0.7), {}
    for height in (4, 2):
        for k in range(2):
            h = bottleneck(at(params["encoder"][f"scale_{height}"], k), h, preactivate=True)
        h = maps[height] = halve(h)

    code = jax.jit(model.code)(params, stats, jnp.float32(x))
    u = np.float64(code.mean) + np.exp(-3.0) * np.float64(noise.prior.z)  # log var = -6
    image = np.float64(
        model.pseudoinput.back(
            params["pseudoinput"], stats["pseudoinput"], jnp.float32(u), x_shape=(8, 8, 1)
        )
    )
    conditions = {4: halve(image), 2: halve(halve(image))}

    s, summed, level = np.ones((2, 2, 2, 4)), 0.0, 4
    for scale, height in enumerate((2, 4)):
        for k in range(2):
            bare = height == 4 and k == 1 and output_from != "features"
            block = net["bottom"] if bare else at(net[f"scale_{height}"], k)
            out = bottleneck(block["s_to_p"], np.concatenate([s, conditions[height]], -1))
            mu_p, lv_p, h = out[..., :2], np.clip(out[..., 2:4], -10, 1), out[..., 4:]
            out = bottleneck(block["s_to_q"], (maps[height] + s) / np.sqrt(2))
            mu_q, lv_q = out[..., :2], np.clip(out[..., 2:], -10, 1)
            z = mu_q + np.exp(lv_q / 2) * np.float64(noise.z[scale][:, k])
            kl = np.exp(lv_q - lv_p) + (mu_q - mu_p) ** 2 * np.exp(-lv_p) - 1 + lv_p - lv_q
            np.testing.assert_allclose(found.parts[f"z_{level}"], -0.5 * total(kl), rtol=1e-3)
            if not bare:
                s = bottleneck(block["after"], s + h + convolve(block["z_up"], z))
            summed = summed + bilinear(z, 8) / np.sqrt(4)
            level -= 1
        s = bilinear(s, 4)
    assert level == 0
    if output_from == "features":
        head = bilinear(s, 8)
    else:
        head = convolve(net["z_to_features"], bilinear(z, 8) if output_from == "z_1" else summed)
    logits = convolve(net["head"], head)
    bits = 2.0 * np.float64(target) - 1
    np.testing.assert_allclose(
        found.parts["likelihood"], -total(np.log1p(np.exp(-bits * logits))), rtol=1e-3
    )
    np.testing.assert_allclose(found.parts["u_entropy"], 0.5 * 9 * (1 + np.log(2 * np.pi) - 6))
