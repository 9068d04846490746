"""Specs that several configs share: the priors of `prior=NAME`, and the DCGAN family."""

from collections.abc import Mapping, Sequence

from ml_collections import config_dict

from vdp.errors import UserError
from vdp.variants.fields import defaults, smoke
from vdp.variants.grammar import ANY_NAME, parse

PRIORS = ("vdm", "ddpm", "flow", "tarflow", "trajectory", "vamp", "mixture", "normal")
SCHEDULES = (
    "learned_scalar",
    "learned_monotone",
    "linear",
    "cosine",
    "beta_linear",
    "beta_cosine",
)
PRIOR_CHOICES: dict[str, Sequence] = {
    "prior": (*PRIORS, ANY_NAME),
    "schedule": SCHEDULES,
    "form": ("separate", "merged"),
    "transform": ("affine", "spline"),
}
TRAINING = ("joint", "detached", "prior")
POINT_RATES = {"vamp": 100.0, "mixture": 10.0}  # multiples for priors whose parameters are places


def prior(
    variant: Mapping,
    *,
    width: int,
    depth: int = 3,
    log_var_floor: float = -7.0,
    num_components: int = 100,
    num_steps: int = 100,
    train_times: int = 4,
    learned: bool = False,
) -> dict:
    """The spec of a prior over a vector latent, with every field it accepts, if it is vdp's.

    Args:
      variant: values of PRIOR_CHOICES; `schedule` is of vdm, `form` of vdm and ddpm, `transform`,
        "affine" where it is left out, of flow.
      width: of its networks.
      depth: of its networks.
      log_var_floor: the posterior's; a diffusion prior's gamma_0 starts 2 below and stays below,
        but not in the merged form. The cosine table of 100 betas starts at gamma_0 = -7.4.
      num_components: of vamp and mixture.
      num_steps: T of the diffusion priors.
      train_times: of them too. A small denoiser costs little beside encoder and decoder.
      learned: whether the moments of normal are.
    """
    name, schedule, form = variant["prior"], variant["schedule"], variant["form"]
    foreign = (schedule != SCHEDULES[0] and name != "vdm") or (
        form != "separate" and name not in ("vdm", "ddpm")
    )
    if foreign:
        raise UserError(
            f"schedule is of prior=vdm, form of prior=vdm and prior=ddpm, not of {name}"
        )
    spline = check_transform(variant)
    if name not in PRIORS:  # one's own, at its own defaults
        return dict(name=name)
    diffusion = dict(
        denoiser=dict(name="MLPDenoiser", width=width, depth=depth),
        parameterization="v",
        form=form,
        weights="bound",
        times="low_discrepancy",
        num_steps=num_steps,
        reverse="fixed",
        train_times=train_times,
        teacher_steps=0,
        ode_steps=32,
        ode_probes=0,
    )
    return {
        "normal": dict(name="normal", learned=learned),
        "mixture": dict(name="mixture", num_components=num_components, spread=1.0),
        "vamp": dict(name="vamp", num_components=num_components),
        "flow": dict(name="flow", net=dict(name="MADE", width=width, depth=2), num_flows=3)
        | (dict(transform="spline", num_bins=8, tail_bound=5.0) if spline else {}),  # runs of
        # version 0.1 do not have these fields
        "tarflow": dict(
            name="tarflow",
            net=dict(name="CausalTransformer", width=4 * max(width // 8, 1), depth=2, heads=4),
            num_flows=4,
            patch_size=1,
            token_size=1,
        ),
        "trajectory": dict(
            name="trajectory",
            net=dict(name="ConditionalMADE", width=width, depth=2),
            # the first state has gamma(1/T): a flow step can remove more noise than a Gaussian
            schedule=dict(name="linear", gamma_0=-3.0, gamma_1=4.0),
            num_steps=4,
        ),
        "ddpm": dict(name="ddpm", betas="cosine", bound="discrete", **diffusion),
        "vdm": dict(
            name="vdm",
            schedule=_schedule(schedule, form, log_var_floor),
            bound="continuous",
            num_times=32,
            **diffusion,
        ),
    }[name]


def check_transform(variant: Mapping) -> bool:
    """Whether `transform` is a spline; UserError where it is, of another prior than flow."""
    spline = variant.get("transform", "affine") == "spline"
    if spline and variant["prior"] != "flow":
        raise UserError("transform=spline is of prior=flow: choose it too, or leave the spline out")
    return spline


def _schedule(name: str, form: str, log_var_floor: float) -> dict:
    if name.startswith("beta_"):
        return dict(name=name, num_steps=1000)
    if form == "merged":  # gamma_0 is the posterior's own log-variance, and where it starts is near
        return dict(name=name, gamma_0=log_var_floor + 2.0, gamma_1=6.0)
    spec = dict(name=name, gamma_0=log_var_floor - 2.0, gamma_1=6.0)
    if name.startswith("learned_"):
        spec["gamma_0_max"] = log_var_floor
    return spec


def set_training(config: config_dict.ConfigDict, mode: str) -> None:
    """Sets `training=MODE`: "joint", "detached", or "prior", alone on a frozen autoencoder.

    Over flat latents the means of a mixture and the pseudo-inputs of a VampPrior move faster than
    networks: a step of Adam moves a number by about the rate, and they have far to go.

    "joint" is what a model does without the field, which runs of version 0.1 do not have.
    """
    if config.model.name == "vae" and (rate := POINT_RATES.get(config.model.prior.name)):
        config.optim.groups.prior = rate
    if mode != "joint":
        config.model.training = mode
    if mode == "prior":
        held = [g for g in config.optim.groups if g.split("/")[0] in ("encoder", "decoder")]
        config.optim.groups.update(dict.fromkeys(held, 0.0))
        if config.model.get("pseudoinput", {}).get("name") == "linear":  # the one that learns
            config.optim.groups.pseudoinput = 0.0


def classifier(data: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """The config of a classifier of a data set's labels, which serves as features for FID.

    Args:
      data: `config.data` of the runs whose samples are judged; binarisation and flips are left out.
    """
    config = defaults()
    config.data = data.copy_and_resolve_references()
    config.data.update(binarization="none", encoder_input="target", augmentation="none")
    config.model = dict(
        name="classifier",
        net=dict(name="ConvEncoder", channels=(32, 64), hidden=128, zero_output=False),
    )
    config.optim.update(learning_rate=2e-3, weight_decay=0.05, warmup_steps=50)
    config.train.update(steps=1000, batch_size=128)
    config.eval.update(every=250, batch_size=360)
    config.eval.estimators = ()  # there is no probability of images to estimate
    config.log.update(every=250, tensorboard=False)
    return config


def conv_vae(
    arg: str,
    *,
    data: dict,
    latent_size: int,
    channels: tuple[int, ...],
    likelihood: dict,
    prior_width: int,
    kl_warmup_steps: int,
    optim: dict,
    train: dict,
    evaluation: dict,
    hidden: int | None = None,
) -> config_dict.ConfigDict:
    """A convolutional VAE with any prior.

    Args:
      arg: the config's argument.
      data: fields of `config.data`.
      latent_size: of the latent vector.
      channels: of the encoder; the decoder's are the reverse.
      likelihood: its spec.
      prior_width: of the prior's networks.
      kl_warmup_steps: of the rate's weight.
      optim: fields of `config.optim`.
      train: fields of `config.train`.
      evaluation: fields of `config.eval`.
      hidden: of the dense layer between convolutions and latents; None: the networks' own.
    """
    variant = parse(arg, choices=PRIOR_CHOICES | {"training": TRAINING})
    small = variant.has("smoke")
    if small:
        channels, prior_width = (8,) * len(channels), 32
    config = defaults()
    config.data.update(data)
    dense = {} if hidden is None else {"hidden": hidden}
    config.model = dict(
        name="vae",
        latent_shape=(latent_size,),
        encoder=dict(name="ConvEncoder", channels=channels, **dense),
        decoder=dict(name="ConvDecoder", channels=channels[::-1], **dense),
        prior=prior(variant, width=prior_width),
        likelihood=likelihood,
        log_var_floor=-7.0,
        kl_warmup_steps=kl_warmup_steps,
    )
    set_training(config, variant["training"])
    config.optim.update(optim)
    config.train.update(train)
    config.eval.update(evaluation)
    if small:
        smoke(config)
    return config


def dcgan(
    arg: str,
    *,
    data: dict,
    latents: tuple[int, ...],
    channels: tuple[int, ...],
    likelihoods: tuple[str, ...],
    epochs: int,
    epoch_steps: int,
    scale: str = "learned",
    prior_width: int = 256,
    log_var_floor: float = -7.0,
) -> config_dict.ConfigDict:
    """A DCGAN VAE with any prior (Wehenkel & Louppe 2021).

    Adam at a constant 5e-4, batches of 128, KL annealing over the first tenth of training, one
    learned observation scale. The Gaussian's means are in [-1, 1]; those of a discretised
    likelihood are not bounded: a location of -1 leaves half the mass of a black pixel's open bin,
    so that each would cost 0.69 nats at least. What the paper leaves open, the number of diffusion
    steps, is T = 100.

    Args:
      arg: the config's argument.
      data: fields of `config.data`.
      latents: sizes of the latent vector, the default first.
      channels: of the encoder; the decoder's are the reverse.
      likelihoods: names of those there are, the default first.
      epochs: of training.
      epoch_steps: steps of one.
      scale: of the likelihood: "learned", one for all pixels, or "predicted".
      prior_width: of the prior's networks.
      log_var_floor: of the posterior.
    """
    choices: dict[str, Sequence] = {"latent": latents, "training": TRAINING}
    choices |= {"likelihood": likelihoods} if len(likelihoods) > 1 else {}
    variant = parse(arg, choices=PRIOR_CHOICES | choices)
    likelihood = dict(name=variant.get("likelihood", likelihoods[0]), scale=scale)
    small = variant.has("smoke")
    config = defaults()
    config.data.update(data)
    if small:
        channels, prior_width = (8,) * len(channels), 16
    config.model = dict(
        name="vae",
        latent_shape=(variant["latent"],),
        encoder=dict(name="DCGANEncoder", channels=channels),
        decoder=dict(
            name="DCGANDecoder",
            channels=channels[::-1],
            output="tanh" if likelihood["name"] == "normal" else "linear",
        ),
        prior=prior(
            variant,
            width=prior_width,
            log_var_floor=log_var_floor,
            num_components=8 if small else 100,
        ),
        likelihood=likelihood,
        log_var_floor=log_var_floor,
        kl_warmup_steps=epochs * epoch_steps // 10,
        training="joint",
    )
    config.optim.update(name="adam", learning_rate=5e-4, schedule="constant")
    if scale == "learned":
        # one number for all pixels, which a step of Adam moves by the rate at most
        config.optim.groups["decoder/likelihood"] = 20.0
    set_training(config, variant["training"])
    # An untrained flow meets latents of which the rate, not annealed yet, holds none back: a few
    # gradients of a million times the usual would fill Adam's second moments for a thousand steps.
    config.optim.clip_norm = 1000.0  # nats: more than those of grey images have
    config.train.update(steps=epochs * epoch_steps, batch_size=128)
    config.eval.update(every=max(epochs // 50, 1) * epoch_steps)
    config.eval.estimators = ("elbo", "elbo_discrete", "iwae", "fid")
    if small:
        smoke(config)
    return config
