"""The exact importance weight of one diffusion path under the T-step model.

log w = log N(y_1; 0, I) + sum log r(y_s|y_t) + log N(z; y_0/alpha_0, exp gamma_0)
        - log q(y_1|z) - sum log q(y_s|y_t, z),   s = t - 1/T,
has E[exp log w] = r(z), so it may stand in an IWAE exponent; its mean is the T-step bound. In the
merged form the middle term of the first line falls away.
"""

import jax
import jax.numpy as jnp
from jax.nn import softplus
from jaxtyping import Float, Float32

from vdp.diffusion import process
from vdp.diffusion.noise import Path
from vdp.diffusion.process import EpsFn, Gamma
from vdp.diffusion.reverse import whole
from vdp.dists import Normal, standard_normal, sum_nonbatch
from vdp.noise import expect
from vdp.types import Array, Noise


def num_steps_of(path: Noise) -> int:
    """The number T of steps of a path's noise, a `Path`.

    Raises:
      UserError: another noise.
    """
    instead = "a prior of T steps draws it for purpose='weight'"
    expect(path, Path, by="the importance weight of T steps", instead=instead)
    return path.steps.shape[1] - 1


def log_weight(
    eps_fn: EpsFn,
    gamma: Gamma,
    z: Float[Array, "b *s"],
    path: Noise,
    *,
    log_v: Float[Array, "t ..."] | None = None,
) -> Float32[Array, "b"]:
    """The separate form's weight log r(z, y_0..y_1) - log q(y_0..y_1 | z) at one path, [B].

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      z: latents, [B, ...].
      path: the noise of the path, a `Path`; T is the number of its steps.
      log_v: the widths of the reverse steps (`vdp.diffusion.reverse`); None: those of q.

    Raises:
      UserError: another noise.
    """
    y_0, weight = walk(eps_fn, gamma, z, path, log_v=log_v)
    gamma_0 = jnp.broadcast_to(gamma(jnp.float32(0)), z.shape)
    return weight + Normal(y_0 / process.alpha(gamma_0), gamma_0).log_prob(z)


def walk(
    eps_fn: EpsFn,
    gamma: Gamma,
    z: Float[Array, "b *s"],
    path: Noise,
    *,
    log_v: Float[Array, "t ..."] | None = None,
) -> tuple[Float[Array, "b *s"], Float32[Array, "b"]]:
    """Draws one path of q(y_0..y_1 | z) and weighs it: log r(y_0..y_1) - log q(y_0..y_1 | z).

    That is the merged form's weight, where y_0 is the latent and z the encoder's code.

    The means of the two reverse kernels differ by d = (mean_r - mean_q)/std_q =
    sqrt(expm1(gamma_t - gamma_s)) (eps_t - eps_hat), where eps_t = (y_t - alpha_t z)/sigma_t; so
    with n the step's noise, log r - log q is 1/2 sum [n^2 - (n - d)^2/v - log v], and d.n - |d|^2/2
    where both have the same variance.

    Args:
      eps_fn: the denoiser.
      gamma: the schedule.
      z: latents or codes, [B, ...].
      path: the noise of the path, a `Path`; T is the number of its steps.
      log_v: the widths of the reverse steps (`vdp.diffusion.reverse`); None: those of q.

    Returns:
      (y_0 [B, ...], weight [B]).

    Raises:
      UserError: another noise.
    """
    num_steps, noises = num_steps_of(path), path.steps
    batch = z.shape[0]

    def gamma_at(index: Array | int) -> Float32[Array, "b"]:
        return jnp.broadcast_to(gamma(index / num_steps), (batch,)).astype(jnp.float32)

    gamma_1 = gamma_at(num_steps)
    y = process.diffuse(z, gamma_1, noises[:, 0])
    wide_1 = process.expand(gamma_1, z)
    q_end = Normal(process.alpha(wide_1) * z, jnp.broadcast_to(-softplus(-wide_1), z.shape))
    weight = standard_normal(y).log_prob(y) - q_end.log_prob(y)

    def step(
        carry: tuple[Array, Array], xs: tuple[Array, Array, Array | None]
    ) -> tuple[tuple[Array, Array], None]:
        y, weight = carry
        index, noise, width = xs
        gamma_t, gamma_s = gamma_at(index), gamma_at(index - 1)
        wide_t = process.expand(gamma_t, y)
        eps = (y - process.alpha(wide_t) * z) / process.sigma(wide_t)
        eps_hat = eps_fn(y, gamma_t)
        scale = jnp.sqrt(jnp.expm1(process.expand(gamma_t - gamma_s, y)))
        shift = scale * (eps - eps_hat)
        if width is None:
            weight = weight + sum_nonbatch(shift * noise - 0.5 * jnp.square(shift))
        else:
            width = width[None]
            apart = jnp.square(noise) - jnp.square(noise - shift) * jnp.exp(-width) - width
            weight = weight + 0.5 * sum_nonbatch(apart)
        mean, std = process.reverse_moments(y, eps, gamma_t, gamma_s)
        return (mean + std * noise, weight), None

    steps = jnp.arange(num_steps, 0, -1).astype(jnp.float32)
    widths = None if log_v is None else whole(log_v, z.shape[1:])[::-1]
    random = jnp.moveaxis(noises[:, 1:], 1, 0)
    (y_0, weight), _ = jax.lax.scan(step, (y, weight), (steps, random, widths))
    return y_0, weight
