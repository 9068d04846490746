"""The configs of diffusion in pixel space: VDM and DDPM."""

import math
from typing import Any

from ml_collections import config_dict

from vdp.variants.fields import defaults, smoke
from vdp.variants.grammar import Variant, parse
from vdp.variants.priors import ANY_SCHEDULE, schedule

# of 128 channels; DDPM's too
VDM_BLOCKS = dict(time_width=512, time_as="shift", groups=32, epsilon=1e-6)
MEAN_SQUARED_ERROR = 1 / math.log(2)  # of noise, its gradient per dimension, in bits per dimension


def vdm(
    arg: str,
    *,
    data: dict,
    denoiser: dict,
    gamma: tuple[float, float],
    num_steps: int,
    light: dict | None = None,
    **training: Any,
) -> config_dict.ConfigDict:
    """A variational diffusion model in continuous time (Kingma et al. 2021).

    Keys: `schedule`, `dequantization` (of the ODE's density); words: `smoke`, and `light` where
    there is one.

    Args:
      arg: the config's argument.
      data: fields of `config.data`.
      denoiser: fields of a UNetDenoiser; Fourier features of n = 6, 7 (for 256 levels) where it
        names no others.
      gamma: where the schedule starts.
      num_steps: T of its sampler and of `elbo_discrete`.
      light: what `light` has in place of the config's: `denoiser`, `num_steps`, and fields of
        `training`.
      training: `batch_size`, `steps` and `rate`, the peak learning rate; `optim`, fields of
        `config.optim` beside it; `judged`, how many images and samples are evaluated (a sample
        takes T passes; 0: all, and 10,000); `validations`, how many there are.
    """
    choices = {"schedule": ANY_SCHEDULE, "dequantization": ("variational", "uniform")}
    words = ("smoke",) if light is None else ("light", "smoke")
    variant = parse(arg, words=words, choices=choices)
    if light and variant.has("light"):
        fields = dict(light)
        denoiser, num_steps = fields.pop("denoiser"), fields.pop("num_steps")
        training |= fields
    prior = dict(
        name="vdm",
        schedule=schedule(variant["schedule"], gamma_0=gamma[0], gamma_1=gamma[1]),
        parameterization="eps",
        bound="continuous",
        num_times=32,
        weights="bound",
        times="low_discrepancy",
    )
    end = dict(
        likelihood=dict(name="categorical"),
        location="noisy",
        dequantization=variant["dequantization"],
    )
    denoiser = dict(fourier=(6, 7), add_input=True) | denoiser
    prior["num_steps"] = 20 if variant.has("smoke") else num_steps
    return _pixel(variant, data, denoiser, prior, end, **training)


def ddpm(
    arg: str, *, data: dict, denoiser: dict, num_steps: int = 1000, **training: Any
) -> config_dict.ConfigDict:
    """A diffusion model of T steps on a fixed table of betas (Ho et al. 2020).

    Keys: `weights` (equal ones in the gradient, or the bound's; the bound is what is reported),
    `betas`, `dequantization` (of the ODE's density); word: `smoke`.

    Args:
      arg: the config's argument.
      data: fields of `config.data`.
      denoiser: fields of a UNetDenoiser.
      num_steps: T.
      training: as of `vdm`.
    """
    choices = {
        "weights": ("simple", "bound"),
        "betas": ("linear", "cosine"),
        "dequantization": ("variational", "uniform"),
    }
    variant = parse(arg, choices=choices)
    prior = dict(
        name="ddpm",
        betas=variant["betas"],
        parameterization="eps",
        bound="discrete",
        weights=variant["weights"],
        times="low_discrepancy",
        num_steps=20 if variant.has("smoke") else num_steps,
    )
    end = dict(
        likelihood=dict(name="discretized_normal"),
        location="denoised",
        dequantization=variant["dequantization"],
    )
    config = _pixel(variant, data, denoiser, prior, end, **training)
    config.optim.update(clip_norm=MEAN_SQUARED_ERROR, gradient_unit="bits_per_dim")
    config.eval.reverse = "fixed"  # the published model
    return config


def _pixel(
    variant: Variant,
    data: dict,
    denoiser: dict,
    prior: dict,
    end: dict,
    *,
    batch_size: int,
    steps: int,
    rate: float,
    judged: int = 0,
    validations: int = 20,
    optim: dict | None = None,
) -> config_dict.ConfigDict:
    config = defaults()
    config.data.update(data)
    body = dict(name="UNetDenoiser", remat=False, dtype="float32") | denoiser
    if variant.has("smoke"):
        body.update(width=8, depth=1, multipliers=(1,), attention=())
        body.pop("time_width", None)
    config.model = dict(
        name="pixel",
        prior=prior
        | dict(denoiser=body, form="merged", num_strata=64, sequential=True)
        | dict(ode_steps=32, ode_probes=1, reverse="fixed", train_times=1, teacher_steps=0),
        **end,
    )
    config.optim.update(name="adam", learning_rate=rate, warmup_steps=min(5000, steps // 20))
    config.optim.update(optim or {})
    config.train.update(steps=steps, batch_size=batch_size, ema_decay=0.9999)
    config.eval.update(every=max(steps // validations, 1), batch_size=64)
    config.eval.estimators = ("elbo", "elbo_discrete", "fid")
    if judged:
        config.eval.update(max_examples=judged, fid_samples=judged)
    if variant.has("smoke"):
        smoke(config)
    return config
