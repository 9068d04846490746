"""Configs for any images: what a person would have chosen after a look at them.

A config is a function of its argument; these are functions of what is known of the data as well,
`Facts`, which `vdp.config.settings` finds before it asks for them. So every field has a value of
its own type, an override of any of them comes last as in other configs, and config.json holds what
was chosen; values that only stand for "to be chosen" would have to be understood wherever a field
is read. The rules are interpolated between the shipped configs and are starting points. Why a field
is what it is stands in `config.notes`, and is said when a run starts.
"""

import dataclasses
import math

from ml_collections import config_dict

from vdp.errors import UserError
from vdp.variants.dvp import dvp, parse_argument
from vdp.variants.fields import defaults, smoke
from vdp.variants.grammar import parse
from vdp.variants.pixel import vdm
from vdp.variants.priors import PRIOR_CHOICES, TRAINING, prior, set_training
from vdp.variants.shapes import Shape

VALIDATIONS = 40  # of one run
PATIENCE = 10  # of them in a row without a better one end it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What the configs of this file have to know of a data set.

    Attributes:
      shape: (H, W, C) of the images.
      levels: of a pixel, as the model sees it.
      images: for training, those that validation is cut from included.
      validation: of a validation split of the data's own; 0 where it has none.
      mean, std: over all pixels of the training images, in [0, 1].
    """

    shape: tuple[int, int, int]
    levels: int
    images: int
    validation: int
    mean: float
    std: float

    @property
    def side(self) -> int:
        """The shorter of height and width."""
        return min(self.shape[:2])

    @property
    def size(self) -> str:
        """The images' size for a sentence, HxWxC."""
        return "x".join(map(str, self.shape))

    @property
    def held_out(self) -> int:
        """Images to hold out for validation: none where the data has its own."""
        return 0 if self.validation else min(max(self.images // 10, 1), 5000)

    @property
    def trained_on(self) -> int:
        """Training images without those held out."""
        return self.images - self.held_out


def own_vae(arg: str, facts: Facts | None) -> config_dict.ConfigDict:
    """A convolutional VAE with any prior, by the keys of PRIOR_CHOICES, and `training`.

    Args:
      arg: the config's argument.
      facts: of the data; None gives the fields alone by which data is named.
    """
    variant = parse(arg, choices=PRIOR_CHOICES | {"training": TRAINING})
    config = defaults()
    if facts is None:
        return config
    small, colour = variant.has("smoke"), facts.shape[2] > 1
    halvings = min(max(int(math.log2(facts.side / 4)), 1), 5) if facts.side > 4 else 1
    channels = tuple(min((64 if colour else 32) * 2**i, 256) for i in range(halvings))
    channels = (8,) * halvings if small else channels
    numbers = math.prod(facts.shape)
    latent = min(max(round(numbers / 24 / 8) * 8, 8), 256)
    hidden = 512 if colour else 256
    config.model = dict(
        name="vae",
        latent_shape=(latent,),
        encoder=dict(name="ConvEncoder", channels=channels, hidden=hidden),
        decoder=dict(name="ConvDecoder", channels=channels[::-1], hidden=hidden),
        prior=prior(variant, width=32 if small else min(max(8 * latent, 128), 512)),
        likelihood=dict(name="bernoulli")
        if facts.levels == 2
        else dict(name="discretized_logistic", scale="predicted"),
        log_var_floor=-7.0,
        kl_warmup_steps=0,
    )
    set_training(config, variant["training"])
    config.optim.update(learning_rate=5e-4 if colour else 1e-3, clip_norm=numbers / 2.0)
    notes = (
        f"model.encoder.channels: images of {facts.size} are halved to a side of about 4",
        "model.latent_shape: one latent for 24 numbers of an image, in 8 to 256",
        f"model.likelihood.name: {_of_levels(facts)}",
    )
    _trained(config, facts, notes, steps=20_000, most=128, kl=True, small=small)
    return config


def own_dvp(arg: str, facts: Facts | None) -> config_dict.ConfigDict:
    """A hierarchy as of `dvp`, with its words and keys but `depth`; arguments as of `own_vae`."""
    if facts is None:
        parse_argument(arg, {}, 11)
        return defaults()
    colour, heights = facts.shape[2] > 1, _heights(facts.shape)
    latents = {1: (6,), 2: (2, 6)}.get(len(heights), (4,) * len(heights))
    if facts.shape[2] not in (1, 3) and facts.levels > 2:
        raise UserError(
            f"own_dvp has likelihoods of 1 or 3 channels, and these images have {facts.shape[2]}: "
            "use own_vae"
        )
    deep = 256 if colour else facts.levels
    shape = Shape(
        scales=tuple((h, n, 3 if colour else 2) for h, n in zip(heights, latents, strict=True)),
        width=64 if colour else 32,
        hidden=48 if colour else 32,
        blocks=1,
        head_blocks=1,
        patch=facts.shape[0] // heights[0],
        code_size=min(max(facts.side // 4, 3), 7, facts.side),
        denoiser=(32, 2, 0.0) if colour else (16, 1 if facts.side < 20 else 2, 0.0),
        gamma=(-10.0 if colour else -8.0 if deep > 64 else -6.0, 7.0),
        num_steps=25 if facts.side >= 20 else 50,
        batch_size=_batch(facts.trained_on, 128),
        epochs=1,
        rates=(3e-3, 1e-4) if colour else (1e-2, 1e-5),
        warmup_epochs=0.0,
        clip_norm=150.0 if colour else 20.0 if deep > 2 else 5.0,
    )
    components = 10 if colour else 5 if facts.levels > 64 else 3
    config = dvp(
        arg,
        data={},
        likelihood=dict(name="bernoulli")
        if facts.levels == 2
        else dict(name="logistic_mixture", num_components=components),
        published=shape,
        default=shape,
        depths={},
        train_images=facts.trained_on,
        image_size=facts.side,
    )
    mean, std = round(facts.mean, 4), max(round(facts.std, 4), 0.01)
    config.model.update(input_mean=mean, input_std=std)
    notes = (
        f"model.scales: heights that divide images of {facts.size}, down to a side of about 4",
        f"model.likelihood.name: {_of_levels(facts)}",
        "model.input_mean: of all pixels of the training images",
        "model.input_std: likewise",
    )
    _trained(config, facts, notes, steps=20_000, most=128, kl=False, small=_is_smoke(arg))
    return config


def own_vdm(arg: str, facts: Facts | None) -> config_dict.ConfigDict:
    """Diffusion in pixel space, with the keys of `vdm`; arguments as of `own_vae`."""
    known = facts or Facts(shape=(8, 8, 1), levels=2, images=10, validation=0, mean=0.0, std=1.0)
    height, width, channels = known.shape
    halvings = 0
    while halvings < 3 and not (height % 2 or width % 2) and min(height, width) >= 8:
        height, width, halvings = height // 2, width // 2, halvings + 1
    bits = int(math.log2(known.levels))
    config = vdm(
        arg,
        data={},
        denoiser=dict(
            width=64 if channels > 1 else 32,
            depth=1 if halvings else 2,
            multipliers=(1, 2, 2, 2)[: halvings + 1],
            attention=(height,) if height * width <= 256 else (),
            dropout=0.1,
            fourier=(bits - 2, bits - 1) if bits > 2 else (),
        ),
        gamma=(round(2 * math.log(0.32 / known.levels), 1), 5.0),
        num_steps=250,
        batch_size=64,
        steps=40_000,
        rate=5e-4,
        judged=1000,
    )
    if facts is None:  # the argument has been read
        return defaults()
    config.eval.estimators = ("elbo", "elbo_discrete")  # FID asks for labels or other features
    notes = (
        f"model.prior.denoiser.multipliers: images of {facts.size} can be halved {halvings} times",
        "model.prior.schedule.gamma_0: its noise is a sixth of the distance of two of "
        f"{facts.levels} levels",
    )
    _trained(config, facts, notes, steps=40_000, most=64, kl=False, small=_is_smoke(arg))
    return config


def _is_smoke(arg: str) -> bool:
    return "smoke" in [word.strip() for word in arg.split(",")]


def _of_levels(facts: Facts) -> str:
    return f"images of {facts.levels} levels"


def _batch(images: int, most: int) -> int:
    """The largest power of two that leaves 20 batches an epoch, in 16 to `most`."""
    return min(max(2 ** int(math.log2(max(images / 20, 1))), 16), most)


def _heights(shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Heights of the scales of a hierarchy, finest first: images divided by ever larger factors.

    Raises:
      UserError: height and width have no factor in common.
    """
    height, width, _ = shape
    common = math.gcd(height, width)
    least = 4 if min(height, width) > 8 else 2
    factors: list[int] = []
    factor = 1
    for prime in _primes(common):
        factor *= prime
        if min(height, width) // factor >= least or not factors:
            factors.append(factor)
    if not factors:
        fitting = "x".join(str(max(round(side / 4), 1) * 4) for side in (height, width))
        raise UserError(
            f"a hierarchy needs a height and a width with a common factor, and {height} and "
            f"{width} have none: ask for config.data.resize={fitting}"
        )
    coarse = [f for f in factors if min(height, width) // f <= 32] or factors[-1:]
    return tuple(height // f for f in coarse[:4])


def _primes(number: int) -> list[int]:
    """The prime factors, ascending."""
    factors: list[int] = []
    factor = 2
    while number > 1:
        while number % factor == 0:
            factors.append(factor)
            number //= factor
        factor += 1
    return factors


def _trained(
    config: config_dict.ConfigDict,
    facts: Facts,
    notes: tuple[str, ...],
    *,
    steps: int,
    most: int,
    kl: bool,
    small: bool,
) -> None:
    """Sets what every config of this file says of data and training, and the notes.

    Args:
      config: with its model.
      facts: of the data.
      notes: on the model.
      steps: about as many are wanted.
      most: images of a batch.
      kl: whether the model is to have a KL warm-up.
      small: whether it is a smoke run.
    """
    config.data.num_validation = facts.held_out
    evaluated = 2 ** int(math.log2(max(2**18 / math.prod(facts.shape), 16)))
    config.eval.batch_size = min(evaluated, 256)
    if small:
        smoke(config)
        return
    batch = _batch(facts.trained_on, most)
    epochs = float(min(max(round(steps * batch / facts.trained_on), 20), 500))
    config.train.update(batch_size=batch, epochs=epochs, patience=PATIENCE)
    config.optim.update(warmup_epochs=epochs / 100)
    config.eval.every_epochs = epochs / VALIDATIONS
    config.train.kl_warmup_epochs = epochs / 10 if kl else 0.0
    cut = (
        f"the data has {facts.validation} of its own"
        if facts.validation
        else f"a tenth of {facts.images} images, 5,000 at most, chooses the checkpoint"
    )
    config.notes = (
        f"data.num_validation: {cut}",
        *notes,
        f"train.batch_size: 20 or more steps in an epoch of {facts.trained_on} images",
        f"train.epochs: about {steps:,} steps, in 20 to 500 epochs",
        f"train.patience: stops after {PATIENCE} validations in a row without a better one",
    )
