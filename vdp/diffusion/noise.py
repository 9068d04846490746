"""Everything random of one diffusion estimate or sample, as structures that say what they are.

Every leaf has the leading axis B, so that noise is split over devices as the batch is. `...` are
the axes of one latent z (in pixel space: of one image).
"""

import jax
from jaxtyping import Float

from vdp import draws
from vdp.noise import expect, expect_shape, required, structure
from vdp.types import Array, Key, Noise, Shape

DRAWN_BY = "a prior of this sampler and number of steps draws it for purpose='sample'"


@structure
class Times:
    """Diffusion times and the noise that z is diffused with there: for the bounds.

    Drawn by `bounds.draw`. Every time is uniform on its stratum of [0, 1) or, in training, on
    [0, 1) with one grid over the batch, so that a mean over n estimates an integral over t.

    Attributes:
      t: [B, n] in [0, 1).
      eps: [B, n, ...], standard normal.
    """

    t: Float[Array, "b n"]
    eps: Float[Array, "b n *s"]


@structure
class Quantiles:
    """Quantiles of the importance density of times, and what z is diffused with: for the bounds.

    Drawn by a prior of times="importance" for its loss; a term is divided by its time's density.

    Attributes:
      u: [B, n], as `Times.t`; `times.by_importance` makes gammas of it, and
        `times.step_probabilities` steps.
      eps: [B, n, ...], standard normal.
    """

    u: Float[Array, "b n"]
    eps: Float[Array, "b n *s"]


@structure
class AllSteps:
    """The noise of every one of T steps, for the bound of the T-step model: the times are known.

    Drawn by `bounds.draw_all_steps`.

    Attributes:
      eps: [B, T, ...], standard normal; index i is that of step i + 1, at t = (i + 1)/T.
    """

    eps: Float[Array, "b t *s"]


@structure
class Path:
    """One path from noise to y_0 through T steps, for the importance weight of the T-step model.

    Drawn by a diffusion prior for purpose="weight".

    Attributes:
      steps: [B, T + 1, ...], standard normal: that of y_1, then of the T steps down to y_0.
    """

    steps: Float[Array, "b t+1 *s"]


@structure
class ExactOde:
    """The clean end of the probability flow, its divergence computed: for its density anywhere.

    Drawn by `ode.draw` without probes.

    Attributes:
      y_0: [B, ...], standard normal: the noise of y_0 given z.
    """

    y_0: Float[Array, "b *s"]


@structure
class HutchinsonOde:
    """The flow's clean end, and n probes of its divergence: for a bound, never a weight's exponent.

    Drawn by `ode.draw` with probes.

    Attributes:
      y_0: [B, ...], standard normal: the noise of y_0 given z.
      probes: [B, n, ...] of +-1, each with probability 1/2 (Rademacher).
    """

    y_0: Float[Array, "b *s"]
    probes: Float[Array, "b n *s"]


@structure
class Start:
    """Where a deterministic sampler begins: all that is random of it.

    Drawn by `draw_for` for "dpmpp", "ode", and "ddim" of eta = 0.

    Attributes:
      y_1: [B, ...], standard normal.
    """

    y_1: Float[Array, "b *s"]


@structure
class Descent:
    """Where a sampler begins, and the noise of every one of its T steps.

    Drawn by `draw_for` for "ancestral", and "ddim" of eta > 0.

    Attributes:
      y_1: [B, ...], standard normal.
      steps: [B, T, ...], standard normal, in the order of the steps: from t = 1 down.
    """

    y_1: Float[Array, "b *s"]
    steps: Float[Array, "b t *s"]


def draw_for(
    sampler: str, rng: Key, shape: Shape, *, num_steps: int, eta: float = 0.0
) -> Start | Descent:
    """Draws what `samplers.draw` of the same sampler, key and shape is made of.

    Args:
      sampler: its name.
      rng: a key.
      shape: of y_0, (N, ...).
      num_steps: T.
      eta: of ddim.
    """
    if sampler != "ancestral" and not eta:
        # of a key, ddim draws its start beside the noise of steps that it has no use for
        start_rng = jax.random.split(rng)[0] if sampler == "ddim" else rng
        return Start(y_1=draws.normal(start_rng, shape))
    start_rng, path_rng = jax.random.split(rng)
    each = jax.vmap(lambda key: draws.normal(key, shape), out_axes=1)
    steps = each(jax.random.split(path_rng, num_steps))
    return Descent(y_1=draws.normal(start_rng, shape), steps=steps)


def start_of(noise: Noise, rng: Key | None, shape: Shape, *, by: str) -> Float[Array, "b *s"]:
    """The y_1 that a deterministic sampler begins at: of a `Start`, or without one drawn by rng.

    Args:
      noise: a `Start` or None.
      rng: a key; None where there is a noise.
      shape: of y_1, (B, ...).
      by: the sampler, as the subject of a sentence.

    Raises:
      UserError: another noise, or neither noise nor key.
    """
    if noise is None:
        return draws.normal(required(rng, by=by), shape)
    expect(noise, Start, by=by, instead=DRAWN_BY)
    expect_shape(noise.y_1, shape, by=by)
    return noise.y_1
