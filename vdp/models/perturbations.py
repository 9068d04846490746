"""What makes codes smooth: corrupted inputs, worst perturbations, squared Jacobians."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from vdp import draws
from vdp.dists import sum_nonbatch
from vdp.types import AnyArray, Array, Key, Shape

Delta = Float[Array, "b *x"]
STEP = 2.0  # of the ascent, in radii: shorter ones find less in few steps, longer ones no more


def _norms(x: Float[Array, "b *x"]) -> Float[Array, "b *ones"]:
    """Norms |x|_2 of every example, [B, 1, ..., 1]."""
    return jnp.sqrt(sum_nonbatch(jnp.square(x))).reshape(-1, *(1,) * (x.ndim - 1))


def corrupted(
    images: Float[AnyArray, "b *x"],
    noise: Float[Array, "b *x"],
    kept: Bool[Array, "b *x"],
    std: float,
) -> Float[Array, "b *x"]:
    """Images plus Gaussian noise, then partly set to 0 (Vincent et al. 2010, section 3.3).

    Args:
      images: [B, ...].
      noise: standard normal, [B, ...].
      kept: False sets a number to 0, [B, ...].
      std: standard deviation of the noise in the images' units.
    """
    return jnp.where(kept, images + std * noise, 0.0)


def in_unit_ball(rng: Key, shape: Shape) -> Delta:
    """Uniform draws from the unit ball of `shape[1:]`, one for each of shape[0] examples."""
    direction_rng, length_rng = jax.random.split(rng)
    direction = draws.normal(direction_rng, shape)
    volume = jax.random.uniform(length_rng, (shape[0], *(1,) * (len(shape) - 1)))
    return direction / _norms(direction) * volume ** (1 / math.prod(shape[1:]))


def worst(
    errors: Callable[[Delta], Float[Array, "b"]], start: Delta, *, radius: float, steps: int
) -> Delta:
    """The delta with the largest error that projected gradient ascent finds in the ball.

    Steps of STEP radii along the normalised gradient, each projected back on the ball (Madry et al.
    2018); of all points visited, and delta = 0, the best for each example.

    Args:
      errors: delta [B, ...] to [B], entry b of its own delta alone.
      start: [B, ...] in the unit ball.
      radius: of |delta|_2 over each example.
      steps: gradients taken.

    Returns:
      Delta [B, ...] with |delta|_2 <= radius.
    """

    def total(delta: Delta) -> tuple[Array, Array]:
        each = errors(delta)
        return jnp.sum(each), each

    def better(best: tuple[Array, Array], delta: Delta, each: Array) -> tuple[Array, Array]:
        larger = (each > best[1]).reshape(-1, *(1,) * (delta.ndim - 1))
        return jnp.where(larger, delta, best[0]), jnp.maximum(each, best[1])

    def projected(delta: Delta) -> Delta:
        return delta * (radius / jnp.maximum(_norms(delta), radius))

    delta, none = projected(radius * start), jnp.zeros_like(start)
    best = none, errors(none)
    for _ in range(steps):  # no scan: in it, gradients of convolutions are slow on CPU
        (_, each), gradient = jax.value_and_grad(total, has_aux=True)(delta)
        best = better(best, delta, each)
        length = jnp.maximum(_norms(gradient), jnp.finfo(jnp.float32).tiny)
        delta = projected(delta + STEP * radius * gradient / length)
    return better(best, delta, errors(delta))[0]


def squared_jacobian(
    pull: Callable, code: Float[Array, "b *z"], probes: Float[Array, "b n *z"] | None = None
) -> Float[Array, "b"]:
    """The squared Frobenius norm |dg/dx|_F^2 of the Jacobian at every example, [B].

    E|J^T v|^2 = tr(J J^T) = |J|_F^2 for signs v (Hutchinson 1990); the sum over all unit vectors v
    is the same, exactly.

    Args:
      pull: of `jax.vjp(g, x)`: v [B, *latent_shape] to (J^T v [B, ...],); examples do not mix.
      code: g(x), [B, *latent_shape].
      probes: signs [B, n, *latent_shape], over which it averages; None is exact.
    """
    if probes is None:
        size = math.prod(code.shape[1:])
        unit = jnp.eye(size, dtype=code.dtype).reshape(size, 1, *code.shape[1:])
        vectors, count = jnp.broadcast_to(unit, (size, *code.shape)), 1
    else:
        vectors, count = jnp.swapaxes(probes, 0, 1), probes.shape[1]
    each = jax.vmap(lambda v: sum_nonbatch(jnp.square(pull(v)[0])))(vectors)
    return jnp.sum(each, axis=0) / count
