"""Configs that several files share: convolutional and DCGAN VAEs, and classifiers for FID."""

from collections.abc import Sequence

from ml_collections import config_dict

from vdp.variants.fields import defaults, smoke
from vdp.variants.grammar import parse
from vdp.variants.priors import PRIOR_CHOICES, TRAINING, prior, set_training


def classifier(data: config_dict.ConfigDict) -> config_dict.ConfigDict:
    """The config of a classifier of a data set's labels, which serves as features for FID.

    Args:
      data: `config.data` of the runs whose samples are judged; binarisation and flips are left out.
    """
    config = defaults()
    config.data.update({field: value for field, value in data.items() if value is not None})
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
    likelihood are not bounded: with a location of -1 little more than half of the mass lies in
    a black pixel's open bin, where the scale is wide enough for grey ones (0.68 nats each on
    MNIST). What the paper leaves open, the number of diffusion steps, is T = 100.

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
    if config.model.decoder.output == "tanh":
        config.notes = (
            "model.decoder.output: keeps the means of a Gaussian within the images' range, and is "
            "linear with likelihood=discretized_logistic, whose mass at the edges lies beyond it",
        )
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
