"""The autoencoder configs: plain, denoising, robust or contractive, with fully connected nets."""

from collections.abc import Mapping

from ml_collections import config_dict

from vdp.variants.fields import defaults, smoke
from vdp.variants.grammar import parse


def autoencoder(
    arg: str,
    *,
    data: dict,
    latents: tuple[int, ...],
    widths: tuple[int, ...],
    options: Mapping[str, dict],
    epochs: int,
    epoch_steps: int,
) -> config_dict.ConfigDict:
    """An autoencoder of images in [0, 1] with a vector code.

    Args:
      arg: the config's argument.
      data: fields of `config.data`.
      latents: sizes of the code, the default first.
      widths: of the encoder's layers; the decoder's are the reverse.
      options: {kind: its fields of the model}, the default first.
      epochs: of training.
      epoch_steps: steps of one, of 128 images.
    """
    variant = parse(arg, choices={"kind": tuple(options), "latent": latents})
    small = variant.has("smoke")
    widths = (16,) * len(widths) if small else widths
    config = defaults()
    config.data.update(data)
    config.model = dict(
        name="ae",
        kind=variant["kind"],
        latent_shape=(variant["latent"],),
        encoder=dict(name="FeedForward", widths=widths),
        decoder=dict(name="FeedForward", widths=widths[::-1]),
        **options[variant["kind"]],
    )
    config.optim.update(learning_rate=3e-3, weight_decay=0.3, warmup_steps=100)
    config.train.update(steps=epochs * epoch_steps, batch_size=128)
    config.eval.update(every=max(epochs // 10, 1) * epoch_steps)
    config.eval.estimators = ()  # there is no probability to estimate
    if small:
        smoke(config)
    return config
