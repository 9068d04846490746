"""Progressive distillation (Salimans & Ho 2022): one step of a student does several of a teacher.

The teacher goes from y_t to y_s in M steps of DDIM with eta = 0. One step of DDIM from y_t ends at
the same y_s where the denoiser gives the following, which is the student's target:

    x = (y_s - r y_t) / (alpha_s - r alpha_t) with r = sigma_s / sigma_t,
    eps = (y_t - alpha_t x) / sigma_t.
"""

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Float, Float32

from vdp.diffusion import process
from vdp.diffusion.noise import Noise, Times
from vdp.diffusion.process import EpsFn, Gamma
from vdp.diffusion.times import steps_of
from vdp.dists import sum_nonbatch
from vdp.noise import expect
from vdp.types import Array

NO_STEP = 1e-6  # a denominator that counts as 0: the first step of a table of betas is none


def target(
    teacher: EpsFn, y: Float[Array, "n *s"], gammas: Float[Array, "m n"]
) -> Float[Array, "n *s"]:
    """The eps with which one step ends where the teacher's M steps end, [N, ...].

    Args:
      teacher: its denoiser.
      y: diffused latents at the first gamma, [N, ...].
      gammas: where the teacher's steps begin and end, falling, [M + 1, N].
    """
    a_t, s_t = process.alpha(gammas[0]), process.sigma(gammas[0])
    a_s, s_s = process.alpha(gammas[-1]), process.sigma(gammas[-1])
    first = teacher(y, gammas[0])

    def ddim(y_t: Array, eps: Array, gamma_t: Array, gamma_s: Array) -> Array:
        x = process.denoise(y_t, gamma_t, eps)
        return process.diffuse(x, gamma_s, eps)

    y_s = ddim(y, first, gammas[0], gammas[1])
    if len(gammas) > 2:

        def step(y_t: Array, ends: tuple[Array, Array]) -> tuple[Array, None]:
            return ddim(y_t, teacher(y_t, ends[0]), *ends), None

        y_s, _ = jax.lax.scan(step, y_s, (gammas[1:-1], gammas[2:]))
    a_t, s_t, a_s, s_s = (process.expand(x, y) for x in (a_t, s_t, a_s, s_s))
    width = a_s - s_s / s_t * a_t
    x = (y_s - s_s / s_t * y) / jnp.where(width > NO_STEP, width, 1.0)
    return jnp.where(width > NO_STEP, (y - a_t * x) / s_t, first)


def objective(
    student: EpsFn,
    teacher: EpsFn,
    gamma: Gamma,
    z: Float[Array, "b *s"],
    noise: Noise,
    *,
    num_steps: int,
    teacher_steps: int,
) -> Float32[Array, "b"]:
    """The student's loss, [B]: mean over times of max(alpha^2/sigma^2, 1) |x - x_hat|^2.

    Args:
      student: its denoiser, the one that is trained.
      teacher: the denoiser that it learns from.
      gamma: the schedule of both.
      z: latents or codes, [B, ...].
      noise: `Times`, each of which falls into one of the student's steps.
      num_steps: T of the student.
      teacher_steps: M, the teacher's steps in one of the student's.

    Raises:
      UserError: noise of another type.
    """
    expect(noise, Times, by="a distillation", instead="a prior draws it for purpose='loss'")
    *_, index = steps_of(gamma, noise, num_steps)
    flat = lambda x: x.reshape(-1, *x.shape[2:])
    starts = (flat(index) + 1) / num_steps
    fractions = jnp.arange(teacher_steps + 1) / (teacher_steps * num_steps)
    gammas = stop_gradient(jnp.asarray(gamma(starts[None] - fractions[:, None]), jnp.float32))
    eps = flat(noise.eps)
    y = process.diffuse(jnp.repeat(z, len(eps) // len(z), axis=0), gammas[0], eps)
    y = stop_gradient(y)
    wanted = stop_gradient(target(teacher, y, gammas))
    errors = sum_nonbatch(jnp.square(wanted - student(y, gammas[0])))
    # |x - x_hat|^2 is e^gamma |eps - eps_hat|^2, and its weight e^-gamma or 1
    weighted = jnp.maximum(jnp.exp(gammas[0]), 1.0) * errors
    return jnp.mean(weighted.reshape(len(z), -1), axis=1)
