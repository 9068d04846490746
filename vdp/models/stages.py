"""Training a prior apart from the rest of a model: what is held, and whose gradients go where.

- "joint": everything on the one bound.
- "detached": encoder and decoder with the KL to N(0, I) in place of the prior's rate, while the
  prior maximises its bound on the detached latent, in one run.
- "prior": the second of two stages: the prior alone, on latents of an autoencoder that stays as it
  is.

The reported bound is the same in all of them. In the merged form of a diffusion prior the
posterior's noise is the prior's own, so that nothing can be trained apart but a student of
distillation, whose schedule stays that of its teacher.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Float

from vdp.dists import Normal, standard_normal
from vdp.errors import UserError
from vdp.priors.diffusion import DiffusionPrior
from vdp.types import Array, Params, Terms

TRAINING = ("joint", "detached", "prior")


def check(training: str, prior: Any, *, merged: bool) -> None:
    """Refuses a kind of training that a model cannot have; UserError.

    Args:
      training: one of TRAINING.
      prior: of the model, or None.
      merged: whether it is a diffusion prior of the merged form.
    """
    student = is_student(prior)
    if student and training != "prior":
        raise UserError("a student of teacher_steps is trained alone: training='prior'")
    if training == "joint":
        return
    if merged and not student:
        raise UserError("the merged form is trained jointly: training='joint'")
    if prior is None:
        raise UserError("a model without a prior beside it is trained jointly: training='joint'")


def is_student(prior: Any) -> bool:
    """Whether a prior learns from the denoiser of another run."""
    return isinstance(prior, DiffusionPrior) and prior.teacher_steps > 0


def frozen(training: str, params: Params, train: bool) -> tuple[Params, bool]:
    """(parameters, whether encoder and decoder are in training mode) of one pass.

    Args:
      training: one of TRAINING.
      params: by role.
      train: whether the pass is one of training.
    """
    if not (train and training == "prior"):
        return params, train
    keep = lambda role, tree: tree if role == "prior" else stop_gradient(tree)
    return {role: keep(role, tree) for role, tree in params.items()}, False


def weight(beta: float, kl_warmup_steps: int, step: int | Array) -> float | Array:
    """The weight of the rate at a step: a line from 0 to beta over the warm-up, then beta."""
    warmup = jnp.minimum(1.0, (step + 1) / max(kl_warmup_steps, 1))
    return beta * (warmup if kl_warmup_steps else 1.0)


def freed(terms: Terms, latents: Sequence[str], free_bits: float) -> Terms:
    """The terms with the KL of a latent put to `free_bits` where its mean over the batch is below.

    The mean over the batch is then max(mean KL, free_bits), the rule of Kingma et al. (2016, eq.
    15) with one group for each latent. With microbatches the means are theirs.

    Args:
      terms: of the bound, [B].
      latents: names; those without a part of their own are left out.
      free_bits: nats an image; 0 changes nothing.
    """
    if not free_bits:
        return terms
    parts = dict(terms.parts)
    for name in (name for name in latents if name in parts):  # in an order all processes share
        below = -parts[name].mean() < free_bits
        parts[name] = jnp.where(below, -free_bits, parts[name])
    return Terms.of(**parts)


def loss(
    training: str,
    terms: Terms,
    minus_rate: Float[Array, "b"] | None,
    q: Normal | None,
    beta: float | Array,
) -> Float[Array, "b"]:
    """What is minimised, [B]; jointly -log p(x|z) + beta (KLs and rate).

    Detached: -log p(x|z) + beta (other KLs + KL(q || N(0, I))) + rate, the last of the latent as it
    is for the prior.

    Args:
      training: one of TRAINING.
      terms: of the bound.
      minus_rate: of the prior within it, [B]; None where there is no prior.
      q: of what the prior is over, likewise.
      beta: of `weight`.
    """
    likelihood = terms.parts["likelihood"]
    others = terms.value - likelihood
    if training == "joint":
        return -(likelihood + beta * others)
    if training == "prior":
        return -(likelihood + others)
    assert minus_rate is not None  # as `check` has seen to
    assert q is not None
    others = others - minus_rate
    return -(likelihood + beta * (others - q.kl(standard_normal(q.mean)))) - minus_rate
