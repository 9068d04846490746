"""Networks of tests whose outputs are known in closed form, named by specs as "toys.NAME"."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from oracles import gaussian_eps_fn

SCALE = 0.5  # deviation of the pixels
A, B, Q = 0.7, 0.6, 0.9  # z_1 = A z_2 + noise(B^2); x = mean over z_1 + noise; q's deviation


class Affine(nn.Module):
    """One dense layer between any two shapes."""

    @nn.compact
    def __call__(self, x, out_shape, *, train=False):
        size = int(np.prod(out_shape))
        return nn.Dense(size)(x.reshape(len(x), -1)).reshape(len(x), *out_shape)


class Curved(nn.Module):
    """A smooth net between any two shapes that is not affine."""

    @nn.compact
    def __call__(self, x, out_shape, *, train=False):
        h = jnp.tanh(nn.Dense(8)(x.reshape(len(x), -1)))
        return nn.Dense(int(np.prod(out_shape)))(h).reshape(len(x), *out_shape)


class Dropping(nn.Module):
    """One dense layer that notes the key by which it would drop units in training."""

    keys: ClassVar[list] = []

    @nn.compact
    def __call__(self, x, out_shape, *, train=False):
        if train:
            self.keys.append(self.make_rng("dropout"))
        return nn.Dense(int(np.prod(out_shape)))(x.reshape(len(x), -1)).reshape(-1, *out_shape)


class LinearEncoder(nn.Module):
    """Hands the image down as the features of the only scale."""

    @nn.compact
    def __call__(self, x, scales, *, train=False):
        self.param("unused", nn.initializers.zeros, ())
        return [x for _ in scales]


class LinearDecoder(nn.Module):
    """p(z_2) = N(0, 1), p(z_1|z_2) = N(A z_2, B^2) per pixel; q from features; x sees z_1."""

    output_from: str = "z_1"
    exact: bool = False  # whether q is the posterior

    @nn.compact
    def __call__(self, latent, features, conditions, noise, scales, out_shape, *, train=False):
        self.param("unused", nn.initializers.zeros, ())
        (eps,), (x,), (u,) = noise, features, conditions
        zero, shift = jnp.zeros_like(eps[0]), 0.0 if u is None else 0.5 * u
        wide = zero + 2 * jnp.log(Q)
        found, z = [], zero
        for level in range(2):
            p = (shift + zero, zero) if level == 0 else (A * z, zero + 2 * jnp.log(B))
            q = None if x is None else (0.3 * x + 0.1 * z, wide)
            if self.exact:
                q = self.posterior(level, x, z)
            z, report = latent(p, q, eps[level], jnp.float32(level == 0))
            found.append(report)
        return z, [jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)]

    def posterior(self, level, x, z):
        noise = B**2 + SCALE**2
        if level == 0:
            var = 1 / (1 + A**2 / noise)
            return var * A / noise * x, jnp.full_like(x, np.log(var))
        var = 1 / (1 / B**2 + 1 / SCALE**2)
        return var * (A * z / B**2 + x / SCALE**2), jnp.full_like(x, np.log(var))


class GaussianDenoiser(nn.Module):
    """E[eps | y] of z ~ N(MEAN, STD^2) of tests/oracles.py; gamma from -6 to 6 is [0, 1000]."""

    @nn.compact
    def __call__(self, y, time, *, train=False):
        self.param("unused", nn.initializers.zeros, ())
        return gaussian_eps_fn()(y, -6 + 12 * time / 1000)
